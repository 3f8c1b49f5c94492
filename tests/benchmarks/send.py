"""How fast invoices that merchants post become requests in the app, against the sandbox.

    python -m tests.benchmarks.send [--rounds 5] [--invoices 2000] [--database sqlite|postgresql]

Invoices are posted to our API over 32 connections; a round is over when the last of them is
`pushed`: its category attached, its payment made at Vipps, both in the database. The limit beside
it is a bare client making the same two calls at the same sandbox, which tells somebody of each
payment in either case. Afterwards the sandbox's own ledger is counted: one payment for each
invoice, however it went, and never more calls about one reference than Vipps allows.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import sqlalchemy as sa

from service.commands.due import WRITES_MAX
from service.sandbox.registrations import EVENT_TYPES
from service.store.db import Database
from service.store.inserts import table_of
from service.store.schema import migrate
from service.store.tables import CommandAttempt, Invoice, Transition
from tests.benchmarks.databases import KINDS, Databases, databases
from tests.benchmarks.figures import Figure, Rows, at_least, median
from tests.benchmarks.sandbox_rate import Caller, process, serve_address, serve_sandbox
from tests.benchmarks.servers import API_KEY, SERVE_WITH_WORKER, cpu_s, server, settings_for
from tests.benchmarks.webhooks import MSN
from tests.flows.processes import HTTP, free_port
from tests.sandbox.harness import a_payment, a_receipt

CONNECTIONS = 32
LIMIT = "a bare client at the same sandbox"
# The bare client's sales unit; ours is the other, so that each hears of its own payments.
_OTHER_MSN = "654321"
_LOOK_EVERY_S = 0.05
_GIVE_UP_S = 300.0
_AMOUNT_MINOR = 20_000
_AGAIN_S = 0.5
_WARM = 50


@dataclass(slots=True)
class Sandbox:
    """The sandbox's process, and what anybody needs to call it."""

    port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"http://127.0.0.1:{self.port}"

    def headers(self, msn: str) -> dict[str, str]:
        """Return what a call needs, with a fresh token."""
        keys = {
            "client_id": "a-client",
            "client_secret": "a-secret",
            "Ocp-Apim-Subscription-Key": "a-key",
            "Merchant-Serial-Number": msn,
        }
        token = HTTP.post(f"{self.url}/accesstoken/get", headers=keys).json()["access_token"]
        return keys | {"Authorization": f"Bearer {token}"}

    def register(self, msn: str, url: str) -> str:
        """Have it tell that address of the sales unit's payments; return the secret."""
        body = {"url": url, "events": list(EVENT_TYPES)}
        path = f"{self.url}/webhooks/v1/webhooks"
        answer = HTTP.post(path, headers=self.headers(msn), json=body)
        return str(answer.raise_for_status().json()["secret"])

    def payments_made(self, msn: str) -> list[str]:
        """Return the reference of every payment made there, as often as it was."""
        items = HTTP.get(f"{self.url}/sandbox/effects").json()["items"]
        return [e["reference"] for e in items if e["msn"] == msn and e["effect"] == "created"]


@dataclass(slots=True)
class Round:
    """What one round gave."""

    per_s: float
    cpu_us: float = 0.0
    database_cpu_us: float = 0.0
    sandbox_cores: float = 0.0
    waits_ms: Sequence[float] = ()


class Bare:
    """A client that only calls the sandbox: the two calls of each push, and nothing else."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox; nothing is called yet."""
        self._sandbox = sandbox
        self._headers = sandbox.headers(_OTHER_MSN)

    def round(self, payments: int) -> Round:
        """Make so many payments."""
        references = [f"bare-{uuid4().hex}" for _ in range(payments)]
        begun, used = time.perf_counter(), cpu_s(self._sandbox.process)
        asyncio.run(self._make(iter(references)))
        took_s = time.perf_counter() - begun
        cores = (cpu_s(self._sandbox.process) - used) / took_s
        return Round(payments / took_s, sandbox_cores=cores)

    async def _make(self, references: Iterator[str]) -> None:
        async def work() -> None:
            caller = await Caller.to(self._sandbox.port)
            for reference in references:
                category = {"category": "GENERAL", "orderDetailsUrl": "https://x.example/i/abc"}
                path = f"/order-management/v2/ecom/categories/{reference}"
                body = json.dumps(category).encode()
                await caller.send("PUT", path, self._headers, body=body)
                asked = a_payment(reference, receipt=a_receipt(), returnUrl="https://x.example")
                keyed = self._headers | {"Idempotency-Key": reference}
                body = json.dumps(asked).encode()
                await caller.post("/epayment/v1/payments", keyed, body)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


@dataclass(slots=True)
class Ours:
    """Our service with its worker, and what it has stored."""

    port: int
    process: psutil.Process
    database: Database
    place: Databases
    sandbox: Sandbox
    sent: list[str] = field(default_factory=list)
    put_off: int = 0

    def round(self, invoices: int) -> Round:
        """Post so many invoices, and wait until all of them are pushed."""
        references = [f"send-{uuid4().hex}" for _ in range(invoices)]
        begun, used = time.perf_counter(), self._cpu_s()
        asyncio.run(self._post(iter(references)))
        self.sent += references
        self._until_pushed(len(self.sent), time.monotonic() + _GIVE_UP_S)
        took_s = time.perf_counter() - begun
        service, theirs, sandbox = (
            now - before for before, now in zip(used, self._cpu_s(), strict=True)
        )
        return Round(
            invoices / took_s,
            cpu_us=service / invoices * 1e6,
            database_cpu_us=theirs / invoices * 1e6,
            sandbox_cores=sandbox / took_s,
            waits_ms=self._waits_ms(invoices),
        )

    def _cpu_s(self) -> tuple[float, float, float]:
        return cpu_s(self.process), self.place.cpu_s(), cpu_s(self.sandbox.process)

    async def _post(self, references: Iterator[str]) -> None:
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}

        async def work() -> None:
            caller = await Caller.to(self.port)
            for reference in references:
                body = json.dumps(_an_invoice(reference)).encode()
                await self._post_one(caller, headers | {"Idempotency-Key": reference}, body)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    async def _post_one(self, caller: Caller, headers: dict[str, str], body: bytes) -> None:
        # As merchants do: what was put off is asked again with the same key.
        while True:
            status, answer = await caller.ask("POST", "/v1/invoices", headers, body=body)
            if status == 201:
                return
            if status != 503:
                raise SystemExit(f"/v1/invoices: {status} {answer.decode()}")
            self.put_off += 1
            await asyncio.sleep(_AGAIN_S)

    def _until_pushed(self, count: int, give_up_at: float) -> None:
        invoice = table_of(Invoice)
        pushed = sa.select(sa.func.count()).where(invoice.c.state == "pushed")
        while True:
            with self.database.snapshot() as session:
                found = session.execute(pushed).scalar_one()
            if found == count:
                return
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{found} of {count} invoices are pushed")
            time.sleep(_LOOK_EVERY_S)

    def _waits_ms(self, invoices: int) -> list[float]:
        made = table_of(Transition).alias("made")
        pushed = table_of(Transition).alias("pushed")
        waits = (
            sa.select(made.c.recorded_at, pushed.c.recorded_at)
            .join(pushed, pushed.c.invoice_id == made.c.invoice_id)
            .where(made.c.sequence == 1, pushed.c.sequence == 2)
            .order_by(made.c.recorded_at.desc())
            .limit(invoices)
        )
        with self.database.snapshot() as session:
            rows: Sequence[Any] = session.execute(waits).all()
        return [_ms(before, after) for before, after in rows]

    def rows(self) -> tuple[Rows, ...]:
        """Hold what happened at Vipps against what was asked for."""
        made, count = self.sandbox.payments_made(MSN), len(self.sent)
        named = len(set(made) & set(self.sent))
        most = self._calls_of_one_kind_max()
        return (
            Rows("payments at Vipps", len(made), count, count),
            Rows("invoices with a payment", named, count, count),
            Rows("most calls of a kind about one payment", most, 1, WRITES_MAX),
        )

    def _calls_of_one_kind_max(self) -> int:
        tried = table_of(CommandAttempt).c
        calls = (
            sa.select(sa.func.count().label("calls"))
            .where(tried.kind != "read_payment")
            .group_by(tried.payment_id, tried.kind)
            .subquery()
        )
        with self.database.snapshot() as session:
            return int(session.execute(sa.select(sa.func.max(calls.c.calls))).scalar_one())


def _ms(before: datetime, after: datetime) -> float:
    return (after - before).total_seconds() * 1_000


def _an_invoice(reference: str) -> Mapping[str, object]:
    return {
        "reference": reference,
        "amount": {"currency": "NOK", "value": _AMOUNT_MINOR},
        # Each of another customer, as a merchant's are.
        "customer": {"phoneNumber": f"47{int(reference[-8:], 16) % 10**8:08}"},
        "description": "Invoice of the benchmark",
    }


def _ours(stack: ExitStack, place: Databases, sandbox: Sandbox) -> Ours:
    port, url = free_port(), place.make("send")
    secret = sandbox.register(MSN, f"http://127.0.0.1:{port}/webhooks/vipps/{MSN}")
    environment = settings_for(url, port) | {
        "BETALBAR_VIPPS_URL": sandbox.url,
        "BETALBAR_VIPPS_WEBHOOK_SECRET": secret,
        # Requests go out at once also at night.
        "BETALBAR_QUIET_HOURS": "",
    }
    if place.kind != "sqlite":
        _migrate(url)
    process = stack.enter_context(
        server("send", SERVE_WITH_WORKER, environment, port=port, folder=place.folder)
    )
    database = Database(url)
    stack.callback(database.dispose)
    return Ours(port, process, database, place, sandbox)


def _migrate(url: str) -> None:
    database = Database(url)
    migrate(database)
    database.dispose()


def measure(kind: str, rounds: int, invoices: int) -> Figure:
    """Measure both in turns, and say what came of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="send-")))
        place = stack.enter_context(databases(kind, folder))
        port, address = free_port(), free_port()
        stack.enter_context(process(serve_address, address))
        running = stack.enter_context(process(serve_sandbox, port, None, 1))
        sandbox = Sandbox(port, running)
        sandbox.register(_OTHER_MSN, f"http://127.0.0.1:{address}/webhooks")
        ours, bare = _ours(stack, place, sandbox), Bare(sandbox)
        for warm in (bare, ours):
            warm.round(_WARM)
        found: list[Round] = []
        limits: list[Round] = []
        for number in range(rounds):
            limits.append(bare.round(invoices))
            found.append(ours.round(invoices))
            print(
                f"  round {number + 1} of {rounds}: {place.title} {found[-1].per_s:6,.0f}/s,"
                f" CPU {found[-1].cpu_us:5.0f} + {found[-1].database_cpu_us:4.0f} µs;"
                f" {LIMIT} {limits[-1].per_s:6,.0f}/s",
                flush=True,
            )
        return _figure(place.title, found, limits, ours)


def _figure(title: str, found: list[Round], limits: list[Round], service: Ours) -> Figure:
    ours = median([each.per_s for each in found]) or 0.0
    limit = median([each.per_s for each in limits]) or 0.0
    waits = sorted(wait for each in found for wait in each.waits_ms)
    busy = median([each.sandbox_cores for each in limits]) or 0.0
    return Figure(
        name=f"send, {title}",
        unit="invoices/s",
        ours=ours,
        rounds=[each.per_s for each in found],
        limits={LIMIT: limit},
        p50_ms=median(waits),
        p99_ms=waits[int(len(waits) * 0.99)] if waits else None,
        cpu_us=median([each.cpu_us for each in found]),
        database_cpu_us=median([each.database_cpu_us for each in found]),
        rows=service.rows(),
        goals=[at_least(0.5, ours, limit, LIMIT)],
        remarks=[
            "p50 and p99: from the post to `pushed`, with all of a round posted at once",
            f"{service.put_off} posts were answered 503 and repeated",
            f"the sandbox used {busy:.2f} of a core while the bare client called it",
        ],
    )


def run(rounds: int, kinds: Sequence[str] = KINDS) -> list[Figure]:
    """Measure each database; five rounds are the ten thousand invoices of the goal."""
    invoices = 2_000 if rounds >= 5 else 400
    return [measure(kind, rounds, invoices) for kind in kinds]


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--invoices", type=int, default=2_000)
    parser.add_argument("--database", choices=KINDS, default="sqlite")
    options = parser.parse_args()
    figure = measure(options.database, options.rounds, options.invoices)
    print(json.dumps(figure.as_json(), indent=2))


if __name__ == "__main__":
    main()

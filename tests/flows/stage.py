"""One service that is killed again and again, and what it stands between: Vipps and a shop."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from signal import SIGKILL

import httpx
import psycopg

from service.store.channel import say_once
from tests.fake_merchant import Received
from tests.flows.checks import Books, Row, open_books
from tests.flows.client import Json, a_name
from tests.flows.forked import KILLED_AT
from tests.flows.kills import judge
from tests.flows.load import Load
from tests.flows.processes import FORKED, Child, eventually
from tests.flows.stack import Shop, Stack

# A worker that found it free would have taken it within a second; twice that is certain.
_HANDS_OFF_S = 2.0
_SESSIONS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend'"
    " AND pid <> pg_backend_pid()"
)
_LEASES = (
    "SELECT 'command' AS kind, lease FROM command WHERE status = 'running'"
    " UNION SELECT 'delivery', lease FROM delivery WHERE status = 'pending' AND lease IS NOT NULL"
)
_ENDS = {
    "command": "UPDATE command SET next_attempt_at = now() WHERE lease = %s",
    "delivery": "WITH ended AS (UPDATE delivery SET next_attempt_at = now() WHERE lease = %s"
    " RETURNING subscription_id) UPDATE subscription SET ready_at = now()"
    " WHERE id IN (SELECT subscription_id FROM ended)",
}


@dataclass
class Stage:
    """A running stack, the merchant that is told everything, and what was acknowledged to it."""

    stack: Stack
    shop: Shop
    notes: Load = field(init=False)
    asking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def __post_init__(self) -> None:
        """Begin with an empty notebook."""
        self.notes = Load(self.stack.api, self.stack.phone, seed=0)

    @property
    def service(self) -> Child:
        """Return the process that lives or was killed last."""
        return self.stack.service[0]

    @property
    def is_sqlite(self) -> bool:
        """Tell whether a starting process may take it that it is alone."""
        return self.stack.database_url.startswith("sqlite")

    # What happens to the process

    def doom(self, point: str, *words: str) -> None:
        """From now on there runs a process that dies at that point, when it is about the words."""
        self.service.kill()
        self._replace([FORKED, KILLED_AT, point, " ".join(words), "serve"])

    def restart(self, *, held: Callable[[], Row] | None = None) -> None:
        """Start the service as it is, on what the killed one has left; its leases end.

        Alone on SQLite, the new process knows that nobody holds them. On PostgreSQL another one
        might: it must leave `held` alone. Then the leases' ends are set to now instead of
        waiting for them; the kills at random instants wait."""
        self._replace([FORKED, "serve"], held=held)

    def _replace(self, command: Sequence[str], held: Callable[[], Row] | None = None) -> None:
        self.wait_killed()
        leases = [] if self.is_sqlite else self.rows(_LEASES)
        self.stack.service[0] = replace(self.service, command=command)
        self.service.start()
        self.service.wait_ready("/readyz")
        if held is not None and leases:
            self._stays(held)
        for lease in leases:
            with psycopg.connect(self.stack.database_url) as connection:
                connection.execute(_ENDS[lease["kind"]], (lease["lease"],))
        if leases:
            # By itself a process looks twice a minute for what nobody has told it.
            say_once(self.stack.database_url, ("commands", "deliveries"))

    def _stays(self, held: Callable[[], Row]) -> None:
        """Look on for a while, and find it as it was."""
        before, until = held(), time.monotonic() + _HANDS_OFF_S
        eventually(lambda: time.monotonic() > until, what="a while over")
        assert held() == before

    def wait_killed(self) -> None:
        """Return once the process is dead, by its own hand or by another's."""
        eventually(lambda: not self.service.is_alive(), what="killed")
        assert self.service.process is not None
        assert self.service.process.poll() == -SIGKILL
        if not self.is_sqlite:
            # What it had sent to the server, the server finishes, be it a commit.
            eventually(lambda: not self.rows(_SESSIONS), what="sessions ended")

    # What merchant and customer do

    def ask(self, name: str, act: str, body: Json | None = None) -> "Future[httpx.Response]":
        """Ask in the background, since the answer may come only after the restart."""
        self.notes.acts[(name, act)] += 1
        return self.asking.submit(self.stack.api.act, name, act, body)

    def send(self, name: str) -> "Future[Json]":
        """Send an invoice in the background; what is acknowledged may not be lost."""
        self.notes.invoices.append(name)
        self.notes.acts[(name, "create")] += 1
        return self.asking.submit(self.stack.api.create, name)

    def pushed(self) -> str:
        """Return the reference of an invoice that waits for its customer."""
        return self._sent(a_name("point"), "pushed")

    def authorized(self) -> str:
        """Return the reference of an invoice whose money is reserved, and told of."""
        name = self.pushed()
        self.stack.phone.approve(name)
        return self._sent(name, "authorized")

    def _sent(self, name: str, state: str) -> str:
        if name not in self.notes.invoices:
            self.send(name).result(30)
        self.stack.api.reaches(name, state)
        eventually(lambda: f"invoice.{state}" in self.shop.told(name), what="told")
        return name

    # What the witnesses say

    @contextmanager
    def books(self) -> Iterator[Books]:
        """Open the database as it is on disk."""
        with open_books(self.stack.database_url) as books:
            yield books

    def rows(self, statement: str, **values: str) -> list[Row]:
        """Return what a statement finds in the database."""
        with self.books() as books:
            return books.rows(statement, **values)

    def invoice(self, name: str) -> Row:
        """Return an invoice's row."""
        (found,) = self.rows("SELECT * FROM invoice WHERE reference = :name", name=name)
        return found

    def triggers(self, name: str) -> list[str]:
        """Return an invoice's history."""
        found = self.rows(
            "SELECT trigger FROM transition WHERE invoice_id = :id ORDER BY sequence",
            id=self.invoice(name)["id"],
        )
        return [row["trigger"] for row in found]

    def reports(self, name: str, event: str) -> list[Row]:
        """Return what is stored of one of Vipps's events, the one that was applied first."""
        return self.rows(
            "SELECT * FROM vipps_event WHERE reference = :name AND name = :event"
            " ORDER BY CASE outcome WHEN 'applied' THEN 0 ELSE 1 END, received_at",
            name=name,
            event=event,
        )

    def command(self, name: str, kind: str) -> Row:
        """Return the one command of that kind."""
        (found,) = self.rows(
            "SELECT * FROM command WHERE invoice_id = :id AND kind = :kind",
            id=self.invoice(name)["id"],
            kind=kind,
        )
        return found

    def tries(self, command: Row) -> int:
        """Return how often it has been tried, whatever came of it."""
        statement = "SELECT * FROM command_attempt WHERE command_id = :id"
        return len(self.rows(statement, id=command["id"]))

    def deliveries(self, name: str, type_: str) -> list[Row]:
        """Return what is to be told, or was told, of one event."""
        return self.rows(
            "SELECT d.* FROM delivery d JOIN event e ON e.id = d.event_id"
            " WHERE e.invoice_id = :id AND e.type = :type",
            id=self.invoice(name)["id"],
            type=type_,
        )

    def effects(self, name: str) -> Counter[str]:
        """Return what really happened to it at Vipps."""
        return Counter(e["effect"] for e in self.stack.phone.effects(name))

    def letters(self, name: str, type_: str) -> list[Received]:
        """Return what the shop got of one event, as often as it came."""
        mine = [r for r in list(self.shop.app.received) if name.encode() in r.body]
        return [r for r in mine if r.event["type"] == type_]

    def is_unacknowledged(self, name: str, effect: str) -> bool:
        """Tell whether Vipps has had no 200 for it yet."""
        return effect in {e["effect"] for e in self.stack.unheard(name)}

    # What becomes of it

    def agrees(self) -> None:
        """Return once books, ledger and mail tell one story, with nothing lost or doubled."""

        def look() -> bool:
            wrong = judge(self.stack, self.notes, self.shop)
            assert not wrong, wrong[:10]
            return True

        eventually(look, what="one story")

    def close(self) -> None:
        """Let go of what asked."""
        self.asking.shutdown()

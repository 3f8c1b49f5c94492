"""How much CPU time a payment costs the sandbox: made, approved, and told of twice.

    python -m tests.benchmarks.sandbox_rate [PAYMENTS [ROUNDS]]

Three processes: the sandbox as `betalbar sandbox` serves it, an address that takes its webhooks,
and this one, which creates and approves. The figure is payments in a second of the sandbox's own
CPU time, user and system: what one core gives. On the clock of the wall it is less wherever the
three share cores with each other and with strangers, so the wall is shown beside it, and what each
of the three used of a core meanwhile. Who used less than the sandbox did not hold it up. A busy
neighbour also makes CPU time dearer, never cheaper, so the best round says most about the sandbox
and the median about the machine. Nothing here fails.
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
import uvicorn

from service.sandbox import SandboxProtocol, SandboxSettings, create_app, spare_the_collector
from service.sandbox.registrations import EVENT_TYPES
from tests.flows.processes import eventually
from tests.sandbox.harness import MSN, a_payment, free_port, is_up

# A thousand a second on one core of a small machine, with a quarter to spare.
GOAL_PER_S = 1_250
CONNECTIONS = 32
# On a machine where others are at work, too.
_UP_S = 120
# Within a payment the order holds in any case; across payments it holds with one at a time.
WIDTHS = (1, 32)
_KEYS = {
    "client_id": "a-client",
    "client_secret": "a-secret",
    "Ocp-Apim-Subscription-Key": "a-key",
    "Merchant-Serial-Number": MSN,
}


class Ports(NamedTuple):
    """Where the two listen."""

    sandbox: int
    address: int


class Address(asyncio.Protocol):
    """An address for webhooks that answers 200 and counts; it parses no more than it must."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while (end := _end_of_message(self._buffer)) is not None:
            path, self._buffer = self._buffer[:64].split(b" ")[1], self._buffer[end:]
            Address.count += path.startswith(b"/webhooks")
            body = b"%d" % Address.count
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )


class Caller:
    """One connection to the sandbox that waits for each answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "Caller":
        """Return a caller that is connected."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """Post; return as `send`."""
        return await self.send("POST", path, headers, body=body)

    async def send(self, method: str, path: str, headers: dict[str, str], *, body: bytes) -> bytes:
        """Return the body of the answer; anything but success ends the measurement."""
        status, found = await self.ask(method, path, headers, body=body)
        if status // 100 != 2:
            raise SystemExit(f"{path}: {status} {found.decode()}")
        return found

    async def ask(
        self, method: str, path: str, headers: dict[str, str], *, body: bytes
    ) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        found = await self._reader.readexactly(_length(answer))
        return int(answer.split(b" ", 2)[1]), found


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _end_of_message(buffer: bytes) -> int | None:
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    end = head + 4 + _length(buffer[: head + 2])
    return end if end <= len(buffer) else None


def serve_sandbox(port: int, file: Path | None, width: int) -> None:
    """Serve a sandbox as `betalbar sandbox` does."""
    settings = SandboxSettings(database_path=file, deliveries_per_registration_max=width)
    app = create_app(settings)
    spare_the_collector()
    uvicorn.run(
        app,
        port=port,
        loop="uvloop",
        http=SandboxProtocol,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
    )


def serve_address(port: int) -> None:
    """Take webhooks until killed."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Address, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(forever())


@contextmanager
def process(target: object, port: int, *args: object) -> Iterator[psutil.Process]:
    """Run the target in a process of its own until the block ends."""
    assert callable(target)
    child = multiprocessing.get_context("spawn").Process(target=target, args=(port, *args))
    child.start()
    eventually(lambda: is_up(port), within_s=_UP_S, what="a process that serves")
    try:
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.join()


class Costs(NamedTuple):
    """What one round cost: seconds on the wall, and of CPU for each of the three."""

    wall_s: float
    sandbox_s: float
    caller_s: float
    address_s: float


class Bench:
    """One sandbox with its address, and this process calling it."""

    def __init__(self, sandbox: psutil.Process, address: psutil.Process, ports: Ports) -> None:
        self._sandbox, self._address, self._ports = sandbox, address, ports
        self._headers: dict[str, str] = {}
        self._made = 0

    async def round(self, payments: int) -> Costs:
        """Make and approve that many, and wait until the address has heard of all."""
        if not self._headers:
            await self._sign_in()
        numbers = range(self._made, self._made + payments)
        references = iter([f"invoice-{number:07}" for number in numbers])
        self._made += payments
        started = self._now()
        await asyncio.gather(*(self._pay(references) for _ in range(CONNECTIONS)))
        await self._told(2 * self._made)
        return Costs(*(after - before for before, after in zip(started, self._now(), strict=True)))

    def _now(self) -> Costs:
        caller = psutil.Process()
        return Costs(time.perf_counter(), *map(_cpu_s, (self._sandbox, caller, self._address)))

    async def _sign_in(self) -> None:
        first = await Caller.to(self._ports.sandbox)
        token = json.loads(await first.post("/accesstoken/get", _KEYS, b""))["access_token"]
        self._headers = _KEYS | {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self._ports.address}/webhooks"
        registration = json.dumps({"url": url, "events": list(EVENT_TYPES)}).encode()
        await first.post("/webhooks/v1/webhooks", self._headers, registration)

    async def _pay(self, references: Iterator[str]) -> None:
        caller = await Caller.to(self._ports.sandbox)
        for reference in references:
            body = json.dumps(a_payment(reference)).encode()
            keyed = self._headers | {"Idempotency-Key": reference}
            await caller.post("/epayment/v1/payments", keyed, body)
            await caller.post(f"/sandbox/payments/{reference}/approve", {}, b"{}")

    async def _told(self, count: int) -> None:
        caller = await Caller.to(self._ports.address)
        # Another process can only be asked.
        while int(await caller.post("/count", {}, b"")) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _cpu_s(of: psutil.Process) -> float:
    times = of.cpu_times()
    return float(times.user + times.system)


async def measured(bench: Bench, payments: int, *, rounds: int) -> list[Costs]:
    """Return what each round cost, after one that warms up."""
    await bench.round(payments // 4)
    return [await bench.round(payments) for _ in range(rounds)]


def report(costs: list[Costs], payments: int) -> str:
    """Say it in one line; rates are payments a second."""
    per_cpu = [payments / cost.sandbox_s for cost in costs]
    walls = [payments / cost.wall_s for cost in costs]
    shares = [
        f"{name} {median(part / cost.wall_s for part, cost in zip(parts, costs, strict=True)):.0%}"
        for name, parts in (
            ("sandbox", [cost.sandbox_s for cost in costs]),
            ("caller", [cost.caller_s for cost in costs]),
            ("address", [cost.address_s for cost in costs]),
        )
    ]
    return (
        f"per CPU second best {max(per_cpu):5.0f}  median {median(per_cpu):5.0f}"
        f"  worst {min(per_cpu):5.0f}   wall {median(walls):5.0f}   of a core: {', '.join(shares)}"
    )


def main(payments: int = 4_000, rounds: int = 5) -> None:
    """Measure each way to keep and to send, and print it beside the goal."""
    print(
        f"{rounds} rounds of {payments} payments over {CONNECTIONS} connections;"
        f" goal {GOAL_PER_S} per CPU second"
    )
    with tempfile.TemporaryDirectory() as folder:
        for place, width in [(p, w) for p in ("memory", "file") for w in WIDTHS]:
            file = Path(folder) / f"{width}.db" if place == "file" else None
            ports = Ports(free_port(), free_port())
            with (
                process(serve_address, ports.address) as address,
                process(serve_sandbox, ports.sandbox, file, width) as sandbox,
            ):
                bench = Bench(sandbox, address, ports)
                costs = asyncio.run(measured(bench, payments, rounds=rounds))
                memory_mb = sandbox.memory_info().rss / 2**20
            line = f"in {place:6} {width:2} at a time: {report(costs, payments)}"
            print(f"{line}   memory {memory_mb:.0f} MB", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

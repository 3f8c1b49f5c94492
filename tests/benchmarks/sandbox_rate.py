"""How many payments the sandbox makes, approves and tells of in a second.

    python -m tests.benchmarks.sandbox_rate [PAYMENTS]

Three processes: the sandbox, an address that takes its webhooks, and this one, which creates
and approves. Machines differ and share their cores, so the rate is also given for one second
of the sandbox's own CPU time: what it would reach with a core to itself. Nothing here fails.
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import uvicorn

from service.sandbox import SandboxProtocol, create_app, spare_the_collector
from service.sandbox.registrations import EVENT_TYPES
from tests.sandbox.harness import CALM, MSN, a_payment, free_port, is_up, until

GOAL_PER_S = 1000
CONNECTIONS = 32
# Within a payment the order holds in any case; across payments it holds with one at a time.
WIDTHS = (1, 32)
_KEYS = {
    "client_id": "a-client",
    "client_secret": "a-secret",
    "Ocp-Apim-Subscription-Key": "a-key",
    "Merchant-Serial-Number": MSN,
}


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
        """Return the body of the answer; anything but success ends the measurement."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        found = await self._reader.readexactly(_length(answer))
        if not answer.startswith(b"HTTP/1.1 20"):
            raise SystemExit(f"{path}: {answer.decode()}{found.decode()}")
        return found


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
    """Serve a sandbox as `betalbar sandbox` does, but for the rate limits."""
    settings = replace(CALM, database_path=file, deliveries_per_registration_max=width)
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
    until(lambda: is_up(port))
    try:
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.join()


async def measure(payments: int, sandbox: psutil.Process, ports: tuple[int, int]) -> str:
    """Return a line that says how fast it went."""
    port, address = ports
    first = await Caller.to(port)
    token = json.loads(await first.post("/accesstoken/get", _KEYS, b""))["access_token"]
    headers = _KEYS | {"Authorization": f"Bearer {token}"}
    registration = {"url": f"http://127.0.0.1:{address}/webhooks", "events": list(EVENT_TYPES)}
    await first.post("/webhooks/v1/webhooks", headers, json.dumps(registration).encode())
    references = iter(f"invoice-{number:07}" for number in range(payments))

    async def pay() -> None:
        caller = await Caller.to(port)
        for reference in references:
            body = json.dumps(a_payment(reference)).encode()
            keyed = headers | {"Idempotency-Key": reference}
            await caller.post("/epayment/v1/payments", keyed, body)
            await caller.post(f"/sandbox/payments/{reference}/approve", {}, b"{}")

    started, used = time.perf_counter(), _cpu_s(sandbox)
    await asyncio.gather(*(pay() for _ in range(CONNECTIONS)))
    called_s = time.perf_counter() - started
    await _told(address, 2 * payments)
    told_s, cpu_s = time.perf_counter() - started, _cpu_s(sandbox) - used
    memory_mb = sandbox.memory_info().rss / 2**20
    return (
        f"calls {payments / called_s:6.0f}/s   with webhooks {payments / told_s:6.0f}/s   "
        f"per CPU second {payments / cpu_s:6.0f}   memory {memory_mb:4.0f} MB"
    )


async def _told(address: int, count: int) -> None:
    caller = await Caller.to(address)
    # Another process can only be asked.
    while int(await caller.post("/count", {}, b"")) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def _cpu_s(of: psutil.Process) -> float:
    times = of.cpu_times()
    return float(times.user + times.system)


def main(payments: int = 10_000) -> None:
    """Measure each way to keep and to send, and print it beside the goal."""
    print(f"{payments} payments, {CONNECTIONS} connections; goal {GOAL_PER_S}/s on one core")
    with tempfile.TemporaryDirectory() as folder:
        for place, width in [(p, w) for p in ("memory", "file") for w in WIDTHS]:
            file = Path(folder) / f"{width}.db" if place == "file" else None
            ports = (free_port(), free_port())
            with (
                process(serve_address, ports[1]),
                process(serve_sandbox, ports[0], file, width) as sandbox,
            ):
                line = asyncio.run(measure(payments, sandbox, ports))
            print(f"in {place:6}  {width:2} at a time:  {line}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

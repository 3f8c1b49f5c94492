"""A real `nats-server` for tests: started, killed, and asked what its streams hold."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import nats
import orjson
from nats.js import JetStreamContext

from tests.flows.processes import eventually, free_port

T = TypeVar("T")

BINARY = str(Path(sys.executable).with_name("nats-server"))


@dataclass
class NatsServer:
    """One server on the loopback, which keeps its port and its files over a kill."""

    folder: Path
    options: Sequence[str] = ("-js",)
    config: str = ""
    user: str = ""  # "name:password@" where it asks for one
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Return the address to set as BETALBAR_BROKER_URL."""
        return f"nats://{self.user}127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; return once it is ready."""
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "nats.conf"
        config.write_text(self.config)
        log = self.folder / "nats.log"
        log.write_text("")
        address = ["-a", "127.0.0.1", "-p", str(self.port), "-sd", str(self.folder / "store")]
        command = [BINARY, "-c", str(config), *address, "-l", str(log), *self.options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        eventually(lambda: "Server is ready" in log.read_text(), what="nats-server")

    def kill(self) -> None:
        """Let it end at this very instant (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end in peace."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    async def ask(self, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """Ask JetStream something, over a connection of the question's own."""
        client = await nats.connect(self.url, allow_reconnect=False)
        try:
            return await question(client.jetstream())
        finally:
            await client.close()

    async def messages(self, stream: str = "BETALBAR") -> list[Any]:
        """Return every message of a stream, in its order; none where there is no stream."""

        async def read(js: JetStreamContext) -> list[Any]:
            try:
                state = (await js.stream_info(stream)).state
            except nats.js.errors.NotFoundError:
                return []
            numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
            return [await js.get_msg(stream, number) for number in numbers]

        return await self.ask(read)

    async def events(self, stream: str = "BETALBAR") -> list[dict[str, Any]]:
        """Return every CloudEvent of a stream, in its order."""
        return [orjson.loads(message.data) for message in await self.messages(stream)]

    def ids(self) -> list[str]:
        """Return the ids of a stream's events, for tests that are not async."""
        return [event["id"] for event in asyncio.run(self.events())]

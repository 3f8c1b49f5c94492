"""What hundreds of tests need for a moment, without the tenths of a second it usually takes."""

import asyncio
import socket
import ssl
from contextlib import suppress

import uvicorn

# One for all clients: making it reads every certificate of the machine.
TLS = ssl.create_default_context()

_LOOK_S = 0.01


class PromptServer(uvicorn.Server):
    """Serves as uvicorn does, and ends in the same steps without its pauses."""

    async def main_loop(self) -> None:
        """Return soon after `should_exit` is set."""
        while not await self.on_tick(0):  # noqa: ASYNC110 - a bare attribute tells it
            await asyncio.sleep(_LOOK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse connections, let open requests end as long as they may, then the app."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
        for task in self.server_state.tasks:
            task.cancel(msg="the time to end in good order is over")
        await self.lifespan.shutdown()

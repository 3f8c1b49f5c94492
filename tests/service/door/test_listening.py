"""Who comes is let in, however many come at once: nobody waits outside of the door."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn

from service.cli.serving import front_door
from service.door.listening import Listening, Loop
from service.settings import load_settings
from tests.fake_merchant import until
from tests.service.door.wire import House

MANY = 100
# What asks for a turn of its own for each would need a hundred.
TURNS = 10
ROOM = 60
HELD = b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Guest(asyncio.Protocol):
    """A connection that is counted."""

    def __init__(self, inside: list["Guest"]) -> None:
        """Take the list of those who are in."""
        self._inside = inside

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it is in."""
        self._inside.append(self)
        transport.close()


class FullOnce(socket.socket):
    """A listening socket of a process that has no file left, once."""

    is_full = True

    def accept(self) -> tuple[socket.socket, Any]:
        """Refuse the first time."""
        if self.is_full:
            self.is_full = False
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


@contextmanager
def hands(count: int, at: socket.socket, text: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connect so often and say something, before anybody is let in."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(socket.create_connection(at.getsockname())) for _ in range(count)
        ]
        for hand in found:
            hand.sendall(text)
        yield found


def run(main: Callable[[], Coroutine[Any, Any, None]], loop: Any = Loop) -> None:
    """Run on the loop that serves."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_all_who_wait_are_let_in_together() -> None:
    """A hundred that have waited are in after some turns of the loop, and not after a hundred."""
    inside: list[Guest] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Guest(inside), sock=listening, ssl=None, backlog=MANY
        )
        for _ in range(TURNS):
            await asyncio.sleep(0)
        server.close()

    with socket.create_server(("127.0.0.1", 0), backlog=MANY) as listening, hands(MANY, listening):
        run(main)

    assert len(inside) == MANY


def test_each_of_many_at_once_is_answered_or_shed() -> None:
    """Who finds no room is told so while those who found some are still being served."""
    app = House()
    settings = load_settings(
        {
            "BETALBAR_CONNECTIONS_MAX": str(ROOM),
            "BETALBAR_CONNECTIONS_PER_ADDRESS_MAX": str(MANY),
        }
    )
    config = front_door(app, settings)
    statuses = Counter[bytes]()

    async def main() -> None:
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        loop = asyncio.get_running_loop()
        for hand in found:
            hand.setblocking(False)
        answers = [asyncio.create_task(loop.sock_recv(hand, 1000)) for hand in found]
        await until(lambda: any(answer.done() for answer in answers))
        app.release.set()
        statuses.update([(await answer)[9:12] for answer in answers])
        server.should_exit = True
        await serving

    listening = socket.create_server(("127.0.0.1", 0), backlog=MANY)
    with listening, hands(MANY, listening, HELD) as found:
        run(main, config.get_loop_factory())

    assert set(statuses) == {b"200", b"503"}
    assert statuses.total() == MANY


def test_who_comes_while_no_file_is_left_is_let_in_later() -> None:
    """A process that is out of files goes on once some are free, and does not spin meanwhile."""
    inside: list[Guest] = []

    async def main() -> None:
        server = Listening(asyncio.get_running_loop(), listening, lambda: Guest(inside))
        await until(lambda: bool(inside))
        server.close()

    with FullOnce() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        with hands(1, listening):
            run(main)

    assert not listening.is_full
    assert len(inside) == 1


def test_nobody_is_let_in_once_it_is_closed() -> None:
    """A process that stops leaves those who come to the others."""
    inside: list[Guest] = []

    async def main() -> None:
        server = Listening(asyncio.get_running_loop(), listening, lambda: Guest(inside))
        server.close()
        await server.wait_closed()
        for _ in range(TURNS):
            await asyncio.sleep(0)

    with socket.create_server(("127.0.0.1", 0)) as listening, hands(1, listening):
        run(main)
        accepted, _ = listening.accept()
        accepted.close()

    assert not inside

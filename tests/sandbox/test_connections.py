"""What addresses of webhooks may answer, down to the bytes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.sandbox.connections import Connections, Server

REQUEST = b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Story = Callable[[Connections, Server], Awaitable[list[int]]]


def told(answers: list[bytes], *, hang_up: bool, story: Story) -> tuple[list[int], int]:
    """Play the story at a server with one answer for each request; count its connections too."""
    left, count = iter(answers), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            while await reader.readuntil(b"{}"):
                writer.write(next(left))
                await writer.drain()
                if hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def play() -> list[int]:
        connections = Connections()
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            try:
                return await story(connections, Server("127.0.0.1", port, is_secure=False))
            finally:
                connections.close()

    return asyncio.run(play()), count


async def once(connections: Connections, server: Server) -> list[int]:
    """Send one request."""
    return [await connections.exchange(server, REQUEST, timeout_s=0.5)]


async def twice(connections: Connections, server: Server) -> list[int]:
    """Send two requests, one after the other."""
    return await once(connections, server) + await once(connections, server)


@pytest.mark.parametrize(
    ("answer", "status", "hang_up"),
    [
        (OK, 200, False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, False),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 99_999, 200, False),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 302, False),
    ],
)
def test_answer_in_any_form_has_a_status(answer: bytes, status: int, hang_up: bool) -> None:
    """With a length, in chunks, without either, endless, or after an interim one."""
    assert told([answer], hang_up=hang_up, story=once) == ([status], 1)


@pytest.mark.parametrize(
    ("answer", "hang_up"),
    [
        (b"", True),
        (b"", False),
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", True),
        (b"SSH-2.0-OpenSSH_9.6\r\n", False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", False),
    ],
)
def test_answer_that_is_none_is_an_error(answer: bytes, hang_up: bool) -> None:
    """Hung up on, never answered, half answered, or not HTTP."""
    with pytest.raises(ConnectionError):
        told([answer], hang_up=hang_up, story=once)


def test_connection_is_used_again() -> None:
    """Thousands of webhooks do not need thousands of connections."""
    assert told([OK, OK], hang_up=False, story=twice) == ([200, 200], 1)


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
)
def test_connection_that_is_spent_is_left(first: bytes) -> None:
    """The other side said so, or said more than was asked: the next answer would be wrong."""
    not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    assert told([first, not_found], hang_up=False, story=twice) == ([200, 404], 2)

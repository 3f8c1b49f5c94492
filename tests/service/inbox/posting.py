"""Posting webhooks to the receiver, as Vipps would and as others might."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import orjson
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message, Scope

from service.context import Context
from service.ids import new_id
from service.inbox.receiver import Receiver
from service.store.tables import Registration
from tests.builders import BASE_URL, MSN, NOW, SECRET, Desk, a_vipps_event, signed_headers

PATH = f"/webhooks/vipps/{MSN}"
BODY = orjson.dumps(a_vipps_event())


def register(
    context: Context,
    secret: str = SECRET,
    *,
    msn: str = MSN,
    base: str = BASE_URL,
    is_retired: bool = False,
) -> str:
    """Store a registration of our address; return its id."""
    registration_id = new_id("reg")
    place = f"registration:{registration_id}:secret"
    with context.database.transaction() as session:
        session.add(
            Registration(
                id=registration_id,
                msn=msn,
                url=f"{base}/webhooks/vipps/{msn}",
                vipps_id=new_id("vipps"),
                secret=context.vault.seal(secret.encode(), place=place),
                made_by="register",
                created_at=NOW,
                retired_at=NOW - timedelta(days=1) if is_retired else None,
            )
        )
    return registration_id


@asynccontextmanager
async def posting(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client whose network is the receiver, in its place in an application."""
    receiver = Receiver(context)
    app = Starlette(routes=[Route("/webhooks/vipps/{msn}", receiver)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://any.host") as client:
        yield client
    await receiver.drain()


async def post(
    client: httpx.AsyncClient, body: bytes = BODY, *, path: str = PATH, **how: Any
) -> httpx.Response:
    """Post a signed body."""
    return await client.post(path, content=body, headers=signed_headers(body, **how))


async def post_raw(
    desk: Desk, headers: Iterable[tuple[bytes, bytes]], *messages: Message, method: str = "POST"
) -> int:
    """Speak ASGI to the receiver; return the status that it answers, 0 for none."""
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": f"/webhooks/vipps/{MSN}",
        "headers": list(headers),
        "path_params": {"msn": MSN},
    }
    left = list(messages)
    sent: list[Message] = []

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await Receiver(desk.context)(scope, receive, send)
    return int(sent[0]["status"]) if sent else 0


def raw_headers(body: bytes, **how: Any) -> list[tuple[bytes, bytes]]:
    """Return a signature's headers as ASGI gives them."""
    return [(n.lower().encode(), v.encode()) for n, v in signed_headers(body, **how).items()]

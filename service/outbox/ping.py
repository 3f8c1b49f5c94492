"""`test.ping`: the event that is in no feed and asks a receiver whether it is there.

A new subscription's first delivery is its ping, written with the subscription itself: it
survives a crash, is repeated by the same schedule, and its 2xx verifies the receiver.
"""

from datetime import datetime

import anyio.to_thread
import orjson

from service.context import Context
from service.ids import new_id
from service.outbox import health, subscriptions
from service.outbox.egress import Egress, Reply
from service.outbox.signing import Letter, post_signed
from service.store.instants import rfc3339_of
from service.store.tables import Subscription


def ping_payload(event_id: str, *, at: datetime) -> bytes:
    """Return the bytes of a ping: the same for the same id and instant, so never stored."""
    return orjson.dumps(
        {
            "id": event_id,
            "type": "test.ping",
            "timestamp": rfc3339_of(at),
            "sequence": 0,
            "data": {},
        }
    )


async def send_test(
    context: Context, egress: Egress, *, msn: str, subscription_id: str
) -> tuple[str, Reply]:
    """Send a ping now; return its event's id and what the receiver said.

    A 2xx makes the subscription healthy, unless it is disabled; no other answer changes it.
    Raises: NotFound."""
    subscription = await anyio.to_thread.run_sync(_load, context, msn, subscription_id)
    event_id, now = new_id("evt"), context.clock.now()
    letter = Letter(
        subscription_id=subscription.id,
        sealed_url=subscription.url,
        sealed_secrets=subscription.secrets,
        event_id=event_id,
        body=ping_payload(event_id, at=now),
    )
    reply = await post_signed(egress, context.vault, letter, at=now)
    if reply.is_accepted:
        await anyio.to_thread.run_sync(_verify, context, subscription.id)
        context.wake.deliveries.set()
    return event_id, reply


def _load(context: Context, msn: str, subscription_id: str) -> Subscription:
    with context.database.snapshot() as session:
        return subscriptions.get(session, msn=msn, subscription_id=subscription_id)


def _verify(context: Context, subscription_id: str) -> None:
    with context.database.transaction() as session:
        now = context.clock.now()
        health.accept(session, context.vault, subscription_id, now=now)

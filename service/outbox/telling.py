"""Telling merchants of what is no invoice's: an event of its own in the sales unit's feed."""

from datetime import datetime

import orjson
import sqlalchemy as sa
from sqlmodel import Session

from service.events.shapes import SubscriptionShape, SubscriptionTold
from service.ids import new_id
from service.outbox.rows import EVENT, FEED
from service.store.instants import rfc3339_of
from service.vault import Vault


def tell_of_subscription(
    session: Session,
    vault: Vault,
    *,
    msn: str,
    type_: str,
    subscription: SubscriptionShape,
    now: datetime,
) -> None:
    """Append an event about a subscription to the feed; it goes to all others that ask for it.

    Locks the feed until the commit, so call it late in a transaction."""
    event_id = new_id("evt")
    data: SubscriptionTold = {"subscription": subscription}
    payload = {
        "id": event_id,
        "type": type_,
        "timestamp": rfc3339_of(now),
        "sequence": 0,  # it is no step of an invoice
        "data": data,
    }
    position = session.execute(
        sa.update(FEED)
        .where(FEED.c.msn == msn)
        .values(position=FEED.c.position + 1)
        .returning(FEED.c.position)
    ).scalar_one()
    session.execute(
        sa.insert(EVENT).values(
            id=event_id,
            msn=msn,
            position=position,
            type=type_,
            is_transition=False,
            recorded_at=now,
            payload=vault.seal(orjson.dumps(payload), place=f"event:{event_id}:payload"),
            subscription_id=subscription["id"],
        )
    )

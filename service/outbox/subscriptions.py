"""A merchant's subscriptions: made, read and ended, within one sales unit."""

import os
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from service.errors import Conflict, FieldError, InvalidInput, NotFound
from service.ids import new_id
from service.outbox import readiness
from service.outbox.event_types import is_filter
from service.outbox.rows import FANOUT, FEED, PING_LINE
from service.outbox.signing import seal_secret, url_place
from service.shapes.subscriptions import SubscriptionResource
from service.store.instants import rfc3339_of
from service.store.tables import Delivery, Subscription
from service.vault import Vault
from webhooks import ForbiddenTarget, standard
from webhooks.addresses import Network
from webhooks.targets import check_url

# Every event of a sales unit goes to each of them: a cap on what one event sets off (T29).
SUBSCRIPTIONS_MAX = 25
# As many as there are types, with room; a filter is walked for every event.
_EVENT_TYPES_MAX = 50
_DESCRIPTION_CHARACTERS_MAX = 256
# 256 bits; Standard Webhooks asks for 192 at least.
SECRET_BYTES = 32


def create(
    session: Session,
    vault: Vault,
    *,
    msn: str,
    url: str,
    event_types: Sequence[str],
    description: str | None,
    allow: Sequence[Network],
    now: datetime,
    is_in_order: bool = True,
) -> tuple[Subscription, str]:
    """Store a subscription with its first delivery, a ping; return it and its secret.

    It gets every matching event that is appended to the feed from now on. The secret is not
    to be had again. Raises: InvalidInput, Conflict."""
    check(url, event_types, description, allow)
    from_position = _lock_feed(session, msn)
    _require_room(session, msn)
    secret = standard.new_secret(os.urandom(SECRET_BYTES))
    key = new_id("sub")
    subscription = Subscription(
        id=key,
        msn=msn,
        url=vault.seal(url.encode(), place=url_place(key)),
        event_types=list(dict.fromkeys(event_types)),
        description=description,
        is_in_order=is_in_order,
        secrets=seal_secret(vault, key, secret),
        from_position=from_position,
        created_at=now,
        ready_at=now,
    )
    session.add(subscription)
    session.flush()
    session.add(new_ping(msn=msn, subscription_id=key, position=from_position, now=now))
    session.flush()
    return subscription, secret


def get(session: Session, *, msn: str, subscription_id: str) -> Subscription:
    """Return one living subscription of the sales unit. Raises: NotFound."""
    found = session.exec(_living(msn).where(Subscription.id == subscription_id)).one_or_none()
    if found is None:
        raise NotFound
    return found


def list_page(
    session: Session, *, msn: str, limit: int, after: str | None = None
) -> tuple[list[Subscription], str | None]:
    """Return the living ones, newest first, and what to pass as `after` for the rest."""
    statement = _living(msn).order_by(col(Subscription.id).desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(col(Subscription.id) < after)
    found = list(session.exec(statement))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def delete(session: Session, *, msn: str, subscription_id: str, now: datetime) -> None:
    """End a subscription: what it is still owed is never sent. Raises: NotFound."""
    subscription = get(session, msn=msn, subscription_id=subscription_id)
    subscription.deleted_at = now
    session.flush()
    readiness.announce(session, [subscription_id], now=now)


def render(
    session: Session, vault: Vault, subscriptions: Sequence[Subscription]
) -> list[SubscriptionResource]:
    """Return subscriptions as the API shows them, in the order given.

    `nextAttemptAt` is when its receiver is tried next, null where nothing waits for it."""
    return [
        {
            "id": s.id,
            "url": vault.open(s.url, place=url_place(s.id)).decode(),
            "eventTypes": s.event_types,
            "description": s.description,
            "inOrder": s.is_in_order,
            "status": str(s.status),
            "reason": s.reason,
            "failingSince": rfc3339_of(s.failing_since) if s.failing_since else None,
            "nextAttemptAt": rfc3339_of(s.ready_at) if s.ready_at else None,
            "createdAt": rfc3339_of(s.created_at),
        }
        for s in subscriptions
    ]


def check(
    url: str | None, event_types: Sequence[str], description: str | None, allow: Sequence[Network]
) -> None:
    """Check what a merchant may set; `url` None: it stays. Raises: InvalidInput."""
    errors = []
    try:
        if url is not None:
            check_url(url, allow=allow)
    except ForbiddenTarget as error:
        errors.append(FieldError("url", error.reason))
    if not 1 <= len(event_types) <= _EVENT_TYPES_MAX:
        errors.append(FieldError("eventTypes", f"names 1 to {_EVENT_TYPES_MAX} event types"))
    errors += [
        FieldError(f"eventTypes.{place}", "is not an event type, `invoice.*` or `*`")
        for place, text in enumerate(event_types[:_EVENT_TYPES_MAX])
        if not is_filter(text)
    ]
    # PostgreSQL can't store NUL.
    if description and (len(description) > _DESCRIPTION_CHARACTERS_MAX or "\0" in description):
        reason = f"has at most {_DESCRIPTION_CHARACTERS_MAX} characters, none of them NUL"
        errors.append(FieldError("description", reason))
    if errors:
        raise InvalidInput(*errors)


def _lock_feed(session: Session, msn: str) -> int:
    """Return the feed's head, and keep the fan-out from passing it until the commit.

    Else an event could come after the head that is noted here and yet be fanned out before
    this subscription can be seen. The lock also makes the cap exact."""
    session.execute(sa.select(FANOUT.c.msn).where(FANOUT.c.msn == msn).with_for_update())
    head = session.execute(sa.select(FEED.c.position).where(FEED.c.msn == msn))
    return int(head.scalar_one())


def _require_room(session: Session, msn: str) -> None:
    living = _living(msn).subquery()
    if session.execute(sa.select(sa.func.count()).select_from(living)).scalar_one() >= (
        SUBSCRIPTIONS_MAX
    ):
        raise Conflict("too_many_subscriptions", f"there can be {SUBSCRIPTIONS_MAX} at most")


def new_ping(*, msn: str, subscription_id: str, position: int, now: datetime) -> Delivery:
    """Return a subscription's ping, due now: it goes before all that it is owed."""
    return Delivery(
        id=new_id("dlv"),
        msn=msn,
        subscription_id=subscription_id,
        event_id=new_id("evt"),
        line=PING_LINE,
        position=position,
        next_attempt_at=now,
        created_at=now,
    )


def _living(msn: str) -> SelectOfScalar[Subscription]:
    return select(Subscription).where(
        Subscription.msn == msn, col(Subscription.deleted_at).is_(None)
    )

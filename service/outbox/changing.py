"""Changing a subscription: its address, filter and secret, and switching it off and on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox import health, readiness, subscriptions
from service.outbox.rows import DELIVERY, IS_PENDING, PING_LINE, SUBSCRIPTION
from service.outbox.signing import add_secret, url_place
from service.store.tables import Subscription
from service.vault import Vault
from webhooks import standard
from webhooks.addresses import Network
from webhooks.health import SubscriptionStatus


@dataclass(frozen=True, slots=True)
class Wish:
    """What a merchant wants to be different; `values` by the names that the table has.

    They are `event_types`, `description` and `is_in_order`. `url` None: as it is. `is_on` True lets
    it be sent to again, False stops it, None leaves it."""

    values: Mapping[str, Any]
    url: str | None = None
    is_on: bool | None = None


def change(
    session: Session,
    vault: Vault,
    subscription: Subscription,
    wish: Wish,
    *,
    allow: tuple[Network, ...],
    now: datetime,
) -> None:
    """Do to one subscription what its merchant wishes.

    Another URL has to prove itself as a new subscription has. Raises: InvalidInput, with nothing
    changed."""
    event_types = wish.values.get("event_types", subscription.event_types)
    description = wish.values.get("description", subscription.description)
    subscriptions.check(wish.url, event_types, description, allow)
    key = subscription.id
    row = readiness.lock(session, [key])[key]
    if wish.values:
        statement = sa.update(SUBSCRIPTION).where(SUBSCRIPTION.c.id == key)
        session.execute(statement.values(**wish.values))
    if wish.url is not None and wish.url != vault.open(row.url, place=url_place(key)).decode():
        row = _move(session, vault, row, wish.url, now)
    if wish.is_on is True:
        health.enable(session, vault, row, now=now)
        _ping_if_unverified(session, subscription, now)
    elif wish.is_on is False:
        health.disable(session, vault, row, now=now)
    session.expire(subscription)


def _move(session: Session, vault: Vault, row: sa.Row[Any], url: str, now: datetime) -> sa.Row[Any]:
    """Store another URL, which is asked by a ping of its own whether it is there."""
    sealed = vault.seal(url.encode(), place=url_place(row.id))
    session.execute(sa.update(SUBSCRIPTION).where(SUBSCRIPTION.c.id == row.id).values(url=sealed))
    health.doubt(session, row)
    _add_ping(session, row, now)
    readiness.refresh(session, [row.id], now=now)
    return readiness.lock(session, [row.id])[row.id]


def _ping_if_unverified(session: Session, subscription: Subscription, now: datetime) -> None:
    """See to it that an unverified subscription has a ping on its way."""
    row = readiness.lock(session, [subscription.id])[subscription.id]
    waiting = sa.select(DELIVERY.c.id).where(
        DELIVERY.c.subscription_id == row.id, DELIVERY.c.line == PING_LINE, IS_PENDING
    )
    is_unverified = row.status == SubscriptionStatus.UNVERIFIED
    if is_unverified and session.execute(waiting.limit(1)).first() is None:
        _add_ping(session, row, now)
        readiness.refresh(session, [row.id], now=now)


def _add_ping(session: Session, row: sa.Row[Any], now: datetime) -> None:
    session.add(
        subscriptions.new_ping(
            msn=row.msn, subscription_id=row.id, position=row.from_position, now=now
        )
    )
    session.flush()


def rotate_secret(
    session: Session, vault: Vault, subscription: Subscription, *, overlap_s: int, now: datetime
) -> str:
    """Give a subscription another secret and return it, for the only time.

    The one before signs as well until the overlap is over. Raises: Conflict."""
    key = subscription.id
    row = readiness.lock(session, [key])[key]
    secret = standard.new_secret(os.urandom(subscriptions.SECRET_BYTES))
    sealed = add_secret(vault, key, row.secrets, secret, overlap_s=overlap_s, at=now)
    session.execute(sa.update(SUBSCRIPTION).where(SUBSCRIPTION.c.id == key).values(secrets=sealed))
    session.expire(subscription)
    return secret

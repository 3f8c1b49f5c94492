"""A sales unit with a feed, events on it, and the parts of a running service."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlmodel import Session, col, select

from service.clock import Clock
from service.context import Context
from service.ids import new_id
from service.outbox import subscriptions
from service.outbox.deliveries import Claimed
from service.outbox.egress import Reply
from service.outbox.rows import FEED
from service.outbox.settling import Sent
from service.settings import load_settings
from service.store.db import Database
from service.store.tables import (
    Delivery,
    Event,
    Fanout,
    Feed,
    SalesUnit,
    Subscription,
    SubscriptionStatus,
)
from service.vault import Vault, open_vault
from service.wake import Wake
from tests.service.outbox.wire import LOOPBACK

MSN = "123456"
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
URL = "http://127.0.0.1:9/in"

# Two transactions at once: SQLite has one writer, which orders them by itself.
ONLY_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

ACCEPTED = Reply(status=204, answer=b"", retry_after=None, latency_ms=7, error=None)
BUSY = Reply(status=503, answer=b"busy", retry_after=None, latency_ms=7, error=None)
GONE = Reply(status=410, answer=b"", retry_after=None, latency_ms=7, error=None)


@dataclass(slots=True)
class Shop:
    """One service with one sales unit, and short ways to what a test needs of them."""

    database: Database
    vault: Vault
    now: datetime = NOW
    wake: Wake = field(default_factory=Wake)

    def context(self) -> Context:
        """Return what the composition root would hand out."""
        settings = load_settings({})
        clock = Clock(real=lambda: self.now)
        return Context(settings, self.database, self.vault, clock, self.wake)

    def subscribe(
        self,
        url: str = URL,
        *event_types: str,
        msn: str = MSN,
        status: SubscriptionStatus = SubscriptionStatus.HEALTHY,
    ) -> tuple[str, str]:
        """Make a subscription, by default one that is past its ping; return id and secret."""
        with self.database.transaction() as session:
            made, secret = subscriptions.create(
                session,
                self.vault,
                msn=msn,
                url=url,
                event_types=event_types or ("*",),
                description=None,
                allow=LOOPBACK,
                now=self.now,
            )
            if status != SubscriptionStatus.UNVERIFIED:
                made.status, made.verified_at = status, self.now
                session.execute(sa.delete(Delivery).where(col(Delivery.subscription_id) == made.id))
        return made.id, secret

    def tell(
        self, invoice_id: str | None = "inv_1", type_: str = "invoice.pushed", msn: str = MSN
    ) -> str:
        """Append one event to the feed, as the ledger would; return its id."""
        with self.database.transaction() as session:
            return self.tell_within(session, invoice_id, type_, msn)

    def tell_many(self, *invoice_ids: str) -> list[str]:
        """Append an event for each invoice, in one transaction; return their ids."""
        with self.database.transaction() as session:
            return [self.tell_within(session, each, "invoice.pushed") for each in invoice_ids]

    def tell_within(
        self, session: Session, invoice_id: str | None, type_: str, msn: str = MSN
    ) -> str:
        """Append one event in a transaction that the test holds."""
        position = session.execute(
            sa.update(FEED)
            .where(FEED.c.msn == msn)
            .values(position=FEED.c.position + 1)
            .returning(FEED.c.position)
        ).scalar_one()
        key = new_id("evt")
        payload = orjson.dumps({"id": key, "type": type_, "invoice": invoice_id, "at": position})
        session.add(
            Event(
                id=key,
                msn=msn,
                position=position,
                type=type_,
                invoice_id=invoice_id,
                recorded_at=self.now,
                payload=self.vault.seal(payload, place=f"event:{key}:payload"),
            )
        )
        session.flush()
        return key

    def all(self, model: Any, *conditions: Any) -> Sequence[Any]:
        """Return every row of a table that fits, by id or key."""
        with self.database.snapshot() as session:
            keys = sa.inspect(model).primary_key
            return session.exec(select(model).where(*conditions).order_by(*keys)).all()

    def subscription(self, key: str) -> Subscription:
        """Return a subscription as it is now."""
        found: Subscription = self.all(Subscription, Subscription.id == key)[0]
        return found

    def later(self, **time: float) -> None:
        """Let real time pass."""
        self.now += timedelta(**time)


def a_shop(database: Database, *msns: str) -> Shop:
    """Return a service over this database, with one sales unit for each MSN."""
    with database.transaction() as session:
        vault = open_vault(session, [b"k" * 32], now=NOW)
        for msn in msns or (MSN,):
            session.add(_a_sales_unit(msn))
            session.flush()
            session.add_all([Feed(msn=msn), Fanout(msn=msn)])
    return Shop(database, vault)


def sent(delivery: Claimed, reply: Reply, *, at: datetime) -> Sent:
    """Return what the deliverer hands to `settle`."""
    return Sent(delivery, reply, at)


def _a_sales_unit(msn: str) -> SalesUnit:
    return SalesUnit(
        msn=msn,
        name="Acme",
        organisation_number="999999999",
        contact_url="https://acme.example/contact",
        terms_of_sale_url="https://acme.example/terms",
        privacy_policy_url="https://acme.example/privacy",
        currency="NOK",
        soft_dismiss_after_s=600,
        max_payment_lifetime_s=86_400,
        push_again_after_s=172_800,
        max_pushes=3,
        quiet_hours="",
        created_at=NOW,
    )

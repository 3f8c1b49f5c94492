"""A service that has told, sent and received much, and lets go of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import col

from service.clockwork.cleaning import clean_all
from service.keeping.kinds import archive_of, what_is_kept
from service.outbox import subscriptions
from service.outbox.deliveries import Room, claim
from service.outbox.fanout import fan_out
from service.outbox.settling import settle
from service.store.db import Database
from service.store.tables import Command, Delivery, Event, StoredVippsEvent, Subscription
from tests.builders import AMOUNT, MSN, Desk, VippsPayment, a_desk
from tests.service.outbox.builders import ACCEPTED, sent
from tests.service.outbox.wire import LOOPBACK

KEPT = {
    "DELIVERIES_KEPT_DAYS": "30",
    "BODIES_KEPT_DAYS": "90",
    "EVENTS_KEPT_DAYS": "90",
}


def a_keeping_desk(database: Database, folder: Path, **environment: str) -> Desk:
    """Return a ledger that keeps things for as short as may be, archived in this folder."""
    return a_desk(database, ARCHIVE_FOLDER=str(folder), **{**KEPT, **environment})


def subscribe(desk: Desk) -> str:
    """Make a subscription that is well, and return its id."""
    with desk.context.database.transaction() as session:
        made, _ = subscriptions.create(
            session,
            desk.context.vault,
            msn=MSN,
            url="http://127.0.0.1:9/in",
            event_types=["*"],
            description=None,
            allow=LOOPBACK,
            now=desk.now(),
        )
        made.status, made.verified_at = "healthy", desk.now()
        session.execute(sa.delete(Delivery).where(col(Delivery.subscription_id) == made.id))
    return made.id


def fan_out_all(desk: Desk) -> None:
    """Turn what is new into deliveries."""
    with desk.context.database.transaction() as session:
        fan_out(session, now=desk.now(), limit=10_000)


def deliver(desk: Desk) -> int:
    """Fan out what is new, send all that is owed, and have it taken; return how many."""
    fan_out_all(desk)
    now, database, count = desk.now(), desk.context.database, 0
    while True:
        with database.transaction() as session:
            claimed = claim(session, now=now, lease_s=60, room=Room(1_000, 1_000))
        if not claimed:
            return count
        with database.transaction() as session:
            answers = [sent(each, ACCEPTED, at=now) for each in claimed]
            count += settle(session, desk.context.vault, answers, now=now).count


def retain(desk: Desk) -> dict[str, int]:
    """Do what `betalbar retention` does; return how much of each kind has gone."""
    archive = archive_of(desk.context)
    return {
        kept.name: sum(clean_all(desk.context, archive, kept))
        for kept in what_is_kept(desk.context)
    }


def a_paid_invoice(desk: Desk, reference: str) -> VippsPayment:
    """Let an invoice be sent, approved and captured, confirmed by a read."""
    vipps = a_sent_invoice(desk, reference)
    desk.report(vipps.happens("AUTHORIZED"), vipps.happens("CAPTURED"))
    confirm(desk, vipps)
    return vipps


def a_sent_invoice(desk: Desk, reference: str) -> VippsPayment:
    """Let an invoice be sent into the app."""
    desk.create(reference=reference)
    vipps = VippsPayment(reference=reference, amount_minor=AMOUNT, at=desk.now())
    desk.report(vipps.happens("CREATED"))
    desk.settle_commands()
    return vipps


def confirm(desk: Desk, vipps: VippsPayment) -> None:
    """Let a read agree, and nothing be asked of Vipps any more."""
    desk.read(vipps)
    with desk.context.database.transaction() as session:
        is_of_it = col(Command.payment_id) == desk.payment(vipps.reference).id
        session.execute(sa.update(Command).where(is_of_it).values(status="done"))


def bodies(desk: Desk) -> dict[str, bool]:
    """Return each stored Vipps event as `reference NAME`, and whether its body is there."""
    rows: Sequence[StoredVippsEvent] = desk.all(StoredVippsEvent)
    return {f"{row.reference} {row.name}": bool(row.raw) for row in rows}


def positions(desk: Desk) -> list[int]:
    """Return the positions of the events that are there."""
    return sorted(event.position for event in desk.all(Event))


def archived(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return the lines of one kind."""
    files = sorted(folder.glob("*.jsonl"))
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    return [row for row in map(orjson.loads, lines) if row["kind"] == kind]


def a_subscription(desk: Desk, key: str) -> Subscription:
    """Return a subscription as it is now."""
    found: Subscription = desk.all(Subscription, Subscription.id == key)[0]
    return found

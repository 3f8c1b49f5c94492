"""A stolen database, or backup, shows nobody's number, name, secret, link or address (I11)."""

import base64
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import SQLModel

from service.outbox import subscriptions
from service.store.db import Database
from tests.builders import NOW, PHONE, SECRET, VippsPayment, a_desk
from tests.service.commands.running import accepted, claimed_one, ran, settled
from tests.service.inbox.posting import register

NAME = "Kari Nordmann"
URL = "https://merchant.example/hooks/token-of-the-merchant"
REDIRECT = "https://pay.vipps.no/?token=token-of-the-payment"


def _everything(database: Database, database_url: str) -> bytes:
    """Return every byte that is stored."""
    if database.is_sqlite:
        with database.transaction() as session:
            session.execute(sa.text("SELECT 1"))
        path = Path(sa.make_url(database_url).database or "")
        return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))
    with database.snapshot() as session:
        tables = SQLModel.metadata.sorted_tables
        rows = (row for table in tables for row in session.execute(sa.select(table)))
        return b"\n".join(_plain(value) for row in rows for value in row)


def _plain(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def _spellings(canary: str) -> Iterator[bytes]:
    """Yield how a value could stand there without being sealed."""
    plain = canary.encode()
    yield plain
    yield plain.hex().encode()
    yield base64.b64encode(plain).rstrip(b"=")


def test_database_shows_none_of_what_was_planted(database: Database, database_url: str) -> None:
    """Who steals the disk has nobody's data."""
    desk = a_desk(database)
    vault = desk.context.vault
    register(desk.context)
    with database.transaction() as session:
        _, subscriber_secret = subscriptions.create(
            session,
            vault,
            msn="123456",
            url=URL,
            event_types=["*"],
            description=None,
            allow=(),
            now=NOW,
        )
    desk.create(customer_name=NAME)
    one = claimed_one(desk, "create_payment")
    settled(desk, ran(desk, one, accepted(one, 201), redirect_url=REDIRECT))
    vipps = VippsPayment()
    vipps.happens("CREATED")
    vipps.happens(
        "AUTHORIZED", userDetails={"mobileNumber": PHONE, "firstName": NAME}, sub="sub-of-kari"
    )
    desk.report(*vipps.webhooks())
    desk.read(vipps)
    canaries = {
        "number": PHONE,
        "name": NAME,
        "sub": "sub-of-kari",
        "webhook secret": SECRET,
        "client secret": "a-client-secret",
        "subscription key": "a-subscription-key",
        "page token": vault.page_token(desk.invoice().id),
        "redirect URL": REDIRECT,
        "subscriber URL": URL,
        "subscriber secret": subscriber_secret,
    }

    stored = _everything(database, database_url)

    shown = [n for n, c in canaries.items() if any(s in stored for s in _spellings(c))]
    assert shown == []
    assert b"acme-2026-000123" in stored

"""A stolen database, or backup, shows nobody's number, name, secret, link or address (I11)."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import SQLModel

from service.api.bodies import check
from service.api.creation import creation_hash, new_invoice
from service.api.schemas import InvoiceIn
from service.audit.chain import check_all
from service.audit.evidence import evidence_file
from service.ledger.consent import withdraw_on_page
from service.ledger.customers import erase, lock_customer
from service.ledger.invoices import create_invoice
from service.ledger.people import open_sealed
from service.outbox import subscriptions
from service.store.db import Database
from service.store.tables import StoredVippsEvent
from service.vault import SealBroken
from tests.builders import MSN, NOW, PHONE, REFERENCE, SECRET, THE_MERCHANT, VippsPayment, a_desk
from tests.service.api.shop import INVOICE
from tests.service.commands.running import accepted, claimed_one, ran, settled
from tests.service.inbox.posting import register
from tests.service.ledger.checks import broken_rules
from tests.service.ledger.paying import DETAILS, SUB, a_clicked_desk

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


def test_no_hash_in_the_database_gives_a_number_away_to_whoever_tries_all(
    database: Database, database_url: str
) -> None:
    """T46: each hash over a number is keyed; without the key, trying every number finds nothing."""
    desk = a_desk(database)
    body = check(InvoiceIn, {**INVOICE, "reference": REFERENCE})
    desk.write(lambda book: create_invoice(book, MSN, new_invoice(body), THE_MERCHANT))
    desk.act(lambda book, invoice, _: withdraw_on_page(book, invoice))
    bare = [hashlib.sha256(text.encode()).digest() for text in (PHONE, f"{MSN}:{PHONE}")]

    stored = _everything(database, database_url)

    assert not any(
        spelling in stored
        for h in (*bare, creation_hash(body))
        for spelling in (h, h.hex().encode())
    )


def test_erased_customer_can_not_be_read_with_all_our_keys(database: Database) -> None:
    """What is left of them opens with nothing that we have: dropping their key was enough."""
    desk, vipps = a_clicked_desk(database)
    desk.report(vipps.happens("AUTHORIZED", userDetails=DETAILS, sub=SUB))
    desk.create(reference="acme-2026-000124", customer_name=NAME)
    customer_id = desk.customer().id
    desk.settle_commands()

    desk.write(lambda book: erase(book, lock_customer(book, MSN, customer_id)))

    vault = desk.context.vault
    sealed = [(f"vipps_event:{e.id}:raw", e.raw) for e in desk.all(StoredVippsEvent)]
    sealed += [(f"command:{c.id}:body", c.body) for c in desk.commands("create_payment")]
    readable = []
    for place, raw in sealed:
        with suppress(SealBroken), database.snapshot() as session:
            owners = [customer_id]
            readable.append(open_sealed(session, vault, raw, place=place, customer_ids=owners))
    assert readable and not any(PHONE.encode() in raw or SUB.encode() in raw for raw in readable)
    assert broken_rules(database) == []
    with database.snapshot() as session:
        assert [fault for fault in check_all(session, vault) if fault] == []
        named = evidence_file(session, vault, desk.invoice(), {}, desk.now())
    assert SUB not in str(named) and named["evidence"]["transitions"]

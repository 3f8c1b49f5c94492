"""A sales unit full of marks, and the search for them in what another one is shown (I10, T34)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import httpx
from sqlmodel import SQLModel

from service.ledger.book import write
from service.ledger.record import record
from service.outbox import subscriptions
from service.outbox.deliveries import Room, claim
from service.outbox.egress import Reply
from service.outbox.fanout import fan_out
from service.outbox.settling import Sent, settle
from service.store.db import Database
from tests.builders import VippsPayment, received
from tests.service.api.shop import MSN, Shop
from tests.spellings import spellings

# Both sales units have an invoice of this name: a reference is one sales unit's own.
TWIN = "in-both-2026-01"
_REFERENCES = ("planted-2026-0001", "planted-2026-0002", TWIN)
_PHONES = ("4790000017", "4790000025", "4790000033")
_AMOUNT = 77_017

# Texts that stand in the first sales unit's data and nowhere else.
_TEXTS = (
    *_REFERENCES[:2],
    *_PHONES,
    "planted-name",
    "planted-description",
    "planted-line",
    "planted-metadata",
    "planted-document.example",
    "planted-return.example",
    "planted-subscriber.example",
    "planted-purpose",
    "planted-answer",
    "planted-reason",
    "planted-note",
    "planted-file",
    *(f"psp-{reference}" for reference in _REFERENCES),
    f"Acme {MSN}",
)
# The kinds of rows whose ids the API tells their owner.
SHOWN = ("invoice", "customer", "subscription", "delivery", "event")
# Ids are longer; shorter texts (states, currencies, kinds) are everybody's.
_ID_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Planted:
    """What stands in the first sales unit's data: texts, ids by table, and places in its lists."""

    ids: dict[str, list[str]]
    cursors: Sequence[str]

    @property
    def names(self) -> list[str]:
        """Return by what names somebody could ask for it: a reference, and one id of each kind."""
        return [_REFERENCES[0], *(self.ids[kind][0] for kind in SHOWN)]

    @property
    def marks(self) -> Sequence[str]:
        """Return every text that no other sales unit may see."""
        return (*_TEXTS, *(key for ids in self.ids.values() for key in ids))

    def seen_in(self, answer: httpx.Response, *, given: str = "") -> list[str]:
        """Return the marks in an answer's head or body that the request itself did not hold."""
        shown = repr(answer.headers.raw).encode() + answer.content
        return [
            mark
            for mark in self.marks
            if any(spelling in shown for spelling in _spellings(mark)) and mark not in given
        ]


@cache
def _spellings(mark: str) -> tuple[bytes, ...]:
    return tuple(spellings(mark))


async def plant(shop: Shop) -> Planted:
    """Fill the first sales unit: invoices, customers, documents, subscriptions, deliveries."""
    _subscribe(shop)
    for reference, phone in zip(_REFERENCES, _PHONES, strict=True):
        body = _invoice(reference, phone)
        headers = {"Idempotency-Key": f"planted-key-{reference}"}
        made = await shop.client.post("/v1/invoices", json=body, headers=headers)
        assert made.status_code == 201, made.text
        await _let_be_paid(shop, reference)
    await shop.client.put(
        f"/v1/invoices/{_REFERENCES[0]}/document",
        content=b"%PDF-1.7 planted-file",
        headers={"Content-Type": "application/pdf"},
    )
    given = {"channel": "bank", "note": "planted-note", "refund": True}
    paid = await shop.client.post(f"/v1/invoices/{_REFERENCES[0]}/paid-elsewhere", json=given)
    assert paid.is_success, paid.text
    _deliver(shop)
    return Planted(_ids(shop.database), await _cursors(shop))


def _invoice(reference: str, phone: str) -> dict[str, Any]:
    line = {
        "name": "planted-line",
        "id": "1",
        "totalAmount": _AMOUNT,
        "totalAmountExcludingTax": _AMOUNT,
        "totalTaxAmount": 0,
        "taxRate": 0,
    }
    return {
        "reference": reference,
        "amount": {"currency": "NOK", "value": _AMOUNT},
        "customer": {"phoneNumber": phone, "name": "planted-name"},
        "description": "planted-description",
        "orderLines": [line],
        "metadata": {"planted-metadata": "planted-metadata"},
        "documentUrl": "https://planted-document.example/1.pdf",
        "returnUrl": "https://planted-return.example/",
    }


async def _let_be_paid(shop: Shop, reference: str) -> None:
    """Let the customer approve, and take half of it, for a reason."""
    vipps = VippsPayment(reference, amount_minor=_AMOUNT)
    _report(shop, vipps.happens("CREATED"))
    _report(shop, vipps.happens("AUTHORIZED"))
    body = {"amount": {"currency": "NOK", "value": 40_000}, "reason": "planted-reason"}
    asked = await shop.client.post(f"/v1/invoices/{reference}/capture", json=body)
    assert asked.status_code == 202, asked.text
    _report(shop, vipps.happens("CAPTURED", amount_minor=40_000))


def _report(shop: Shop, body: bytes) -> None:
    shop.settle_commands()
    write(shop.context, partial(record, batch=[received(body)]))


def _subscribe(shop: Shop) -> None:
    with shop.database.transaction() as session:
        for number in range(2):
            subscriptions.create(
                session,
                shop.context.vault,
                msn=MSN,
                url=f"https://planted-subscriber.example/{number}",
                event_types=["*"],
                description="planted-purpose",
                allow=(),
                now=shop.times[-1],
            )


def _deliver(shop: Shop) -> None:
    """Let each delivery that may go out be refused once, with words of the receiver's."""
    now = shop.times[-1]
    with shop.database.transaction() as session:
        fan_out(session, now=now, limit=1_000)
        claimed = claim(session, now=now, lease_s=60, room=Room(500, 500))
        reply = Reply(500, b"planted-answer", None, 7, None)
        sent = [Sent(each, reply, now) for each in claimed]
        settle(session, shop.context.vault, sent, now=now, jitter=lambda: 0.0)


def _ids(database: Database) -> dict[str, list[str]]:
    """Return every id of a row that is the sales unit's, by table; tables to come are in it."""
    found: dict[str, list[str]] = {}
    with database.snapshot() as session:
        for table in SQLModel.metadata.sorted_tables:
            if "msn" in table.c and "id" in table.c:
                mine = table.select().where(table.c.msn == MSN).order_by(table.c.id)
                ids = [row.id for row in session.execute(mine)]
                if ids and len(ids[0]) >= _ID_LENGTH:
                    found[table.name] = ids
    return found


async def _cursors(shop: Shop) -> list[str]:
    """Return a place in each of the sales unit's own lists."""
    lists = ("/v1/invoices", "/v1/customers", "/v1/subscriptions", "/v1/events")
    listed = [await shop.client.get(path, params={"limit": 1}) for path in lists]
    subscription = listed[2].json()["items"][0]["id"]
    for path in (f"/v1/subscriptions/{subscription}/deliveries",
                 f"/v1/invoices/{_REFERENCES[0]}/transitions"):  # fmt: skip
        listed.append(await shop.client.get(path, params={"limit": 1}))
    return [answer.json()["cursor"] for answer in listed]


def rows_of(database: Database, planted: Planted) -> dict[str, list[str]]:
    """Return every row of the database that belongs to the planted sales unit, as a text."""
    ids = {key for of_table in planted.ids.values() for key in of_table}
    with database.snapshot() as session:
        return {
            table.name: sorted(
                repr(row) for row in session.execute(table.select()) if _is_of(row, ids)
            )
            for table in SQLModel.metadata.sorted_tables
        }


def _is_of(row: Any, ids: Collection[str]) -> bool:
    # What belongs to a sales unit by way of another row names that row.
    mapping = row._mapping
    return mapping.get("msn") == MSN or any(
        isinstance(value, str) and value in ids for value in mapping.values()
    )

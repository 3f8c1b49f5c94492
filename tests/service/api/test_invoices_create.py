"""Creating an invoice: what is accepted, what is stored, and what the same request again is."""

from typing import Any

import pytest
from sqlmodel import SQLModel

from service.kinds import CommandKind
from service.store.tables import (
    Command,
    Customer,
    Event,
    Invoice,
    Payment,
    ReferenceClaim,
    Transition,
)
from tests.service.api.shop import INVOICE, ONLY_SQLITE, PHONE, Shop

pytestmark = pytest.mark.anyio

FULL: dict[str, Any] = {
    **INVOICE,
    "kid": "1234566",
    "dueDate": "2026-12-01",
    "payableUntil": "2026-12-15T01:00:00+01:00",
    "flow": "PUSH_MESSAGE",
    "capture": "automatic",
    "push": True,
    "replaces": None,
    "orderLines": [
        {
            "name": "Travel insurance",
            "id": "12345",
            "totalAmount": 200_000,
            "totalAmountExcludingTax": 160_000,
            "totalTaxAmount": 40_000,
            "taxRate": 2500,
        }
    ],
    "documentUrl": "https://erp.example/inv/123.pdf",
    "returnUrl": "https://shop.example/thanks",
    "metadata": {"erp": "4711"},
}


async def test_create_answers_201_with_the_invoice_and_its_place(shop: Shop) -> None:
    """I post an invoice and get it back, with where to read it and its version."""
    answer = await shop.create()

    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == "/v1/invoices/acme-2026-000123"
    read = await shop.client.get(answer.headers["Location"])
    assert read.headers["ETag"] == answer.headers["ETag"]
    assert read.json() == answer.json()


async def test_create_with_every_member_shows_them_again(shop: Shop) -> None:
    """What I send is what I read, in my own names, with times in UTC."""
    answer = (await shop.client.post("/v1/invoices", json=FULL)).json()

    same = [k for k in FULL if k not in ("customer", "payableUntil")]
    assert {name: answer[name] for name in same} == {name: FULL[name] for name in same}
    assert answer["payableUntil"] == "2026-12-15T00:00:00.000Z"
    assert answer["customer"]["phoneNumber"] == PHONE
    assert answer["customer"]["name"] == "Kari Nordmann"
    assert answer["customer"]["id"].startswith("cus_")
    assert (answer["state"], answer["sequence"]) == ("created", 1)
    assert answer["aggregate"]["authorizedAmount"] == {"currency": "NOK", "value": 0}


async def test_create_decides_the_push_in_the_same_commit(shop: Shop) -> None:
    """My invoice, its history, its event and the request to Vipps are stored together."""
    await shop.create()

    assert len(shop.all(Invoice)) == len(shop.all(Transition)) == len(shop.all(Event)) == 1
    assert [c.kind for c in shop.all(Command)][-1] == CommandKind.CREATE_PAYMENT
    assert shop.all(Payment)[0].reference == INVOICE["reference"]


async def test_create_without_push_asks_nobody(shop: Shop) -> None:
    """An invoice that I only want stored goes nowhere yet."""
    answer = await shop.create(push=False)

    assert answer.status_code == 201
    assert shop.all(Command) == []


async def test_create_by_link_needs_no_customer(shop: Shop) -> None:
    """For paper I need a link and nobody's number."""
    answer = await shop.create(customer=None, flow="WEB_REDIRECT")

    assert answer.status_code == 201
    assert answer.json()["customer"] is None
    assert answer.json()["pageUrl"].startswith("http://127.0.0.1:8080/i/")
    assert shop.all(Command) == []


async def test_create_without_reference_or_description_makes_them(shop: Shop) -> None:
    """Only the amount and the customer are needed."""
    answer = await shop.create(reference=None, description=None)

    made = answer.json()
    assert made["description"] == f"Invoice {made['reference']}"
    assert (await shop.client.get(answer.headers["Location"])).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"customer": {"phoneNumber": 4791234567, "name": "Kari Nordmann"}},
        {"customer": {"phoneNumber": "+47 912 34 567", "name": "Kari Nordmann"}},
        {"push": True, "capture": "manual", "flow": "PUSH_MESSAGE"},
    ],
)
async def test_create_same_reference_and_content_is_the_same_invoice(
    shop: Shop, changed: dict[str, Any]
) -> None:
    """When my job runs twice, there is one invoice, however I wrote the number."""
    first = await shop.create()

    again = await shop.create(**changed)

    assert again.status_code == 200
    assert again.json() == first.json()
    assert len(shop.all(Invoice)) == len(shop.all(Command, Command.kind == "create_payment")) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": {"currency": "NOK", "value": 200_001}},
        {"customer": {"phoneNumber": "4791234568", "name": "Kari Nordmann"}},
        {"description": "Invoice 124"},
        {"push": False},
        {"metadata": {"a": "b"}},
    ],
)
async def test_create_same_reference_other_content_gets_409(
    shop: Shop, changed: dict[str, Any]
) -> None:
    """A number that I used for something else is refused, and nothing is overwritten."""
    first = await shop.create()

    other = await shop.create(**changed)

    assert (other.status_code, other.json()["code"]) == (409, "reference_taken")
    assert (await shop.client.get(first.headers["Location"])).json() == first.json()


async def test_create_same_reference_for_another_sales_unit_is_its_own(shop: Shop) -> None:
    """Two merchants number their invoices as they like."""
    await shop.create()

    answer = await shop.other.post("/v1/invoices", json=INVOICE)

    assert answer.status_code == 201
    assert answer.json()["salesUnit"] == "654321"
    assert len(shop.all(ReferenceClaim)) == 2


async def test_create_same_number_inline_twice_is_one_customer(shop: Shop) -> None:
    """A person is one customer, whatever way I write the number."""
    await shop.create()
    await shop.create(reference="acme-2026-000124", customer={"phoneNumber": f"+{PHONE}"})

    assert len(shop.all(Customer)) == 1


async def test_create_for_a_known_customer_names_only_the_id(shop: Shop) -> None:
    """Once a customer is known, I need no number any more."""
    known = (await shop.create()).json()["customer"]

    answer = await shop.create(reference="acme-2026-000124", customer={"id": known["id"]})

    assert answer.status_code == 201
    assert answer.json()["customer"] == known


async def test_create_in_another_currency_than_the_sales_units_names_the_field(
    shop: Shop,
) -> None:
    """Vipps pays a Norwegian sales unit in kroner only."""
    answer = await shop.create(amount={"currency": "EUR", "value": 500})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "amount.currency"


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"payableUntil": "2026-11-22T09:00:00Z"}, "payableUntil"),
        ({"dueDate": "2026-11-01"}, "dueDate"),
        ({"dueDate": "2026-12-24", "payableUntil": "2026-12-01T00:00:00Z"}, "payableUntil"),
    ],
)
async def test_create_that_can_not_be_paid_in_time_names_the_field(
    shop: Shop, changed: dict[str, Any], field: str
) -> None:
    """An invoice that is late before it is sent is a mistake."""
    answer = await shop.create(**changed)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_create_with_all_that_is_allowed_keeps_events_below_20_kb(shop: Shop) -> None:
    """However much I send, the event that tells of it stays small enough to pass on."""
    longest = "https://erp.example/" + "a" * 2028
    quarter = {f"{n:02}": "\\" * 92 for n in range(20)}

    answer = await shop.create(
        description="ø" * 100, documentUrl=longest, returnUrl=longest, metadata=quarter
    )

    assert answer.status_code == 201, answer.text
    payload = shop.all(Event)[0].payload
    assert len(payload) < 12_000  # leaves 8 kB for five payments and a problem


async def test_create_stores_nothing_personal_in_clear(shop: Shop) -> None:
    """A stolen database names nobody."""
    key = {"Idempotency-Key": "once"}
    await shop.client.post("/v1/invoices", json=INVOICE, headers=key)

    dump = b"".join(_dump(shop))

    assert PHONE.encode() not in dump
    assert b"Nordmann" not in dump


def _dump(shop: Shop) -> list[bytes]:
    with shop.database.snapshot() as session:
        tables = SQLModel.metadata.sorted_tables
        return [
            value if isinstance(value, bytes) else str(value).encode()
            for table in tables
            for row in session.execute(table.select())
            for value in row
        ]

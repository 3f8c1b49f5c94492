"""New invoices: their references, their customers, their first payment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from service.errors import Conflict, InvalidInput
from service.ledger.invoices import create_invoice
from service.ledger.payments import claim_reference
from service.store.db import Database
from service.store.tables import Command, Customer, Invoice, Payment, Transition
from tests.builders import (
    MSN,
    NOW,
    ONLY_POSTGRESQL,
    OTHER_MSN,
    PHONE,
    REFERENCE,
    THE_MERCHANT,
    Desk,
    a_desk,
    an_invoice,
)


def _wrong_field(desk: Desk, **changed: Any) -> str:
    with pytest.raises(InvalidInput) as wrong:
        desk.create(**changed)
    assert desk.all(Invoice) == []
    return wrong.value.errors[0].field


def test_create_decides_the_payment_in_the_same_commit(database: Database) -> None:
    """My invoice is on its way the moment it is stored."""
    desk = a_desk(database)

    desk.create()

    kinds = [(c.kind, c.status, c.number) for c in desk.commands()]
    assert kinds == [("attach_category", "waiting", 1), ("create_payment", "waiting", 2)]
    assert (desk.invoice().state, desk.payment().state) == ("created", "requested")
    assert desk.payment().reference == REFERENCE


def test_create_request_is_sealed_with_the_customers_own_key(database: Database) -> None:
    """Only who holds the customer's key can read whom we asked."""
    desk = a_desk(database)
    desk.create()
    customer = desk.all(Customer)[0]
    (command,) = desk.commands("create_payment")

    box = desk.context.vault.customer_box(customer.id, customer.wrapped_key)
    body = orjson.loads(box.open(command.body or b"", place=f"command:{command.id}:body"))

    assert body["customer"] == {"phoneNumber": PHONE}
    assert body["metadata"] == {"betalbar": desk.invoice().id}
    assert body["expiresAt"] == "2026-11-23T09:59:00Z"


@pytest.mark.parametrize("changed", [{"push": False}, {"flow": "WEB_REDIRECT"}])
def test_create_without_a_push_asks_vipps_nothing(
    database: Database, changed: dict[str, Any]
) -> None:
    """An invoice that is kept, or paid by link, makes nothing at Vipps yet."""
    desk = a_desk(database)

    desk.create(**changed)

    assert (desk.all(Command), desk.all(Payment)) == ([], [])
    assert desk.history() == ["create>created by api"]


def test_create_towards_the_test_system_sends_no_link(database: Database) -> None:
    """Order Management exists in production only."""
    desk = a_desk(
        database, VIPPS_URL="https://apitest.vipps.no", PUBLIC_URL="https://pay.example.com"
    )

    desk.create()

    assert [c.kind for c in desk.commands()] == ["create_payment"]


def test_create_again_with_the_same_content_is_the_same_invoice(database: Database) -> None:
    """Sending twice by mistake makes one invoice."""
    desk = a_desk(database)
    first = desk.create()

    again = desk.write(lambda book: create_invoice(book, MSN, an_invoice(), THE_MERCHANT))

    assert (again[0].id, again[1]) == (first.id, False)
    assert len(desk.all(Transition)) == 1


def test_create_again_with_other_content_is_refused(database: Database) -> None:
    """A reference means one invoice for ever."""
    desk = a_desk(database)
    desk.create()

    with pytest.raises(Conflict) as refused:
        desk.create(creation_hash=b"o" * 32)

    assert refused.value.code == "reference_taken"


def test_create_under_a_payments_reference_is_refused(database: Database) -> None:
    """Invoices and payments share one namespace of a sales unit."""
    desk = a_desk(database)
    desk.create()
    with database.transaction() as session:
        assert claim_reference(session, MSN, f"{REFERENCE}-2", desk.invoice().id)

    with pytest.raises(Conflict) as refused:
        desk.create(reference=f"{REFERENCE}-2")

    assert refused.value.code == "reference_taken"


def test_create_in_another_sales_unit_may_use_the_same_reference(database: Database) -> None:
    """Another sales unit's references are its own."""
    desk = a_desk(database, MSN, OTHER_MSN)
    desk.create()

    _, is_new = desk.write(lambda book: create_invoice(book, OTHER_MSN, an_invoice(), THE_MERCHANT))

    assert is_new
    assert len(desk.all(Customer)) == 2


@ONLY_POSTGRESQL
def test_create_by_twenty_at_once_makes_one(database: Database) -> None:
    """Twenty impatient retries are one invoice, with one payment."""
    desk = a_desk(database)

    def create(_: int) -> tuple[str, bool]:
        made = desk.write(lambda book: create_invoice(book, MSN, an_invoice(), THE_MERCHANT))
        return made[0].id, made[1]

    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(create, range(20)))

    assert sum(is_new for _, is_new in made) == 1
    assert len({invoice_id for invoice_id, _ in made}) == 1
    assert (len(desk.all(Customer)), len(desk.all(Payment)), len(desk.all(Invoice))) == (1, 1, 1)


def test_same_number_twice_is_the_same_customer(database: Database) -> None:
    """I need not look up who has this number."""
    desk = a_desk(database)
    first = desk.create(customer_name="Kari")
    second = desk.create(reference="acme-2026-2", customer_name="Kari Nordmann")

    (customer,) = desk.all(Customer)

    box = desk.context.vault.customer_box(customer.id, customer.wrapped_key)
    known = orjson.loads(box.open(customer.personal, place=f"customer:{customer.id}:personal"))
    assert first.customer_id == second.customer_id
    assert known == {"phoneNumber": PHONE, "name": "Kari Nordmann"}
    assert customer.consent == {"grantedAt": "2026-11-22T10:00:00.000Z", "source": "merchant"}


def test_unknown_or_foreign_customer_is_wrong(database: Database) -> None:
    """Another sales unit's customer does not exist for me."""
    desk = a_desk(database, MSN, OTHER_MSN)
    theirs = desk.write(
        lambda book: create_invoice(book, OTHER_MSN, an_invoice(), THE_MERCHANT)[0].customer_id
    )

    for customer_id in ("cus_nobody", theirs):
        with pytest.raises(InvalidInput) as wrong:
            desk.create(customer_id=customer_id, phone_number=None, reference="acme-2026-9")
        assert wrong.value.errors[0].field == "customer.id"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"currency": "DKK"}, "amount.currency"),
        ({"payable_until": NOW}, "payableUntil"),
        ({"due_date": date(2026, 11, 20)}, "dueDate"),
        (
            {"due_date": date(2026, 12, 1), "payable_until": NOW + timedelta(days=2)},
            "payableUntil",
        ),
    ],
)
def test_create_with_what_can_not_be_names_the_field(
    database: Database, changed: dict[str, Any], field: str
) -> None:
    """I am told which field is wrong, and nothing is stored."""
    assert _wrong_field(a_desk(database), **changed) == field


@pytest.mark.parametrize(
    ("changed", "until"),
    [
        ({}, NOW + timedelta(days=14)),
        # Oslo is an hour ahead of UTC in winter.
        ({"due_date": date(2026, 12, 1)}, datetime(2026, 12, 1, 22, 59, 59, tzinfo=UTC)),
        ({"payable_until": NOW + timedelta(hours=3)}, NOW + timedelta(hours=3)),
    ],
)
def test_payable_until_defaults_to_the_end_of_the_due_date(
    database: Database, changed: dict[str, Any], until: datetime
) -> None:
    """Without a word from me, the customer can pay until the due date is over."""
    desk = a_desk(database)

    assert desk.create(**changed).payable_until == until


def test_reference_is_made_where_none_is_given(database: Database) -> None:
    """I may leave naming to the service."""
    desk = a_desk(database)

    made = desk.write(
        lambda book: create_invoice(book, MSN, an_invoice(reference=None), THE_MERCHANT)[0]
    )

    assert made.reference == made.id.replace("_", "-")
    assert desk.payment(made.reference).invoice_id == made.id

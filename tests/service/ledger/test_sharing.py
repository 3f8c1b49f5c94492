"""Who pays by link and shares their number is a customer from then on, and asked for once."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from service.ledger.acts import push
from service.ledger.consent import withdraw, withdraw_on_page
from service.ledger.customers import erase, lock_customer
from service.ledger.people import open_person
from service.ledger.sharing import READABLE_FOR, told_by_userinfo, told_by_vipps, was_refused
from service.store.db import Database
from service.store.tables import Customer, Payment, StoredVippsEvent
from service.vault import SealBroken
from tests.builders import MSN, PHONE, Desk, VippsPayment, a_desk
from tests.service.ledger.paying import (
    DETAILS,
    SUB,
    WORDING,
    a_clicked_desk,
    clicks,
    create_body,
)

NEW = "4798765432"


def _approve(desk: Desk, vipps: VippsPayment, **told: Any) -> None:
    desk.report(vipps.happens("AUTHORIZED", **told))


def test_payer_who_shares_is_the_invoices_customer_with_consent(database: Database) -> None:
    """The approval's own event names the customer already, by id and nothing else."""
    desk, vipps = a_clicked_desk(database)

    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)

    customer = desk.customer()
    assert desk.invoice().customer_id == customer.id
    assert customer.consent == {
        "grantedAt": "2026-11-22T10:00:00.000Z",
        "source": "page",
        "wording": WORDING,
    }
    assert desk.told_types()[-2:] == ["customer.consented", "invoice.authorized"]
    consented, authorized = desk.told()[-2:]
    assert authorized["data"]["invoice"]["customer"] == {"id": customer.id}
    assert consented["data"]["customer"] == {"id": customer.id}
    assert PHONE not in str(desk.told()) and SUB not in str(desk.told())


def test_payer_is_known_by_the_read_where_the_webhook_is_silent(database: Database) -> None:
    """A lost webhook costs nobody the customer."""
    desk, vipps = a_clicked_desk(database)
    vipps.happens("AUTHORIZED")
    vipps.told = {"profile": {"sub": SUB}, "userDetails": DETAILS}

    desk.read(vipps)

    person = open_person(desk.customer(), desk.context.vault)
    assert person is not None and person.phone_number == PHONE
    assert desk.invoice().customer_id == desk.customer().id


def test_later_invoice_to_the_payer_can_be_pushed(database: Database) -> None:
    """Once shared, the number serves the next invoice, by the customer's id."""
    desk, vipps = a_clicked_desk(database)
    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)

    desk.create(reference="acme-2026-000124", phone_number=None, customer_id=desk.customer().id)

    assert desk.payment("acme-2026-000124").user_flow == "PUSH_MESSAGE"


def test_payer_who_returns_with_another_number_is_the_same_customer(database: Database) -> None:
    """Vipps's own name for a person outlives their number, and so does what they have agreed to."""
    desk, vipps = a_clicked_desk(database)
    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)
    before = desk.customer()

    _approve(desk, _pays_again(desk), userDetails={**DETAILS, "mobileNumber": NEW}, sub=SUB)

    (after,) = desk.all(Customer)
    person = open_person(after, desk.context.vault)
    assert after.id == before.id == desk.invoice("acme-2026-000124").customer_id
    assert person is not None and person.phone_number == NEW


def test_payer_who_returns_is_known_before_the_number_is_told(database: Database) -> None:
    """Where Vipps says no more than whom it is, nobody waits a week for the number."""
    desk, vipps = a_clicked_desk(database)
    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)

    _approve(desk, _pays_again(desk), sub=SUB)

    assert desk.invoice("acme-2026-000124").customer_id == desk.customer().id


def test_number_that_is_another_customers_stays_theirs(database: Database) -> None:
    """Customers are never merged: the invoice is the number's, and Vipps's name goes with it."""
    desk, vipps = a_clicked_desk(database)
    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)
    desk.create(reference="acme-2026-000125", phone_number=NEW)
    again = _pays_again(desk)

    _approve(desk, again, userDetails={**DETAILS, "mobileNumber": NEW}, sub=SUB)

    old, new = desk.customer(), desk.customer(NEW)
    assert desk.invoice(again.reference).customer_id == new.id
    assert [old.sub_lookup, new.sub_lookup] == [None, desk.context.vault.sub_lookup(MSN, SUB)]


def test_who_is_erased_is_not_recognised(database: Database) -> None:
    """Neither by number nor by Vipps's name: who comes back is somebody new."""
    desk, vipps = a_clicked_desk(database)
    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)
    erased = desk.customer()
    desk.write(lambda book: erase(book, lock_customer(book, MSN, erased.id)))

    _approve(desk, _pays_again(desk), userDetails={**DETAILS, "mobileNumber": NEW}, sub=SUB)

    assert desk.invoice("acme-2026-000124").customer_id == desk.customer(NEW).id != erased.id


def _pays_again(desk: Desk) -> VippsPayment:
    desk.create(reference="acme-2026-000124", phone_number=None, flow="WEB_REDIRECT")
    return clicks(desk, reference="acme-2026-000124")


def test_payment_asks_for_the_number_only_with_the_customers_yes(database: Database) -> None:
    """`profile.scope` is there when the customer agreed, and not when they pay without sharing."""
    desk, _ = a_clicked_desk(database)

    assert create_body(desk)["profile"] == {"scope": "phoneNumber"}
    desk.report(VippsPayment(at=desk.now()).happens("EXPIRED"))
    clicks(desk, None)
    assert "profile" not in create_body(desk)


def test_payment_of_a_known_customer_does_not_ask_again(database: Database) -> None:
    """Who has agreed before is not asked to share what is known."""
    desk = a_desk(database)
    desk.create(push=False)

    clicks(desk)

    assert desk.payment().sharing is None


def test_refusing_to_share_is_told_from_refusing_to_pay(database: Database) -> None:
    """The page offers to pay without sharing to whoever ended the payment that asked."""
    desk, vipps = a_clicked_desk(database)
    desk.report(vipps.happens("ABORTED"))

    refused = desk.all(Payment)

    assert was_refused(refused)
    assert desk.invoice().customer_id is None


def test_merchants_own_page_asks_until_it_is_refused(database: Database) -> None:
    """`push` by link asks for the number too; after a refusal the next one goes without."""
    desk = a_desk(database)
    desk.create(phone_number=None, flow="WEB_REDIRECT")
    desk.act(push)
    desk.settle_commands()
    vipps = VippsPayment()
    desk.report(vipps.happens("CREATED"), vipps.happens("ABORTED"))

    desk.act(push)

    assert [p.sharing for p in desk.all(Payment)] == ["merchant", None]


def test_merchants_own_page_can_not_undo_a_withdrawal(database: Database) -> None:
    """Sharing the number on a page whose words we don't know is no new consent."""
    desk = a_desk(database)
    desk.create(push=False)
    desk.write(lambda book: withdraw(book, book.session.merge(desk.customer()), book.now))
    desk.create(reference="acme-2026-000124", phone_number=None, flow="WEB_REDIRECT")
    desk.act(push, "acme-2026-000124")
    desk.settle_commands()
    vipps = VippsPayment(reference="acme-2026-000124")
    desk.report(vipps.happens("CREATED"))

    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)

    assert "withdrawnAt" in (desk.customer().consent or {})
    assert desk.invoice("acme-2026-000124").customer_id == desk.customer().id


def test_payer_who_is_not_the_addressee_leaves_the_invoice_to_the_addressee(
    database: Database,
) -> None:
    """A husband who pays his wife's invoice is a customer; the invoice stays hers."""
    desk = a_desk(database)
    desk.create(push=False)
    addressee = desk.customer()
    desk.write(lambda book: withdraw(book, book.session.merge(addressee), book.now))
    desk.later(minutes=1)
    vipps = clicks(desk)

    _approve(desk, vipps, userDetails={**DETAILS, "mobileNumber": "4798765432"}, sub=SUB)

    assert desk.invoice().customer_id == addressee.id
    assert (desk.customer("4798765432").consent or {})["source"] == "page"
    assert "withdrawnAt" in (desk.customer().consent or {})


def test_customer_who_withdrew_consents_anew_by_paying(database: Database) -> None:
    """A withdrawal holds until the customer's own later yes."""
    desk = a_desk(database)
    desk.create(push=False)
    desk.write(lambda book: withdraw(book, book.session.merge(desk.customer()), book.now))
    desk.later(minutes=1)
    vipps = clicks(desk)

    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)

    assert (desk.customer().consent or {})["wording"] == WORDING
    assert "withdrawnAt" not in (desk.customer().consent or {})


def test_withdrawal_after_the_click_is_stronger_than_the_click(database: Database) -> None:
    """Who thinks better of it while Vipps is slow is not asked in the app."""
    desk = a_desk(database)
    desk.create(push=False)
    desk.write(lambda book: withdraw(book, book.session.merge(desk.customer()), book.now))
    desk.later(minutes=1)
    vipps = clicks(desk)
    desk.later(minutes=1)
    desk.act(lambda book, invoice, _: withdraw_on_page(book, invoice))

    _approve(desk, vipps, userDetails=DETAILS, sub=SUB)

    assert "withdrawnAt" in (desk.customer().consent or {})


def test_withdrawal_before_the_number_comes_keeps_it_out(database: Database) -> None:
    """A number that is late is not taken in against the customer's wish."""
    desk, vipps = a_clicked_desk(database)
    _approve(desk, vipps, sub=SUB)

    desk.act(lambda book, invoice, _: withdraw_on_page(book, invoice))
    vipps.told = {"profile": {"sub": SUB}, "userDetails": DETAILS}
    desk.read(vipps)

    assert desk.all(Customer) == []


def test_late_number_is_read_again_ever_less_often_for_a_week(database: Database) -> None:
    """Userinfo is written late and readable for 168 hours; then people are told."""
    desk, vipps = a_clicked_desk(database)
    _approve(desk, vipps, sub=SUB)
    desk.read(vipps)

    def _due_in() -> timedelta:
        (read,) = desk.commands("read_payment")
        return read.next_attempt_at - desk.now()

    assert _due_in() <= timedelta(seconds=2)
    with desk.context.database.transaction() as session:
        session.connection().exec_driver_sql("DELETE FROM command WHERE kind = 'read_payment'")
    desk.later(days=2)
    desk.read(vipps)
    assert _due_in() == timedelta(hours=1)
    desk.later(seconds=READABLE_FOR.total_seconds())
    desk.read(vipps)
    assert desk.told()[-1]["data"]["reason"] == "phone_number_not_told"
    assert desk.payment().shared_at == desk.now()


def test_body_that_names_a_person_is_sealed_with_their_own_key(database: Database) -> None:
    """Dropping the person's key is enough to forget what Vipps told of them."""
    desk, vipps = a_clicked_desk(database)
    first = vipps.happens("AUTHORIZED", sub=SUB)
    named = orjson.dumps({**orjson.loads(first), "userDetails": DETAILS})

    desk.report(first, named, named)

    stored = desk.all(StoredVippsEvent, StoredVippsEvent.name == "AUTHORIZED")
    assert len(stored) == 3
    for event in stored:
        with pytest.raises(SealBroken):
            desk.context.vault.open(event.raw, place=f"vipps_event:{event.id}:raw")


def test_what_vipps_tells_is_read_with_care() -> None:
    """What is no number is no number, and `[Expired]` is nobody's name."""
    told = [
        told_by_vipps(SUB, {"mobileNumber": number}).phone_number
        for number in (PHONE, f"+{PHONE}", "47 91 23 45 67", "", "0791234567", "[Expired]", 4, None)
    ]

    assert told == [PHONE, PHONE, PHONE, None, None, None, None, None]
    assert told_by_vipps(SUB, {"firstName": "Åse", "lastName": ""}).name == "Åse"
    expired = told_by_userinfo(SUB, {"phone_number": "[Expired]", "name": "[Expired]"})
    assert (expired.phone_number, expired.name) == (None, None)
    assert PHONE not in repr(told_by_vipps(SUB, DETAILS))

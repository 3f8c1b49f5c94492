"""Consent: given, withdrawn, and stronger than anything that is about to be sent."""

import pytest

from service.errors import Conflict
from service.ledger.acts import push
from service.ledger.consent import consent_on_page, withdraw_on_page
from service.store.db import Database
from service.store.tables import Withdrawal
from tests.builders import PHONE, REFERENCE, Desk, a_desk, a_pushed_desk


def _withdraw(desk: Desk) -> None:
    desk.act(lambda book, invoice, _: withdraw_on_page(book, invoice))


def test_withdrawal_on_the_page_is_told_and_ends_pushes(database: Database) -> None:
    """One click, and nobody asks in the app any more; a second click changes nothing."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("EXPIRED"))

    _withdraw(desk)
    _withdraw(desk)

    with pytest.raises(Conflict, match="withdrawn"):
        desk.act(push)
    told = [event for event in desk.told() if event["type"].startswith("customer.")]
    assert [event["type"] for event in told] == ["customer.withdrawn"]
    assert told[0]["data"] == {
        "customer": {"id": desk.customer().id},
        "consent": {
            "grantedAt": "2026-11-22T10:00:00.000Z",
            "source": "merchant",
            "withdrawnAt": "2026-11-22T10:00:00.000Z",
        },
    }
    assert told[0]["sequence"] == 0


def test_number_that_withdrew_is_not_pushed_when_it_comes_in_again(database: Database) -> None:
    """An inline number records consent, unless that person has withdrawn."""
    desk, _ = a_pushed_desk(database)
    _withdraw(desk)

    with pytest.raises(Conflict) as refused:
        desk.create(reference="acme-2026-000124")
    desk.create(reference="acme-2026-000124", flow="WEB_REDIRECT")

    assert refused.value.code == "consent_withdrawn"
    assert desk.invoice("acme-2026-000124").state == "created"


def test_request_that_no_worker_has_begun_is_not_made_after_a_withdrawal(
    database: Database,
) -> None:
    """The customer is not asked a second after having said no; the link stays, and says why."""
    desk = a_desk(database)
    desk.create()

    _withdraw(desk)

    invoice = desk.invoice()
    assert [c.status for c in desk.commands("create_payment")] == ["dropped"]
    assert (invoice.state, desk.payment().state) == ("created", "refused")
    assert (invoice.problem or {})["code"] == "consent_withdrawn"


def test_request_in_the_app_stays_after_a_withdrawal(database: Database) -> None:
    """What the customer sees already is not taken from them: they can pay it or refuse it."""
    desk, _ = a_pushed_desk(database)

    _withdraw(desk)

    assert (desk.invoice().state, desk.payment().state) == ("pushed", "created")


def test_consent_on_the_page_is_good_for_the_next_push(database: Database) -> None:
    """Who changes their mind again is asked again, by the words they agreed to."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("EXPIRED"))
    _withdraw(desk)
    desk.later(minutes=1)

    desk.act(lambda book, invoice, _: consent_on_page(book, invoice, "2026-11"))
    desk.act(push)

    assert desk.customer().consent == {
        "grantedAt": "2026-11-22T10:01:00.000Z",
        "source": "page",
        "wording": "2026-11",
    }
    assert desk.all(Withdrawal) == []
    assert "customer.consented" in desk.told_types()


def test_consent_on_the_page_needs_a_number(database: Database) -> None:
    """Without a number there is nobody to ask: it is shared by paying."""
    desk = a_desk(database)
    desk.create(phone_number=None, flow="WEB_REDIRECT")

    with pytest.raises(Conflict) as refused:
        desk.act(lambda book, invoice, _: consent_on_page(book, invoice, "2026-11"))

    assert refused.value.code == "phone_number_missing"


def test_events_about_customers_are_small_and_name_nobody(database: Database) -> None:
    """What goes to subscribers is an id and times (I11)."""
    desk, _ = a_pushed_desk(database, customer_name="Kari Nordmann")
    _withdraw(desk)

    last = str(desk.told()[-1])

    assert len(last) < 500
    assert PHONE not in last and "Kari" not in last and REFERENCE not in last

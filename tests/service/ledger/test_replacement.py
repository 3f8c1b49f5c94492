"""Asking again while a request is still open: one payment ends, then the next is made."""

import pytest
import sqlalchemy as sa

from service.ledger.acts import cancel, push
from service.store.db import Database
from service.store.tables import Customer
from statemachine import Outcome
from tests.builders import (
    PHONE,
    REFERENCE,
    Desk,
    VippsPayment,
    a_pushed_desk,
)


def _withdraw_consent(desk: Desk) -> None:
    with desk.context.database.transaction() as session:
        session.execute(
            sa.update(Customer).values(
                consent={"grantedAt": "2026-01-01T00:00:00Z", "withdrawnAt": "2026-02-01T00:00:00Z"}
            )
        )


def test_push_of_a_live_payment_withdraws_it_first(database: Database) -> None:
    """The customer never has two open requests for one invoice."""
    desk, _ = a_pushed_desk(database)

    desk.act(push)

    (withdrawal,) = desk.commands("cancel_payment")
    assert withdrawal.body is not None
    assert desk.payment().replacement_flow == "PUSH_MESSAGE"
    assert desk.invoice().state == "pushed"


@pytest.mark.parametrize("end", ["TERMINATED", "EXPIRED"])
def test_end_of_the_withdrawn_payment_makes_the_next(database: Database, end: str) -> None:
    """As soon as the old request is gone, the new one is on its way."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)
    desk.settle_commands()

    outcomes = desk.report(vipps.happens(end))

    new = desk.payment(f"{REFERENCE}-2")
    creates = [c for c in desk.commands("create_payment") if c.payment_id == new.id]
    assert outcomes == [Outcome.APPLIED]
    assert (new.state, new.attempt, len(creates)) == ("requested", 2, 1)
    assert desk.payment().replacement_flow is None
    desk.report(VippsPayment(reference=new.reference).happens("CREATED"))
    assert desk.invoice().state == "pushed"


def test_no_instead_of_the_replacement_ends_the_invoice(database: Database) -> None:
    """If the customer says no meanwhile, nobody asks again by itself, and I see why."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)

    desk.report(vipps.happens("ABORTED"))

    problem = desk.invoice().problem
    assert desk.invoice().state == "aborted"
    assert problem is not None and problem["code"] == "invoice_closed"
    assert len(desk.commands("create_payment")) == 1


def test_approval_instead_of_the_replacement_counts(database: Database) -> None:
    """If the customer approves meanwhile, there is nothing to replace."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)

    desk.report(vipps.happens("AUTHORIZED"))

    assert desk.invoice().state == "authorized"
    assert desk.payment().replacement_flow is None
    assert len(desk.commands("create_payment")) == 1


def test_cancel_during_a_replacement_wins(database: Database) -> None:
    """Withdrawn is withdrawn: no new request follows the old one."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)
    desk.act(cancel)

    desk.report(vipps.happens("TERMINATED"))

    assert desk.history()[-1] == "terminate>terminated by api"
    assert len(desk.commands("cancel_payment")) == 1
    assert len(desk.commands("create_payment")) == 1


def test_consent_withdrawn_meanwhile_is_shown_and_stores_the_webhook(database: Database) -> None:
    """Vipps's event is kept, and I am told that the customer can't be asked any more."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)
    _withdraw_consent(desk)

    outcomes = desk.report(vipps.happens("TERMINATED"))

    problem = desk.invoice().problem
    assert outcomes == [Outcome.APPLIED]
    assert problem is not None and problem["code"] == "consent_withdrawn"
    assert desk.told_types()[-1] == "invoice.needs_attention"
    assert desk.payment().state == "terminated"


def test_payable_until_passed_meanwhile_is_shown(database: Database) -> None:
    """No request is made past the time in which the invoice can be paid."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)
    desk.later(days=15)

    desk.report(vipps.happens("TERMINATED"))

    problem = desk.invoice().problem
    assert problem is not None and problem["code"] == "payable_until_passed"
    assert PHONE not in str(problem)


def test_next_reference_skips_what_another_invoice_has(database: Database) -> None:
    """My invoice named like a second attempt keeps its name."""
    desk, vipps = a_pushed_desk(database)
    desk.create(reference=f"{REFERENCE}-2", creation_hash=b"o" * 32)
    desk.act(push)

    desk.report(vipps.happens("TERMINATED"))

    assert desk.payment(f"{REFERENCE}-3").invoice_id == desk.invoice().id
    assert desk.payment(f"{REFERENCE}-2").invoice_id != desk.invoice().id


def test_aggregate_is_of_the_new_payment(database: Database) -> None:
    """What was withdrawn with the old request is not counted for the new one."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)

    desk.report(vipps.happens("TERMINATED"))

    assert desk.payment().cancelled_minor > 0
    assert desk.invoice().cancelled_minor == 0

"""Withdrawing an invoice while the customer may be paying it."""

import pytest

from service.errors import Conflict
from service.ledger.acts import cancel, capture, push
from service.store.db import Database
from service.store.tables import Act, Transition
from statemachine import Outcome
from tests.builders import (
    AMOUNT,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    an_authorized_desk,
)


def _is_withdrawal(desk: Desk, number: int = -1) -> bool:
    return desk.commands("cancel_payment")[number].body is not None


def test_cancel_before_anything_was_sent_terminates_at_once(database: Database) -> None:
    """What Vipps never heard of is withdrawn at once, and the history says by whom and why."""
    desk = a_desk(database)
    desk.create()

    desk.act(cancel, reason="wrong customer")

    last = desk.all(Transition)[-1]
    assert desk.history()[-1] == "terminate>terminated by api"
    assert (last.actor, last.reason) == ("key_test", "wrong customer")
    assert last.evidence_id == desk.all(Act, Act.name == "cancel")[0].id
    assert [c.status for c in desk.commands()] == ["dropped", "dropped"]
    assert (desk.payment().state, desk.invoice().closing) == ("refused", None)


def test_cancel_of_a_pushed_invoice_asks_vipps_and_ends_with_its_answer(
    database: Database,
) -> None:
    """An invoice that the customer can see is terminated when Vipps says so."""
    desk, vipps = a_pushed_desk(database)

    desk.act(cancel)
    meanwhile = desk.invoice().state
    desk.report(vipps.happens("TERMINATED"))

    assert meanwhile == "pushed" and _is_withdrawal(desk)
    assert desk.history()[-1] == "terminate>terminated by webhook"
    assert desk.invoice().closing is None
    assert desk.invoice().cancelled_minor == AMOUNT


def test_cancel_twice_asks_vipps_once(database: Database) -> None:
    """Pressing the button twice is one decision."""
    desk, _ = a_pushed_desk(database)

    desk.act(cancel)
    desk.act(cancel)

    assert len(desk.commands("cancel_payment")) == 1


def test_customer_faster_than_cancel_is_released_after_a_read(database: Database) -> None:
    """If the customer approved first, the reservation is released, once it is confirmed."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    desk.act(cancel)
    act_id = desk.invoice().closing

    desk.report(vipps.happens("AUTHORIZED"))
    unconfirmed = desk.commands("cancel_payment")
    desk.read(vipps)
    desk.read(vipps)

    release = desk.commands("cancel_payment")[-1]
    assert desk.invoice().state == "authorized"
    assert len(unconfirmed) == 1
    assert (release.body, release.act_id) == (None, act_id)
    assert len(desk.commands("cancel_payment")) == 2
    assert desk.commands("capture") == []
    desk.report(vipps.happens("CANCELLED"))
    assert desk.history()[-1] == "cancel>cancelled by webhook"


def test_customer_faster_by_a_read_alone_is_released(database: Database) -> None:
    """The webhook of the approval may be lost: the read that finds it releases."""
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)
    vipps.happens("AUTHORIZED")

    desk.read(vipps)

    assert desk.invoice().state == "authorized"
    assert [c.body is None for c in desk.commands("cancel_payment")] == [False, True]


def test_capture_while_being_released_is_refused(database: Database) -> None:
    """What I asked to withdraw can't be taken in the same breath."""
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)
    desk.report(vipps.happens("AUTHORIZED"))

    with pytest.raises(Conflict) as waiting:
        desk.act(capture)
    desk.read(vipps)
    with pytest.raises(Conflict) as planned:
        desk.act(capture)
    desk.act(cancel)

    assert (waiting.value.code, planned.value.code) == ("being_released", "being_released")
    assert len(desk.commands("cancel_payment")) == 2


def test_lapse_while_closing_terminates(database: Database) -> None:
    """A request that ran out while I withdrew it leaves nothing to withdraw."""
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)

    desk.report(vipps.happens("EXPIRED"))

    assert desk.history()[-2:] == [
        "soft_dismiss>soft_dismissed by webhook",
        "terminate>terminated by api",
    ]
    assert desk.invoice().closing is None


def test_no_while_closing_ends_as_the_customer_said(database: Database) -> None:
    """The customer's no came first."""
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)

    desk.report(vipps.happens("ABORTED"))

    assert desk.history()[-1] == "abort>aborted by webhook"
    assert desk.invoice().closing is None


def test_push_while_closing_is_refused(database: Database) -> None:
    """An invoice that is being withdrawn is not sent again."""
    desk, _ = a_pushed_desk(database)
    desk.act(cancel)

    with pytest.raises(Conflict) as refused:
        desk.act(push)

    assert refused.value.code == "being_withdrawn"


def test_approval_of_a_closed_invoice_is_told_and_released_once(database: Database) -> None:
    """Money reserved for an invoice that was closed is given free, and I am told."""
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)
    desk.report(vipps.happens("TERMINATED"))
    desk.settle_commands()

    outcomes = desk.report(vipps.happens("AUTHORIZED"))
    unconfirmed = len(desk.commands("cancel_payment"))
    vipps.events = [e for e in vipps.events if e["name"] != "TERMINATED"]
    desk.read(vipps)
    desk.settle_commands("failed")
    desk.read(vipps)

    told = desk.told()[-1]
    assert outcomes == [Outcome.APPLIED]
    assert (told["type"], told["data"]["reason"]) == (
        "invoice.double_payment_detected",
        "authorized_when_closed",
    )
    assert (unconfirmed, len(desk.commands("cancel_payment"))) == (1, 2)
    assert not _is_withdrawal(desk)
    assert (desk.invoice().state, desk.invoice().authorized_minor) == ("terminated", AMOUNT)


def _two_payments(database: Database) -> tuple[Desk, VippsPayment, VippsPayment]:
    """Return an invoice whose first payment lapsed and whose second one lives."""
    desk, first = a_pushed_desk(database, capture="automatic")
    desk.report(first.happens("EXPIRED"))
    desk.act(push)
    second = VippsPayment(reference=f"{REFERENCE}-2")
    desk.report(second.happens("CREATED"))
    desk.settle_commands()
    return desk, first, second


def test_earlier_payment_that_authorizes_withdraws_the_newer(database: Database) -> None:
    """Whichever request the customer approves counts; the other is taken back."""
    desk, first, second = _two_payments(database)

    desk.report(first.happens("AUTHORIZED"))

    (withdrawal,) = desk.commands("cancel_payment")
    assert desk.invoice().authorized_by == desk.payment().id
    assert (withdrawal.payment_id, withdrawal.body is None) == (
        desk.payment(second.reference).id,
        False,
    )


def test_withdrawal_of_another_payment_holds_up_no_capture(database: Database) -> None:
    """What happens to the other request is no reason not to take the money."""
    desk, first, newer = _two_payments(database)
    desk.report(first.happens("AUTHORIZED"))
    second = desk.payment(newer.reference)

    desk.act(capture, amount_minor=100)
    desk.act(cancel)

    assert [c.amount_minor for c in desk.commands("capture")] == [100]
    withdrawn, released = desk.commands("cancel_payment")
    if withdrawn.payment_id != second.id:
        withdrawn, released = released, withdrawn
    assert (withdrawn.body is None, released.body is None) == (False, True)


def test_cancel_after_authorization_releases_what_remains(database: Database) -> None:
    """The rest of the reservation is given free with one command."""
    desk, _ = an_authorized_desk(database)

    desk.act(cancel)
    desk.act(cancel)

    assert [c.body for c in desk.commands("cancel_payment")] == [None]

"""An invoice that was paid another way: nothing more is taken, and what came goes back."""

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from service.errors import Conflict
from service.ledger.acts import cancel, capture, push, refund
from service.ledger.elsewhere import PaidElsewhere, paid_elsewhere
from service.store.db import Database
from service.store.tables import Command
from tests.builders import (
    AMOUNT,
    NOW,
    ONLY_SQLITE,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    an_authorized_desk,
)
from tests.service.commands.running import an_answer, claimed_one, ran, settled
from tests.service.ledger.checks import broken_rules
from tests.service.ledger.life import a_life

by_bank = partial(paid_elsewhere, paid=PaidElsewhere("bank", NOW, "KID 1234566"))
with_refund = partial(paid_elsewhere, paid=PaidElsewhere("bank", is_refund_wanted=True))

DETECTED = "invoice.double_payment_detected"


def _detected(desk: Desk) -> list[str]:
    return [e["data"]["reason"] for e in desk.told() if e["type"] == DETECTED]


def _captured_desk(database: Database, *parts: int) -> tuple[Desk, VippsPayment]:
    desk, vipps = an_authorized_desk(database)
    for part in parts:
        desk.report(vipps.happens("CAPTURED", amount_minor=part))
    desk.read(vipps)
    return desk, vipps


def test_paid_elsewhere_before_anything_was_sent_ends_at_once(database: Database) -> None:
    """What the customer never saw is withdrawn at once, and says how it was paid."""
    desk = a_desk(database)
    desk.create(push=False)

    desk.act(by_bank)

    assert desk.history()[-1] == "terminate>terminated by api"
    assert desk.invoice().paid_elsewhere == {
        "channel": "bank",
        "paidAt": "2026-11-22T10:00:00.000Z",
        "note": "KID 1234566",
        "recordedAt": "2026-11-22T10:00:00.000Z",
    }
    assert _detected(desk) == []


def test_paid_elsewhere_withdraws_the_open_request(database: Database) -> None:
    """The request in the customer's app is taken back, and the invoice ends."""
    desk, vipps = a_pushed_desk(database)

    desk.act(by_bank)
    (withdrawal,) = desk.commands("cancel_payment")
    desk.report(vipps.happens("TERMINATED"))

    assert withdrawal.body is not None
    assert desk.invoice().state == "terminated"
    assert (desk.invoice().closing, _detected(desk)) == (None, [])


def test_paid_elsewhere_after_a_lapse_ends_and_asks_no_more(database: Database) -> None:
    """Who has paid is not reminded."""
    life = a_life(database)
    life.happens(REFERENCE, "EXPIRED")

    life.desk.act(by_bank)
    life.after(days=20)

    assert life.desk.history()[-1] == "terminate>terminated by api"
    assert len(life.did("create_payment")) == 1


@pytest.mark.parametrize("capture_mode", ["manual", "automatic"])
def test_customer_faster_than_the_withdrawal_is_released(
    database: Database, capture_mode: str
) -> None:
    """If the customer approved in the same moment, the reservation is let go, and I am told."""
    desk, vipps = a_pushed_desk(database, capture=capture_mode)
    desk.act(by_bank)

    desk.report(vipps.happens("AUTHORIZED"))
    desk.read(vipps)
    desk.read(vipps)

    assert [c.body is None for c in desk.commands("cancel_payment")] == [False, True]
    assert desk.commands("capture") == []
    desk.report(vipps.happens("CANCELLED"))
    desk.read(vipps)
    assert desk.invoice().state == "cancelled"
    assert _detected(desk) == ["paid_before_elsewhere"]


def test_reservation_is_released_and_told_once(database: Database) -> None:
    """Money that is only reserved is let go."""
    desk, vipps = an_authorized_desk(database)

    desk.act(by_bank)
    desk.report(vipps.happens("CANCELLED"))
    desk.read(vipps)

    assert desk.history()[-1] == "cancel>cancelled by webhook"
    assert len(desk.commands("cancel_payment")) == 1
    assert _detected(desk) == ["paid_before_elsewhere"]


def test_capture_that_nobody_has_begun_is_dropped(database: Database) -> None:
    """From this call on nothing is captured, not even what was decided a moment before."""
    desk, _ = an_authorized_desk(database, capture="automatic")
    (planned,) = desk.commands("capture")

    desk.act(by_bank)

    (dropped,) = desk.commands("capture")
    assert (planned.status, dropped.status) == ("waiting", "dropped")
    assert len(desk.commands("cancel_payment")) == 1


def test_capture_that_waits_for_the_bank_is_dropped(database: Database) -> None:
    """What Vipps could not take yet is not taken later, once I was paid another way."""
    desk, vipps = an_authorized_desk(database)
    desk.act(capture)
    one = claimed_one(desk, "capture")
    settled(desk, ran(desk, one, an_answer(400, "6280"), vipps))
    shown = desk.invoice().problem

    desk.act(by_bank)

    assert shown is not None and desk.invoice().problem is None
    assert [c.status for c in desk.commands("capture")] == ["dropped"]
    assert [c.status for c in desk.commands("cancel_payment")] == ["waiting"]


def test_money_captured_after_the_call_is_refunded_once(database: Database) -> None:
    """A capture that was under way can't be stopped: what it took goes back, all of it, once."""
    desk, vipps = an_authorized_desk(database)
    desk.act(capture)
    _begin(database)
    desk.act(by_bank)

    desk.report(vipps.happens("CAPTURED"))
    unconfirmed = desk.commands("refund")
    desk.read(vipps)
    desk.read(vipps)

    assert unconfirmed == []
    assert [c.amount_minor for c in desk.commands("refund")] == [AMOUNT]
    desk.settle_commands()
    desk.report(vipps.happens("REFUNDED"))
    desk.read(vipps)
    assert desk.invoice().state == "refunded"
    assert len(desk.commands("refund")) == 1
    assert _detected(desk) == ["paid_before_elsewhere"]
    assert broken_rules(database) == []


def _begin(database: Database) -> None:
    """Let a worker have begun what waits."""
    with database.transaction() as session:
        session.execute(sa.update(Command).values(status="running", attempts=1))


def test_money_captured_before_needs_my_word(database: Database) -> None:
    """What I have taken before is given back only if I say so; else nothing changes."""
    desk, _ = _captured_desk(database, AMOUNT)

    with pytest.raises(Conflict) as refused:
        desk.act(by_bank)
    untouched = desk.invoice()
    desk.act(with_refund)

    assert refused.value.code == "captured_already"
    assert (untouched.paid_elsewhere, untouched.automatic_capture_off) == (None, False)
    assert [c.amount_minor for c in desk.commands("refund")] == [AMOUNT]
    assert _detected(desk) == ["paid_before_elsewhere"]


def test_part_captured_is_refunded_and_the_rest_released(database: Database) -> None:
    """Nothing of it stays, neither taken nor reserved."""
    desk, vipps = _captured_desk(database, 700)

    desk.act(with_refund)
    desk.report(vipps.happens("CANCELLED", amount_minor=AMOUNT - 700))
    desk.report(vipps.happens("REFUNDED", amount_minor=700))
    desk.settle_commands()
    desk.read(vipps)

    assert desk.invoice().state == "refunded"
    assert len(desk.commands("cancel_payment", "refund")) == 2


def test_refund_under_way_is_not_given_twice(database: Database) -> None:
    """What I am giving back already is counted."""
    desk, _ = _captured_desk(database, AMOUNT)
    desk.act(refund, amount_minor=300)

    desk.act(with_refund)

    assert [c.amount_minor for c in desk.commands("refund")] == [300, AMOUNT - 300]


def test_refund_that_vipps_refuses_is_left_to_people(database: Database) -> None:
    """A refusal is not answered with a try at every read."""
    desk, vipps = _captured_desk(database, AMOUNT)
    desk.act(with_refund)
    desk.settle_commands("failed")

    desk.read(vipps)
    desk.read(vipps)

    assert len(desk.commands("refund")) == 1


def test_refund_refused_earlier_is_tried_when_i_ask_again(database: Database) -> None:
    """What failed last week may work today: my word counts."""
    desk, _ = _captured_desk(database, AMOUNT)
    desk.act(refund)
    desk.settle_commands("failed")

    desk.act(with_refund)

    assert [c.status for c in desk.commands("refund")] == ["failed", "waiting"]


@ONLY_SQLITE
@pytest.mark.parametrize("end", ["ABORTED", "EXPIRED"])
def test_ended_invoice_can_be_noted_as_paid_and_is_not_pushed_again(
    database: Database, end: str
) -> None:
    """Also an invoice that had ended is closed for good by the other payment."""
    desk, vipps = a_pushed_desk(database, payable_until=NOW + timedelta(minutes=8))
    desk.report(vipps.happens(end))

    desk.act(by_bank)

    assert desk.commands("cancel_payment") == []
    with pytest.raises(Conflict) as refused:
        desk.act(push)
    assert "push" not in (refused.value.available_actions or ())


@ONLY_SQLITE
def test_push_and_a_second_call_are_refused(database: Database) -> None:
    """Paid is paid: nobody is asked again, and saying it twice changes nothing."""
    desk, _ = a_pushed_desk(database)
    desk.act(by_bank)
    before = desk.invoice().version

    for act in (push, by_bank):
        with pytest.raises(Conflict) as refused:
            desk.act(act)
        assert refused.value.code == "action_refused"

    assert desk.invoice().version == before


@ONLY_SQLITE
@pytest.mark.parametrize("names", [("CANCELLED",), ("CAPTURED", "REFUNDED")])
def test_settled_invoice_has_nothing_to_note(database: Database, names: tuple[str, ...]) -> None:
    """Where no money can come any more there is no double payment."""
    desk, vipps = an_authorized_desk(database)
    for name in names:
        desk.report(vipps.happens(name))

    with pytest.raises(Conflict):
        desk.act(by_bank)


def test_call_during_a_replacement_makes_no_new_request(database: Database) -> None:
    """Being asked again and having paid: having paid wins."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)

    desk.act(by_bank)
    desk.report(vipps.happens("TERMINATED"))

    assert len(desk.commands("cancel_payment")) == 1
    assert len(desk.commands("create_payment")) == 1
    assert desk.invoice().state == "terminated"


def test_call_during_a_cancel_changes_only_the_note(database: Database) -> None:
    """What is being withdrawn already is not withdrawn twice."""
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)

    desk.act(by_bank)
    desk.report(vipps.happens("TERMINATED"))

    assert len(desk.commands("cancel_payment")) == 1
    assert desk.invoice().paid_elsewhere is not None
    assert desk.invoice().state == "terminated"


def test_approval_after_the_end_is_released_and_told_once(database: Database) -> None:
    """Money that arrives for an invoice that was closed as paid is let go."""
    desk, vipps = a_pushed_desk(database)
    desk.act(by_bank)
    desk.report(vipps.happens("TERMINATED"))
    desk.settle_commands()

    desk.report(vipps.happens("AUTHORIZED"))
    vipps.events = [e for e in vipps.events if e["name"] != "TERMINATED"]
    desk.read(vipps)
    desk.read(vipps)

    assert _detected(desk) == ["authorized_when_closed"]
    assert [c.body is None for c in desk.commands("cancel_payment")] == [False, True]


def test_capture_by_hand_after_the_call_goes_back(database: Database) -> None:
    """Also what somebody takes in Vipps's portal afterwards is given back."""
    desk, vipps = an_authorized_desk(database)
    desk.act(by_bank)
    desk.settle_commands("failed")

    desk.report(vipps.happens("CAPTURED", amount_minor=500))
    desk.read(vipps)

    assert [c.amount_minor for c in desk.commands("refund")] == [500]

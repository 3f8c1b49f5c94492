"""What Vipps's answers to capture, refund, cancel and reads mean."""

from typing import Any

import pytest

from service.commands.run import Ran
from service.errors import Conflict
from service.kinds import CommandKind
from service.ledger.acts import cancel, capture, push, refund
from service.store.db import Database
from service.store.tables import Command
from tests.builders import (
    AMOUNT,
    REFERENCE,
    Desk,
    VippsPayment,
    a_pushed_desk,
    an_authorized_desk,
)
from tests.service.commands.running import (
    accepted,
    an_answer,
    claimed,
    claimed_one,
    command,
    ran,
    settled,
    waits_s,
)


def _a_capture(database: Database) -> tuple[Desk, VippsPayment, Any]:
    desk, vipps = an_authorized_desk(database)
    desk.act(capture)
    return desk, vipps, claimed_one(desk, "capture")


def _captured(vipps: VippsPayment, key: str, amount_minor: int = AMOUNT) -> VippsPayment:
    vipps.happens("CAPTURED", idempotencyKey=key, amount_minor=amount_minor)
    return vipps


def test_capture_is_done_when_the_log_shows_it(database: Database) -> None:
    """The money is taken when Vipps's own log says so, in the same step."""
    desk, vipps, one = _a_capture(database)

    settled(desk, ran(desk, one, accepted(one), _captured(vipps, one.idempotency_key)))

    assert command(desk, one.id).status == "done"
    assert desk.history()[-1] == "capture>captured by poll"
    assert desk.invoice().captured_minor == AMOUNT


def test_capture_is_under_way_until_the_log_shows_it(database: Database) -> None:
    """Until then what it takes can't be taken a second time."""
    desk, vipps, one = _a_capture(database)

    settled(desk, ran(desk, one, accepted(one), vipps))
    with pytest.raises(Conflict) as refused:
        desk.act(capture, amount_minor=1)
    waited_s = waits_s(desk, one.id)
    desk.later(seconds=2)
    (again,) = [c for c in claimed(desk) if c.kind is CommandKind.CAPTURE]
    settled(desk, ran(desk, again, accepted(again), _captured(vipps, one.idempotency_key)))

    assert refused.value.code == "amount_too_high"
    assert waited_s == 2.0
    assert again.idempotency_key == one.idempotency_key
    assert command(desk, one.id).status == "done"
    assert len(desk.commands("capture")) == 1


def test_capture_whose_entry_has_no_key_is_done_when_the_sums_agree(database: Database) -> None:
    """Vipps may leave the key out of its log; then its sums have the last word."""
    desk, vipps, one = _a_capture(database)
    vipps.happens("CAPTURED")

    settled(desk, ran(desk, one, accepted(one), vipps))

    assert command(desk, one.id).status == "done"


@pytest.mark.parametrize(("status", "code"), [(409, "4010"), (409, None)])
def test_capture_that_met_a_conflict_is_done_if_the_log_shows_it(
    database: Database, status: int, code: str | None
) -> None:
    """Whether the key was used by us is for the log to say."""
    desk, vipps, one = _a_capture(database)

    settled(desk, ran(desk, one, an_answer(status, code), vipps))
    unclear = command(desk, one.id).status
    desk.later(minutes=5)
    (again,) = [c for c in claimed(desk) if c.kind is CommandKind.CAPTURE]
    shown = _captured(vipps, one.idempotency_key)
    settled(desk, ran(desk, again, an_answer(status, code), shown))

    assert (unclear, command(desk, one.id).status) == ("waiting", "done")
    assert desk.invoice().captured_minor == AMOUNT


@pytest.mark.parametrize("status", [None, 500, 429, 423])
def test_capture_with_an_unclear_answer_keeps_its_key(
    database: Database, status: int | None
) -> None:
    """The same decision is never a second one at Vipps."""
    desk, _, one = _a_capture(database)

    settled(desk, ran(desk, one, an_answer(status)))
    desk.later(minutes=10)
    (again,) = [c for c in claimed(desk) if c.kind is CommandKind.CAPTURE]

    assert (again.id, again.idempotency_key) == (one.id, one.idempotency_key)
    assert desk.invoice().problem is None


def test_capture_that_vipps_refuses_is_shown_and_can_be_asked_again(database: Database) -> None:
    """I see Vipps's reason, and a new try has a new key."""
    desk, vipps, one = _a_capture(database)

    settled(desk, ran(desk, one, an_answer(400, "6260"), vipps))
    told = desk.told()[-1]
    desk.act(capture)
    again = claimed_one(desk, "capture")
    settled(desk, ran(desk, again, accepted(again), _captured(vipps, again.idempotency_key)))

    assert (told["type"], told["data"]["reason"]) == (
        "invoice.needs_attention",
        "capture_refused",
    )
    assert told["data"]["invoice"]["problem"]["code"] == "6260"
    assert command(desk, one.id).status == "failed"
    assert again.idempotency_key != one.idempotency_key
    assert desk.invoice().problem is None


def test_capture_that_may_work_later_keeps_its_place_and_its_amount(database: Database) -> None:
    """6280: tried ever less often under new keys; what I decided after it waits for it."""
    desk, vipps = an_authorized_desk(database)
    desk.act(capture, amount_minor=700)
    one = claimed_one(desk, "capture")
    desk.act(cancel)

    keys, waits = [one.idempotency_key], list[float]()
    for _ in range(6):
        settled(desk, ran(desk, one, an_answer(400, "6280"), vipps))
        waits.append(waits_s(desk, one.id))
        shown = desk.invoice().problem
        desk.later(seconds=waits[-1])
        (one,) = [c for c in claimed(desk) if c.kind is not CommandKind.READ_PAYMENT]
        keys.append(one.idempotency_key)
    settled(desk, ran(desk, one, accepted(one), _captured(vipps, one.idempotency_key, 700)))

    assert waits == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
    assert len(set(keys)) == 7
    assert (one.kind, one.amount_minor) == ("capture", 700)
    assert shown is not None and shown["code"] == "6280"
    assert desk.invoice().problem is None
    assert [c.kind for c in claimed(desk)][:1] == ["cancel_payment"]


def test_refund_is_done_when_the_log_shows_it(database: Database) -> None:
    """Money given back is told when Vipps's log says so."""
    desk, vipps = an_authorized_desk(database)
    desk.report(vipps.happens("CAPTURED"))
    desk.act(refund, amount_minor=700)
    one = claimed_one(desk, "refund")
    vipps.happens("REFUNDED", amount_minor=700, idempotencyKey=one.idempotency_key)

    settled(desk, ran(desk, one, accepted(one), vipps))

    assert (desk.invoice().state, desk.invoice().refunded_minor) == ("captured", 700)
    assert command(desk, one.id).status == "done"


def _a_withdrawal(database: Database) -> tuple[Desk, VippsPayment, Any]:
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)
    return desk, vipps, claimed_one(desk, "cancel_payment")


def test_withdrawal_ends_with_the_log(database: Database) -> None:
    """Withdrawn is what Vipps's log says is withdrawn."""
    desk, vipps, one = _a_withdrawal(database)
    vipps.happens("TERMINATED")

    settled(desk, ran(desk, one, accepted(one), vipps))

    assert one.body == {"cancelTransactionOnly": True}
    assert (desk.invoice().state, command(desk, one.id).status) == ("terminated", "done")


def test_withdrawal_too_late_releases_what_was_approved(database: Database) -> None:
    """If the customer was faster, the same step decides the release."""
    desk, vipps, one = _a_withdrawal(database)
    vipps.happens("AUTHORIZED")

    settled(desk, ran(desk, one, an_answer(400, "6060"), vipps))

    release = claimed_one(desk, "cancel_payment")
    assert (desk.invoice().state, command(desk, one.id).status) == ("authorized", "done")
    assert (release.body, release.act_id) == (None, one.act_id)
    vipps.happens("CANCELLED")
    settled(desk, ran(desk, release, accepted(release), vipps))
    assert desk.invoice().state == "cancelled"


def test_withdrawal_too_late_before_the_log_shows_it_waits(database: Database) -> None:
    """The log may be a moment behind the answer."""
    desk, vipps, one = _a_withdrawal(database)

    settled(desk, ran(desk, one, an_answer(400, "6060"), vipps))

    assert command(desk, one.id).status == "waiting"


@pytest.mark.parametrize(("status", "code"), [(409, "6250"), (423, None)])
def test_withdrawal_while_the_customer_pays_is_asked_again_under_a_new_key(
    database: Database, status: int, code: str | None
) -> None:
    """The customer is at it: their yes or no comes first."""
    desk, vipps, one = _a_withdrawal(database)

    settled(desk, ran(desk, one, an_answer(status, code), vipps))
    desk.later(minutes=2)
    (again,) = [c for c in claimed(desk) if c.kind is CommandKind.CANCEL_PAYMENT]

    assert again.idempotency_key != one.idempotency_key
    assert (again.id, again.body, again.act_id) == (one.id, one.body, one.act_id)


def test_withdrawal_with_an_unclear_answer_is_read_first(database: Database) -> None:
    """What has happened already is not asked for again."""
    desk, vipps, one = _a_withdrawal(database)

    settled(desk, ran(desk, one, an_answer(None), vipps))
    unclear = command(desk, one.id).status
    desk.later(minutes=2)
    (again,) = [c for c in claimed(desk) if c.kind is CommandKind.CANCEL_PAYMENT]
    vipps.happens("TERMINATED")
    settled(desk, ran(desk, again, an_answer(None), vipps))

    assert (unclear, command(desk, one.id).status) == ("waiting", "done")
    assert desk.invoice().state == "terminated"


def test_withdrawal_of_what_had_lapsed_is_no_trouble(database: Database) -> None:
    """A request that ran out by itself leaves nothing to withdraw, and nothing to worry about."""
    desk, vipps, one = _a_withdrawal(database)
    vipps.happens("EXPIRED")

    settled(desk, ran(desk, one, an_answer(400, "6050"), vipps))

    assert desk.invoice().state == "terminated"
    assert desk.invoice().problem is None
    assert "invoice.needs_attention" not in desk.told_types()


def _a_read(desk: Desk) -> Any:
    desk.later(seconds=10)
    return claimed_one(desk, "read_payment")


def test_read_takes_in_what_it_finds(database: Database) -> None:
    """A lost webhook costs seconds, not money."""
    desk, vipps = a_pushed_desk(database)
    vipps.happens("AUTHORIZED")
    one = _a_read(desk)

    settled(desk, ran(desk, one, an_answer(200, **vipps.body()), vipps))

    assert desk.invoice().state == "authorized"
    assert command(desk, one.id).status == "done"


def test_read_that_fails_is_tried_again(database: Database) -> None:
    """Vipps being away for a moment loses no read."""
    desk, _ = a_pushed_desk(database)
    one = _a_read(desk)

    settled(desk, ran(desk, one, an_answer(503)))

    assert command(desk, one.id).status == "waiting"
    assert waits_s(desk, one.id) > 0


def test_read_that_fails_beside_a_newer_one_leaves_it_to_that(database: Database) -> None:
    """One read waits at a time, whatever happened while another ran."""
    desk, vipps = a_pushed_desk(database)
    one = _a_read(desk)
    desk.report(vipps.happens("AUTHORIZED"))

    done = settled(desk, ran(desk, one, an_answer(503)))

    assert done == [True]
    assert command(desk, one.id).status == "failed"
    waiting = desk.all(Command, Command.kind == "read_payment", Command.status == "waiting")
    assert len(waiting) == 1


def test_read_of_an_unknown_payment_ends(database: Database) -> None:
    """What Vipps does not know is not looked for again and again."""
    desk, _ = a_pushed_desk(database)
    one = _a_read(desk)

    settled(desk, ran(desk, one, an_answer(404, "5090")))

    assert command(desk, one.id).status == "done"


def test_read_and_capture_settled_together_count_once(database: Database) -> None:
    """Two workers that saw the same capture tell it once, and call nothing a contradiction."""
    desk, vipps, one = _a_capture(database)
    desk.change(lambda book, _, payment: book.plan_read(payment))
    (read,) = claimed(desk)
    shown = _captured(vipps, one.idempotency_key)
    batch: list[Ran] = [
        ran(desk, read, an_answer(200, **shown.body()), shown),
        ran(desk, one, accepted(one), shown),
    ]

    done = settled(desk, *batch)

    assert done == [True, True]
    assert desk.invoice().captured_minor == AMOUNT
    assert desk.told_types().count("invoice.captured") == 1
    assert "invoice.needs_attention" not in desk.told_types()


def test_replacement_whose_old_request_is_gone_goes_on(database: Database) -> None:
    """The next request follows in the same step in which the old one is seen to be gone."""
    desk, vipps = a_pushed_desk(database)
    desk.act(push)
    one = claimed_one(desk, "cancel_payment")
    vipps.happens("TERMINATED")

    settled(desk, ran(desk, one, accepted(one), vipps))

    assert desk.payment(f"{REFERENCE}-2").state == "requested"
    assert desk.invoice().state == "pushed"

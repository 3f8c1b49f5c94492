"""What the rows of §4 have in common: each ends, or moves money, as the others of its kind do."""

from collections.abc import Sequence

import pytest

from statemachine import (
    ENDS,
    EVENT_TABLE,
    Amounts,
    InvoiceView,
    Outcome,
    PaymentState,
    PaymentView,
    ReportedEvent,
    State,
    Trigger,
    VippsEventName,
    judge,
)
from statemachine import vipps_events as module
from statemachine.case import Case
from statemachine.vipps_events import Line
from tests.statemachine.builders import a_payment, an_authorizing_payment, an_event, an_invoice

OWN = Line(Case.always, Outcome.APPLIED, "own")
AUTHORIZED = Amounts(1000)
OTHER_END = {
    PaymentState.ABORTED: PaymentState.EXPIRED,
    PaymentState.EXPIRED: PaymentState.TERMINATED,
    PaymentState.TERMINATED: PaymentState.ABORTED,
}
MOVES = {
    VippsEventName.CAPTURED: Trigger.CAPTURE,
    VippsEventName.CANCELLED: Trigger.CANCEL,
    VippsEventName.REFUNDED: Trigger.REFUND,
}


def first(lines: Sequence[Line], case: Case) -> Line:
    """Return the line that decides."""
    return next(line for line in lines if line.when(case))


@pytest.mark.parametrize("end", sorted(ENDS))
@pytest.mark.parametrize(
    ("payment", "invoice", "outcome", "reason"),
    [
        (an_authorizing_payment(AUTHORIZED), an_invoice(), "refused", "already_authorized"),
        (a_payment(PaymentState.AUTHORIZED), an_invoice(), "refused", "already_authorized"),
        ("the same", an_invoice(), "stale", "already_ended"),
        ("another", an_invoice(), "refused", "ended_another_way"),
        (a_payment(is_last=False), an_invoice(State.AUTHORIZED), "applied", "earlier_payment"),
        (a_payment(), an_invoice(State.AUTHORIZED), "applied", "invoice_closed"),
        (a_payment(), an_invoice(), "applied", "own"),
    ],
)
def test_rows_that_end_a_payment_begin_alike(
    end: PaymentState,
    payment: PaymentView | str,
    invoice: InvoiceView,
    outcome: str,
    reason: str,
) -> None:
    """Money is never talked away, an end stands, and only the last payment ends an invoice."""
    if isinstance(payment, str):
        payment = a_payment(end if payment == "the same" else OTHER_END[end])
    case = Case(an_event(VippsEventName[end.name]), payment, invoice)

    line = first(module._end(end, OWN), case)

    ends_here = line.outcome is Outcome.APPLIED and line is not OWN
    assert (line.outcome, line.reason, line.trigger) == (outcome, reason, None)
    assert line.payment is (end if ends_here else None)


@pytest.mark.parametrize(("name", "trigger"), MOVES.items())
@pytest.mark.parametrize(
    ("amount_minor", "payment", "outcome", "reason"),
    [
        (0, a_payment(), "stale", "moves_no_money"),
        (1, a_payment(), "early", "not_authorized_yet"),
        (1, an_authorizing_payment(AUTHORIZED), "applied", "the trigger"),
        (1, a_payment(PaymentState.AUTHORIZED), "applied", "other_payment"),
    ],
)
def test_rows_that_move_money_share_their_frame(
    name: VippsEventName,
    trigger: Trigger,
    amount_minor: int,
    payment: PaymentView,
    *,
    outcome: str,
    reason: str,
) -> None:
    """Nothing moves before it is reserved, and only the authorizing payment moves the invoice."""
    case = Case(an_event(name, amount_minor), payment, an_invoice(State.AUTHORIZED))

    line = first(module._money(trigger), case)

    moves = reason == "the trigger"
    assert (line.outcome, line.reason) == (outcome, trigger if moves else reason)
    assert (line.trigger, line.payment) == (trigger if moves else None, None)


@pytest.mark.parametrize("amount_minor", [0, 1])
@pytest.mark.parametrize("payment", [a_payment(), an_authorizing_payment(AUTHORIZED)])
def test_rows_that_move_money_ask_their_own_lines_in_between(
    amount_minor: int, payment: PaymentView
) -> None:
    """What a row adds is asked of reserved money that moves, before anything is applied."""
    case = Case(an_event(VippsEventName.CAPTURED, amount_minor), payment, an_invoice())

    line = first(module._money(Trigger.CAPTURE, OWN), case)

    assert (line is OWN) is (amount_minor > 0 and payment.is_authorizing)


def test_every_row_of_the_table_is_made_of_these_frames() -> None:
    """What is said above of the frames is said of the table that judges."""
    for end in ENDS:
        frame = module._end(end)

        assert EVENT_TABLE[VippsEventName[end.name]][: len(frame)] == frame
    for name, trigger in MOVES.items():
        (zero, early, *_), frame = EVENT_TABLE[name], module._money(trigger)

        assert (zero, early) == frame[:2]
        assert EVENT_TABLE[name][-2:] == frame[2:]


@pytest.mark.parametrize(
    ("event", "payment", "invoice", "reason"),
    [
        (
            an_event(VippsEventName.CAPTURED, 1),
            an_authorizing_payment(AUTHORIZED),
            an_invoice(State.AUTHORIZED, AUTHORIZED),
            "capture",
        ),
        (
            an_event(VippsEventName.ABORTED),
            a_payment(is_last=False),
            an_invoice(State.AUTHORIZED),
            "earlier_payment",
        ),
    ],
)
def test_verdict_that_applies_says_by_which_row(
    event: ReportedEvent, payment: PaymentView, invoice: InvoiceView, reason: str
) -> None:
    """Whether it moves the invoice or its payment alone, the stored event says why."""
    verdict = judge(event, payment, invoice)

    assert (verdict.outcome, verdict.reason) == ("applied", reason)

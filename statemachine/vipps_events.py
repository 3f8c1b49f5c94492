"""What each Vipps event means for the payment it is about and for the invoice: §4 as data.

How to read it: `EVENT_TABLE` has one row per event, and a row is a list of lines. The first line
whose claim holds decides: the outcome, the trigger that moves the invoice (if any), and the state
the payment gets (if any). Before the rows come the questions that are the same for every event.

Vipps keeps the order of events only within one registration, and retries for a week. So events
come twice, late, and in any order, and yet the end must be the one of Vipps's own log. That holds
because of three things. An event that needs another one first is `early`: it is kept, and judged
again after every later change of its payment. The sums only grow, and a state that nothing leads
out of is only reached when the sums are complete. And what an event finds already reflected it
leaves alone. The property is a test: test_vipps_convergence.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from statemachine.case import ENDS, Case
from statemachine.errors import GuardFailed, TransitionRefused
from statemachine.guards import Facts
from statemachine.machine import Decision, decide
from statemachine.reports import (
    InvoiceView,
    Outcome,
    PaymentState,
    PaymentView,
    Reaction,
    ReportedEvent,
    Twin,
    Verdict,
    VippsEventName,
)
from statemachine.table import Trigger

# A contradiction is shown to people; what is early is usually only waiting for a lost webhook.
_REACTIONS: Mapping[Outcome, frozenset[Reaction]] = MappingProxyType(
    {
        Outcome.REFUSED: frozenset((Reaction.READ, Reaction.NEEDS_ATTENTION)),
        Outcome.EARLY: frozenset((Reaction.READ,)),
    }
)


Claim = Callable[[Case], bool]


@dataclass(frozen=True, slots=True)
class Line:
    """Say what follows when `when` holds and no line above did.

    `trigger` None: the invoice stays. `payment` None: the payment's state stays.
    """

    when: Claim
    outcome: Outcome
    reason: str
    trigger: Trigger | None = None
    payment: PaymentState | None = None
    reaction: Reaction | None = None


# Asked first, of every event, whatever its name.
BEFORE_THE_ROWS = (
    Line(Case.is_a_twin, Outcome.DUPLICATE, "twin"),
    Line(Case.failed, Outcome.UNSUCCESSFUL, "not_successful"),
    Line(Case.currency_differs, Outcome.REFUSED, "currency_differs"),
    Line(Case.amount_is_negative, Outcome.REFUSED, "amount_negative"),
)


def _end(state: PaymentState, *lines: Line) -> tuple[Line, ...]:
    """Return the row of an event that ends a payment in `state`."""
    return (
        Line(Case.has_authorized, Outcome.REFUSED, "already_authorized"),
        Line(Case.ended_this_way, Outcome.STALE, "already_ended"),
        Line(Case.has_ended, Outcome.REFUSED, "ended_another_way"),
        Line(Case.is_earlier, Outcome.APPLIED, "earlier_payment", payment=state),
        Line(Case.invoice_is_closed, Outcome.APPLIED, "invoice_closed", payment=state),
        *lines,
    )


def _money(trigger: Trigger, *lines: Line) -> tuple[Line, ...]:
    """Return the row of an event that moves reserved or captured money."""
    return (
        # It would turn `authorized` into `captured` although nothing was taken.
        Line(Case.amount_is_zero, Outcome.STALE, "moves_no_money"),
        Line(Case.has_not_authorized, Outcome.EARLY, "not_authorized_yet"),
        *lines,
        Line(Case.is_authorizing, Outcome.APPLIED, trigger.value, trigger),
        Line(Case.always, Outcome.APPLIED, "other_payment"),
    )


# fmt: off
EVENT_TABLE: Mapping[VippsEventName, tuple[Line, ...]] = MappingProxyType({
    VippsEventName.CREATED: (
        Line(Case.is_earlier,         Outcome.STALE,   "earlier_payment"),
        Line(Case.has_pushed,         Outcome.STALE,   "already_pushed"),
        Line(Case.invoice_is_closed,  Outcome.STALE,   "invoice_closed"),
        Line(Case.has_authorized,     Outcome.STALE,   "already_authorized"),
        # Its end overtook it, and ends here as in Vipps's log: pushed, waiting for the next one.
        Line(Case.was_withdrawn_to_be_replaced, Outcome.APPLIED, "push", Trigger.PUSH),
        # Its end overtook it and the invoice was reopened since: nothing lives that could be asked.
        Line(Case.has_ended,          Outcome.STALE,   "already_ended"),
        Line(Case.always,             Outcome.APPLIED, "push", Trigger.PUSH,
             PaymentState.CREATED),
    ),
    VippsEventName.AUTHORIZED: (
        Line(Case.amount_differs,     Outcome.REFUSED, "amount_differs"),
        Line(Case.has_authorized,     Outcome.STALE,   "already_authorized"),
        Line(Case.invoice_is_closed,  Outcome.APPLIED, "double_payment", None,
             PaymentState.AUTHORIZED, Reaction.RELEASE),
        Line(Case.is_earlier,         Outcome.APPLIED, "authorize", Trigger.AUTHORIZE,
             PaymentState.AUTHORIZED, Reaction.WITHDRAW_NEWER),
        Line(Case.always,             Outcome.APPLIED, "authorize", Trigger.AUTHORIZE,
             PaymentState.AUTHORIZED),
    ),
    VippsEventName.ABORTED: _end(
        PaymentState.ABORTED,
        Line(Case.always,             Outcome.APPLIED, "abort", Trigger.ABORT,
             PaymentState.ABORTED),
    ),
    VippsEventName.EXPIRED: _end(
        PaymentState.EXPIRED,
        Line(Case.lasted_to_the_end,  Outcome.APPLIED, "expire", Trigger.EXPIRE,
             PaymentState.EXPIRED),
        Line(Case.invoice_is_pushed,  Outcome.APPLIED, "lapsed", Trigger.SOFT_DISMISS,
             PaymentState.EXPIRED),
        # It overtook its CREATED. Vipps's log ends `soft_dismissed`, which the table can take only
        # after the push; as "the payment only", the late CREATED would leave it `pushed` for ever.
        Line(Case.is_not_pushed_yet,  Outcome.EARLY,   "not_pushed_yet"),
        Line(Case.always,             Outcome.APPLIED, "lapsed", None, PaymentState.EXPIRED),
    ),
    VippsEventName.TERMINATED: _end(
        PaymentState.TERMINATED,
        Line(Case.is_being_replaced,  Outcome.APPLIED, "replaced", None, PaymentState.TERMINATED),
        Line(Case.always,             Outcome.APPLIED, "terminate", Trigger.TERMINATE,
             PaymentState.TERMINATED),
    ),
    VippsEventName.CAPTURED: _money(
        Trigger.CAPTURE,
        Line(Case.exceeds_reservation, Outcome.REFUSED, "amount_exceeds_authorized"),
    ),
    VippsEventName.CANCELLED: _money(
        Trigger.CANCEL,
        Line(Case.exceeds_reservation, Outcome.REFUSED, "amount_exceeds_authorized"),
        # Vipps always releases the whole rest, so a CAPTURED is still to come.
        Line(Case.leaves_something_reserved, Outcome.EARLY, "not_the_whole_rest"),
    ),
    VippsEventName.REFUNDED: _money(
        Trigger.REFUND,
        Line(Case.refunds_beyond_authorized, Outcome.REFUSED, "amount_exceeds_authorized"),
        Line(Case.refunds_beyond_captured, Outcome.EARLY, "amount_exceeds_captured"),
    ),
})
# fmt: on


def judge(
    event: ReportedEvent,
    payment: PaymentView,
    invoice: InvoiceView,
    twins: Sequence[Twin] = (),
) -> Verdict:
    """Return what the event means now; change nothing and never raise.

    `twins` are all *other* stored events with the same key. An `early` event is judged again, the
    same way, after each change of its payment; its own row is not among its twins, and copies of
    it ended as `duplicate`, which is no precedent.
    """
    case = Case(event, payment, invoice, twins)
    lines = (*BEFORE_THE_ROWS, *EVENT_TABLE[event.name])
    line = next(line for line in lines if line.when(case))
    if line.outcome is not Outcome.APPLIED:
        return _unchanged(case, line.outcome, line.reason)
    # One key changes things once (I5), also where Vipps contradicts itself.
    if case.key_was_applied():
        return _unchanged(case, Outcome.REFUSED, "key_already_applied")
    return _applied(case, line)


def _applied(case: Case, line: Line) -> Verdict:
    try:
        decision = _decision(case, line.trigger) if line.trigger else None
    except GuardFailed as error:
        return _unchanged(case, Outcome.REFUSED, error.code)
    except TransitionRefused:
        return _unchanged(case, Outcome.REFUSED, "not_in_the_table")
    return Verdict(
        line.outcome,
        decision,
        line.payment or case.payment.state,
        case.after,
        frozenset((line.reaction,)) if line.reaction else frozenset(),
        line.reason,
    )


def _decision(case: Case, trigger: Trigger) -> Decision:
    # The events that end a payment are judged here only for the last one of the chain, and each
    # of them is Vipps saying how it ended: no payment may still live.
    facts = Facts(
        amount_minor=case.invoice.amount_minor,
        before=case.invoice.amounts,
        after=case.after,
        payment_is_new=case.event.name is VippsEventName.CREATED,
        payment_may_live=case.event.name.lower() not in ENDS,
    )
    return decide(case.invoice.state, trigger, facts)


def _unchanged(case: Case, outcome: Outcome, reason: str) -> Verdict:
    reactions = _REACTIONS.get(outcome, frozenset())
    return Verdict(outcome, None, case.payment.state, case.payment.amounts, reactions, reason)

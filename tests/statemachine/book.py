"""A ledger of one invoice, reduced to what the contract asks of one, for the convergence tests.

It stores every event with its outcome, changes payment and invoice as the verdict says, and judges
what was `early` again after every change.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from statemachine import (
    Amounts,
    InvoiceView,
    Outcome,
    PaymentState,
    PaymentView,
    ReportedEvent,
    State,
    Trigger,
    Twin,
    Verdict,
    judge,
)
from tests.statemachine.builders import an_invoice


class Entry(NamedTuple):
    """One entry of Vipps's log; `key` is its pspReference, `payment` counts from 0."""

    payment: int
    key: str
    event: ReportedEvent


@dataclass
class Stored:
    """One received event and what became of it."""

    entry: Entry
    outcome: Outcome


class Book:
    """Keep one invoice, its chain of payments and all that was received."""

    def __init__(self, chain: list[PaymentView]) -> None:
        """Start with the first payment asked for; the next ones are made when it has ended."""
        self.invoice: InvoiceView = an_invoice(State.CREATED)
        self.payments = chain[:1]
        self.waiting = chain[1:]
        self.stored: list[Stored] = []

    def take(self, entry: Entry) -> Outcome:
        """Judge one received event, store it, and judge what was early again."""
        stored = Stored(entry, Outcome.EARLY)
        self.stored.append(stored)
        self._judge(stored)
        while any(self._judge(one) for one in self.stored if one.outcome is Outcome.EARLY):
            pass
        return stored.outcome

    def end(self) -> tuple[State, Amounts, list[tuple[PaymentState, Amounts]]]:
        """Return all that must be the same in the end."""
        payments = [(payment.state, payment.amounts) for payment in self.payments]
        return self.invoice.state, self.invoice.amounts, payments

    def _judge(self, stored: Stored) -> bool:
        """Judge one stored event; return whether it changed something."""
        index, key, event = stored.entry
        twins = [
            Twin(other.outcome, other.entry.event.amount_minor, other.entry.event.success)
            for other in self.stored
            if other is not stored and other.entry.key == key
        ]
        verdict = judge(event, self.payments[index], self.invoice, twins)
        stored.outcome = verdict.outcome
        if verdict.outcome is Outcome.APPLIED:
            self._apply(index, verdict)
        return verdict.outcome is Outcome.APPLIED

    def _apply(self, index: int, verdict: Verdict) -> None:
        trigger = verdict.decision.trigger if verdict.decision else None
        payment = self.payments[index]
        self.payments[index] = replace(
            payment,
            state=verdict.payment_state,
            amounts=verdict.payment_amounts,
            has_pushed=payment.has_pushed or trigger is Trigger.PUSH,
            is_authorizing=payment.is_authorizing or trigger is Trigger.AUTHORIZE,
        )
        if verdict.decision:
            self.invoice = replace(self.invoice, state=verdict.decision.to)
        self._extend_the_chain()
        self._sum_up()

    def _extend_the_chain(self) -> None:
        ends = (PaymentState.EXPIRED, PaymentState.TERMINATED)
        if self.waiting and self.invoice.state.is_payable and self.payments[-1].state in ends:
            self.payments[-1] = replace(self.payments[-1], is_last=False)
            self.payments.append(self.waiting.pop(0))

    def _sum_up(self) -> None:
        """Make the invoice's aggregate that of the payment that authorized it, else the last."""
        whose = next((one for one in self.payments if one.is_authorizing), self.payments[-1])
        self.invoice = replace(self.invoice, amounts=whose.amounts)

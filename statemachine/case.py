"""One Vipps event beside what it is about, and the claims that the lines of §4 make of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from statemachine.amounts import NO_MONEY, Amounts
from statemachine.reports import (
    InvoiceView,
    Outcome,
    PaymentState,
    PaymentView,
    ReportedEvent,
    Twin,
    VippsEventName,
)
from statemachine.table import State

# A payment is made to end 60 s inside the invoice's own end (§2, chains), so one that ended within
# those 60 s was the last that there could be.
END_TOLERANCE_S = 60

ENDS = frozenset((PaymentState.ABORTED, PaymentState.EXPIRED, PaymentState.TERMINATED))
"""The states of a payment that ended without money."""

# An unmatched or ignored event has no payment, a duplicate changed nothing: neither is a precedent.
_PRECEDENTS = frozenset(
    (Outcome.APPLIED, Outcome.EARLY, Outcome.STALE, Outcome.UNSUCCESSFUL, Outcome.REFUSED)
)


@dataclass(frozen=True, slots=True)
class Case:
    """Put an event beside the payment and the invoice that it is about."""

    event: ReportedEvent
    payment: PaymentView
    invoice: InvoiceView
    twins: Sequence[Twin] = ()

    @property
    def after(self) -> Amounts:
        """Return the payment's amounts as this event would leave them."""
        # What authorizes was not terminated, whatever was reported of it before. Nothing else can
        # count before AUTHORIZED, so the sums begin anew.
        is_first = self.event.name is VippsEventName.AUTHORIZED
        before = NO_MONEY if is_first else self.payment.amounts
        return before.plus(self.event.name, self.event.amount_minor)

    def always(self) -> bool:
        """Hold, for the line that says "otherwise"."""
        return True

    # What was stored before under the same key.

    def is_a_twin(self) -> bool:
        """Tell whether the same thing was said before and judged."""
        said = (self.event.amount_minor, self.event.success)
        return any(
            (twin.amount_minor, twin.success) == said and twin.outcome in _PRECEDENTS
            for twin in self.twins
        )

    def key_was_applied(self) -> bool:
        """Tell whether this key has changed something already."""
        return any(twin.outcome is Outcome.APPLIED for twin in self.twins)

    # The event.

    def failed(self) -> bool:
        """Tell whether Vipps reports an attempt that did not work."""
        return not self.event.success

    def currency_differs(self) -> bool:
        """Tell whether the event is in another currency than the invoice."""
        return self.event.currency != self.invoice.currency

    def amount_is_negative(self) -> bool:
        """Tell whether the event's amount is below zero."""
        return self.event.amount_minor < 0

    def amount_is_zero(self) -> bool:
        """Tell whether the event moves no money."""
        return self.event.amount_minor == 0

    def amount_differs(self) -> bool:
        """Tell whether the event is about another amount than the invoice's."""
        return self.event.amount_minor != self.invoice.amount_minor

    # The payment.

    def is_earlier(self) -> bool:
        """Tell whether a newer payment of the chain exists."""
        return not self.payment.is_last

    def is_being_replaced(self) -> bool:
        """Tell whether we withdraw the payment to make a newer one."""
        return self.payment.is_being_replaced

    def has_pushed(self) -> bool:
        """Tell whether a push was made for this payment."""
        return self.payment.has_pushed

    def is_authorizing(self) -> bool:
        """Tell whether this is the payment that authorized the invoice."""
        return self.payment.is_authorizing

    def has_authorized(self) -> bool:
        """Tell whether the customer has approved this payment."""
        return self.payment.is_authorizing or self.payment.state is PaymentState.AUTHORIZED

    def has_not_authorized(self) -> bool:
        """Tell whether no AUTHORIZED of this payment has been taken."""
        return not self.has_authorized()

    def has_ended(self) -> bool:
        """Tell whether the payment is known to have ended without money."""
        return self.payment.state in ENDS

    def ended_this_way(self) -> bool:
        """Tell whether the payment is known to have ended as the event says."""
        return self.payment.state == self.event.name.lower()

    def was_withdrawn_to_be_replaced(self) -> bool:
        """Tell whether TERMINATED has come for a payment that we replace."""
        return self.payment.is_being_replaced and self.payment.state is PaymentState.TERMINATED

    # The invoice.

    def invoice_is_closed(self) -> bool:
        """Tell whether the customer can no longer pay this invoice."""
        return not self.invoice.state.is_payable

    def invoice_is_pushed(self) -> bool:
        """Tell whether the invoice waits for the customer."""
        return self.invoice.state is State.PUSHED

    def is_not_pushed_yet(self) -> bool:
        """Tell whether the payment's own push is still to come."""
        return self.invoice.state is State.CREATED and not self.payment.has_pushed

    def lasted_to_the_end(self) -> bool:
        """Tell whether the payment ended where the invoice itself ends."""
        tolerance = timedelta(seconds=END_TOLERANCE_S)
        return self.payment.ends_at >= self.invoice.payable_until - tolerance

    # The money, as the event would leave it.

    def exceeds_reservation(self) -> bool:
        """Tell whether more would be taken and released than was reserved."""
        return self.after.captured + self.after.cancelled > self.after.authorized

    def leaves_something_reserved(self) -> bool:
        """Tell whether a part of the reservation would stay open."""
        return self.after.captured + self.after.cancelled < self.after.authorized

    def refunds_beyond_authorized(self) -> bool:
        """Tell whether more would be given back than was ever reserved."""
        return self.after.refunded > self.after.authorized

    def refunds_beyond_captured(self) -> bool:
        """Tell whether more would be given back than is known to be taken."""
        return self.after.refunded > self.after.captured

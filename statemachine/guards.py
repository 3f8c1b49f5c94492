"""The guards of the table: what must be true, as a sentence, and what was wrong, as a code.

A guard asks only the `Facts` it is given. It never looks anything up: whoever asks for a decision
has read the facts in the same database transaction that will store the decision.
"""

from collections.abc import Callable
from dataclasses import dataclass

from statemachine.amounts import NO_MONEY, Amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Hold all that a guard may ask; every default is the one that refuses.

    `amount_minor` is the invoice's. `before` and `after` are the amounts of the payment that the
    trigger is about, as they are and as the trigger would leave them. The two `reopened_by_…`
    facts are only asked by `reopen`.
    """

    amount_minor: int = 0
    before: Amounts = NO_MONEY
    after: Amounts = NO_MONEY
    payment_is_new: bool = False
    payment_may_live: bool = True
    reopened_by_merchant: bool = False
    reopened_by_customer_in_time: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Say why a guard refused: a stable code and a sentence for people."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Check:
    """Pair one claim about the facts with the reason given when it is false."""

    holds: Callable[[Facts], bool]
    otherwise: Reason


@dataclass(frozen=True, slots=True)
class Guard:
    """Require every one of its checks; `sentence` is what the diagram and the API show."""

    sentence: str
    checks: tuple[Check, ...]

    def objection(self, facts: Facts) -> Reason | None:
        """Return why the facts do not satisfy this guard; None when they do."""
        for check in self.checks:
            if not check.holds(facts):
                return check.otherwise
        return None


_IS_NEW = Check(
    lambda facts: facts.payment_is_new,
    Reason("no_new_payment", "no new payment was created at Vipps"),
)
_NOTHING_LIVES = Check(
    lambda facts: not facts.payment_may_live,
    Reason("payment_may_live", "a payment of this invoice may still be paid"),
)
# Zero is never authorized, so that facts left at their defaults authorize nothing.
_IS_THE_INVOICES = Check(
    lambda facts: facts.after.authorized == facts.amount_minor > 0,
    Reason("amount_differs", "the authorized amount is not the invoice's"),
)
_CAPTURES_SOMETHING = Check(
    lambda facts: facts.after.captured > facts.before.captured,
    Reason("nothing_to_capture", "the amount to capture is not above zero"),
)
_FITS_THE_RESERVATION = Check(
    lambda facts: facts.after.captured + facts.after.cancelled <= facts.after.authorized,
    Reason("amount_exceeds_authorized", "more would be captured than is reserved"),
)
_RELEASES_SOMETHING = Check(
    lambda facts: facts.after.cancelled > facts.before.cancelled,
    Reason("nothing_to_cancel", "nothing is reserved any more"),
)
_RELEASES_THE_WHOLE = Check(
    lambda facts: facts.after.cancelled == facts.after.authorized,
    Reason("not_the_whole_rest", "Vipps always releases the whole rest"),
)
_LEAVES_NOTHING_RESERVED = Check(
    lambda facts: facts.after.captured + facts.after.cancelled == facts.after.authorized,
    Reason("not_the_whole_rest", "Vipps always releases the whole rest"),
)
_ALL_IS_GIVEN_BACK = Check(
    lambda facts: facts.after.refunded == facts.after.captured,
    Reason("not_all_refunded", "a part of the captured money is not refunded"),
)
_REFUNDS_SOMETHING = Check(
    lambda facts: facts.after.refunded > facts.before.refunded,
    Reason("nothing_to_refund", "the amount to refund is not above zero"),
)
_FITS_WHAT_IS_CAPTURED = Check(
    lambda facts: facts.after.refunded <= facts.after.captured,
    Reason("amount_exceeds_captured", "more would be refunded than is captured"),
)
_MAY_REOPEN = Check(
    lambda facts: facts.reopened_by_merchant or facts.reopened_by_customer_in_time,
    Reason("not_allowed_to_reopen", "only the merchant, or the customer in time, may reopen"),
)

a_new_payment_exists = Guard("a new payment was created at Vipps", (_IS_NEW,))
no_payment_may_live = Guard("no payment may still live", (_NOTHING_LIVES,))
amount_is_the_invoices = Guard("the amount is the invoice's", (_IS_THE_INVOICES,))
capture_fits_reservation = Guard(
    "captured + cancelled <= authorized", (_CAPTURES_SOMETHING, _FITS_THE_RESERVATION)
)
cancel_releases_all = Guard(
    "cancelled = authorized (Vipps always releases the whole rest)",
    (_RELEASES_SOMETHING, _RELEASES_THE_WHOLE),
)
cancel_settles = Guard(
    "refunded = captured, captured + cancelled = authorized",
    (_RELEASES_SOMETHING, _ALL_IS_GIVEN_BACK, _LEAVES_NOTHING_RESERVED),
)
cancel_releases_rest = Guard(
    "otherwise; captured + cancelled = authorized",
    (_RELEASES_SOMETHING, _LEAVES_NOTHING_RESERVED),
)
refund_settles = Guard(
    "refunded = captured and nothing is left reserved",
    (_REFUNDS_SOMETHING, _ALL_IS_GIVEN_BACK, _LEAVES_NOTHING_RESERVED),
)
refund_fits_captured = Guard(
    "otherwise; refunded <= captured", (_REFUNDS_SOMETHING, _FITS_WHAT_IS_CAPTURED)
)
reopening_is_allowed = Guard(
    "by the merchant; by the customer on the page while payableUntil is ahead", (_MAY_REOPEN,)
)

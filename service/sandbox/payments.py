"""The life of one payment at Vipps: pure rules, no I/O, no clock of its own.

A payment has five states, four of them final; money is told by its events alone.
Every function returns a new payment with one event more, or raises `Refused` and
leaves everything as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from service.sandbox.cards import DEFAULT_CARD, capture_until, guaranteed_until
from service.sandbox.ids import derived_uuid
from service.sandbox.problems import Refused, refusal

# Source: developer.vippsmobilepay.com/docs/knowledge-base/refund
REFUND_WINDOW = timedelta(days=365)


class State(StrEnum):
    """The state that Vipps reports; all but CREATED are final."""

    CREATED = "CREATED"
    AUTHORIZED = "AUTHORIZED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"
    TERMINATED = "TERMINATED"


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """One line of a payment's event log; `amount_minor` is that event's own amount."""

    name: str
    psp_reference: str
    amount_minor: int
    occurred_at: datetime
    idempotency_key: str | None = None
    success: bool = True


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What became of the money, in minor units."""

    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    cancelled_minor: int


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment with everything Vipps knows of it; `request` is the create body as sent."""

    msn: str
    reference: str
    request: Mapping[str, Any]
    expires_at: datetime
    state: State = State.CREATED
    events: tuple[PaymentEvent, ...] = ()
    redirect_token: str | None = None
    is_authorizing: bool = False
    # When an approval of unknown outcome will turn out well; None while nobody waits for one.
    settles_at: datetime | None = None
    capture_guaranteed_until: datetime | None = None
    # The codes with which the next captures fail, as a tester asked for.
    capture_troubles: tuple[int, ...] = ()
    is_postponed: bool = False
    details_opened: int = 0
    sub: str | None = None
    user_details: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """Name the payment among those of all sales units."""
        return payment_key(self.msn, self.reference)

    @property
    def amount_minor(self) -> int:
        """Return what the customer is asked for."""
        return int(self.request["amount"]["value"])

    @property
    def currency(self) -> str:
        """Return the currency of every amount of this payment."""
        return str(self.request["amount"]["currency"])

    @property
    def is_long_living(self) -> bool:
        """Say whether the merchant set the expiry; only these can be postponed."""
        return self.request.get("expiresAt") is not None

    @property
    def scope(self) -> frozenset[str]:
        """Return what the customer is asked to share."""
        profile = self.request.get("profile") or {}
        return frozenset((profile.get("scope") or "").split())

    @property
    def aggregate(self) -> Aggregate:
        """Return the sums over the successful events."""
        sums = dict.fromkeys(("AUTHORIZED", "CAPTURED", "REFUNDED", "CANCELLED", "TERMINATED"), 0)
        for event in self.events:
            if event.success and event.name in sums:
                sums[event.name] += event.amount_minor
        # A payment withdrawn before authorization reports its full amount as cancelled.
        cancelled_minor = sums["CANCELLED"] + sums["TERMINATED"]
        return Aggregate(sums["AUTHORIZED"], sums["CAPTURED"], sums["REFUNDED"], cancelled_minor)


def payment_key(msn: str, reference: str) -> str:
    """Name a payment: a reference is unique within its sales unit only."""
    return f"{msn}/{reference}"


def created(payment: Payment, now: datetime, *, idempotency_key: str) -> Payment:
    """Return the new payment with its CREATED event."""
    return _with_event(payment, "CREATED", payment.amount_minor, at=now, key=idempotency_key)


def authorized(payment: Payment, now: datetime, *, card: str = DEFAULT_CARD) -> Payment:
    """Return the payment with its full amount reserved on that card. Raises: Refused."""
    if payment.state is State.AUTHORIZED:
        raise refusal(6230)
    _must_be_open(payment)
    key = payment.events[0].idempotency_key
    event = _event(payment, "AUTHORIZED", payment.amount_minor, at=now, key=key)
    return replace(
        payment,
        events=(*payment.events, event),
        state=State.AUTHORIZED,
        is_authorizing=False,
        settles_at=None,
        capture_guaranteed_until=guaranteed_until(card, now, payment.currency),
    )


def declined(payment: Payment, now: datetime) -> Payment:
    """Return the payment whose card gave no money, still open to another try.

    Raises: Refused.
    """
    _must_be_open(payment)
    after = _with_event(payment, "AUTHORIZED", payment.amount_minor, at=now)
    failed = replace(after.events[-1], success=False)
    return replace(after, events=(*payment.events, failed), is_authorizing=False)


def aborted(payment: Payment, now: datetime) -> Payment:
    """Return the payment the customer said no to. Raises: Refused."""
    _must_be_open(payment)
    after = _with_event(payment, "ABORTED", payment.amount_minor, at=now)
    return replace(after, state=State.ABORTED, is_authorizing=False)


def expired(payment: Payment) -> Payment:
    """Return the payment that nobody answered in time, ended at its `expires_at`."""
    after = _with_event(payment, "EXPIRED", payment.amount_minor, at=payment.expires_at)
    return replace(after, state=State.EXPIRED)


def captured(payment: Payment, amount_minor: int, *, now: datetime, key: str) -> Payment:
    """Return the payment with that much of the reserved money taken. Raises: Refused."""
    _must_be_unlocked(payment)
    if payment.state is State.CREATED:
        raise refusal(6080, "The user must accept the payment before it can be captured.")
    if payment.state is not State.AUTHORIZED:
        raise refusal(6200)
    _must_fit_reservation(payment, amount_minor)
    if now > _capture_until(payment):
        raise refusal(6100)
    return _with_event(payment, "CAPTURED", amount_minor, at=now, key=key)


def refunded(payment: Payment, amount_minor: int, *, now: datetime, key: str) -> Payment:
    """Return the payment with that much captured money given back. Raises: Refused."""
    _must_be_unlocked(payment)
    if payment.state is State.CREATED:
        raise refusal(6020)
    if payment.state is not State.AUTHORIZED:
        raise refusal(6210)
    sums = payment.aggregate
    if sums.captured_minor and sums.refunded_minor == sums.captured_minor:
        raise refusal(6180)
    if amount_minor > sums.captured_minor - sums.refunded_minor:
        raise refusal(6150)
    if now > _authorized_at(payment) + REFUND_WINDOW:
        raise refusal(6220)
    return _with_event(payment, "REFUNDED", amount_minor, at=now, key=key)


def cancelled(payment: Payment, now: datetime, *, unauthorized_only: bool) -> Payment:
    """Return the payment withdrawn, or with the rest of its reservation released.

    `unauthorized_only` is Vipps's `cancelTransactionOnly`. Raises: Refused.
    """
    if payment.is_authorizing:
        raise refusal(6250)
    if payment.state is State.CREATED:
        after = _with_event(payment, "TERMINATED", payment.amount_minor, at=now)
        return replace(after, state=State.TERMINATED)
    if payment.state is State.TERMINATED:
        raise refusal(6190)
    if payment.state is not State.AUTHORIZED:
        raise refusal(6050)
    if unauthorized_only:
        raise refusal(6060)
    return _released(payment, now)


def _released(payment: Payment, now: datetime) -> Payment:
    sums = payment.aggregate
    rest_minor = sums.authorized_minor - sums.captured_minor - sums.cancelled_minor
    if rest_minor == 0:
        raise refusal(6190 if sums.cancelled_minor else 6040)
    if now > _capture_until(payment):
        raise refusal(6030)
    return _with_event(payment, "CANCELLED", rest_minor, at=now)


def authorizing(payment: Payment, *, settles_at: datetime | None = None) -> Payment:
    """Return the payment locked while the customer approves it. Raises: Refused."""
    _must_be_open(payment)
    return replace(payment, is_authorizing=True, settles_at=settles_at)


def postponed(payment: Payment) -> Payment:
    """Return the payment with "I'll pay later" noted; Vipps tells nobody. Raises: Refused."""
    _must_be_open(payment)
    if not payment.is_long_living:
        # The app offers the choice only where the merchant set an expiry.
        raise refusal(10010, "Only a payment with expiresAt can be postponed.")
    if payment.is_authorizing:
        raise refusal(6160)
    return replace(payment, is_postponed=True)


def _must_be_open(payment: Payment) -> None:
    if payment.state is not State.CREATED:
        raise refusal(10010, f"The payment is {payment.state}.")


def _must_be_unlocked(payment: Payment) -> None:
    if payment.is_authorizing:
        raise refusal(6160)


def _must_fit_reservation(payment: Payment, amount_minor: int) -> None:
    sums = payment.aggregate
    rest_minor = sums.authorized_minor - sums.captured_minor - sums.cancelled_minor
    if amount_minor <= rest_minor:
        return
    raise _no_room(sums, rest_minor)


def _no_room(sums: Aggregate, rest_minor: int) -> Refused:
    if rest_minor:
        return refusal(6090)
    return refusal(6070 if sums.cancelled_minor else 6170)


def _authorized_at(payment: Payment) -> datetime:
    return next(e.occurred_at for e in payment.events if e.name == "AUTHORIZED" and e.success)


def _capture_until(payment: Payment) -> datetime:
    return capture_until(_authorized_at(payment), payment.currency)


def _with_event(
    payment: Payment, name: str, amount_minor: int, *, at: datetime, key: str | None = None
) -> Payment:
    event = _event(payment, name, amount_minor, at=at, key=key)
    return replace(payment, events=(*payment.events, event))


def _event(
    payment: Payment, name: str, amount_minor: int, *, at: datetime, key: str | None = None
) -> PaymentEvent:
    # Each operation has its own pspReference. Deriving it needs no counter that would have
    # to survive a restart; the instant keeps a reused reference of a fresh sandbox apart.
    psp_reference = derived_uuid(payment.key, at.isoformat(), len(payment.events), name)
    return PaymentEvent(name, psp_reference, amount_minor, at, key)

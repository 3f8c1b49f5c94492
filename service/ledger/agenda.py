"""What is due for an invoice because time passes; derived from its rows, never stored apart.

Each change of an invoice computes anew when somebody must look at it (`attend_at`); whoever
looks computes what is due by then. Nothing can be forgotten, and nothing can be stale.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from service.ledger.loaded import live_payment
from service.ledger.resource import amounts_of
from service.schedule.pushes import PushPolicy, chosen_push_at, next_push_at
from service.schedule.reads import DAY, next_read_when_paid, next_read_while_live
from service.settings import TIME_ZONES, parse_quiet_hours
from service.store.tables import InvoiceRecord, PaymentRecord, SalesUnit
from statemachine import PaymentState, State

# A read confirms a webhook within seconds; after an hour a person should know.
UNCONFIRMED_AFTER = timedelta(hours=1)
_ANSWERED_WITHIN = timedelta(minutes=1)
WARNING_PERCENTS = (50, 80, 95)
# Where Vipps names no end for a reservation (facts, section 1: capture deadlines).
_CAPTURE_WINDOW = {"NOK": 180 * DAY, "DKK": 14 * DAY, "EUR": 14 * DAY}


class What(StrEnum):
    """What is due."""

    READ = "read"
    SWEEP = "sweep"  # a read of what was paid, which can wait its turn
    PUSH = "push"
    EXPIRE = "expire"
    WARN = "warn"
    UNCONFIRMED = "unconfirmed"


class Due(NamedTuple):
    """One thing that is due, and when; `percent` only for a warning.

    `is_asked_for`: a push that the customer wants, which the policy does not count."""

    what: What
    at: datetime
    payment: PaymentRecord | None = None
    is_asked_for: bool = False
    percent: int = 0


def agenda(
    invoice: InvoiceRecord, payments: Sequence[PaymentRecord], unit: SalesUnit, now: datetime
) -> Iterator[Due]:
    """Yield what is due for the invoice, now or later."""
    live = live_payment(payments)
    if live is not None:
        # While it lives, the invoice can't expire; its own end comes first.
        yield Due(What.READ, _look_at(invoice, live, unit), live)
        if live.user_flow == "PUSH_MESSAGE" and live.replacement_flow is None:
            yield from _on_the_chosen_day(invoice, unit, now)
    elif State(invoice.state).is_payable:
        yield from _while_nothing_lives(invoice, payments, unit, now)
    for payment in payments:
        if payment.state == PaymentState.AUTHORIZED:
            yield from _reads_when_paid(invoice, payment)
        if payment.unconfirmed_since is not None:
            yield _doubt(payment, payment.unconfirmed_since)
    yield from _warnings(invoice)


def next_at(
    invoice: InvoiceRecord, payments: Sequence[PaymentRecord], unit: SalesUnit, now: datetime
) -> datetime | None:
    """Return when the invoice must be looked at; None = never again by itself."""
    return min((due.at for due in agenda(invoice, payments, unit, now)), default=None)


def _while_nothing_lives(
    invoice: InvoiceRecord, payments: Sequence[PaymentRecord], unit: SalesUnit, now: datetime
) -> Iterator[Due]:
    yield Due(What.EXPIRE, invoice.payable_until)
    last = payments[-1] if payments else None
    if invoice.ask_on is not None:
        yield from _on_the_chosen_day(invoice, unit, now)
    elif last is not None and last.then_ask and _is_wanted(invoice) and now < invoice.payable_until:
        # At once, whatever the hour: who asked for this was at the page ten minutes ago.
        yield Due(What.PUSH, last.ended_at or now, is_asked_for=True)
    elif last is not None and last.state == PaymentState.EXPIRED:
        at = _push_at(invoice, last, unit, now)
        if at is not None:
            yield Due(What.PUSH, at)


def _on_the_chosen_day(invoice: InvoiceRecord, unit: SalesUnit, now: datetime) -> Iterator[Due]:
    """Yield the push on the day that the customer chose; until then there is no other."""
    if invoice.ask_on is None or not State(invoice.state).is_payable or not _is_wanted(invoice):
        return
    at = chosen_push_at(policy_of(unit), invoice.ask_on, now=now)
    if at < invoice.payable_until:
        yield Due(What.PUSH, at, is_asked_for=True)


def _look_at(invoice: InvoiceRecord, live: PaymentRecord, unit: SalesUnit) -> datetime:
    looked_at = live.looked_at or live.created_at
    at = next_read_while_live(live.created_at, live.ends_at, looked_at)
    if live.state == PaymentState.REQUESTED and invoice.payable_until > looked_at:
        at = min(at, invoice.payable_until)  # it may never have been tried
    silent_at = live.created_at + timedelta(seconds=unit.soft_dismiss_after_s)
    is_next = invoice.state == State.PUSHED and silent_at > looked_at
    return min(at, silent_at) if is_next else at


def _doubt(payment: PaymentRecord, since: datetime) -> Due:
    """Return when a webhook that no read has confirmed is shown to people.

    After one more read: an hour in which the service itself was away says nothing."""
    at = since + UNCONFIRMED_AFTER
    if payment.looked_at is None or payment.looked_at < at:
        return Due(What.READ, at, payment)
    return Due(What.UNCONFIRMED, payment.looked_at + _ANSWERED_WITHIN, payment)


def _push_at(
    invoice: InvoiceRecord, lapsed: PaymentRecord, unit: SalesUnit, now: datetime
) -> datetime | None:
    is_ours_to_ask = invoice.flow == "PUSH_MESSAGE" and _is_wanted(invoice)
    if not is_ours_to_ask or lapsed.ended_at is None:
        return None
    return next_push_at(
        policy_of(unit),
        lapsed_at=lapsed.ended_at,
        now=now,
        pushes_made=invoice.own_pushes,
        due_date=invoice.due_date,
        payable_until=invoice.payable_until,
    )


def _is_wanted(invoice: InvoiceRecord) -> bool:
    return (
        invoice.closing is None and invoice.paid_elsewhere is None and invoice.replaced_by is None
    )


def policy_of(unit: SalesUnit) -> PushPolicy:
    """Return a sales unit's policy for pushes of our own."""
    return PushPolicy(
        zone=ZoneInfo(TIME_ZONES[unit.currency]),
        push_again_after_s=unit.push_again_after_s,
        pushes_max=unit.max_pushes,
        quiet_hours=parse_quiet_hours(unit.quiet_hours),
    )


def _reads_when_paid(invoice: InvoiceRecord, payment: PaymentRecord) -> Iterator[Due]:
    # Of one that came too late only its making is dated.
    is_the_invoices = payment.id == invoice.authorized_by
    since = (invoice.authorized_at if is_the_invoices else None) or payment.created_at
    looked_at = max(payment.looked_at or since, since)
    is_open = amounts_of(payment).remaining_to_capture > 0
    at = next_read_when_paid(since, looked_at, is_open=is_open)
    if at is not None:
        yield Due(What.SWEEP, at, payment)


def _warnings(invoice: InvoiceRecord) -> Iterator[Due]:
    """Yield the last one first: where several are due at once, it says the most."""
    if invoice.authorized_by is None or amounts_of(invoice).remaining_to_capture <= 0:
        return
    authorized_at = invoice.authorized_at or invoice.updated_at
    window = capture_until(invoice) - authorized_at
    for percent in reversed(WARNING_PERCENTS):
        if percent > invoice.warned_percent:
            yield Due(What.WARN, authorized_at + window * percent / 100, percent=percent)


def capture_until(invoice: InvoiceRecord) -> datetime:
    """Return when the reservation can no longer be captured for certain."""
    authorized_at = invoice.authorized_at or invoice.updated_at
    return invoice.capture_guaranteed_until or authorized_at + _CAPTURE_WINDOW[invoice.currency]

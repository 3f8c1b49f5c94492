"""Settling a command: its outcome and all that follows from it, in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import compress

from service.commands.creating import (
    ask_anew,
    ask_without_expiry,
    give_up_the_lost,
    push,
    refuse_lost,
    refuse_payment,
    seek_lost,
    take_next_name,
)
from service.commands.outcome import (
    again,
    clear_problem,
    close,
    hold_or_release,
    leases_now,
    show_problem,
    write_attempts,
)
from service.commands.run import Ran, Reading
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.reading import sums_agree, take_in
from service.store.recovery import were_read
from service.store.tables import CommandStatus, InvoiceRecord, PaymentRecord
from service.vipps import Then
from service.vipps.adoption import UNSEEN_S, is_seen_by_now, is_taken_elsewhere, may_adopt
from service.vipps.bodies import LEFT_S_MIN
from statemachine import PaymentState, VippsEventName

# Vipps's log follows its answer within moments; until then the command is not done, so that
# what it took is still counted as under way.
LOG_LAG_S = 2.0
LOG_LAGS_MAX = 30
# The first look after a push: the polling guideline's five seconds (facts, section 7).
READ_AFTER_PUSH_S = 5.0

_TOLD_BY_LOG = (CommandKind.CANCEL_PAYMENT, CommandKind.CAPTURE, CommandKind.REFUND)
_EVENT_OF = {
    CommandKind.CAPTURE: VippsEventName.CAPTURED,
    CommandKind.REFUND: VippsEventName.REFUNDED,
}


def settle(book: Book, batch: Sequence[Ran]) -> list[bool]:
    """Settle each command; False where its lease had passed to another worker."""
    book.load(ran.claimed.invoice_id for ran in batch)
    write_attempts(book, batch)
    leases = leases_now(book, batch)
    are_ours = [leases.get(ran.claimed.id) == ran.claimed.lease for ran in batch]
    ours = list(compress(batch, are_ours))
    for ran in ours:
        _settle_one(book, ran)
    were_read(book.session, [ran.claimed.payment_id for ran in ours if _is_read_at_last(ran)])
    hold_or_release(book, ours)
    return are_ours


def _is_read_at_last(ran: Ran) -> bool:
    """Tell whether Vipps has said all of a payment that a restored database had to ask about."""
    is_read = ran.claimed.is_unread and ran.claimed.kind is CommandKind.READ_PAYMENT
    return is_read and ran.verdict.then in (Then.DONE, Then.NOT_KNOWN)


def _settle_one(book: Book, ran: Ran) -> None:
    claimed = ran.claimed
    book.cause = claimed.cause.text
    invoice = book.invoice(claimed.invoice_id)
    payment = next(p for p in book.payments(invoice) if p.id == claimed.payment_id)
    if ran.reading is not None and _is_to_be_taken_in(ran, ran.reading):
        reading = ran.reading
        take_in(
            book,
            invoice,
            payment,
            reading.log,
            reading.snapshot,
            read_id=claimed.id,
            userinfo=reading.userinfo,
        )
    _THEN[ran.verdict.then](book, ran, invoice, payment)


def _is_to_be_taken_in(ran: Ran, reading: Reading) -> bool:
    """Tell whether what Vipps has under our reference is ours, and all that there is before it.

    Of an invoice that was lost and posted again, its other payments have to be found first."""
    if ran.verdict.then not in (Then.ADOPT_OR_SUFFIX, Then.ASK_ANEW):
        return True
    return _is_ours(ran, reading) and not ran.is_of_a_lost


def _is_ours(ran: Ran, reading: Reading) -> bool:
    return may_adopt(
        reading.snapshot,
        invoice_id=ran.claimed.invoice_id,
        amount_minor=ran.claimed.invoice_amount_minor,
        currency=ran.claimed.currency,
    )


# What follows, by the verdict


def _done(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    kind = ran.claimed.kind
    if kind is CommandKind.CREATE_PAYMENT:
        push(book, invoice, payment, ran)
        book.plan_read(payment, after_s=READ_AFTER_PUSH_S)
    elif kind in _TOLD_BY_LOG:
        if not _is_reflected(ran, payment):
            # Ever less often, should the log never show it.
            again(book, ran, LOG_LAG_S * min(ran.claimed.attempt, LOG_LAGS_MAX))
            return
        clear_problem(book, invoice)
    close(book, ran, CommandStatus.DONE)


def _again_same(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    if ran.claimed.kind is CommandKind.CREATE_PAYMENT:
        show_problem(book, invoice, ran)
    again(book, ran, ran.verdict.wait_s)


def _unless_reflected(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    if _is_reflected(ran, payment):
        close(book, ran, CommandStatus.DONE)
        clear_problem(book, invoice)
    else:
        again(book, ran, ran.verdict.wait_s)


def _wait_and_read(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """The customer is at it, or the bank. Vipps keeps its no for this key: again under a new one.

    In its place in the payment's line: what was decided after it still waits for it."""
    if _is_reflected(ran, payment):
        close(book, ran, CommandStatus.DONE)
        return
    if ran.claimed.kind in _EVENT_OF:
        show_problem(book, invoice, ran)
    again(book, ran, ran.verdict.wait_s, has_new_key=True)


def _too_late(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """The customer was faster: the log has said so, and what follows from it is decided."""
    if payment.state == PaymentState.CREATED:
        again(book, ran, LOG_LAG_S)  # the log does not show the approval yet
    else:
        close(book, ran, CommandStatus.DONE)


def _adopt_or_suffix(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    if ran.reading is not None:
        _take_what_is_there(book, ran, ran.reading, invoice, payment)
    elif ran.is_absent and is_taken_elsewhere(ran.answer.code, ran.last_try_ago_s):
        close(book, ran, CommandStatus.FAILED)
        take_next_name(book, invoice, payment)
    else:
        # Going on to the next name could ask the customer twice (I9), also where the read failed.
        again(book, ran, ran.verdict.wait_s)


def _take_what_is_there(
    book: Book, ran: Ran, reading: Reading, invoice: InvoiceRecord, payment: PaymentRecord
) -> None:
    """Go on with the payment that Vipps has, if it is ours; else ask under another name."""
    if ran.is_of_a_lost and _is_ours(ran, reading):
        close(book, ran, CommandStatus.DONE)
        seek_lost(book, invoice, payment)
    elif ran.is_of_a_lost:
        close(book, ran, CommandStatus.FAILED)
        refuse_lost(book, invoice, payment)
    elif _is_ours(ran, reading):
        push(book, invoice, payment, ran)
        close(book, ran, CommandStatus.DONE)
    else:
        close(book, ran, CommandStatus.FAILED)
        take_next_name(book, invoice, payment)


def _ask_anew(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Never send this request again; what follows waits for the proof that it made nothing."""
    if ran.reading is not None:
        _take_what_is_there(book, ran, ran.reading, invoice, payment)
    elif payment.state != PaymentState.REQUESTED:
        close(book, ran, CommandStatus.DONE)  # a webhook has told of it since
    elif not ran.is_absent or not is_seen_by_now(ran.last_try_ago_s):
        again(book, ran, max(ran.verdict.wait_s, UNSEEN_S))
    elif not ran.claimed.is_outdated and not _is_too_near(payment, book.now):
        # By our clock there is time: the clocks differ, and another body would fare no better.
        _push_refused(book, ran, invoice, payment)
    else:
        close(book, ran, CommandStatus.DROPPED)
        ask_anew(book, invoice, payment)


def _is_too_near(payment: PaymentRecord, now: datetime) -> bool:
    left = payment.ends_at - now
    return left <= timedelta(seconds=LEFT_S_MIN)


def _without_expires_at(
    book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord
) -> None:
    if payment.replacement_flow is not None or invoice.closing is not None:
        # It would be asked for only to be withdrawn.
        _push_refused(book, ran, invoice, payment)
        return
    close(book, ran, CommandStatus.FAILED)
    ask_without_expiry(book, invoice, payment)


def _push_refused(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    _final(book, ran, invoice, payment, can_fail=False)


def _final(
    book: Book,
    ran: Ran,
    invoice: InvoiceRecord,
    payment: PaymentRecord,
    *,
    can_fail: bool = True,
) -> None:
    if ran.claimed.kind in _TOLD_BY_LOG and _is_reflected(ran, payment):
        close(book, ran, CommandStatus.DONE)  # there was nothing left to do
        return
    close(book, ran, CommandStatus.FAILED)
    if ran.is_absent and give_up_the_lost(book, invoice, payment):
        return
    if ran.claimed.kind in (CommandKind.ATTACH_CATEGORY, CommandKind.READ_PAYMENT):
        return  # a courtesy, or a question: neither says anything about the invoice
    show_problem(book, invoice, ran)
    if ran.claimed.kind is CommandKind.CREATE_PAYMENT:
        refuse_payment(book, invoice, payment, ran, can_fail=can_fail)
    else:
        book.tell(invoice, "invoice.needs_attention", f"{ran.claimed.kind}_refused")


def _wait_for_keys(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    again(book, ran, 0.0)  # due as soon as the sales unit is no longer held


def _not_known(book: Book, ran: Ran, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    close(book, ran, CommandStatus.DONE)
    give_up_the_lost(book, invoice, payment)


_Follow = Callable[[Book, Ran, InvoiceRecord, PaymentRecord], None]

_THEN: Mapping[Then, _Follow] = {
    Then.DONE: _done,
    Then.AGAIN_SAME: _again_same,
    Then.READ_FIRST: _unless_reflected,
    Then.WAIT_AND_READ: _wait_and_read,
    Then.TOO_LATE: _too_late,
    Then.ADOPT_OR_SUFFIX: _adopt_or_suffix,
    Then.WITHOUT_EXPIRES_AT: _without_expires_at,
    Then.ASK_ANEW: _ask_anew,
    Then.PUSH_REFUSED: _push_refused,
    Then.FINAL: _final,
    Then.HOLD: _wait_for_keys,
    Then.NOT_KNOWN: _not_known,
}


def _is_reflected(ran: Ran, payment: PaymentRecord) -> bool:
    """Tell whether the log shows what the command was to do."""
    if ran.reading is None:
        return False
    if ran.claimed.kind is CommandKind.CANCEL_PAYMENT:
        return _is_released(payment)
    name = _EVENT_OF[ran.claimed.kind]
    key = ran.claimed.idempotency_key
    entries = [e.event for e in ran.reading.log.entries if e.event.name == name]
    if any(event.idempotency_key == key and event.success for event in entries):
        return True
    # Vipps may leave the key out of an entry: then its sums have the last word.
    is_agreed = bool(entries) and sums_agree(payment, ran.reading.snapshot)
    return ran.verdict.then is Then.DONE and is_agreed


def _is_released(payment: PaymentRecord) -> bool:
    if payment.state != PaymentState.AUTHORIZED:
        return payment.state not in (PaymentState.REQUESTED, PaymentState.CREATED)
    return payment.captured_minor + payment.cancelled_minor == payment.authorized_minor

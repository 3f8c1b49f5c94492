"""Every Vipps event that is stored, and what becomes of it: contract section 4.

Webhooks and entries of the event log take this one path. A batch shares a transaction;
its events are judged one after the other against the rows in memory, so that two events of
one invoice in one batch follow each other as they would in two.
"""

from collections.abc import Mapping, Sequence

from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.consequences import after_verdict, flag
from service.ledger.payments import was_made
from service.ledger.received import Received, invoice_view, payment_view, reported, stored_row
from service.ledger.sharing import (
    is_of_a_person,
    seal_for_person,
    take_in_payer,
    told_by_vipps,
)
from service.ledger.stored import MSN_DIFFERS, Row
from service.ledger.types import Evidence
from service.store.inserts import table_of
from service.store.statements import Selection
from service.store.tables import InvoiceRecord, Payment, PaymentRecord
from statemachine import (
    ENDS,
    Amounts,
    Outcome,
    PaymentState,
    Trigger,
    Verdict,
    VippsEventName,
    judge,
)
from webhooks.errors import NotAnEpaymentEvent
from webhooks.vipps_event import VippsEvent

_payment = table_of(Payment).c
_OWNERS = Selection((_payment.invoice_id,), key=_payment.reference, equal=(_payment.msn,))

_Found = tuple[InvoiceRecord, PaymentRecord]
_ByName = Mapping[tuple[str, str], _Found]  # by (msn, reference)

_NAMES = frozenset(VippsEventName)

# A webhook moves the state at once; a read confirms it a moment later, when the events
# that come in a burst (CREATED, AUTHORIZED) are all in the log.
CONFIRM_AFTER_S = 1.0


def record(book: Book, batch: Sequence[Received]) -> list[Outcome]:
    """Store every report with its outcome and all that follows from it."""
    found = _payments(book, batch)
    return [_record_one(book, found, received) for received in batch]


def _record_one(book: Book, found: _ByName, received: Received) -> Outcome:
    book.cause = received.cause
    row = stored_row(received, book)
    book.rows.vipps_events.append(row)
    row["outcome"], row["reason"] = _judge(book, found, received, row)
    return Outcome(row["outcome"])


def _judge(book: Book, found: _ByName, received: Received, row: Row) -> tuple[Outcome, str]:
    """Judge one report: what can be said without a payment first."""
    report = received.report
    if isinstance(report, NotAnEpaymentEvent):
        return Outcome.IGNORED, "another_api"
    if not isinstance(report, VippsEvent):
        return Outcome.MALFORMED, str(report)
    # By the path's sales unit: what another one's event says must not reach its rows.
    of_ours = found.get((received.msn, report.reference))
    if report.msn != received.msn:
        return _judge_foreign(book, row, of_ours)
    if report.name not in _NAMES:
        return Outcome.IGNORED, "unknown_name"
    if of_ours is None:
        return Outcome.UNMATCHED, "unknown_reference"
    if not is_of_a_person(report):
        return _judge_found(book, row, *of_ours)
    if report.name == VippsEventName.AUTHORIZED and report.success:
        # First, so that the event of the approval names the customer already.
        take_in_payer(book, *of_ours, told_by_vipps(report.sub, report.user_details))
    judged = _judge_found(book, row, *of_ours)
    seal_for_person(book, *of_ours, received, row)
    return judged


def _judge_foreign(book: Book, row: Row, of_ours: _Found | None) -> tuple[Outcome, str]:
    """Refuse what another sales unit's event says of a payment of ours, and flag it once."""
    if of_ours is not None:
        invoice, payment = of_ours
        if book.stored.is_foreign_twin(payment, row):
            return Outcome.DUPLICATE, "twin"
        row["outcome"], row["reason"] = Outcome.REFUSED, MSN_DIFFERS
        book.stored.add(payment, row)
        flag(book, invoice, payment, MSN_DIFFERS)
    return Outcome.REFUSED, MSN_DIFFERS


def _judge_found(
    book: Book, row: Row, invoice: InvoiceRecord, payment: PaymentRecord
) -> tuple[Outcome, str]:
    """Judge a report of one of our payments, and what was kept until now of that payment."""
    row["invoice_id"], row["payment_id"] = invoice.id, payment.id
    verdict = _verdict(book, row, invoice, payment)
    _follow(book, verdict, row, invoice, payment)
    book.stored.add(payment, row)
    if verdict.outcome is Outcome.APPLIED:
        _settle_early(book, invoice, payment)
    if row["source"] == "webhook" and verdict.outcome is not Outcome.DUPLICATE:
        book.plan_read(payment, after_s=CONFIRM_AFTER_S)
    return verdict.outcome, verdict.reason


def _verdict(book: Book, row: Row, invoice: InvoiceRecord, payment: PaymentRecord) -> Verdict:
    view = payment_view(book, invoice, payment)
    return judge(reported(row), view, invoice_view(invoice), book.stored.twins(payment, row))


def _follow(
    book: Book, verdict: Verdict, row: Row, invoice: InvoiceRecord, payment: PaymentRecord
) -> None:
    """Write down the verdict, and do what it says."""
    row["outcome"], row["reason"] = verdict.outcome, verdict.reason
    if verdict.outcome is Outcome.APPLIED:
        _apply(book, verdict, row, invoice, payment)
    after_verdict(book, verdict, invoice, payment)


def _apply(
    book: Book,
    verdict: Verdict,
    row: Row,
    invoice: InvoiceRecord,
    payment: PaymentRecord,
) -> None:
    row["applied_at"] = book.now
    if row["source"] == "webhook" and payment.unconfirmed_since is None:
        payment.unconfirmed_since = book.now
    if payment.state == PaymentState.REQUESTED and row["name"] == VippsEventName.CREATED:
        # By our clock, should Vipps's be ahead: what is due is due by ours.
        was_made(payment, min(row["occurred_at"], book.now))
    _take_in(payment, verdict)
    if payment.state in ENDS and payment.ended_at is None:
        payment.ended_at = row["occurred_at"]
    book.touch(invoice, payment)
    decision = verdict.decision
    if decision is None:
        book.tell(invoice, "invoice.payment_ended", verdict.reason)
        return
    if decision.trigger is Trigger.AUTHORIZE:
        invoice.authorized_by = payment.id
        invoice.authorized_at = row["occurred_at"]
    if decision.trigger is Trigger.PUSH:
        payment.has_pushed = True
    if (invoice.problem or {}).get("command") == CommandKind.CREATE_PAYMENT:
        invoice.problem = None  # that Vipps could not be asked, which it was
    book.move(invoice, decision, _evidence(row, payment))


def _take_in(payment: PaymentRecord, verdict: Verdict) -> None:
    payment.state = verdict.payment_state
    amounts: Amounts = verdict.payment_amounts
    payment.authorized_minor = amounts.authorized
    payment.captured_minor = amounts.captured
    payment.refunded_minor = amounts.refunded
    payment.cancelled_minor = amounts.cancelled


def _evidence(row: Row, payment: PaymentRecord) -> Evidence:
    is_read = row["source"] == "poll"
    return Evidence(
        source=row["source"],
        id=row["id"],
        hash=row["raw_hash"],
        occurred_at=row["occurred_at"],
        confirmed_at=row["received_at"] if is_read else None,
        amount_minor=row["amount_minor"],
        payment_reference=payment.reference,
    )


def judge_early_again(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Judge the kept events of a payment that something else than an event has changed."""
    book.stored.load([payment])
    _settle_early(book, invoice, payment)


def _settle_early(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Judge the kept events of a payment again until none of them changes anything."""
    has_moved = True
    while has_moved:
        kept = [row for row in book.stored.of(payment) if row["outcome"] == Outcome.EARLY]
        kept.sort(key=lambda row: row["occurred_at"])
        has_moved = any([_judge_again(book, row, invoice, payment) for row in kept])


def _judge_again(book: Book, row: Row, invoice: InvoiceRecord, payment: PaymentRecord) -> bool:
    """Judge one kept event; False where it is still too early for it."""
    verdict = _verdict(book, row, invoice, payment)
    if verdict.outcome is Outcome.EARLY:
        return False
    _follow(book, verdict, row, invoice, payment)
    if book.stored.is_in_database(row):
        change = {"key": row["id"], "new_outcome": verdict.outcome, "why": verdict.reason}
        book.rows.rejudged.append({**change, "at": row["applied_at"]})
    return True


def _payments(book: Book, batch: Sequence[Received]) -> _ByName:
    """Lock the invoices whose payments are named, and return both by (msn, reference)."""
    named = {(r.msn, r.report.reference) for r in batch if isinstance(r.report, VippsEvent)}
    if not named:
        return {}
    ids: set[str] = set()
    for msn in sorted({msn for msn, _ in named}):
        references = [reference for unit, reference in named if unit == msn]
        ids.update(row["invoice_id"] for row in _OWNERS.rows(book.session, references, msn))
    book.load(ids)
    chains = ((i, p) for i in map(book.invoice, ids) for p in book.payments(i))
    found = {(p.msn, p.reference): (i, p) for i, p in chains if (p.msn, p.reference) in named}
    book.stored.load(payment for _, payment in found.values())
    return found

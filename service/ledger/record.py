"""Every Vipps event that is stored, and what becomes of it: contract section 4.

Webhooks and entries of the event log take this one path. A batch shares a transaction;
its events are judged one after the other against the rows in memory, so that two events of
one invoice in one batch follow each other as they would in two.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from service.ledger.book import Book
from service.ledger.consequences import after_verdict, flag
from service.ledger.received import (
    Key,
    Received,
    invoice_view,
    payment_view,
    reported,
    stored_row,
)
from service.ledger.types import Evidence
from service.store.inserts import table_of
from service.store.tables import InvoiceRecord, Payment, PaymentRecord, StoredVippsEvent
from statemachine import Amounts, Outcome, Trigger, Twin, Verdict, VippsEventName, judge
from webhooks.errors import NotAnEpaymentEvent
from webhooks.vipps_event import VippsEvent, event_key

_NAMES = frozenset(VippsEventName)

# A webhook moves the state at once; a read confirms it a moment later, when the events
# that come in a burst (CREATED, AUTHORIZED) are all in the log.
CONFIRM_AFTER_S = 1.0


@dataclass(slots=True)
class _Known:
    """What the database holds about a batch's events."""

    payments: dict[tuple[str, str], tuple[InvoiceRecord, PaymentRecord]]
    twins: dict[Key, list[Twin]]
    early: dict[str, list[dict[str, Any]]]  # by payment


def record(book: Book, batch: Sequence[Received]) -> list[Outcome]:
    """Store every report with its outcome and all that follows from it."""
    known = _look_up(book, batch)
    return [_record_one(book, known, received) for received in batch]


def _record_one(book: Book, known: _Known, received: Received) -> Outcome:
    row = stored_row(received, book)
    book.rows.vipps_events.append(row)
    row["outcome"], row["reason"] = _judge(book, known, received, row)
    return Outcome(row["outcome"])


def _judge(
    book: Book, known: _Known, received: Received, row: dict[str, Any]
) -> tuple[Outcome, str]:
    """Judge one report: what can be said without a payment first."""
    report = received.report
    if isinstance(report, NotAnEpaymentEvent):
        return Outcome.IGNORED, "another_api"
    if not isinstance(report, VippsEvent):
        return Outcome.MALFORMED, str(report)
    found = known.payments.get((received.msn, report.reference))
    if report.msn != received.msn:
        if found is not None:
            flag(book, *found, "msn_differs")
        return Outcome.REFUSED, "msn_differs"
    if report.name not in _NAMES:
        return Outcome.IGNORED, "unknown_name"
    if found is None:
        return Outcome.UNMATCHED, "unknown_reference"
    return _judge_found(book, known, row, *found)


def _judge_found(
    book: Book,
    known: _Known,
    row: dict[str, Any],
    invoice: InvoiceRecord,
    payment: PaymentRecord,
) -> tuple[Outcome, str]:
    """Judge a report of one of our payments, and what was kept until now of that payment."""
    verdict = _judge_payment(book, known, row, invoice, payment)
    known.twins[_key(row)].append(_twin(row, verdict.outcome))
    if verdict.outcome is Outcome.EARLY:
        known.early[payment.id].append(row)
    if verdict.outcome is Outcome.APPLIED:
        _settle_early(book, known, invoice, payment)
    if row["source"] == "webhook" and verdict.outcome is not Outcome.DUPLICATE:
        book.plan_read(payment, after_s=CONFIRM_AFTER_S)
    return verdict.outcome, verdict.reason


def _judge_payment(
    book: Book,
    known: _Known,
    row: dict[str, Any],
    invoice: InvoiceRecord,
    payment: PaymentRecord,
) -> Verdict:
    row["invoice_id"], row["payment_id"] = invoice.id, payment.id
    twins = known.twins[_key(row)]
    verdict = judge(
        reported(row), payment_view(book, invoice, payment), invoice_view(invoice), twins
    )
    if verdict.outcome is Outcome.APPLIED:
        _apply(book, verdict, row, invoice, payment)
    after_verdict(book, verdict, invoice, payment)
    return verdict


def _apply(
    book: Book,
    verdict: Verdict,
    row: dict[str, Any],
    invoice: InvoiceRecord,
    payment: PaymentRecord,
) -> None:
    row["applied_at"] = book.now
    _take_in(payment, verdict)
    book.touch(invoice, payment)
    decision = verdict.decision
    if decision is None:
        book.tell(invoice, "invoice.payment_ended", verdict.reason)
        return
    if decision.trigger is Trigger.AUTHORIZE:
        invoice.authorized_by = payment.id
    if decision.trigger is Trigger.PUSH:
        payment.has_pushed = True
        invoice.problem = None
    book.move(invoice, decision, _evidence(row, payment))


def _take_in(payment: PaymentRecord, verdict: Verdict) -> None:
    payment.state = verdict.payment_state
    amounts: Amounts = verdict.payment_amounts
    payment.authorized_minor = amounts.authorized
    payment.captured_minor = amounts.captured
    payment.refunded_minor = amounts.refunded
    payment.cancelled_minor = amounts.cancelled


def _evidence(row: dict[str, Any], payment: PaymentRecord) -> Evidence:
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
    early = _early(book, [payment.id])
    if early:
        _settle_early(book, _Known({}, _twins(book, set(), early), early), invoice, payment)


def _settle_early(
    book: Book, known: _Known, invoice: InvoiceRecord, payment: PaymentRecord
) -> None:
    """Judge the kept events of a payment again until none of them changes anything."""
    waiting = known.early[payment.id]
    has_moved = True
    while has_moved:
        has_moved = False
        for row in sorted(waiting, key=lambda kept: kept["occurred_at"]):
            if _judge_again(book, known, row, invoice, payment) is not Outcome.EARLY:
                waiting.remove(row)
                has_moved = True


def _judge_again(
    book: Book,
    known: _Known,
    row: dict[str, Any],
    invoice: InvoiceRecord,
    payment: PaymentRecord,
) -> Outcome:
    twins = list(known.twins[_key(row)])
    twins.remove(_twin(row, Outcome.EARLY))  # its own row is no precedent
    view = payment_view(book, invoice, payment)
    verdict = judge(reported(row), view, invoice_view(invoice), twins)
    if verdict.outcome is Outcome.EARLY:
        return verdict.outcome
    if verdict.outcome is Outcome.APPLIED:
        _apply(book, verdict, row, invoice, payment)
    after_verdict(book, verdict, invoice, payment)
    known.twins[_key(row)] = [*twins, _twin(row, verdict.outcome)]
    _rewrite(book, row, verdict)
    return verdict.outcome


def _rewrite(book: Book, row: dict[str, Any], verdict: Verdict) -> None:
    """Give the kept event its outcome, in this transaction's rows or in the database."""
    row["outcome"], row["reason"] = verdict.outcome, verdict.reason
    if not any(new is row for new in book.rows.vipps_events):
        change = {"key": row["id"], "new_outcome": verdict.outcome, "why": verdict.reason}
        book.rows.rejudged.append({**change, "at": row["applied_at"]})


def _twin(row: dict[str, Any], outcome: Outcome) -> Twin:
    return Twin(outcome, row["amount_minor"], row["success"])


def _key(row: dict[str, Any]) -> Key:
    return row["msn"], row["reference"], row["name"], row["psp_reference"]


def _look_up(book: Book, batch: Sequence[Received]) -> _Known:
    said = [(r.msn, r.report) for r in batch if isinstance(r.report, VippsEvent)]
    # By the path's sales unit: what another one's event says must not reach its rows.
    payments = _payments(book, {(msn, report.reference) for msn, report in said})
    early = _early(book, [payment.id for _, payment in payments.values()])
    twins = _twins(book, {event_key(report) for _, report in said}, early)
    return _Known(payments, twins, early)


def _payments(
    book: Book, named: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[InvoiceRecord, PaymentRecord]]:
    """Lock the invoices whose payments are named, and return both by (msn, reference)."""
    wanted = list(named)
    if not wanted:
        return {}
    pair = sa.tuple_(col(Payment.msn), col(Payment.reference))
    owners = sa.select(col(Payment.invoice_id)).where(pair.in_(wanted)).distinct()
    ids = list(book.session.execute(owners).scalars())
    book.load(ids)
    chains = ((i, p) for i in map(book.invoice, ids) for p in book.payments(i))
    return {(p.msn, p.reference): (i, p) for i, p in chains}


def _early(book: Book, payment_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the kept events of these payments, as rows."""
    kept: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if payment_ids:
        column = table_of(StoredVippsEvent).c
        of_these = column.payment_id.in_(payment_ids)
        for row in book.session.execute(
            sa.select(*column).where(of_these, column.outcome == Outcome.EARLY)
        ):
            kept[row.payment_id].append(dict(row._mapping))
    return kept


def _twins(
    book: Book, keys: set[Key], early: dict[str, list[dict[str, Any]]]
) -> dict[Key, list[Twin]]:
    """Return what became of every stored event with one of these keys."""
    wanted = keys | {_key(row) for rows in early.values() for row in rows}
    found: dict[Key, list[Twin]] = defaultdict(list)
    if not wanted:
        return found
    column = table_of(StoredVippsEvent).c
    key = (column.msn, column.reference, column.name, column.psp_reference)
    said = (column.outcome, column.amount_minor, column.success)
    stored = sa.select(*key, *said).where(sa.tuple_(*key).in_(list(wanted)))
    for row in book.session.execute(stored):
        twin = Twin(Outcome(row.outcome), row.amount_minor, row.success)
        found[_key(dict(row._mapping))].append(twin)
    return found

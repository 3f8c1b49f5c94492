"""Payments that a restored database can't know: made after the backup, of invoices that are in it.

The names of an invoice's payments are fixed (contract, section 2). So Vipps is asked what it has
under the next ones; what was made for this very invoice is taken into its chain, before anything
else is read of it: an end of the payment before would else look like the end of the invoice.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from time import monotonic

import sqlalchemy as sa
import structlog
from anyio import to_thread

from service.commands.claim import open_keys
from service.context import Context
from service.kinds import CommandKind
from service.ledger.book import Book, write
from service.ledger.payments import adopt, names_to_come
from service.store.inserts import table_of
from service.store.recovery import add_unread, were_read
from service.store.tables import Invoice, Payment, SalesUnit, Unread
from service.vault import SealBroken
from service.vipps import Then, VippsClient, VippsKeys, judge
from service.vipps.adoption import may_adopt
from service.vipps.reading import PaymentSnapshot, UnreadableAnswer, read_payment

# So many invoices are sought for at a time, each with one call under way.
AT_ONCE = 50
# A name that Vipps refused leaves a gap; after two it knows no more of them.
ABSENT_MAX = 2
# An end also where every name is somebody else's.
NAMES_MAX = 50
# Where Vipps can't be asked.
AGAIN_S = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sought:
    """One invoice, and what its next payment would be."""

    invoice_id: str
    reference: str
    amount_minor: int
    currency: str
    used: frozenset[str]  # names of the payments that we know
    keys: VippsKeys = field(repr=False)


class Seeker:
    """Looks at Vipps for what comes after the payments that are known."""

    def __init__(self, context: Context, client: VippsClient) -> None:
        """Keep what is needed; nothing is asked yet."""
        self._context = context
        self._client = client
        self._again_at: dict[str, float] = {}  # by sales unit, where Vipps could not be asked

    async def seek(self, msn: str) -> None:
        """Ask about the next invoices of a recovering sales unit. Raises: DatabaseAway."""
        if monotonic() < self._again_at.get(msn, 0.0):
            return
        sought = await to_thread.run_sync(self._next, msn)
        answers = await asyncio.gather(*(self._ask(each) for each in sought))
        found = [pair for pair in zip(sought, answers, strict=True) if pair[1] is not None]
        if len(found) < len(sought):
            log.warning("not_sought", sales_unit=msn, count=len(sought) - len(found))
            self._again_at[msn] = monotonic() + AGAIN_S
        for each, payments in found:
            work = partial(take_in, invoice_id=each.invoice_id, found=payments or ())
            await to_thread.run_sync(write, self._context, work)

    def _next(self, msn: str) -> list[Sought]:
        invoice, unit = table_of(Invoice).c, table_of(SalesUnit).c
        listed = (
            sa.select(
                invoice.id,
                invoice.reference,
                invoice.amount_minor,
                invoice.currency,
                unit.vipps_keys,
            )
            .join_from(table_of(Unread), table_of(Invoice), table_of(Unread).c.id == invoice.id)
            .join(table_of(SalesUnit), unit.msn == invoice.msn)
            .where(table_of(Unread).c.msn == msn, unit.vipps_keys.is_not(None))
            .order_by(invoice.id)
            .limit(AT_ONCE)
        )
        payment = table_of(Payment).c
        with self._context.database.snapshot() as session:
            rows = session.execute(listed).all()
            ids = [row.id for row in rows]
            names = sa.select(payment.invoice_id, payment.reference)
            known = session.execute(names.where(payment.invoice_id.in_(ids))).all()
        try:
            keys = open_keys(self._context.vault, msn, rows[0].vipps_keys) if rows else None
        except (SealBroken, ValueError, KeyError) as error:
            log.error("keys_unreadable", sales_unit=msn, reason=type(error).__name__)
            return []
        return [
            Sought(
                row.id,
                row.reference,
                row.amount_minor,
                row.currency,
                frozenset(name for owner, name in known if owner == row.id),
                keys,
            )
            for row in rows
            if keys is not None
        ]

    async def _ask(self, sought: Sought) -> list[PaymentSnapshot] | None:
        """Return what Vipps has of this invoice under its next names; None: it did not say."""
        found: list[PaymentSnapshot] = []
        absent = 0
        for name in islice(names_to_come(sought.reference, sought.used), NAMES_MAX):
            answer = await self._client.get_payment(sought.keys, name)
            if answer.is_success:
                absent = 0
                try:
                    there = read_payment(answer.body, self._context.settings.upstream_url)
                except UnreadableAnswer:
                    return None
                if _is_of(sought, there):
                    found.append(there)
                continue
            if judge(CommandKind.READ_PAYMENT, answer, attempt=1, jitter=0.0).then is not (
                Then.NOT_KNOWN
            ):
                return None
            absent += 1
            if absent == ABSENT_MAX:
                break
        return found


def _is_of(sought: Sought, there: PaymentSnapshot) -> bool:
    return may_adopt(
        there,
        invoice_id=sought.invoice_id,
        amount_minor=sought.amount_minor,
        currency=sought.currency,
    )


def take_in(book: Book, *, invoice_id: str, found: Sequence[PaymentSnapshot]) -> None:
    """Take these payments into the invoice's chain, to be read, and the invoice off the list."""
    book.load([invoice_id])
    invoice = book.invoice(invoice_id)
    known = {payment.reference for payment in book.payments(invoice)}
    for there in found:
        if there.reference in known:
            continue  # another process was faster
        # Vipps says where the customer is sent to only of those who are sent.
        flow = "PUSH_MESSAGE" if there.redirect_url is None else "WEB_REDIRECT"
        payment = adopt(book, invoice, there.reference, user_flow=flow)
        add_unread(book.session, payment.id, invoice.msn)
        log.info("payment_found", invoice=invoice.id, reference=there.reference)
    were_read(book.session, [invoice_id])

"""One transaction's working set, and the one place where an invoice changes state.

A `Book` is opened on a session, has the invoices that are concerned loaded, is written in by
the functions of this package, and is posted once, at the end: few statements, however many Vipps
events share the commit. Rows change in memory first; what is told to merchants is rendered at the
moment of the change, so that each event shows its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col

from service.cause import current_cause
from service.context import Context
from service.events.shapes import CustomerTold, InvoiceMoved, InvoiceNoted, InvoiceShape
from service.ids import new_id
from service.kinds import CommandKind
from service.ledger import posting
from service.ledger.agenda import next_at
from service.ledger.hashing import transition_hash
from service.ledger.loaded import Loaded
from service.ledger.planning import Sealer, new_command, seal_body
from service.ledger.resource import amounts_of, event_invoice, rfc3339
from service.ledger.stored import StoredEvents
from service.ledger.types import Ask, Evidence
from service.store.instants import rfc3339_of
from service.store.tables import (
    OPEN_STATUSES,
    Act,
    Command,
    InvoiceRecord,
    PaymentRecord,
)
from statemachine import Decision, Facts, State, Trigger, decide

T = TypeVar("T")


class Book(Loaded):
    """What one transaction reads and writes of invoices."""

    def __init__(self, session: Session, context: Context) -> None:
        """Start empty; `load` brings rows in."""
        super().__init__(session)
        self.vault = context.vault
        self.settings = context.settings
        # Everything that the ledger dates is business time; commands, their leases and
        # retries live in real time (contract, section 8).
        self.now = context.clock.business_now()
        self.real_now = context.clock.now()
        # What follows from one thing keeps it in mind; a batch is about many, one after another.
        self.cause = current_cause().text
        self.rows = posting.Rows()
        self.stored = StoredEvents(session)

    def add_invoice(self, invoice: InvoiceRecord) -> None:
        """Take in a new invoice; its `create` follows by `move`."""
        self._invoices[invoice.id] = invoice
        self._payments[invoice.id] = []
        self.rows.new_invoices.append(invoice)

    def add_payment(self, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
        """Take in the next payment of the chain."""
        self._payments[invoice.id].append(payment)
        self.rows.new_payments.append(payment)
        self.touch(invoice)

    def touch(self, invoice: InvoiceRecord, payment: PaymentRecord | None = None) -> None:
        """Note that the invoice, and perhaps one payment, has visibly changed."""
        self._show_amounts(invoice)
        invoice.updated_at = self.now
        self.rows.invoices[invoice.id] = invoice
        if payment is not None:
            payment.updated_at = self.now
            self.rows.payments[payment.id] = payment

    def _show_amounts(self, invoice: InvoiceRecord) -> None:
        """Let the sums be those of the payment that authorized it, else of the last one."""
        payments = self.payments(invoice)
        if payments:
            authorizing = [p for p in payments if p.id == invoice.authorized_by]
            shown = authorizing[0] if authorizing else payments[-1]
            invoice.authorized_minor = shown.authorized_minor
            invoice.captured_minor = shown.captured_minor
            invoice.refunded_minor = shown.refunded_minor
            invoice.cancelled_minor = shown.cancelled_minor

    def decide(self, invoice: InvoiceRecord, trigger: Trigger, **facts: Any) -> Decision:
        """Ask the machine about a trigger that moves no money.

        Raises: TransitionRefused, GuardFailed."""
        amounts = amounts_of(invoice)
        known = Facts(amount_minor=invoice.amount_minor, before=amounts, after=amounts, **facts)
        return decide(State(invoice.state), trigger, known)

    def move(self, invoice: InvoiceRecord, decision: Decision, evidence: Evidence) -> None:
        """Change the invoice's state: the only place in the service that does.

        Writes the transition and its outgoing event with it (I3, I7). The decision must
        be the machine's; the payment's own new values must stand already, because the
        event shows them."""
        row = self._transition(invoice, decision, evidence)
        invoice.state = decision.to
        invoice.sequence = row["sequence"]
        invoice.head_hash = row["hash"]
        self.touch(invoice)
        self.rows.transitions.append(row)
        data: InvoiceMoved = {
            "invoice": self.event_invoice(invoice),
            "previousState": decision.from_,
            "transition": {
                "trigger": decision.trigger,
                "source": evidence.source,
                "occurredAt": rfc3339_of(evidence.occurred_at),
                "recordedAt": rfc3339_of(self.now),
            },
        }
        self._publish(f"invoice.{decision.to}", invoice, data, is_transition=True)

    def _transition(
        self, invoice: InvoiceRecord, decision: Decision, evidence: Evidence
    ) -> dict[str, Any]:
        amount = evidence.amount_minor
        row: dict[str, Any] = {
            "invoice_id": invoice.id,
            "sequence": invoice.sequence + 1,
            "from_state": decision.from_,
            "to_state": decision.to,
            "trigger": decision.trigger,
            "source": evidence.source,
            "evidence_id": evidence.id,
            "evidence_hash": evidence.hash,
            "occurred_at": evidence.occurred_at,
            "recorded_at": self.now,
            "confirmed_at": evidence.confirmed_at,
            "amount_minor": invoice.amount_minor if amount is None else amount,
            "currency": invoice.currency,
            "payment_reference": evidence.payment_reference,
            "actor": evidence.actor,
            "reason": evidence.reason,
            "previous_hash": invoice.head_hash,
        }
        row["hash"] = transition_hash(row)
        return row

    def tell(self, invoice: InvoiceRecord, type_: str, reason: str) -> None:
        """Tell merchants something that is no transition."""
        self.touch(invoice)
        data: InvoiceNoted = {"invoice": self.event_invoice(invoice), "reason": reason}
        self._publish(type_, invoice, data, is_transition=False)

    def _publish(
        self,
        type_: str,
        invoice: InvoiceRecord,
        data: InvoiceMoved | InvoiceNoted,
        *,
        is_transition: bool,
    ) -> None:
        about = {
            "invoice_id": invoice.id,
            "sequence": invoice.sequence,
            "is_transition": is_transition,
        }
        self._append(type_, invoice.msn, {"sequence": invoice.sequence, "data": data}, about)

    def _append(
        self, type_: str, msn: str, content: Mapping[str, Any], about: Mapping[str, Any]
    ) -> None:
        event_id = new_id("evt")
        payload = {"id": event_id, "type": type_, "timestamp": rfc3339(self.now), **content}
        self.rows.events.append(
            {
                "id": event_id,
                "msn": msn,
                "type": type_,
                **about,
                "recorded_at": self.now,
                "cause": self.cause,
                "payload": self.vault.seal(
                    orjson.dumps(payload), place=f"event:{event_id}:payload"
                ),
            }
        )

    def tell_of(self, type_: str, msn: str, data: CustomerTold) -> None:
        """Tell the sales unit's merchants something that is about no invoice."""
        about = {"invoice_id": None, "sequence": None, "is_transition": False}
        self._append(type_, msn, {"sequence": 0, "data": data}, about)

    def evidence_of(self, act_id: str) -> Evidence:
        """Return an act as the evidence of what follows from it later."""
        named = sa.select(col(Act.actor), col(Act.reason)).where(col(Act.id) == act_id)
        noted = next((row for row in self.rows.acts if row["id"] == act_id), None)
        actor, reason = (
            (noted["actor"], noted["reason"]) if noted else self.session.execute(named).one()
        )
        return Evidence("api", act_id, self.now, actor=actor, reason=reason)

    def event_invoice(self, invoice: InvoiceRecord) -> InvoiceShape:
        """Return the invoice as events show it now."""
        base_url = self.settings.base_url
        return event_invoice(invoice, self.payments(invoice), vault=self.vault, base_url=base_url)

    def record_act(self, invoice: InvoiceRecord, name: str, ask: Ask) -> Evidence:
        """Store what somebody asked, as evidence of what follows from it."""
        act_id = new_id("act")
        self.rows.acts.append(
            {
                "id": act_id,
                "msn": invoice.msn,
                "invoice_id": invoice.id,
                "name": name,
                "actor": ask.actor,
                "reason": ask.reason,
                "amount_minor": ask.amount_minor,
                "at": self.now,
            }
        )
        return Evidence(
            source=ask.source,
            id=act_id,
            occurred_at=self.now,
            confirmed_at=None,
            actor=ask.actor,
            reason=ask.reason,
        )

    # Commands

    def plan(
        self,
        payment: PaymentRecord,
        kind: CommandKind,
        *,
        body: Mapping[str, Any] | None = None,
        box: Sealer | None = None,
        amount_minor: int | None = None,
        act_id: str | None = None,
        after_s: float = 0,
    ) -> None:
        """Decide a command to Vipps, to be executed after the commit.

        `box` is the customer's own where the body names a person."""
        self.rows.payments[payment.id] = payment
        row = new_command(payment, kind, now=self.real_now, after_s=after_s)
        row["body"] = seal_body(body, box or self.vault, row["id"])
        self.rows.commands.append(
            {
                **row,
                "is_serial": True,
                "amount_minor": amount_minor,
                "act_id": act_id,
                "cause": self.cause,
            }
        )

    def plan_read(self, payment: PaymentRecord, *, after_s: float = 0) -> None:
        """Have the payment's event log read; a read that already waits is hastened."""
        waiting = self.rows.reads.get(payment.id)
        if waiting is not None:
            due_at = self.real_now + timedelta(seconds=after_s)
            waiting["next_attempt_at"] = min(waiting["next_attempt_at"], due_at)
            return
        self.rows.payments[payment.id] = payment
        read = CommandKind.READ_PAYMENT
        row = new_command(payment, read, now=self.real_now, after_s=after_s)
        self.rows.reads[payment.id] = {**row, "is_serial": False, "cause": self.cause}

    def open_commands(self, invoice: InvoiceRecord) -> Sequence[Command]:
        """Return the invoice's commands whose outcome is not known yet, reads left out."""
        return self.session.scalars(
            sa.select(Command)
            .where(
                col(Command.invoice_id) == invoice.id,
                col(Command.status).in_(OPEN_STATUSES),
                col(Command.kind) != CommandKind.READ_PAYMENT,
            )
            .order_by(col(Command.payment_id), col(Command.number))
        ).all()

    def reschedule(self, invoice: InvoiceRecord) -> None:
        """Have the time at which the invoice is due written, also where nothing else changed."""
        self.rows.rescheduled[invoice.id] = invoice

    def post(self) -> None:
        """Write everything that has changed, and when each invoice must be looked at again."""
        changed = (self.rows.invoices, self.rows.rescheduled)
        for invoice in {**changed[0], **changed[1]}.values():
            unit = self.sales_unit(invoice.msn)
            invoice.attend_at = next_at(invoice, self.payments(invoice), unit, self.now)
        posting.post(self.session, self.rows, self.changes)


def write(context: Context, work: Callable[[Book], T]) -> T:
    """Run `work` on a book in a transaction of its own, post it, and wake the workers if it
    has written anything.

    Raises: what `work` raises, with nothing written; DatabaseAway."""
    with context.database.transaction() as session:
        book = Book(session, context)
        result = work(book)
        book.post()
    if not book.rows.is_empty:
        for signal in (context.wake.commands, context.wake.events, context.wake.invoices):
            signal.set()
    return result

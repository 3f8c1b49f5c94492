"""The life of invoices, driven by hand: a clock that jumps, a Vipps that is only its logs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from service.clockwork.attendant import Attendant
from service.kinds import CommandKind
from service.store.db import Database
from service.store.tables import Command, Invoice, Payment, SalesUnit
from tests.builders import REFERENCE, Desk, VippsPayment, a_desk

# Whatever is due more often than this does not come to rest.
_STEPS_MAX = 2000


def a_policy(database: Database, **values: Any) -> None:
    """Change the policy of every sales unit."""
    with database.transaction() as session:
        session.execute(sa.update(SalesUnit).values(**values))


def a_danish_policy(database: Database) -> None:
    """Let the sales units be Danish: payments live for 60 days."""
    a_policy(database, currency="DKK", max_payment_lifetime_s=60 * 86_400)


@dataclass(slots=True)
class Life:
    """A service at work beside a Vipps whose customers do nothing by themselves.

    `notes` says what the service did, and when; `are_webhooks_lost`: only reads tell."""

    desk: Desk
    currency: str = "NOK"
    are_webhooks_lost: bool = False
    vipps: dict[str, VippsPayment] = field(default_factory=dict)
    notes: list[tuple[datetime, str, str]] = field(default_factory=list)
    _references: dict[str, str] = field(default_factory=dict)  # of payments, by id

    def until(self, end: datetime) -> None:
        """Let everything happen that is due until then, each at its time."""
        for _ in range(_STEPS_MAX):
            at = self._next_at()
            if at is None or at > end:
                self.desk.times.append(max(end, self.desk.now()))
                return
            self.desk.times.append(max(at, self.desk.now()))
            self._lapse()
            Attendant(self.desk.context).attend_due()
            self.work()
        raise AssertionError("it never comes to rest")

    def after(self, **time: float) -> None:
        """Let so much time pass, with all that is due in it."""
        self.until(self.desk.now() + timedelta(**time))

    def work(self) -> None:
        """Run the commands that are due, as Vipps would answer them."""
        while due := self._due_commands():
            self._settle(due)
            for command in due:
                reference = self._reference_of(command)
                self.notes.append((self.desk.now(), command.kind, reference))
                _RUN[command.kind](self, command, reference)

    def happens(self, reference: str, *names: str) -> None:
        """Let something happen at Vipps, told by a webhook unless those are lost."""
        vipps = self.vipps[reference]
        for name in names:
            vipps.at = self.desk.now() - timedelta(seconds=len(vipps.events))
            webhook = vipps.happens(name)
            if not self.are_webhooks_lost:
                self.desk.report(webhook)

    def did(self, kind: str) -> list[tuple[datetime, str]]:
        """Return when, and for which payments, the service did one kind of thing."""
        return [(at, reference) for at, what, reference in self.notes if what == kind]

    def _next_at(self) -> datetime | None:
        with self.desk.context.database.snapshot() as session:
            looked_at = session.execute(sa.select(sa.func.min(col(Invoice.attend_at)))).scalar()
            is_waiting = col(Command.status) == "waiting"
            first = sa.select(sa.func.min(col(Command.next_attempt_at))).where(is_waiting)
            return min(filter(None, (looked_at, session.execute(first).scalar())), default=None)

    def _due_commands(self) -> list[Command]:
        is_due = col(Command.next_attempt_at) <= self.desk.now()
        due = self.desk.all(Command, Command.status == "waiting", is_due)
        return sorted(due, key=lambda c: c.number)

    def _settle(self, commands: list[Command]) -> None:
        with self.desk.context.database.transaction() as session:
            mine = sa.update(Command).where(col(Command.id).in_([c.id for c in commands]))
            session.execute(mine.values(status="done"))

    def _reference_of(self, command: Command) -> str:
        known = self._references
        if command.payment_id not in known:
            known.update({p.id: p.reference for p in self.desk.all(Payment)})
        return known[command.payment_id]

    def _lapse(self) -> None:
        """Let those payments run out at Vipps whose time has come."""
        for reference in [r for r, vipps in self.vipps.items() if vipps.state == "CREATED"]:
            if self.desk.payment(reference).ends_at <= self.desk.now():
                self.happens(reference, "EXPIRED")

    def _create(self, command: Command, reference: str) -> None:
        self.vipps[reference] = VippsPayment(
            reference,
            amount_minor=command_amount(self.desk, command),
            currency=self.currency,
        )
        self.happens(reference, "CREATED")

    def _cancel(self, command: Command, reference: str) -> None:
        vipps = self.vipps[reference]
        if vipps.state == "CREATED":
            self.happens(reference, "TERMINATED")
        elif vipps.state == "AUTHORIZED" and command.body is None:
            self.happens(reference, "CANCELLED")
        self.desk.read(vipps)

    def _take(self, command: Command, reference: str) -> None:
        vipps, name = self.vipps[reference], command.kind.upper() + "D"
        vipps.at = self.desk.now()
        vipps.happens(name.replace("EDD", "ED"), amount_minor=command.amount_minor)
        self.desk.read(vipps)

    def _read(self, command: Command, reference: str) -> None:
        if reference in self.vipps:
            self.desk.read(self.vipps[reference], read_id=command.id)


def command_amount(desk: Desk, command: Command) -> int:
    """Return the amount of the invoice that a command is about."""
    found: Invoice = desk.all(Invoice, Invoice.id == command.invoice_id)[0]
    return found.amount_minor


_RUN: dict[str, Callable[[Life, Command, str], None]] = {
    CommandKind.ATTACH_CATEGORY: lambda life, command, reference: None,
    CommandKind.CREATE_PAYMENT: Life._create,
    CommandKind.CANCEL_PAYMENT: Life._cancel,
    CommandKind.CAPTURE: Life._take,
    CommandKind.REFUND: Life._take,
    CommandKind.READ_PAYMENT: Life._read,
}


def a_life(
    database: Database, *, currency: str = "NOK", is_pushed: bool = True, **invoice: Any
) -> Life:
    """Return a service with one invoice that was just sent, or only made."""
    desk = a_desk(database)
    if currency == "DKK":
        a_danish_policy(database)
    life = Life(desk, currency)
    desk.create(currency=currency, **invoice)
    life.work()
    assert desk.invoice(REFERENCE).state == ("pushed" if is_pushed else "created")
    return life

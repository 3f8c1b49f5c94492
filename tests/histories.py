"""Random lives of invoices at a Vipps whose webhooks get lost, doubled, late and shuffled (I4).

A crowd of invoices shares a clock. Customers approve, decline or do nothing, merchants push,
withdraw, capture and refund, requests lapse, and of every webhook it is thrown whether, when and
how often it arrives. When all has come to rest, each invoice must be where Vipps's logs are.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from service.clockwork.attendant import Attendant
from service.errors import Conflict
from service.kinds import CommandKind
from service.ledger.acts import cancel, capture, push, refund, soft_dismiss
from service.ledger.book import Book
from service.ledger.elsewhere import PaidElsewhere, paid_elsewhere
from service.ledger.invoices import create_invoice
from service.ledger.reading import take_in
from service.ledger.types import Ask
from service.store.db import Database
from service.store.tables import Command, Event, Invoice, Payment, StoredVippsEvent
from statemachine import MachineError
from tests.builders import AMOUNT, MSN, THE_MERCHANT, Desk, VippsPayment, a_desk, an_invoice
from tests.service.ledger.checks import broken_rules

# So many share their transactions: a history alone would take ten times as long.
CROWD = 125
ROUNDS = 8
# What the clock does between two rounds, in minutes: from a moment to more than a request's life.
_PAUSES = (0.1, 2, 12, 90, 700, 1500)
_SUMS = ("authorized_minor", "captured_minor", "refunded_minor", "cancelled_minor")
# What people may be told although nothing is wrong: reads are late here, and time is short.
_HARMLESS = {
    "unconfirmed",
    "payable_until_passed",
    "paid_before_elsewhere",
    "authorized_when_closed",
}

_IS_FOR_PEOPLE = col(Event.type) == "invoice.needs_attention"

_ACTS: tuple[tuple[Callable[..., None], float], ...] = (
    (push, 0.06),
    (capture, 0.06),
    (refund, 0.05),
    (cancel, 0.02),
    (soft_dismiss, 0.01),
    (lambda b, i, a: paid_elsewhere(b, i, a, PaidElsewhere("bank")), 0.02),
    (lambda b, i, a: paid_elsewhere(b, i, a, PaidElsewhere("bank", is_refund_wanted=True)), 0.01),
)


@dataclass(slots=True)
class Crowd:
    """Invoices that live through the same time; `wrong` collects what must not be."""

    desk: Desk
    seed: int
    dice: Random = field(init=False)
    vipps: dict[str, VippsPayment] = field(default_factory=dict)  # by the payment's reference
    chains: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    mail: list[tuple[int, bytes]] = field(default_factory=list)  # the round in which it arrives
    wrong: list[str] = field(default_factory=list)
    round: int = 0

    def __post_init__(self) -> None:
        """Take the dice of this seed."""
        self.dice = Random(self.seed)

    def live(self) -> list[str]:
        """Play all of it; return what is wrong in the end, with the seed."""
        self._create()
        for self.round in range(ROUNDS):
            self.desk.later(minutes=self.dice.choice(_PAUSES))
            self._lapse()
            self._run_commands(share=0.8)
            self._let_customers_act()
            self._let_the_portal_be_used()
            self._deliver(self.round)
            self._attend()
            self._let_merchants_act()
            self._read(name for name in self.vipps if self.dice.random() < 0.15)
        self._come_to_rest()
        self._check()
        return [f"seed {self.seed}: {what}" for what in self.wrong]

    # What happens

    def _create(self) -> None:
        def work(book: Book) -> None:
            for number in range(CROWD):
                reference = f"crowd-{self.seed}-{number:03}"
                hours = self.dice.choice((20, 30, 60, 120))
                new = an_invoice(
                    reference=reference,
                    creation_hash=reference.encode(),
                    capture=self.dice.choice(("manual", "automatic")),
                    payable_until=self.desk.now() + timedelta(hours=hours),
                )
                create_invoice(book, MSN, new, THE_MERCHANT)

        self.desk.write(work)

    def _happens(self, reference: str, name: str, amount_minor: int | None = None) -> None:
        """Let something happen at Vipps, and throw what becomes of its webhook."""
        vipps = self.vipps[reference]
        vipps.at = self.desk.now() - timedelta(seconds=1)
        webhook = vipps.happens(name, amount_minor=amount_minor)
        if self.dice.random() < 0.3:
            return  # lost
        for _ in range(self.dice.choice((1, 1, 1, 2, 3))):
            self.mail.append((self.round + self.dice.choice((0, 0, 0, 1, 2, 5)), webhook))

    def _lapse(self) -> None:
        ends = {p.reference: p.ends_at for p in self._payments()}
        for reference, vipps in self.vipps.items():
            if vipps.state == "CREATED" and ends[reference] <= self.desk.now():
                self._happens(reference, "EXPIRED")

    def _let_customers_act(self) -> None:
        for reference, vipps in self.vipps.items():
            if vipps.state == "CREATED":
                fate = self.dice.random()
                if fate < 0.25:
                    self._happens(reference, "AUTHORIZED" if fate < 0.2 else "ABORTED")

    def _let_the_portal_be_used(self) -> None:
        """Let somebody capture, refund and release by hand, which only webhooks and reads tell."""
        for reference, vipps in self.vipps.items():
            if vipps.state != "AUTHORIZED" or self.dice.random() < 0.85:
                continue
            for name in self.dice.choices(("CAPTURED", "REFUNDED", "CANCELLED"), (4, 3, 1), k=3):
                authorized, captured, refunded, cancelled = vipps.sums()
                rest = authorized - captured - cancelled
                part = {"CAPTURED": rest, "REFUNDED": captured - refunded}.get(name, rest)
                if part and name != "CANCELLED":
                    part = self.dice.choice((part, min(part, 30_000)))
                if part:
                    self._happens(reference, name, part)

    def _let_merchants_act(self) -> None:
        for number in range(CROWD):
            for act, share in _ACTS:
                if self.dice.random() < share:
                    self._ask(act, f"crowd-{self.seed}-{number:03}")

    def _ask(self, act: Callable[..., None], reference: str) -> None:
        amount = self.dice.choice((None, 60_000)) if act in (capture, refund) else None
        asked = Ask(actor="key_test", amount_minor=amount)
        try:
            self.desk.write(lambda b: act(b, b.invoice_by_reference(MSN, reference), asked))
        except (Conflict, MachineError):
            return  # not possible now; that is an answer, too

    def _deliver(self, until: int) -> None:
        due = [webhook for arrives, webhook in self.mail if arrives <= until]
        self.mail = [(arrives, webhook) for arrives, webhook in self.mail if arrives > until]
        self.dice.shuffle(due)
        while due:
            size = self.dice.randint(1, 60)
            self.desk.report_at_once(*due[:size])
            due = due[size:]

    def _attend(self) -> None:
        for _ in range(5):
            if not Attendant(self.desk.context).attend_due():
                return
        self.wrong.append("attended to without end")

    # What the workers do

    def _run_commands(self, *, share: float) -> int:
        """Run this share of what is due, each payment's in their sequence; return how many."""
        due, held = self._due_commands(), set[str]()
        chosen = list[Command]()
        for command in due:
            if command.payment_id in held or self.dice.random() >= share:
                held.add(command.payment_id)
            else:
                chosen.append(command)
        names = {p.id: p.reference for p in self._payments()}
        read = [names[c.payment_id] for c in chosen if self._run(c, names[c.payment_id])]
        self._read(read)
        self._close(chosen)
        return len(chosen)

    def _due_commands(self) -> list[Command]:
        now = self.desk.now()
        waiting = self.desk.all(
            Command, Command.status == "waiting", Command.next_attempt_at <= now
        )
        return sorted(waiting, key=lambda c: (c.invoice_id, c.payment_id, c.number))

    def _close(self, commands: Iterable[Command]) -> None:
        done = sa.update(Command).where(col(Command.id).in_([c.id for c in commands]))
        with self.desk.context.database.transaction() as session:
            session.execute(done.values(status="done"))

    def _run(self, command: Command, reference: str) -> bool:
        """Do at Vipps what a command asks for; tell whether the log is read then."""
        if command.kind == CommandKind.CREATE_PAYMENT:
            self._make(command, reference)
            return False
        if reference not in self.vipps:
            return False
        vipps = self.vipps[reference]
        authorized, captured, refunded, cancelled = vipps.sums()
        rest = authorized - captured - cancelled if vipps.state == "AUTHORIZED" else 0
        amount = command.amount_minor or 0
        if command.kind == CommandKind.CANCEL_PAYMENT and vipps.state == "CREATED":
            self._happens(reference, "TERMINATED")
        elif command.kind == CommandKind.CANCEL_PAYMENT and command.body is None and rest:
            self._happens(reference, "CANCELLED", rest)
        elif command.kind == CommandKind.CAPTURE and amount <= rest:
            self._happens(reference, "CAPTURED", amount)
        elif command.kind == CommandKind.REFUND and amount <= captured - refunded:
            self._happens(reference, "REFUNDED", amount)
        return True

    def _make(self, command: Command, reference: str) -> None:
        chain = self.chains[command.invoice_id]
        if any(self.vipps[name].state == "CREATED" for name in chain):
            self.wrong.append(f"{reference} was made while {chain} live (I9)")
        if reference in self.vipps:
            self.wrong.append(f"{reference} was made twice (I6)")
        self.vipps[reference] = VippsPayment(reference)
        chain.append(reference)
        self._happens(reference, "CREATED")

    def _read(self, references: Iterable[str]) -> None:
        wanted = {*references}
        owners = {p.invoice_id for p in self._payments() if p.reference in wanted}

        def work(book: Book) -> None:
            book.load(owners)
            chains = [(i, p) for i in map(book.invoice, sorted(owners)) for p in book.payments(i)]
            book.stored.load(payment for _, payment in chains)
            for invoice, payment in chains:
                vipps = self.vipps.get(payment.reference)
                if payment.reference not in wanted or vipps is None:
                    continue
                snapshot = vipps.snapshot(invoice.id)
                take_in(book, invoice, payment, vipps.log(), snapshot, read_id="cmd")

        self.desk.write(work)

    def _come_to_rest(self) -> None:
        """Let all that is on its way arrive, all that was decided be done, then sweep once more."""
        is_swept = False
        for _ in range(20):
            self._deliver(self.round + 100)
            ran = self._run_commands(share=1)
            self._attend()
            is_at_rest = not ran and not self.mail
            if is_at_rest and is_swept:
                return
            if is_at_rest:
                self._read(list(self.vipps))
            is_swept = is_at_rest
        self.wrong.append("it never comes to rest")

    # What must be true

    def _payments(self) -> list[Any]:
        return list(self.desk.all(Payment))

    def _check(self) -> None:
        payments: dict[str, list[Any]] = defaultdict(list)
        for payment in sorted(self._payments(), key=lambda p: p.attempt):
            payments[payment.invoice_id].append(payment)
        for invoice in self.desk.all(Invoice):
            for payment in payments[invoice.id]:
                if payment.reference in self.vipps:
                    self._check_payment(invoice, payment)
            self._check_invoice(invoice, payments[invoice.id])
        reasons = {event["data"]["reason"] for event in self.desk.told(_IS_FOR_PEOPLE)}
        self.wrong += [f"people are told of {reason}" for reason in sorted(reasons - _HARMLESS)]
        refused = self.desk.all(StoredVippsEvent, StoredVippsEvent.outcome == "refused")
        self.wrong += [f"{e.reference}: {e.name} was refused: {e.reason}" for e in refused]

    def _check_payment(self, invoice: Any, payment: Any) -> None:
        vipps = self.vipps[payment.reference]
        ours = (payment.state, *(getattr(payment, name) for name in _SUMS))
        theirs = (vipps.state.lower(), *vipps.sums())
        if ours != theirs:
            self.wrong.append(f"{payment.reference} is {ours}, at Vipps {theirs}")
        if payment.drifting_reads:
            self.wrong.append(f"{payment.reference} still drifts")
        is_spare = vipps.state == "AUTHORIZED" and payment.id != invoice.authorized_by
        if is_spare and vipps.sums()[3] != AMOUNT:
            self.wrong.append(f"{payment.reference} stays reserved beside the one that counts")

    def _check_invoice(self, invoice: Any, made: list[Any]) -> None:
        wanted = set(_expected(invoice, made))
        if invoice.state not in wanted:
            ends = [p.state for p in made]
            self.wrong.append(f"{invoice.reference} is {invoice.state}, not {wanted}: {ends}")


def _expected(invoice: Any, made: list[Any]) -> Iterator[str]:
    """Yield the states that the ends of its payments at Vipps leave to an invoice."""
    authorizing = next((p for p in made if p.id == invoice.authorized_by), None)
    if authorizing is not None:
        yield _by_money(authorizing)
    else:
        yield from _BY_LAST_END[made[-1].state]
        if invoice.problem is not None:  # it could not be replaced any more
            yield from ("pushed", "soft_dismissed")


def play(template: Path, folder: Path, *, seeds: Iterable[int]) -> Iterator[list[str]]:
    """Play one crowd for each seed, on a copy of an empty SQLite database; yield what is wrong."""
    for seed in seeds:
        file = folder / f"histories-{seed}.db"
        shutil.copy(template, file)
        database = Database(f"sqlite:///{file}")
        wrong = Crowd(a_desk(database), seed).live()
        yield wrong + [f"seed {seed}: {rule}" for rule in broken_rules(database)]
        database.dispose()
        for left in folder.glob(f"{file.name}*"):
            left.unlink()


def _by_money(payment: Any) -> str:
    rest = payment.authorized_minor - payment.captured_minor - payment.cancelled_minor
    if not payment.captured_minor:
        return "authorized" if rest else "cancelled"
    is_over = payment.refunded_minor == payment.captured_minor and not rest
    return "refunded" if is_over else "captured"


_BY_LAST_END = {
    "created": ("pushed", "soft_dismissed"),
    "aborted": ("aborted",),
    "expired": ("soft_dismissed", "expired", "terminated"),
    "terminated": ("terminated", "expired"),
    # Withdrawn, or out of time, before anybody had begun to make it.
    "refused": ("terminated", "expired"),
    "authorized": (),  # nothing but an authorized invoice has such an end
}

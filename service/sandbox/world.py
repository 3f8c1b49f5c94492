"""Everything the sandbox knows, and the one place where a payment changes.

`record` writes a payment's new state, its ledger lines, the webhooks it causes and the
answer that the merchant is about to get in one transaction, so that a killed process
has either done all of it or nothing. Who tells of it waits for `store.kept` first.
"""

import heapq
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from service.sandbox import documents
from service.sandbox.chaos import Chaos, ChaosPlan
from service.sandbox.clock import Clock
from service.sandbox.consents import Consent, consent_of_row
from service.sandbox.deliveries import Delivery, delivery_of_row
from service.sandbox.ids import Ids
from service.sandbox.payments import Payment, PaymentEvent, State, expired, payment_key
from service.sandbox.persons import Person, person_of
from service.sandbox.registrations import Registration, registration_of_row
from service.sandbox.sales_units import SalesUnit
from service.sandbox.settings import SandboxSettings
from service.sandbox.store import Bound, Store, Table, Transaction


@dataclass(frozen=True, slots=True)
class Answer:
    """What one idempotency key was answered, and for which request."""

    fingerprint: str
    status: int
    body: str
    media_type: str


class World:
    """Hold the tables, the clock and the dice of one sandbox."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.store = Store(settings.database_path)
        # The names of each reference, for the acts, which need not name the sales unit.
        self._msns: dict[str, list[str]] = {}
        self._make_tables(self.store)
        self.ids = Ids(settings.seed, self._count_start())
        self.chaos = Chaos(settings.seed)
        self.chaos.set(ChaosPlan(**self._settings.rows.get("chaos", {})))
        self._numbers = max(map(int, self.deliveries.rows), default=0)
        self.on_delivery: Callable[[Delivery], None] = lambda _: None
        self.on_expiry_change: Callable[[], None] = lambda: None
        self._watchers: list[Callable[[Payment], None]] = []
        # Said when an approval of unknown outcome has turned out well.
        self.on_result: Callable[[Payment], None] = lambda _: None
        self._expiries = [
            (p.settles_at or p.expires_at, p.key)
            for p in self.payments.rows.values()
            if p.state is State.CREATED
        ]
        heapq.heapify(self._expiries)
        for payment in self.payments.rows.values():
            self._msns.setdefault(payment.reference, []).append(payment.msn)
        self._effects = max(map(int, self.effects.rows), default=0)
        if (offset_s := self._settings.get("offset_s")) is not None:
            clock.set_offset(timedelta(seconds=offset_s))

    def _make_tables(self, store: Store) -> None:
        kept_max = self.settings.kept_max
        self.payments = store.table(
            "payment",
            decode=documents.payment_of_row,
            # An open payment has still to expire, so memory never lets go of it.
            bound=Bound(kept_max, lambda p: p.state is not State.CREATED, self._forget_name),
        )
        self.registrations = store.table("registration", decode=registration_of_row)
        self.deliveries = store.table("delivery", decode=delivery_of_row)
        # What usually comes with a payment: its events' lines, and the answers it gave.
        several: Bound[Any] = Bound(4 * kept_max)
        self.answers = store.table("answer", decode=lambda row: Answer(**row), bound=several)
        self.sales_units = store.table("sales_unit", decode=lambda row: SalesUnit(**row))
        self.persons = store.table("person", decode=lambda row: Person(**row))
        self.effects = self._plain_table("effect", several)
        self.categories = self._plain_table("category", Bound(kept_max))
        self.receipts = self._plain_table("receipt", Bound(kept_max))
        self.images = self._plain_table("image", Bound(kept_max))
        self.consents = store.table("consent", decode=consent_of_row, bound=Bound(kept_max))
        self._settings: Table[Any] = store.table("setting", decode=_same)

    def _plain_table(self, kind: str, bound: Bound[Any]) -> Table[dict[str, Any]]:
        return self.store.table(kind, decode=_same, bound=bound)

    def _forget_name(self, payment: Payment) -> None:
        others = [msn for msn in self._msns.pop(payment.reference, []) if msn != payment.msn]
        if others:
            self._msns[payment.reference] = others

    def _count_start(self) -> int:
        start = int(self._settings.rows.get("starts", 0)) + 1
        self.keep_setting("starts", start)
        return start

    def keep_setting(self, name: str, value: Any) -> None:
        """Have a setting survive a restart."""
        self.save(self._settings, name, row=value)

    def save(self, table: Table[Any], key: str, *, row: Any) -> None:
        """Have one row of one table survive a restart."""
        transaction = self.store.begin()
        transaction.put(table, key, row=row)
        transaction.commit()

    def watch(self, watcher: Callable[[Payment], None]) -> None:
        """Have `watcher` called with every payment that changed, once the change holds."""
        self._watchers.append(watcher)

    def advance(self, seconds: float) -> None:
        """Turn the business clock ahead, and expire what this makes too old."""
        offset = self.clock.offset + timedelta(seconds=seconds)
        self.keep_setting("offset_s", offset.total_seconds())
        self.clock.set_offset(offset)
        self.expire_due()

    def follow(self, plan: ChaosPlan) -> None:
        """Let this go wrong from now on, also after a restart."""
        self.keep_setting("chaos", asdict(plan))
        self.chaos.set(plan)

    def signing_key(self) -> bytes:
        """Return the key of this sandbox's access tokens, made once."""
        if self._settings.get("signing_key") is None:
            self.keep_setting("signing_key", secrets.token_hex(32))
        return bytes.fromhex(self._settings.rows["signing_key"])

    def payment(self, msn: str, reference: str) -> Payment | None:
        """Return the payment as it is now, expired if its time is over."""
        self.expire_due()
        return self.payments.get(payment_key(msn, reference))

    def msns_of(self, reference: str) -> list[str]:
        """Return the sales units that have a payment of that reference."""
        return self._msns.get(reference, [])

    def unit(self, msn: str) -> SalesUnit:
        """Return the sales unit's approvals; one that nobody set has all of them."""
        return self.sales_units.get(msn) or SalesUnit(msn)

    def person(self, phone_number: str) -> Person:
        """Return the person with that number; one that nobody set is made up."""
        return self.persons.get(phone_number) or person_of(phone_number)

    def record(
        self,
        after: Payment,
        *,
        key: str | None = None,
        answer: tuple[str, Answer] | None = None,
        consent: tuple[str, Consent] | None = None,
    ) -> None:
        """Make this the payment's state, with everything that follows from it.

        `key` is the idempotency key of the request that asked for it, for the ledger;
        `answer` is kept under its name for a repetition of that request, `consent` under
        the customer's `sub`.
        """
        before = self.payments.get(after.key)
        new_events = after.events[len(before.events) if before else 0 :]
        transaction = self.store.begin()
        transaction.put(self.payments, after.key, row=after)
        if answer is not None:
            transaction.put(self.answers, answer[0], row=answer[1])
        if consent is not None:
            transaction.put(self.consents, consent[0], row=consent[1])
        deliveries: list[Delivery] = []
        for offset, event in enumerate(new_events, start=1):
            self._put_effect(transaction, after, event=event, key=key, offset=offset)
            deliveries += self._put_deliveries(transaction, after, event)
        transaction.commit()
        self._effects += len(new_events)
        self._after_commit(before, after)
        for delivery in deliveries:
            self.on_delivery(delivery)
        for watcher in self._watchers:
            watcher(after)

    def _after_commit(self, before: Payment | None, after: Payment) -> None:
        if before is None:
            self._msns.setdefault(after.reference, []).append(after.msn)
            self._expect_at(after.expires_at, after)
        if after.settles_at is not None:
            self._expect_at(after.settles_at, after)

    def _expect_at(self, at: datetime, payment: Payment) -> None:
        heapq.heappush(self._expiries, (at, payment.key))
        if self._expiries[0][1] == payment.key:
            self.on_expiry_change()

    def _put_effect(
        self,
        transaction: Transaction,
        payment: Payment,
        *,
        event: PaymentEvent,
        key: str | None,
        offset: int,
    ) -> None:
        sequence = self._effects + offset
        line = documents.effect(payment, event, key=key, recorded_at=self.clock.real_now())
        transaction.put(self.effects, f"{sequence:012d}", row={"sequence": sequence} | line)

    def _put_deliveries(
        self, transaction: Transaction, payment: Payment, event: PaymentEvent
    ) -> list[Delivery]:
        body = documents.webhook_body(payment, event).decode()
        made = []
        for registration in self.registrations.rows.values():
            if registration.hears(payment.msn, event.name):
                made += self._deliveries(payment.key, registration, body=body)
        for delivery in made:
            transaction.put(self.deliveries, delivery.key, row=delivery)
        return made

    def _deliveries(
        self, payment_key: str, registration: Registration, *, body: str
    ) -> list[Delivery]:
        fate = self.chaos.webhook_fate()
        due_at = self.clock.real_now() + timedelta(seconds=fate.delay_s)
        made = []
        for copy in range(fate.copies):
            self._numbers += 1
            keeps_order = fate.keeps_order and copy == 0
            made.append(
                Delivery(
                    number=self._numbers,
                    registration_id=registration.id,
                    payment_key=payment_key,
                    body=body,
                    due_at=due_at,
                    keeps_order=keeps_order,
                )
            )
        return made

    def expire_due(self) -> None:
        """Have everything happen whose time has come by the business clock."""
        now = self.clock.now()
        while self._expiries and self._expiries[0][0] <= now:
            _, key = heapq.heappop(self._expiries)
            payment = self.payments.get(key)
            if payment is None or payment.state is not State.CREATED:
                continue
            if payment.settles_at is not None and payment.settles_at <= now:
                self.on_result(payment)
            # A customer in the middle of approving is let finish; their yes or no ends it.
            elif not payment.is_authorizing:
                self.record(expired(payment))

    def next_expiry_at(self) -> datetime | None:
        """Return the business time at which the next payment may expire."""
        return self._expiries[0][0] if self._expiries else None


def _same(row: Any) -> Any:
    return row

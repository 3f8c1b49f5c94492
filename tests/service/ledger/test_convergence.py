"""Any order, doubling or loss of webhooks, with a read, ends where Vipps's own log ends (I4)."""

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store.db import Database
from tests.builders import AMOUNT, NOW, Desk, VippsPayment, a_desk
from tests.service.ledger.checks import broken_rules

_NUMBERS = count(1)

_ENDS = st.sampled_from(["", "ABORTED", "EXPIRED", "TERMINATED"])
_PARTS = st.sampled_from([1, 50_000, 100_000, AMOUNT])


@dataclass(slots=True)
class _Money:
    """What Vipps would let happen to an approved payment, and where that leaves an invoice."""

    captured: int = 0
    refunded: int = 0
    cancelled: int = 0
    happened: list[tuple[str, int]] = field(default_factory=list)

    @property
    def rest(self) -> int:
        return AMOUNT - self.captured - self.cancelled

    def ask(self, name: str, part: int) -> None:
        if name == "CAPTURED" and part <= self.rest:
            self.captured += part
        elif name == "REFUNDED" and part <= self.captured - self.refunded:
            self.refunded += part
        elif name == "CANCELLED" and self.rest:
            part = self.rest
            self.cancelled += part
        else:
            return
        self.happened.append((name, part))

    @property
    def state(self) -> str:
        if not self.captured:
            return "cancelled" if self.cancelled else "authorized"
        is_over = self.refunded == self.captured and not self.rest
        return "refunded" if is_over else "captured"


@st.composite
def _lives(draw: st.DrawFn) -> tuple[list[tuple[str, int]], str]:
    """Draw what happens to a payment at Vipps, and the state that this means."""
    if not draw(st.booleans()):
        end = draw(_ENDS)
        states = {"": "pushed", "EXPIRED": "soft_dismissed"}
        happened = [("CREATED", AMOUNT), *([(end, AMOUNT)] if end else [])]
        return happened, states.get(end, end.lower())
    money = _Money()
    names = st.sampled_from(["CAPTURED", "REFUNDED", "CANCELLED"])
    for name, part in draw(st.lists(st.tuples(names, _PARTS), max_size=6)):
        money.ask(name, part)
    return [("CREATED", AMOUNT), ("AUTHORIZED", AMOUNT), *money.happened], money.state


@st.composite
def _arrivals(draw: st.DrawFn, size: int) -> list[list[int]]:
    """Draw in which transactions, in which order and how often which webhooks arrive."""
    copies = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    arriving = draw(st.permutations([n for n, times in enumerate(copies) for _ in range(times)]))
    batches: list[list[int]] = [[]]
    for number in arriving:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(number)
    return [batch for batch in batches if batch]


def _play(desk: Desk, data: st.DataObject) -> None:
    happened, expected = data.draw(_lives())
    reference = f"converge-{next(_NUMBERS):06}"
    desk.create(reference=reference, creation_hash=reference.encode())
    vipps = VippsPayment(reference=reference, at=NOW)
    for name, amount_minor in happened:
        vipps.happens(name, amount_minor=amount_minor)
    webhooks = vipps.webhooks()

    for batch in data.draw(_arrivals(len(webhooks))):
        desk.report_at_once(*[webhooks[number] for number in batch])
        if data.draw(st.integers(0, 4)) == 0:
            desk.read(vipps)
    desk.read(vipps)

    invoice, payment = desk.invoice(reference), desk.payment(reference)
    sums = ("authorized_minor", "captured_minor", "refunded_minor", "cancelled_minor")
    assert invoice.state == expected
    assert tuple(getattr(payment, name) for name in sums) == vipps.sums()
    assert tuple(getattr(invoice, name) for name in sums) == vipps.sums()
    assert payment.drifting_reads == 0
    assert "invoice.needs_attention" not in desk.told_types()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_any_arrival_with_reads_ends_as_vipps_log_on_sqlite(database: Database) -> None:
    """Whatever the network does to webhooks, I end up with what Vipps has."""
    _converges(database, examples=60)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_any_arrival_with_reads_ends_as_vipps_log_on_postgresql(database: Database) -> None:
    """Whatever the network does to webhooks, I end up with what Vipps has."""
    _converges(database, examples=15)


def _converges(database: Database, *, examples: int) -> None:
    desk = a_desk(database)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def play(data: st.DataObject) -> None:
        _play(desk, data)

    play()

    assert broken_rules(database) == []

"""I4: whatever is lost, delayed, doubled or reordered, the end is that of Vipps's own log."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statemachine import Outcome, PaymentState, PaymentView, State, VippsEventName
from tests.statemachine.book import Book, Entry
from tests.statemachine.builders import AMOUNT_MINOR, LAPSES_AT, PAYABLE_UNTIL, a_payment, an_event
from tests.statemachine.verdicts import (
    ABORTED,
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    CREATED,
    EXPIRED,
    REFUNDED,
    TERMINATED,
)

Steps = list[tuple[VippsEventName, int]]


@dataclass(frozen=True)
class Story:
    """What Vipps's log says of a chain of payments, and what we knew when we asked for them."""

    chain: tuple[PaymentView, ...]
    log: tuple[Entry, ...]


def in_order(story: Story, deliveries: list[Entry]) -> Book:
    """Return the book after all deliveries, each as soon as its payment exists.

    A payment is only asked for when the one before it has ended, so its events cannot come before.
    """
    book = Book(list(story.chain))
    waiting = list(deliveries)
    while waiting:
        entry = next(one for one in waiting if one.payment < len(book.payments))
        waiting.remove(entry)
        book.take(entry)
        amounts = book.invoice.amounts
        assert amounts.is_sound or not amounts.authorized
    return book


def assert_each_key_was_applied_at_most_once(book: Book) -> None:
    """Check I5: one Vipps event moves an invoice at most once."""
    applied = Counter(one.entry.key for one in book.stored if one.outcome is Outcome.APPLIED)
    assert set(applied.values()) <= {1}


def a_story(*payments: tuple[PaymentView, Steps]) -> Story:
    """Return the story of payments whose logs are given as names and amounts."""
    log = [
        Entry(index, f"psp-{index}-{step}", an_event(name, amount_minor))
        for index, (_, steps) in enumerate(payments)
        for step, (name, amount_minor) in enumerate([(CREATED, AMOUNT_MINOR), *steps])
    ]
    return Story(tuple(payment for payment, _ in payments), tuple(log))


def requested(*, is_being_replaced: bool = False, ends_at: datetime = LAPSES_AT) -> PaymentView:
    """Return a payment that was asked for and of which nothing is known yet."""
    return a_payment(
        PaymentState.REQUESTED,
        has_pushed=False,
        is_being_replaced=is_being_replaced,
        ends_at=ends_at,
    )


NO: Steps = [(ABORTED, AMOUNT_MINOR)]
LAPSED: Steps = [(EXPIRED, AMOUNT_MINOR)]
WITHDRAWN: Steps = [(TERMINATED, AMOUNT_MINOR)]
YES: Steps = [(AUTHORIZED, AMOUNT_MINOR)]
IN_PARTS: Steps = [
    *YES,
    (CAPTURED, 400),
    (REFUNDED, 100),
    (CANCELLED, 600),
    (REFUNDED, 300),
]

STORIES = {
    "no": (a_story((requested(), NO)), State.ABORTED),
    "lapsed": (a_story((requested(), LAPSED)), State.SOFT_DISMISSED),
    "too late": (a_story((requested(ends_at=PAYABLE_UNTIL), LAPSED)), State.EXPIRED),
    "withdrawn": (a_story((requested(), WITHDRAWN)), State.TERMINATED),
    "released": (a_story((requested(), [*YES, (CANCELLED, 1000)])), State.CANCELLED),
    "captured": (a_story((requested(), [*YES, (CAPTURED, 1000)])), State.CAPTURED),
    "in parts": (a_story((requested(), IN_PARTS)), State.REFUNDED),
    "lapsed, then yes": (
        a_story((requested(), LAPSED), (requested(), [*YES, (CAPTURED, 600), (CANCELLED, 400)])),
        State.CAPTURED,
    ),
    "lapsed twice": (
        a_story((requested(), LAPSED), (requested(ends_at=PAYABLE_UNTIL), LAPSED)),
        State.EXPIRED,
    ),
    "replaced, then lapsed": (
        a_story((requested(is_being_replaced=True), WITHDRAWN), (requested(), LAPSED)),
        State.SOFT_DISMISSED,
    ),
    "being replaced": (a_story((requested(is_being_replaced=True), WITHDRAWN)), State.PUSHED),
}


@pytest.mark.parametrize("name", STORIES)
def test_every_order_of_a_log_ends_where_the_log_ends(name: str) -> None:
    """However Vipps's webhooks overtake each other, the invoice ends the same."""
    story, state = STORIES[name]
    expected = in_order(story, list(story.log)).end()

    ends = {repr(in_order(story, list(order)).end()) for order in permutations(story.log)}

    assert expected[0] is state
    assert ends == {repr(expected)}


@st.composite
def money_steps(draw: st.DrawFn) -> Steps:
    """Draw what a lawful Vipps does with an approved payment: capture, release, give back."""
    captured, refunded, is_released = 0, 0, False
    steps: Steps = []
    for _ in range(draw(st.integers(0, 6))):
        rest = 0 if is_released else AMOUNT_MINOR - captured
        lawful = [CAPTURED, CANCELLED] * (rest > 0) + [REFUNDED] * (captured > refunded)
        if not lawful:
            break
        name = draw(st.sampled_from(lawful))
        if name is CAPTURED:
            amount = draw(st.integers(1, rest))
            captured += amount
        elif name is CANCELLED:
            amount, is_released = rest, True
        else:
            amount = draw(st.integers(1, captured - refunded))
            refunded += amount
        steps.append((name, amount))
    return steps


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw a lawful log of one or two payments, with failed attempts in between."""
    last = st.one_of(
        st.sampled_from([[], NO, LAPSED, WITHDRAWN]),
        money_steps().map(lambda steps: [*YES, *steps]),
    )
    first = st.sampled_from([None, LAPSED, WITHDRAWN])
    before = draw(first)
    ends_at = draw(st.sampled_from([LAPSES_AT, PAYABLE_UNTIL]))
    payments = [(requested(ends_at=ends_at), draw(last))]
    if before is not None:
        payments.insert(0, (requested(is_being_replaced=before is WITHDRAWN), before))
    story = a_story(*payments)
    return Story(story.chain, with_failures(story.log, draw(st.sets(st.integers(0, 8)))))


def with_failures(log: tuple[Entry, ...], places: set[int]) -> tuple[Entry, ...]:
    """Return the log with a failed attempt before each entry at one of the places."""
    entries: list[Entry] = []
    for place, entry in enumerate(log):
        if place in places:
            name, amount = entry.event.name, entry.event.amount_minor
            failure = an_event(name, amount, success=False)
            entries.append(Entry(entry.payment, f"failed-{place}", failure))
        entries.append(entry)
    return tuple(entries)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(story=stories(), data=st.data())
def test_any_order_and_doubling_ends_where_the_log_ends(story: Story, data: st.DataObject) -> None:
    """Late, twice, or before what it presupposes: the invoice ends as Vipps's log says."""
    twice = data.draw(st.lists(st.sampled_from(story.log), max_size=6))
    deliveries = data.draw(st.permutations([*story.log, *twice]))

    book = in_order(story, deliveries)

    assert book.end() == in_order(story, list(story.log)).end()
    assert_each_key_was_applied_at_most_once(book)
    assert not any(one.outcome in (Outcome.EARLY, Outcome.REFUSED) for one in book.stored)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(story=stories(), data=st.data())
def test_lost_webhooks_are_healed_by_a_read_of_the_log(story: Story, data: st.DataObject) -> None:
    """Whatever came, and in whichever order: after one read of the log nothing is missing."""
    came = data.draw(st.lists(st.sampled_from(story.log), max_size=8))

    book = in_order(story, [*_possible(story, came), *story.log])

    assert book.end() == in_order(story, list(story.log)).end()
    assert_each_key_was_applied_at_most_once(book)


def _possible(story: Story, came: list[Entry]) -> list[Entry]:
    """Leave out webhooks of a payment that we would not have asked for yet."""
    book, possible = Book(list(story.chain)), []
    for entry in came:
        if entry.payment < len(book.payments):
            book.take(entry)
            possible.append(entry)
    return possible


@settings(max_examples=100, deadline=None, derandomize=True)
@given(steps=money_steps(), data=st.data())
def test_early_events_show_no_more_than_the_log_allows(steps: Steps, data: st.DataObject) -> None:
    """On the way to the end, too, no sum is ever more than Vipps's log will say."""
    story = a_story((requested(), [*YES, *steps]))
    _, final, _ = in_order(story, list(story.log)).end()
    book = Book(list(story.chain))

    for entry in data.draw(st.permutations(story.log)):
        book.take(entry)

        assert book.invoice.amounts.captured <= final.captured
        assert book.invoice.amounts.refunded <= final.refunded
        assert book.invoice.amounts.cancelled <= final.cancelled

"""Which deliveries may go out, and what an answer makes of them."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from service.outbox import subscriptions
from service.outbox.deliveries import AT_ONCE_PER_SUBSCRIPTION_MAX, Claimed, Room, claim
from service.outbox.egress import Reply
from service.outbox.fanout import fan_out
from service.outbox.settling import settle
from service.store.db import Database
from service.store.tables import Attempt, Delivery, DeliveryStatus, Subscription, SubscriptionStatus
from tests.service.outbox.builders import (
    ACCEPTED,
    BUSY,
    GONE,
    MSN,
    NOW,
    ONLY_POSTGRESQL,
    a_shop,
    sent,
)
from tests.service.outbox.working import LEASE_S, claim_now, settle_as
from webhooks.retry import STEPS_S


def _events(claimed: Sequence[Claimed]) -> list[str]:
    return [delivery.event_id for delivery in claimed]


def test_claim_of_one_invoices_events_gives_them_in_order(database: Database) -> None:
    """The next event of an invoice comes when I have taken the one before."""
    shop = a_shop(database)
    shop.subscribe()
    events = [shop.tell("inv_1") for _ in range(3)]

    went = []
    for _ in events:
        claimed = claim_now(shop)
        assert claim_now(shop) == []
        settle_as(shop, claimed, ACCEPTED)
        went.append(_events(claimed))

    assert went == [[event] for event in events]
    assert {d.status for d in shop.all(Delivery)} == {DeliveryStatus.DELIVERED}


def test_claim_with_one_invoice_poisoned_gives_the_others(database: Database) -> None:
    """An event that I keep refusing holds up its own invoice and no other."""
    shop = a_shop(database)
    shop.subscribe()
    poisoned = shop.tell("inv_1")
    shop.tell("inv_1")
    settle_as(shop, claim_now(shop), BUSY)
    others = [shop.tell(f"inv_{n}") for n in range(2, 5)]

    claimed = claim_now(shop)
    settle_as(shop, claimed, ACCEPTED)
    shop.later(seconds=STEPS_S[0])
    again = claim_now(shop)

    assert _events(claimed) == others
    assert _events(again) == [poisoned]


def test_claim_out_of_order_gives_all_at_once(database: Database) -> None:
    """Where I turn order off, nothing waits for anything."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    with database.transaction() as session:
        session.get_one(Subscription, key).is_in_order = False
    events = [shop.tell("inv_1") for _ in range(3)]

    claimed = claim_now(shop)

    assert _events(claimed) == events


def test_claim_for_two_subscriptions_keeps_an_order_for_each(database: Database) -> None:
    """One system of mine that is down does not hold up another."""
    shop = a_shop(database)
    down, _ = shop.subscribe()
    up, _ = shop.subscribe("https://b.example/")
    events = [shop.tell("inv_1"), shop.tell("inv_1")]

    first = claim_now(shop)
    settle_as(shop, [d for d in first if d.subscription_id == down], BUSY)
    settle_as(shop, [d for d in first if d.subscription_id == up], ACCEPTED)
    second = claim_now(shop)

    assert _events(first) == [events[0]] * 2
    assert [(d.subscription_id, d.event_id) for d in second] == [(up, events[1])]


def test_claim_of_a_slow_subscription_leaves_room_for_others(database: Database) -> None:
    """Another merchant's slow system takes ten places and no more."""
    shop = a_shop(database)
    slow, _ = shop.subscribe()
    shop.tell_many(*(f"inv_{n}" for n in range(1000)))
    claim_now(shop, limit=1)
    quick, _ = shop.subscribe("https://b.example/")
    shop.later(seconds=1)
    shop.tell("inv_new")

    claimed = claim_now(shop, limit=64, **{slow: 1})
    none_left = claim_now(shop, limit=64, **{slow: AT_ONCE_PER_SUBSCRIPTION_MAX})

    whose = [delivery.subscription_id for delivery in claimed]
    assert (whose.count(slow), whose.count(quick)) == (AT_ONCE_PER_SUBSCRIPTION_MAX - 1, 1)
    assert none_left == []


def test_claim_past_a_thousand_blocked_finds_what_may_go(database: Database) -> None:
    """However much waits behind one refused event, what may go is found at once."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell_many(*["inv_1"] * 1000)
    settle_as(shop, claim_now(shop, limit=1), BUSY)
    shop.later(seconds=2)
    free = shop.tell("inv_2")

    claimed = claim_now(shop, limit=64)

    assert _events(claimed) == [free]


@pytest.mark.parametrize("at_s", [0.0, LEASE_S - 0.001])
def test_claim_before_the_lease_ends_gives_nothing(at_s: float, database: Database) -> None:
    """While one worker sends an event, no other does."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell()
    claim_now(shop)
    shop.later(seconds=at_s)

    claimed = claim_now(shop)

    assert claimed == []


def test_settle_after_the_lease_has_passed_on_is_left_out(database: Database) -> None:
    """A worker that was frozen and wakes up changes nothing; the same event was sent again."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell()
    frozen = claim_now(shop)
    shop.later(seconds=LEASE_S)
    second = claim_now(shop)

    late = settle_as(shop, frozen, GONE)
    in_time = settle_as(shop, second, ACCEPTED)
    twice = settle_as(shop, second, BUSY)

    assert _events(frozen) == _events(second)
    assert frozen[0].payload == second[0].payload
    assert (late, in_time, twice) == (0, 1, 0)
    assert [d.status for d in shop.all(Delivery)] == [DeliveryStatus.DELIVERED]
    assert [(a.number, a.status) for a in shop.all(Attempt)] == [(1, 204)]


@ONLY_POSTGRESQL
def test_claim_by_two_workers_at_once_shares_the_work(database: Database) -> None:
    """Two processes never send the same event at the same time, nor wait for each other."""
    shop = a_shop(database)
    shop.subscribe()
    shop.subscribe("https://b.example/")
    for n in range(10):
        shop.tell(f"inv_{n}")
    with database.transaction() as session:
        fan_out(session, now=NOW, limit=100)

    with database.transaction() as first, database.transaction() as second:
        a = claim(first, now=NOW, lease_s=LEASE_S, room=Room(1, 1))
        b = claim(second, now=NOW, lease_s=LEASE_S, room=Room(1, 1))
    rest = claim_now(shop)

    assert (len(a), len(b), len(rest)) == (1, 1, 18)
    assert len({d.id for d in (*a, *b, *rest)}) == 20


@ONLY_POSTGRESQL
def test_claim_while_the_one_before_is_being_settled_loses_no_time(database: Database) -> None:
    """In the worst race the next event of an invoice comes at once, not a lease later."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell("inv_1")
    claimed = claim_now(shop)
    second = shop.tell("inv_1")
    blocked = claim_now(shop)
    with database.transaction() as session:
        settle(session, shop.vault, [sent(claimed[0], ACCEPTED, at=NOW)], now=NOW)
        in_between = claim_now(shop)

    after = claim_now(shop)

    assert (blocked, in_between) == ([], [])
    assert _events(after) == [second]


def test_settle_refused_walks_the_schedule_and_ends_failed(database: Database) -> None:
    """I am tried eleven times over three days; then the invoice's next event goes out."""
    shop = a_shop(database)
    shop.subscribe()
    first, second = shop.tell("inv_1"), shop.tell("inv_1")

    waited = []
    for _ in range(len(STEPS_S)):
        settle_as(shop, claim_now(shop), BUSY)
        due = shop.all(Delivery, Delivery.event_id == first)[0].next_attempt_at
        waited.append((due - shop.now).total_seconds())
        shop.tell("inv_2")
        settle_as(shop, claim_now(shop), ACCEPTED)  # the receiver is there, but for that event
        shop.now = due - timedelta(seconds=0.001)
        assert claim_now(shop) == []
        shop.now = due
    last = claim_now(shop)
    settle_as(shop, last, BUSY)
    after = claim_now(shop)

    failed = shop.all(Delivery, Delivery.event_id == first)[0]
    assert waited == list(STEPS_S)
    assert (failed.status, failed.attempts, failed.settled_at) == ("failed", 11, shop.now)
    tries = shop.all(Attempt, Attempt.delivery_id == failed.id)
    assert [attempt.number for attempt in tries] == list(range(1, 12))
    assert _events(after) == [second]


def test_settle_with_retry_after_waits_as_asked_up_to_twice_the_step(database: Database) -> None:
    """I may ask for more time, within reason."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell("inv_1")
    shop.tell("inv_2")
    a, b = claim_now(shop)

    settle_as(shop, [a], Reply(429, b"", retry_after="7", latency_ms=1, error=None))
    settle_as(shop, [b], Reply(429, b"", retry_after="3600", latency_ms=1, error=None))

    due = {d.id: (d.next_attempt_at - NOW).total_seconds() for d in shop.all(Delivery)}
    assert due == {a.id: 7.0, b.id: 10.0}


def test_settle_keeps_what_the_receiver_said_sealed(database: Database) -> None:
    """The log of attempts has my answer; in the database nobody can read it."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell()
    claimed = claim_now(shop)

    settle_as(shop, claimed, Reply(500, b"Kari said no", None, 12, "protocol"))

    attempt = shop.all(Attempt)[0]
    place = f"attempt:{claimed[0].id}:1:answer"
    assert b"Kari" not in attempt.answer
    assert shop.vault.open(attempt.answer, place=place) == b"Kari said no"
    assert (attempt.status, attempt.latency_ms, attempt.error) == (500, 12, "protocol")
    assert attempt.at == NOW


def test_claim_of_an_unverified_subscription_gives_its_ping_alone(database: Database) -> None:
    """Until my receiver has said 2xx it gets one delivery at a time, the ping first."""
    shop = a_shop(database)
    key, _ = shop.subscribe(status=SubscriptionStatus.UNVERIFIED)
    for n in range(3):
        shop.tell(f"inv_{n}")

    ping = claim_now(shop)
    meanwhile = claim_now(shop)
    settle_as(shop, ping, BUSY)
    shop.later(seconds=STEPS_S[0] - 1)
    before_the_step = claim_now(shop)
    shop.later(seconds=1)
    again = claim_now(shop)
    settle_as(shop, again, ACCEPTED)
    events = claim_now(shop)

    assert [d.pinged_at for d in ping] == [NOW]
    assert (meanwhile, before_the_step) == ([], [])
    assert _events(again) == _events(ping)
    assert len(events) == 3
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY


def test_claim_after_an_unverified_ping_has_failed_gives_the_next(database: Database) -> None:
    """Three days of silence end the ping, not what I am owed."""
    shop = a_shop(database)
    key, _ = shop.subscribe(status=SubscriptionStatus.UNVERIFIED)
    events = [shop.tell(f"inv_{n}") for n in range(2)]
    for step_s in (*STEPS_S, 1):
        settle_as(shop, claim_now(shop), BUSY)
        shop.later(seconds=step_s)

    first = claim_now(shop)
    meanwhile = claim_now(shop)
    settle_as(shop, first, ACCEPTED)
    second = claim_now(shop)

    assert meanwhile == []
    assert _events(first) + _events(second) == events
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY


def test_settle_gone_disables_and_keeps_what_is_owed(database: Database) -> None:
    """410 stops my subscription; nothing that I am owed is thrown away."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    shop.tell("inv_1")
    shop.tell("inv_2")
    a, _b = claim_now(shop)

    settle_as(shop, [a], GONE)
    shop.later(hours=1)
    claimed = claim_now(shop)

    stopped = shop.subscription(key)
    assert (stopped.status, stopped.reason) == (SubscriptionStatus.DISABLED, "gone")
    assert claimed == []
    assert [d.status for d in shop.all(Delivery)] == [DeliveryStatus.PENDING] * 2


def test_settle_accepted_after_gone_stays_disabled(database: Database) -> None:
    """What was under way when I said 410 does not turn the subscription on again."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    shop.tell("inv_1")
    shop.tell("inv_2")
    a, b = claim_now(shop)

    settle_as(shop, [a], GONE)
    settle_as(shop, [b], ACCEPTED)

    assert shop.subscription(key).status == SubscriptionStatus.DISABLED


def test_claim_of_a_deleted_subscription_ends_what_it_was_owed(database: Database) -> None:
    """After I delete a subscription, nothing more is sent to it."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    shop.tell()
    with database.transaction() as session:
        fan_out(session, now=NOW, limit=10)
        subscriptions.delete(session, msn=MSN, subscription_id=key, now=NOW)

    claimed = claim_now(shop)

    assert claimed == []
    assert [(d.status, d.settled_at) for d in shop.all(Delivery)] == [("failed", NOW)]

"""How a subscription fares, on its way down and up again, over a real database."""

from datetime import datetime, timedelta

import orjson
import pytest

from service.outbox import health, readiness
from service.outbox.deliveries import AT_ONCE_PER_SUBSCRIPTION_MAX, Claimed
from service.outbox.egress import Reply
from service.store.db import Database
from service.store.tables import Delivery, DeliveryStatus, Event, Subscription, SubscriptionStatus
from tests.event_contract import check_event
from tests.service.outbox.builders import ACCEPTED, BUSY, GONE, NOW, Shop, a_shop
from tests.service.outbox.working import claim_now, settle_as
from webhooks.health import PROBE_EVERY_S
from webhooks.retry import STEPS_S

_REFUSED = Reply(status=None, answer=b"", retry_after=None, latency_ms=1, error="refused")


def _events(claimed: list[Claimed]) -> list[str]:
    return [delivery.event_id for delivery in claimed]


def _told(shop: Shop) -> list[dict[str, object]]:
    """Return what was told of subscriptions, opened."""
    found = [event for event in shop.all(Event) if event.type.startswith("subscription.")]
    found.sort(key=lambda event: event.position)
    payloads = (shop.vault.open(e.payload, place=f"event:{e.id}:payload") for e in found)
    told = [orjson.loads(payload) for payload in payloads]
    for event in told:
        check_event(event)
    return told


def _fail(shop: Shop, *, until: datetime, status: SubscriptionStatus | None = None) -> None:
    """Let every try fail, until a time or a status has come; what is due waits a little."""
    while shop.now <= until:
        settle_as(shop, claim_now(shop), BUSY)
        subscription = shop.all(Subscription)[0]
        if subscription.status == status:
            return
        shop.now = max(subscription.ready_at or shop.now, shop.now + timedelta(hours=3))
    shop.now = until


def _enable(shop: Shop, key: str) -> None:
    with shop.database.transaction() as session:
        row = readiness.lock(session, [key])[key]
        health.enable(session, shop.vault, row, now=shop.now)


def test_settle_fourth_failure_degrades_tells_others_and_tries_one_at_a_time(
    database: Database,
) -> None:
    """After four failures I see why, my other systems are told, and the tries become few."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    other, _ = shop.subscribe("https://b.example/", "subscription.degraded")
    shop.tell_many(*(f"inv_{n}" for n in range(20)))

    first = claim_now(shop)
    settle_as(shop, first, _REFUSED)
    degraded = shop.subscription(key)
    at_once = claim_now(shop)
    settle_as(shop, at_once, ACCEPTED)
    shop.later(seconds=60)
    later = claim_now(shop)

    assert len(first) == AT_ONCE_PER_SUBSCRIPTION_MAX
    assert (degraded.status, degraded.reason) == (SubscriptionStatus.DEGRADED, "refused")
    assert (degraded.failures, degraded.failing_since) == (10, NOW)
    assert [d.subscription_id for d in at_once] == [other]
    told = _told(shop)
    assert _events(at_once) == [event["id"] for event in told]
    assert told[0]["data"] == {
        "subscription": {
            "id": key,
            "description": None,
            "status": "degraded",
            "reason": "refused",
            "failingSince": "2026-11-22T10:00:00.000Z",
        }
    }
    assert (len(later), later[0].subscription_id, later[0].is_sound) == (1, key, False)


def test_settle_a_day_of_failures_parks_and_probes_with_the_oldest(database: Database) -> None:
    """After a day only my oldest event knocks, every half hour; all others wait, none is lost."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    oldest = shop.tell_many("inv_0", "inv_1", "inv_2")[0]

    _fail(shop, until=NOW + timedelta(days=2), status=SubscriptionStatus.PARKED)
    parked_at = shop.now
    shop.tell("inv_new")
    probes: list[tuple[float, list[str]]] = []
    for _ in range(5):
        shop.now = _ready_at(shop, key)
        probe = claim_now(shop)
        probes.append(((shop.now - parked_at).total_seconds(), _events(probe)))
        settle_as(shop, probe, BUSY)

    assert timedelta(hours=24) <= parked_at - NOW < timedelta(hours=39)
    assert probes == [(PROBE_EVERY_S * (n + 1), [oldest]) for n in range(5)]
    assert {d.status for d in shop.all(Delivery)} == {DeliveryStatus.PENDING}
    assert shop.subscription(key).status == SubscriptionStatus.PARKED


def test_settle_five_days_of_failures_disable_and_tell(database: Database) -> None:
    """After five days it is disabled, with its reason; everything I am owed is still there."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    shop.tell_many("inv_0", "inv_1")

    _fail(shop, until=NOW + timedelta(days=6), status=SubscriptionStatus.DISABLED)
    disabled_at = shop.now
    shop.later(days=1)
    nothing = claim_now(shop)

    disabled = shop.subscription(key)
    assert disabled_at - NOW >= timedelta(days=5)
    assert (disabled.reason, disabled.ready_at) == ("status_503", None)
    assert nothing == []
    types = [event["type"] for event in _told(shop)]
    assert types == ["subscription.degraded", "subscription.disabled"]
    assert {d.status for d in shop.all(Delivery)} == {DeliveryStatus.PENDING}


@pytest.mark.parametrize("status", ["degraded", "parked"])
def test_settle_2xx_recovers_and_drains_the_queue_in_order(status: str, database: Database) -> None:
    """One 2xx, and all that I am owed comes at once, each invoice in its order."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    events = shop.tell_many(*(f"inv_{n % 4}" for n in range(12)))
    _fail(shop, until=NOW + timedelta(days=3), status=SubscriptionStatus(status))
    shop.now = _ready_at(shop, key)

    arrived: list[str] = []
    for _ in range(30):
        claimed = claim_now(shop, limit=64)
        settle_as(shop, claimed, ACCEPTED)
        arrived += _events(claimed)

    for n in range(4):
        assert [event for event in arrived if event in events[n::4]] == events[n::4]
    assert len(arrived) == 12
    fares = shop.subscription(key)
    assert (fares.status, fares.failures, fares.reason) == (SubscriptionStatus.HEALTHY, 0, None)
    assert fares.ready_at is None


def test_enable_after_disabling_sends_the_queue_in_order_from_its_start(
    database: Database,
) -> None:
    """Switched on again, the queue goes out oldest first, and the schedule starts anew."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    events = shop.tell_many("inv_0", "inv_0", "inv_1", "inv_2")
    _fail(shop, until=NOW + timedelta(days=6), status=SubscriptionStatus.DISABLED)

    _enable(shop, key)
    first = claim_now(shop)
    settle_as(shop, first[:1], BUSY)
    settle_as(shop, first[1:], ACCEPTED)

    tried = shop.all(Delivery, Delivery.event_id == events[0])[0]
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY
    assert _events(first)[:3] == [events[0], events[2], events[3]]
    assert (tried.status, tried.next_attempt_at - shop.now) == (
        DeliveryStatus.PENDING,
        timedelta(seconds=STEPS_S[0]),
    )


def test_enable_of_what_never_answered_must_prove_itself(database: Database) -> None:
    """Who has never said 2xx gets one delivery at a time, switched off and on or not."""
    shop = a_shop(database)
    key, _ = shop.subscribe(status=SubscriptionStatus.UNVERIFIED)
    shop.tell_many("inv_0", "inv_1")
    _fail(shop, until=NOW + timedelta(days=9), status=SubscriptionStatus.DISABLED)

    _enable(shop, key)
    claimed = claim_now(shop)

    assert shop.subscription(key).status == SubscriptionStatus.UNVERIFIED
    assert len(claimed) == 1


def test_settle_gone_tells_the_others_why(database: Database) -> None:
    """When one of my systems says 410, another one hears of it."""
    shop = a_shop(database)
    key, _ = shop.subscribe("https://a.example/")
    other, _ = shop.subscribe("https://b.example/", "subscription.disabled")
    shop.tell("inv_0")

    settle_as(shop, claim_now(shop), GONE)
    heard = claim_now(shop)

    assert [d.subscription_id for d in heard] == [other]
    assert _told(shop)[0]["data"]["subscription"]["reason"] == "gone"  # type: ignore[index]
    assert shop.subscription(key).status == SubscriptionStatus.DISABLED


def test_claim_of_a_degraded_subscription_tells_another_invoice_at_once(
    database: Database,
) -> None:
    """One invoice's poisoned event does not hold up another, also once I am degraded."""
    shop = a_shop(database)
    key, _ = shop.subscribe()
    shop.tell("inv_poison")
    _fail(shop, until=NOW + timedelta(days=1), status=SubscriptionStatus.DEGRADED)
    shop.later(minutes=5)
    good = shop.tell("inv_good")

    claimed = claim_now(shop)
    settle_as(shop, claimed, ACCEPTED)

    assert _events(claimed) == [good]
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY


def test_settle_poisoned_beside_successes_ends_failed_by_the_schedule(
    database: Database,
) -> None:
    """An event that I always refuse is given up one day, however well all others go."""
    shop = a_shop(database)
    shop.subscribe()
    poisoned = shop.tell("inv_poison")
    for n in range(30):
        claimed = claim_now(shop)
        settle_as(shop, [d for d in claimed if d.event_id == poisoned], BUSY)
        settle_as(shop, [d for d in claimed if d.event_id != poisoned], ACCEPTED)
        shop.later(hours=12)
        shop.tell(f"inv_{n}")

    ended = shop.all(Delivery, Delivery.event_id == poisoned)[0]
    assert ended.status == DeliveryStatus.FAILED
    assert ended.attempts - ended.attempts_before == len(STEPS_S) + 1


def _ready_at(shop: Shop, key: str) -> datetime:
    ready_at = shop.subscription(key).ready_at
    assert ready_at is not None
    return ready_at

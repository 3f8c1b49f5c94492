"""A merchant's subscriptions, within one sales unit."""

from typing import Any

import pytest

from service.errors import Conflict, InvalidInput, NotFound
from service.outbox import subscriptions
from service.outbox.rows import PING_LINE
from service.outbox.subscriptions import SUBSCRIPTIONS_MAX
from service.store.db import Database
from service.store.tables import Delivery, Subscription, SubscriptionStatus
from tests.service.outbox.builders import MSN, NOW, Shop, a_shop

_OTHER_MSN = "654321"


def _create(shop: Shop, **changed: Any) -> tuple[Subscription, str]:
    wanted: dict[str, Any] = {
        "msn": MSN,
        "url": "https://merchant.example/in",
        "event_types": ["invoice.*"],
        "description": "the ERP",
        "allow": (),
        "now": NOW,
        **changed,
    }
    with shop.database.transaction() as session:
        return subscriptions.create(session, shop.vault, **wanted)


def test_create_gives_a_secret_and_owes_a_ping(database: Database) -> None:
    """I get a secret once, and a signed ping is on its way, whatever crashes now."""
    shop = a_shop(database)
    shop.tell()

    made, secret = _create(shop)

    stored = shop.subscription(made.id)
    assert secret.startswith("whsec_")
    assert secret.encode() not in stored.secrets
    assert b"merchant.example" not in stored.url
    assert (stored.status, stored.from_position) == (SubscriptionStatus.UNVERIFIED, 1)
    pings = shop.all(Delivery)
    assert [(p.line, p.subscription_id, p.next_attempt_at) for p in pings] == [
        (PING_LINE, made.id, NOW)
    ]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "http://merchant.example/in"}, "url"),
        ({"url": "https://10.0.0.1/in"}, "url"),
        ({"url": "https://user:pw@merchant.example/"}, "url"),
        ({"event_types": ["invoice.payed"]}, "eventTypes.0"),
        ({"event_types": ["*", "subscription.*"]}, "eventTypes.1"),
        ({"event_types": []}, "eventTypes"),
        ({"event_types": ["*"] * 51}, "eventTypes"),
        ({"description": "x" * 257}, "description"),
        ({"description": "a\0b"}, "description"),
    ],
)
def test_create_with_a_wrong_field_names_it(
    changed: dict[str, Any], field: str, database: Database
) -> None:
    """What is wrong is named, and nothing is stored."""
    shop = a_shop(database)

    with pytest.raises(InvalidInput) as caught:
        _create(shop, **changed)

    assert [error.field for error in caught.value.errors] == [field]
    assert shop.all(Subscription) == []


def test_create_beyond_the_cap_is_refused_until_one_is_deleted(database: Database) -> None:
    """There may be 25 at a time; deleted ones do not count, nor another unit's."""
    shop = a_shop(database, MSN, _OTHER_MSN)
    made = [_create(shop)[0] for _ in range(SUBSCRIPTIONS_MAX)]

    with pytest.raises(Conflict) as caught:
        _create(shop)
    _create(shop, msn=_OTHER_MSN)
    with shop.database.transaction() as session:
        subscriptions.delete(session, msn=MSN, subscription_id=made[0].id, now=NOW)
    again, _ = _create(shop)

    assert caught.value.code == "too_many_subscriptions"
    assert again.id not in {subscription.id for subscription in made}


def test_get_of_another_units_subscription_finds_nothing(database: Database) -> None:
    """Nobody learns that a subscription of mine exists."""
    shop = a_shop(database, MSN, _OTHER_MSN)
    made, _ = _create(shop)

    with shop.database.transaction() as session:
        with pytest.raises(NotFound):
            subscriptions.get(session, msn=_OTHER_MSN, subscription_id=made.id)
        with pytest.raises(NotFound):
            subscriptions.delete(session, msn=_OTHER_MSN, subscription_id=made.id, now=NOW)
        found = subscriptions.get(session, msn=MSN, subscription_id=made.id)

    assert found.id == made.id


def test_delete_twice_finds_nothing_the_second_time(database: Database) -> None:
    """A deleted subscription is gone from every answer."""
    shop = a_shop(database)
    made, _ = _create(shop)

    with shop.database.transaction() as session:
        subscriptions.delete(session, msn=MSN, subscription_id=made.id, now=NOW)
        with pytest.raises(NotFound):
            subscriptions.delete(session, msn=MSN, subscription_id=made.id, now=NOW)
        listed, _ = subscriptions.list_page(session, msn=MSN, limit=10)

    assert listed == []


def test_list_page_walked_to_its_end_shows_each_once(database: Database) -> None:
    """Page by page I see every subscription of mine, newest first."""
    shop = a_shop(database, MSN, _OTHER_MSN)
    made = [_create(shop)[0].id for _ in range(5)]
    _create(shop, msn=_OTHER_MSN)

    seen: list[str] = []
    after: str | None = None
    with shop.database.snapshot() as session:
        for _ in range(3):
            page, after = subscriptions.list_page(session, msn=MSN, limit=2, after=after)
            seen += [subscription.id for subscription in page]

    assert after is None
    assert seen == sorted(made, reverse=True)


def test_render_of_a_new_subscription_shows_what_the_api_shows(database: Database) -> None:
    """I see my URL, filter and when my receiver is tried; never the secret."""
    shop = a_shop(database)
    made, _ = _create(shop, event_types=["invoice.*", "invoice.*", "test.ping"])

    with shop.database.snapshot() as session:
        rendered = subscriptions.render(session, shop.vault, [made])

    assert rendered == [
        {
            "id": made.id,
            "url": "https://merchant.example/in",
            "eventTypes": ["invoice.*", "test.ping"],
            "description": "the ERP",
            "inOrder": True,
            "status": "unverified",
            "reason": None,
            "failingSince": None,
            "nextAttemptAt": "2026-11-22T10:00:00.000Z",
            "createdAt": "2026-11-22T10:00:00.000Z",
        }
    ]

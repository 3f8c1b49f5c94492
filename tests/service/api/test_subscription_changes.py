"""Changing a subscription: its address, filter, order and secret, off and on."""

from datetime import timedelta
from typing import Any

import pytest

from service.outbox.rows import PING_LINE
from service.store.tables import Delivery, DeliveryStatus, Event, Subscription
from tests.service.api.shop import ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio


async def _subscribe(shop: Shop, **changed: Any) -> tuple[str, dict[str, Any]]:
    body = {"url": "https://erp.example/in", "eventTypes": ["*"], **changed}
    answer = await shop.client.post("/v1/subscriptions", json=body)
    assert answer.status_code == 201, answer.text
    return f"/v1/subscriptions/{answer.json()['id']}", answer.json()


def _let_be(shop: Shop, **values: Any) -> None:
    """Let the subscription have fared as the values say."""
    with shop.database.transaction() as session:
        row = session.merge(shop.all(Subscription)[0])
        for name, value in values.items():
            setattr(row, name, value)


async def test_patch_changes_what_is_given_and_nothing_else(shop: Shop) -> None:
    """I change the filter and the order, and the rest stays; a description can be taken away."""
    path, made = await _subscribe(shop, description="the ERP")

    first = await shop.client.patch(path, json={"eventTypes": ["invoice.*"], "inOrder": False})
    second = await shop.client.patch(path, json={"description": None})

    read = (await shop.client.get(path)).json()
    assert (first.status_code, second.status_code) == (200, 200), first.text
    assert second.json() == read
    assert second.headers["ETag"] == (await shop.client.get(path)).headers["ETag"]
    changed = {"eventTypes": ["invoice.*"], "inOrder": False, "description": None}
    kept = {k: v for k, v in made.items() if k not in ("secret", *changed)}
    assert {k: read[k] for k in kept} == kept
    assert {k: read[k] for k in changed} == changed


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "https://10.0.0.1/in"}, "url"),
        ({"url": None}, "url"),
        ({"eventTypes": []}, "eventTypes"),
        ({"eventTypes": ["invoice.payed"]}, "eventTypes.0"),
        ({"eventTypes": None}, "eventTypes"),
        ({"inOrder": "yes"}, "inOrder"),
        ({"status": "degraded"}, "status"),
        ({"status": None}, "status"),
        ({"secret": "whsec_mine"}, "secret"),
        ({"reason": "x"}, "reason"),
    ],
)
async def test_patch_with_a_wrong_field_names_it_and_changes_nothing(
    shop: Shop, changed: dict[str, Any], field: str
) -> None:
    """A change that can't be is refused as a whole."""
    path, _ = await _subscribe(shop)
    before = (await shop.client.get(path)).json()

    answer = await shop.client.patch(path, json={"description": "new one", **changed})

    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await shop.client.get(path)).json() == before


async def test_patch_of_the_url_must_be_proven_anew(shop: Shop) -> None:
    """Another address gets its own ping before anything else, and the same one does not."""
    path, _ = await _subscribe(shop)
    with shop.database.transaction() as session:
        ping = session.merge(shop.all(Delivery)[0])
        ping.status = DeliveryStatus.DELIVERED
    _let_be(shop, status="healthy", verified_at=shop.times[-1], ready_at=None)

    same = await shop.client.patch(path, json={"url": "https://erp.example/in"})
    moved = await shop.client.patch(path, json={"url": "https://erp.example/other"})

    assert (same.json()["status"], moved.json()["status"]) == ("healthy", "unverified")
    assert moved.json()["url"] == "https://erp.example/other"
    assert [d.line for d in shop.all(Delivery, Delivery.status == "pending")] == [PING_LINE]
    assert shop.all(Subscription)[0].verified_at is None
    assert moved.json()["nextAttemptAt"] is not None


async def test_patch_off_and_on_again(shop: Shop) -> None:
    """I stop a subscription and let it go on, and see each in its status and reason."""
    path, _ = await _subscribe(shop)
    _let_be(shop, status="healthy", verified_at=shop.times[-1])

    off = (await shop.client.patch(path, json={"status": "disabled"})).json()
    on = (await shop.client.patch(path, json={"status": "healthy"})).json()

    assert (off["status"], off["reason"], off["nextAttemptAt"]) == ("disabled", "by_merchant", None)
    assert (on["status"], on["reason"]) == ("healthy", None)
    assert on["nextAttemptAt"] is not None
    assert [event.type for event in shop.all(Event)] == ["subscription.disabled"]


async def test_patch_on_sets_what_is_owed_due(shop: Shop) -> None:
    """Switched on again, everything that waited is due at once, at its place."""
    path, _ = await _subscribe(shop)
    later = shop.times[-1] + timedelta(hours=9)
    with shop.database.transaction() as session:
        waiting = session.merge(shop.all(Delivery)[0])
        waiting.next_attempt_at, waiting.attempts, waiting.line = later, 9, "inv_1"
    _let_be(
        shop,
        status="disabled",
        reason="timeout",
        failures=99,
        failing_since=shop.times[-1],
        verified_at=shop.times[-1],
        ready_at=None,
    )

    answer = await shop.client.patch(path, json={"status": "healthy"})

    waiting = shop.all(Delivery)[0]
    assert (answer.json()["status"], answer.json()["failingSince"]) == ("healthy", None)
    assert waiting.next_attempt_at == waiting.created_at
    assert waiting.attempts - waiting.attempts_before == 0
    assert shop.all(Subscription)[0].ready_at == shop.times[-1]


async def test_patch_on_of_what_never_answered_pings_it_again(shop: Shop) -> None:
    """Nobody becomes healthy by saying so: the ping goes out again."""
    path, _ = await _subscribe(shop)
    with shop.database.transaction() as session:
        session.merge(shop.all(Delivery)[0]).status = DeliveryStatus.FAILED
    _let_be(shop, status="disabled", reason="dns", ready_at=None)

    answer = await shop.client.patch(path, json={"status": "healthy"})

    assert answer.json()["status"] == "unverified"
    pending = shop.all(Delivery, Delivery.status == "pending")
    assert [(d.line, d.next_attempt_at) for d in pending] == [(PING_LINE, shop.times[-1])]


async def test_patch_with_an_old_etag_gets_412_and_a_key_repeats_the_answer(shop: Shop) -> None:
    """I change only what I have seen, and a repeated request is one request."""
    path, _ = await _subscribe(shop)
    etag, body = (await shop.client.get(path)).headers["ETag"], {"description": "new one"}
    key = {"Idempotency-Key": "patch-1"}

    stale = await shop.client.patch(path, json=body, headers={"If-Match": '"old"'})
    first = await shop.client.patch(path, json=body, headers={"If-Match": etag, **key})
    again = await shop.client.patch(path, json=body, headers={"If-Match": etag, **key})

    assert [a.status_code for a in (stale, first, again)] == [412, 200, 200]
    assert first.content == again.content


async def test_rotate_secret_shows_the_new_one_once(shop: Shop) -> None:
    """I get another secret, once; a repeated request does not give me a third."""
    path, made = await _subscribe(shop)
    key, body = {"Idempotency-Key": "r-1"}, {"overlapSeconds": 60}

    first = await shop.client.post(f"{path}/rotate-secret", json=body, headers=key)
    again = await shop.client.post(f"{path}/rotate-secret", json=body, headers=key)

    assert first.status_code == 200, first.text
    assert first.json()["secret"].startswith("whsec_")
    assert first.json()["secret"] != made["secret"]
    assert first.content == again.content
    assert "secret" not in (await shop.client.get(path)).json()


@ONLY_SQLITE
@pytest.mark.parametrize("overlap", [-1, 604_801, 1.5, "60", True])
async def test_rotate_secret_with_a_wrong_overlap_names_it(shop: Shop, overlap: Any) -> None:
    """An overlap is a whole number of seconds, up to a week."""
    path, _ = await _subscribe(shop)

    answer = await shop.client.post(f"{path}/rotate-secret", json={"overlapSeconds": overlap})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["overlapSeconds"]


@ONLY_SQLITE
async def test_rotate_secret_too_often_is_refused_until_one_ends(shop: Shop) -> None:
    """There are five at most that sign, so that a delivery's header stays short."""
    path, _ = await _subscribe(shop)

    async def rotate(**body: int) -> int:
        return (await shop.client.post(f"{path}/rotate-secret", json=body)).status_code

    answers = [await rotate(overlapSeconds=60) for _ in range(5)]
    shop.later(seconds=60)
    after = await rotate()
    at_once = await rotate(overlapSeconds=0)

    assert answers == [200, 200, 200, 200, 409]
    assert (after, at_once) == (200, 200)

"""The log of deliveries, sending again, and the merchant's own bookkeeping of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.ids import new_id
from service.outbox.deliveries import Claimed, Room, claim
from service.outbox.delivery_log import ATTEMPTS_SHOWN_MAX
from service.outbox.egress import Reply
from service.outbox.fanout import fan_out
from service.outbox.settling import Sent, settle
from service.store.tables import Attempt, Delivery, Event, Feed, StoredAnswer, Subscription
from tests.service.api.shop import MSN, NOW, ONLY_SQLITE, OTHER_MSN, Shop

pytestmark = pytest.mark.anyio

_OK = Reply(204, b"", None, 7, None)
_NO = Reply(500, b"Kari \xff <b>", None, 12, None)
_ALL = {"from": "2026-11-22T00:00:00Z", "mode": "all"}


async def _subscribe(shop: Shop, *event_types: str) -> str:
    """Make a subscription that has answered its ping."""
    body = {"url": "https://erp.example/in", "eventTypes": event_types or ["*"]}
    key = (await shop.client.post("/v1/subscriptions", json=body)).json()["id"]
    _settle(shop, _claim(shop), _OK)
    return str(key)


def _claim(shop: Shop) -> list[Claimed]:
    with shop.database.transaction() as session:
        fan_out(session, now=shop.times[-1], limit=1_000)
        return claim(session, now=shop.times[-1], lease_s=60, room=Room(500, 500))


def _settle(shop: Shop, claimed: Sequence[Claimed], reply: Reply) -> None:
    now = shop.times[-1]
    with shop.database.transaction() as session:
        sent = [Sent(each, reply, now) for each in claimed]
        settle(session, shop.context.vault, sent, now=now, jitter=lambda: 0.0)


def _deliver(shop: Shop, *refused: str) -> list[str]:
    """Let everything that may go out arrive, but for these events; return what did."""
    arrived: list[str] = []
    while claimed := _claim(shop):
        no = [each for each in claimed if each.event_id in refused]
        yes = [each for each in claimed if each.event_id not in refused]
        _settle(shop, no, _NO)
        _settle(shop, yes, _OK)
        arrived += [each.event_id for each in yes]
    return arrived


def _tell(shop: Shop, *invoices: str) -> list[str]:
    """Append one event for each of these invoices to the feed."""
    told = []
    with shop.database.transaction() as session:
        feed = session.get_one(Feed, MSN)
        for invoice in invoices:
            key, feed.position = new_id("evt"), feed.position + 1
            sealed = shop.context.vault.seal(key.encode(), place=f"event:{key}:payload")
            session.add(
                Event(
                    id=key,
                    msn=MSN,
                    position=feed.position,
                    type="invoice.pushed",
                    invoice_id=invoice,
                    recorded_at=shop.times[-1],
                    payload=sealed,
                )
            )
            told.append(key)
    return told


def _give_up(shop: Shop, event_id: str) -> None:
    """Let a delivery have come to the end of its schedule."""
    with shop.database.transaction() as session:
        row = session.merge(shop.all(Delivery, Delivery.event_id == event_id)[0])
        row.status, row.attempts, row.settled_at = "failed", 11, shop.times[-1]


async def _replay(shop: Shop, key: str, **changed: Any) -> int:
    body = {k: v for k, v in {**_ALL, **changed}.items() if v is not None}
    answer = await shop.client.post(f"/v1/subscriptions/{key}/replay", json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["count"])


async def test_deliveries_show_every_try_and_what_was_said(shop: Shop) -> None:
    """I see what went out, when, and the first of what my system answered."""
    key = await _subscribe(shop)
    reference = (await shop.create()).json()["reference"]
    told = shop.all(Event)[0].id
    _settle(shop, _claim(shop), _NO)
    shop.later(seconds=5)
    _settle(shop, _claim(shop), _OK)

    answer = await shop.client.get(f"/v1/subscriptions/{key}/deliveries")

    first, ping = answer.json()["items"]
    assert (first["event"], first["type"]) == (told, "invoice.created")
    assert (first["reference"], first["status"]) == (reference, "delivered")
    assert (first["nextAttemptAt"], first["attemptCount"]) == (None, 2)
    assert first["attempts"] == [
        {
            "at": "2026-11-22T10:00:00.000Z",
            "status": 500,
            "latencyMs": 12,
            "answer": "Kari \ufffd <b>",
            "error": None,
        },
        {
            "at": "2026-11-22T10:00:05.000Z",
            "status": 204,
            "latencyMs": 7,
            "answer": None,
            "error": None,
        },
    ]
    assert (ping["type"], ping["reference"], ping["status"]) == ("test.ping", None, "delivered")


async def test_deliveries_are_walked_once_and_filtered(shop: Shop) -> None:
    """Page by page I see each delivery once; the failed ones apart."""
    key = await _subscribe(shop)
    told = _tell(shop, "inv_0", "inv_1", "inv_2")
    _deliver(shop)
    _give_up(shop, told[1])
    path = f"/v1/subscriptions/{key}/deliveries"

    first = (await shop.client.get(path, params={"limit": "3"})).json()
    rest = (await shop.client.get(path, params={"cursor": first["cursor"]})).json()
    failed = (await shop.client.get(path, params={"status": "failed"})).json()
    wrong = await shop.client.get(path, params={"status": "lost"})
    foreign = await shop.client.get(
        "/v1/subscriptions/sub_00000000000000000000000000/deliveries",
        params={"cursor": first["cursor"]},
    )

    seen = [item["event"] for item in (*first["items"], *rest["items"])]
    assert seen[:3] == told[::-1]
    assert (len(seen), rest["cursor"]) == (4, None)
    assert [item["event"] for item in failed["items"]] == [told[1]]
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "status")
    assert (foreign.status_code, foreign.json()["errors"][0]["field"]) == (422, "cursor")


async def test_deliveries_tried_very_often_show_the_last_tries(shop: Shop) -> None:
    """What was tried for days shows its last tries, and how many there were."""
    key = await _subscribe(shop)
    _tell(shop, "inv_0")
    claimed = _claim(shop)
    with shop.database.transaction() as session:
        session.get_one(Delivery, claimed[0].id).attempts = 100
        session.add_all(
            Attempt(delivery_id=claimed[0].id, number=n + 1, at=NOW, status=500 + n, latency_ms=1)
            for n in range(100)
        )

    item = (await shop.client.get(f"/v1/subscriptions/{key}/deliveries")).json()["items"][0]

    assert item["attemptCount"] == 100
    last = range(600 - ATTEMPTS_SHOWN_MAX, 600)
    assert [attempt["status"] for attempt in item["attempts"]] == list(last)


async def test_redeliver_sends_the_same_again_and_waits_for_nothing(shop: Shop) -> None:
    """One delivery goes out again at once, also behind an event that I refuse."""
    await _subscribe(shop)
    done, poisoned = _tell(shop, "inv_0", "inv_0")
    _deliver(shop, poisoned)
    before = shop.all(Delivery, Delivery.event_id == done)[0]

    answer = await shop.client.post(f"/v1/deliveries/{before.id}/redeliver")
    again = _claim(shop)
    _settle(shop, again, _OK)

    assert answer.status_code == 202, answer.text
    assert (answer.json()["status"], answer.json()["event"]) == ("pending", done)
    assert [(each.id, each.event_id) for each in again] == [(before.id, done)]
    after = shop.all(Delivery, Delivery.event_id == done)[0]
    assert (after.status, after.attempts) == ("delivered", 2)


async def test_redeliver_of_a_failed_one_begins_its_schedule_anew(shop: Shop) -> None:
    """What was given up is tried again as if it were new, and its log goes on."""
    await _subscribe(shop)
    (event,) = _tell(shop, "inv_0")
    _deliver(shop)
    _give_up(shop, event)
    key = shop.all(Delivery, Delivery.event_id == event)[0].id

    await shop.client.post(f"/v1/deliveries/{key}/redeliver")
    _settle(shop, _claim(shop), _NO)

    row = shop.all(Delivery, Delivery.event_id == event)[0]
    assert (row.status, row.attempts, row.settled_at) == ("pending", 12, None)
    assert (row.next_attempt_at - shop.times[-1]).total_seconds() == 5


async def test_redeliver_what_is_under_way_changes_nothing(shop: Shop) -> None:
    """While it is being sent, it is not sent a second time beside."""
    await _subscribe(shop)
    _tell(shop, "inv_0")
    (under_way,) = _claim(shop)

    answer = await shop.client.post(f"/v1/deliveries/{under_way.id}/redeliver")

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert _claim(shop) == []


async def test_redeliver_twice_with_a_key_is_once(shop: Shop) -> None:
    """A lost answer does not send it a third time."""
    await _subscribe(shop)
    _tell(shop, "inv_0")
    _deliver(shop)
    path = f"/v1/deliveries/{shop.all(Delivery)[-1].id}/redeliver"

    first = await shop.client.post(path, headers={"Idempotency-Key": "r"})
    arrived = _deliver(shop)
    again = await shop.client.post(path, headers={"Idempotency-Key": "r"})

    assert first.content == again.content
    assert (len(arrived), _deliver(shop)) == (1, [])


async def test_redeliver_elsewhere_or_while_disabled_is_refused(shop: Shop) -> None:
    """Another's delivery does not exist; a disabled subscription has to be enabled first."""
    await _subscribe(shop)
    _tell(shop, "inv_0")
    _deliver(shop)
    path = f"/v1/deliveries/{shop.all(Delivery)[-1].id}/redeliver"
    foreign = await shop.other.post(path)
    with shop.database.transaction() as session:
        session.merge(shop.all(Subscription)[0]).status = "disabled"

    disabled = await shop.client.post(path)

    assert foreign.status_code == 404
    assert (disabled.status_code, disabled.json()["code"]) == (409, "subscription_disabled")
    assert OTHER_MSN != MSN


async def test_replay_failed_sends_what_did_not_arrive(shop: Shop) -> None:
    """After a disaster I get what was given up and what I missed while it was off; no more."""
    key = await _subscribe(shop)
    told = _tell(shop, "inv_0", "inv_1", "inv_2")
    _deliver(shop)
    _give_up(shop, told[1])
    path = f"/v1/subscriptions/{key}"
    await shop.client.patch(path, json={"status": "disabled"})
    missed = _tell(shop, "inv_3")
    _deliver(shop)
    await shop.client.patch(path, json={"status": "healthy"})

    dry = await _replay(shop, key, mode="failed", dryRun=True)
    nothing = _deliver(shop)
    count = await _replay(shop, key, mode="failed")
    arrived = _deliver(shop)

    assert (dry, count, nothing) == (2, 2, [])
    assert arrived == [told[1], *missed]


async def test_replay_all_sends_everything_in_the_window_again(shop: Shop) -> None:
    """I get all that my filter takes between the two instants, in the feed's order."""
    before = _tell(shop, "inv_0")
    shop.later(hours=1)
    key = await _subscribe(shop, "invoice.pushed")
    told = _tell(shop, "inv_0", "inv_1", "inv_0")
    await shop.create()  # invoice.created: not in the filter
    shop.later(hours=1)
    after = _tell(shop, "inv_2")
    _deliver(shop)

    count = await _replay(
        shop, key, **{"from": "2026-11-22T11:00:00Z", "to": "2026-11-22T12:00:00Z"}
    )
    arrived = _deliver(shop)
    everything = await _replay(shop, key)

    assert (count, arrived) == (3, told)
    assert (everything, _deliver(shop)) == (5, [*before, *told, *after])


async def test_replay_latest_sends_the_last_of_each_invoice(shop: Shop) -> None:
    """To be up to date I need one event for each invoice."""
    key = await _subscribe(shop)
    told = _tell(shop, "inv_0", "inv_1", "inv_0", "inv_2", "inv_1")
    _deliver(shop)

    count = await _replay(shop, key, mode="latest")

    assert (count, _deliver(shop)) == (3, [told[2], told[3], told[4]])


async def test_replay_overlapping_another_doubles_nothing_that_waits(shop: Shop) -> None:
    """Asked for twice, or while it still waits for its first time, an event is sent once."""
    key = await _subscribe(shop)
    told = _tell(shop, "inv_0", "inv_1")
    _deliver(shop)
    waiting = _tell(shop, "inv_9")
    _claim(shop)

    counts = [await _replay(shop, key) for _ in range(3)]
    arrived = _deliver(shop)

    assert counts == [2, 0, 0]
    assert arrived == told
    assert len(shop.all(Delivery, Delivery.event_id == waiting[0])) == 1


async def test_replay_with_a_key_is_one_replay(shop: Shop) -> None:
    """A repeated request gets the first one's answer, and a refused one leaves its key free."""
    key = await _subscribe(shop)
    told = _tell(shop, "inv_0")
    _deliver(shop)
    path, head = f"/v1/subscriptions/{key}/replay", {"Idempotency-Key": "p"}

    await shop.client.patch(f"/v1/subscriptions/{key}", json={"status": "disabled"})
    refused = await shop.client.post(path, json=_ALL, headers=head)
    await shop.client.patch(f"/v1/subscriptions/{key}", json={"status": "healthy"})
    first = await shop.client.post(path, json=_ALL, headers=head)
    arrived = _deliver(shop)
    again = await shop.client.post(path, json=_ALL, headers=head)

    assert (refused.status_code, refused.json()["code"]) == (409, "subscription_disabled")
    assert (first.content, first.status_code) == (again.content, 200)
    assert told[0] in arrived
    assert _deliver(shop) == []
    assert len(shop.all(StoredAnswer)) == 1


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"from": None}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-22"}, "from"),
        ({"from": "2026-11-22T10:00:01Z"}, "from"),
        ({"to": "2026-11-22T00:00:00Z"}, "to"),
        ({"to": 5}, "to"),
        ({"mode": None}, "mode"),
        ({"mode": "everything"}, "mode"),
        ({"dryRun": "no"}, "dryRun"),
        ({"until": "2026-11-22T10:00:00Z"}, "until"),
    ],
)
async def test_replay_with_a_wrong_field_names_it(
    shop: Shop, changed: dict[str, Any], field: str
) -> None:
    """A replay that can't be meant so is refused by its field."""
    key = await _subscribe(shop)
    body = {k: v for k, v in {**_ALL, **changed}.items() if v is not None}

    answer = await shop.client.post(f"/v1/subscriptions/{key}/replay", json=body)

    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@ONLY_SQLITE
async def test_replay_of_another_version_gets_412(shop: Shop) -> None:
    """I replay to what I have seen."""
    key = await _subscribe(shop)
    path = f"/v1/subscriptions/{key}"
    etag = (await shop.client.get(path)).headers["ETag"]

    stale = await shop.client.post(f"{path}/replay", json=_ALL, headers={"If-Match": '"old"'})
    fine = await shop.client.post(f"{path}/replay", json=_ALL, headers={"If-Match": etag})

    assert (stale.status_code, fine.status_code) == (412, 200)

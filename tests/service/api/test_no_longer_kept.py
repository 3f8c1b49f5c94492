"""Who asks for what is no longer kept is told so, on every channel, and never shown a gap."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import col

from service.api.feed_places import cursor_after
from service.keeping.pieces import note_gone
from service.store.tables import Event
from tests.service.api.shop import MSN, NOW, ONLY_SQLITE, Shop

_LATER = (NOW + timedelta(hours=1)).isoformat().replace("+00:00", "Z")

pytestmark = [pytest.mark.anyio, ONLY_SQLITE]


async def _let_go_of(shop: Shop, position: int) -> None:
    """Tell of three steps of an invoice, and let the feed begin behind this position."""
    await shop.create()
    shop.let_be_authorized()
    with shop.database.transaction() as session:
        session.execute(
            sa.delete(Event).where(col(Event.msn) == MSN, col(Event.position) <= position)
        )
        note_gone(session, MSN, position=position, told_at=NOW)


async def test_cursor_from_before_the_feeds_beginning_is_refused_on_every_channel(
    shop: Shop,
) -> None:
    """I learn that I have missed something, whichever way I read."""
    await _let_go_of(shop, 2)
    old, here = cursor_after(MSN, 1), cursor_after(MSN, 2)
    begin = NOW.isoformat().replace("+00:00", "Z")

    refused = [
        await shop.client.get("/v1/events", params={"cursor": old}),
        await shop.client.get("/v1/events/stream", params={"cursor": old}),
        await shop.client.get("/v1/events/stream", headers={"Last-Event-ID": old}),
        await shop.client.get("/v1/feed/events", params={"n": "1", "cursor0": old}),
        await shop.client.get(
            "/v1/feed/events", params={"token": "1", "partition": "0", "cursor": old}
        ),
        await shop.client.get("/v1/events/digest", params={"from": begin, "to": _LATER}),
    ]
    page = await shop.client.get("/v1/events", params={"cursor": here})

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
        (410, "no_longer_kept")
    ] * 6
    assert "_first" in refused[0].json()["detail"]
    assert [item["type"] for item in page.json()["items"]] == ["invoice.authorized"]


async def test_first_is_the_first_event_that_is_kept(shop: Shop) -> None:
    """Who starts anew starts with what is there; a digest of that time is whole."""
    await _let_go_of(shop, 2)

    page = (await shop.client.get("/v1/events", params={"cursor": "_first"})).json()
    after = (NOW + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
    digest = await shop.client.get(
        "/v1/events/digest", params={"from": after.replace("+00:00", "Z"), "to": _LATER}
    )

    assert [item["type"] for item in page["items"]] == ["invoice.authorized"]
    assert digest.status_code == 200, digest.text


async def test_replay_of_what_is_no_longer_kept_is_refused(shop: Shop) -> None:
    """I am told the instant from which on a replay is whole."""
    made = await shop.client.post(
        "/v1/subscriptions", json={"url": "https://shop.example/in", "eventTypes": ["*"]}
    )
    await _let_go_of(shop, 2)

    answer = await shop.client.post(
        f"/v1/subscriptions/{made.json()['id']}/replay",
        json={"from": NOW.isoformat().replace("+00:00", "Z"), "mode": "all", "dryRun": True},
    )

    assert (answer.status_code, answer.json()["code"]) == (410, "no_longer_kept")
    assert answer.json()["detail"] == "events are kept that are later than 2026-11-22T10:00:00.000Z"

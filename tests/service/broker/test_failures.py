"""What is wrong with a broker loses nothing, and is said in words."""

import asyncio
from pathlib import Path

import orjson
import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig, StreamInfo
from starlette.requests import Request

from service.api.answers import Answer
from service.api.health import readyz
from service.api.running import Running
from service.store.db import Database
from tests.builders import MSN, ONLY_SQLITE
from tests.flows.processes import free_port
from tests.nats_server import NatsServer
from tests.service.broker.press import Press, a_press, until

pytestmark = pytest.mark.anyio

PASSWORD = "secret-CANARY-broker-4711"


async def test_killed_broker_gets_everything_once_it_is_back(
    press: Press, broker: NatsServer
) -> None:
    """SIGKILL in the midst of it: every event is there, once, in order."""
    async with press.publishing():
        for number in range(60):
            await asyncio.to_thread(press.invoice)
            if number in (20, 40):
                broker.kill()
            if number in (30, 50):
                broker.start()
        await until(lambda: press.position() == 60, "published")
        await until(lambda: press.failing() == [], "well again")

    assert [event["id"] for event in await broker.events()] == press.feed()


@ONLY_SQLITE
async def test_broker_that_is_away_is_told_and_waited_for(database: Database) -> None:
    """A wrong URL is seen at once, before the first event."""
    press = a_press(database, f"nats://127.0.0.1:{free_port()}")

    async with press.publishing():
        await until(lambda: press.reasons() == ["unreachable"], "told")
        press.invoice()

    answer = await readyz(press.context, Running())(Request({"type": "http"}))
    assert isinstance(answer, Answer)
    [told] = orjson.loads(answer.body)["unpublished"]
    assert told.pop("since").startswith("20")
    assert told == {"salesUnit": MSN, "reason": "unreachable", "waiting": 1}
    assert (answer.status, press.position()) == (200, 0)


async def _make(js: JetStreamContext, **changed: object) -> StreamInfo:
    values: dict[str, object] = {
        "name": "BETALBAR",
        "subjects": ["betalbar.>"],
        "discard": DiscardPolicy.NEW,
    }
    return await js.add_stream(StreamConfig(**{**values, **changed}))  # type: ignore[arg-type]


async def test_full_stream_keeps_events_waiting_in_order(press: Press, broker: NatsServer) -> None:
    """One that is too large for what is left is not overtaken by a smaller one."""
    await broker.ask(lambda js: _make(js, max_msgs=2))
    for _ in range(4):
        press.invoice()

    async with press.publishing():
        await until(lambda: press.reasons() == ["stream_full"], "told")
        assert press.position() == 2
        first = await broker.events()
        await broker.ask(lambda js: js.purge_stream("BETALBAR"))
        press.at_once()
        await until(lambda: press.position() == 4, "published")

    assert [event["id"] for event in [*first, *await broker.events()]] == press.feed()
    assert press.failing() == []


@ONLY_SQLITE
async def test_stream_full_by_bytes_lets_no_smaller_event_overtake(
    press: Press, broker: NatsServer
) -> None:
    """Room for a small event is no room for the large one before it."""
    press.invoice(description="x" * 100)
    press.invoice()
    await broker.ask(lambda js: _make(js, max_bytes=1300))

    async with press.publishing():
        await until(lambda: press.reasons() == ["stream_full"], "told")

    assert [event["id"] for event in await broker.events()] == press.feed()[: press.position()]
    assert press.position() < 2


@ONLY_SQLITE
async def test_stream_of_our_name_without_our_subject_is_left_alone(
    press: Press, broker: NatsServer
) -> None:
    """Somebody's stream is theirs: we say what is missing, and go on once it is there."""
    await broker.ask(lambda js: _make(js, subjects=["theirs.>"]))
    press.invoice()

    async with press.publishing():
        await until(lambda: press.reasons() == ["no_stream"], "told")
        found = await broker.ask(lambda js: js.stream_info("BETALBAR"))
        assert found.config.subjects == ["theirs.>"]
        await broker.ask(lambda js: _make(js, name="OURS"))
        press.at_once()
        await until(lambda: press.position() == 1, "published")

    assert [event["id"] for event in await broker.events("OURS")] == press.feed()


@ONLY_SQLITE
async def test_stream_that_was_deleted_is_made_again(press: Press, broker: NatsServer) -> None:
    """What is told from then on is in the new one."""
    press.invoice()
    async with press.publishing():
        await until(lambda: press.position() == 1, "published")
        await broker.ask(lambda js: js.delete_stream("BETALBAR"))
        press.invoice()
        await until(lambda: press.position() == 2, "published")

    assert [event["id"] for event in await broker.events()] == press.feed()[1:]


_ACCOUNT = """
accounts {{ ACME {{ jetstream: enabled, users: [
    {{ user: betalbar, password: "{password}"{permissions} }}
] }} }}
"""
_NOTHING = ', permissions: { publish: { deny: "betalbar.>" } }'


@pytest.mark.parametrize(
    ("server", "url_user", "reason"),
    [
        ({"options": ()}, "", "jetstream_off"),
        ({"config": "max_payload: 512"}, "", "too_large"),
        (
            {"config": _ACCOUNT.format(password=PASSWORD, permissions="")},
            f"betalbar:{PASSWORD}-wrong@",
            "not_authorized",
        ),
        (
            {"config": _ACCOUNT.format(password=PASSWORD, permissions=_NOTHING)},
            f"betalbar:{PASSWORD}@",
            "not_permitted",
        ),
    ],
)
@ONLY_SQLITE
async def test_what_is_wrong_is_named_and_the_event_waits(
    database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    server: dict[str, object],
    url_user: str,
    reason: str,
) -> None:
    """An operator reads what to mend; no password is in what they read."""
    broker = NatsServer(tmp_path / "nats", user=url_user, **server)  # type: ignore[arg-type]
    broker.start()
    press = a_press(database, broker.url)
    press.invoice()

    try:
        async with press.publishing():
            await until(lambda: press.reasons() == [reason], reason)
    finally:
        broker.stop()

    assert press.position() == 0
    said = caplog.text + "".join(capsys.readouterr())
    assert reason in said
    assert PASSWORD not in said

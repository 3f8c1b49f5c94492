"""`POST /webhooks/vipps/{msn}`: verified, committed, and only then answered."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc
from starlette.types import Message

from service.inbox.receiver import BODY_BYTES_MAX
from service.store.db import Database
from service.store.tables import Registration, StoredVippsEvent
from tests.builders import (
    BASE_URL,
    MSN,
    NOW,
    ONLY_SQLITE,
    OTHER_MSN,
    Desk,
    a_desk,
    a_vipps_event,
    signed_headers,
)
from tests.service.inbox.posting import (
    BODY,
    PATH,
    post,
    post_raw,
    posting,
    raw_headers,
    register,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk(database: Database) -> Desk:
    """Give a service with an invoice, and a registration at Vipps."""
    made = a_desk(database, MSN, OTHER_MSN)
    made.create()
    register(made.context)
    return made


def _stored(desk: Desk) -> int:
    return len(desk.all(StoredVippsEvent))


def _last_part(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": False}


async def test_verified_event_is_on_disk_before_the_answer(desk: Desk) -> None:
    """When Vipps hears 200, my invoice has moved."""
    async with posting(desk.context) as client:
        answer = await post(client)

    assert (answer.status_code, answer.content) == (200, b"")
    assert desk.invoice().state == "pushed"
    assert _stored(desk) == 1


async def test_event_that_comes_again_is_answered_the_same(desk: Desk) -> None:
    """Vipps's retry of what we have is no error."""
    async with posting(desk.context) as client:
        answers = [await post(client, at=NOW + timedelta(seconds=n)) for n in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert desk.invoice().sequence == 2


async def test_unusable_event_that_is_verified_is_answered_200(desk: Desk) -> None:
    """An error would block the payment's later events for a week."""
    async with posting(desk.context) as client:
        answers = [await post(client, body) for body in (b"{", b"", b"\xff" * 100)]

    assert {answer.status_code for answer in answers} == {200}
    assert desk.outcomes()[0][0] == "malformed"
    assert _stored(desk) == 3


Change = Callable[[dict[str, str]], dict[str, str]]


def _without(*names: str) -> Change:
    return lambda headers: {n: v for n, v in headers.items() if n not in names}


def _with(**changed: str) -> Change:
    return lambda headers: {**headers, **{n.replace("_", "-"): v for n, v in changed.items()}}


_BOTH = ("Authorization", "X-Vipps-Authorization")
_WRONG: dict[str, Change] = {
    "no signature": _without(*_BOTH),
    "no date": _without("X-Ms-Date"),
    "no hash": _without("X-Ms-Content-Sha256"),
    "another secret": lambda _: signed_headers(BODY, secret="another"),
    "another body": lambda _: signed_headers(BODY + b" "),
    "another sales unit": lambda _: signed_headers(BODY, msn=OTHER_MSN),
    "another host": lambda _: signed_headers(BODY, base="http://evil.example"),
    "stale": lambda _: signed_headers(BODY, at=NOW - timedelta(seconds=301)),
    "too early": lambda _: signed_headers(BODY, at=NOW + timedelta(seconds=301)),
    "a basic one": _with(Authorization="Basic eDp5", X_Vipps_Authorization="Basic eDp5"),
    "fewer signed headers": lambda h: {
        n: v.replace("x-ms-date;host;x-ms-content-sha256", "x-ms-date") for n, v in h.items()
    },
    "a coding": _with(Content_Encoding="gzip"),
}


@pytest.mark.parametrize("wrong", _WRONG)
async def test_unproven_request_is_refused_without_a_word_and_stores_nothing(
    desk: Desk, wrong: str
) -> None:
    """Nobody but Vipps can move my invoice, or learn why they can't."""
    headers = _WRONG[wrong](signed_headers(BODY))

    async with posting(desk.context) as client:
        answer = await client.post(PATH, content=BODY, headers=headers)

    assert (answer.status_code, answer.content) == (401, b"")
    assert _stored(desk) == 0
    assert desk.invoice().state == "created"


async def test_unknown_sales_unit_looks_like_a_wrong_signature(desk: Desk) -> None:
    """From outside nobody can tell which sales units there are."""
    async with posting(desk.context) as client:
        unknown = await post(client, path="/webhooks/vipps/9999999", msn="9999999")
        unregistered = await post(client, path=f"/webhooks/vipps/{OTHER_MSN}", msn=OTHER_MSN)
        wrong = await post(client, secret="another")

    answers = [(a.status_code, a.content, a.headers) for a in (unknown, unregistered, wrong)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][:2] == (401, b"")


async def test_other_sales_units_secret_does_not_open_mine(desk: Desk) -> None:
    """A secret is good for its own path only."""
    register(desk.context, "theirs", msn=OTHER_MSN)

    async with posting(desk.context) as client:
        mine = await post(client, secret="theirs")
        theirs = await post(
            client,
            orjson.dumps(a_vipps_event(msn=OTHER_MSN)),
            path=f"/webhooks/vipps/{OTHER_MSN}",
            msn=OTHER_MSN,
            secret="theirs",
        )

    assert (mine.status_code, theirs.status_code) == (401, 200)
    assert desk.invoice().state == "created"


async def test_host_of_the_request_is_of_no_importance(desk: Desk) -> None:
    """Behind any proxy, what counts is the address that is registered."""
    headers = {**signed_headers(BODY), "Host": "internal:9000", "X-Forwarded-Host": "evil.example"}

    async with posting(desk.context) as client:
        answer = await client.post(PATH, content=BODY, headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        f"/webhooks/vipps/{OTHER_MSN}/%2e%2e/{MSN}",
        f"/webhooks//vipps/{MSN}",
        f"/webhooks/vipps/{MSN};a=b",
        f"/webhooks/vipps/{MSN}%00",
        f"/webhooks/vipps/%2e/{MSN}",
        f"/webhooks/vipps/{OTHER_MSN}?msn={MSN}",
        f"/webhooks/vipps/{OTHER_MSN}",
    ],
)
async def test_path_in_another_spelling_lets_nobody_in(desk: Desk, path: str) -> None:
    """A genuine signature, sent by another way than it was made for, moves nothing (T8)."""
    register(desk.context, "theirs", msn=OTHER_MSN)
    as_written = httpx.URL("http://any.host").copy_with(raw_path=path.encode())

    async with posting(desk.context) as client:
        answer = await client.post(as_written, content=BODY, headers=signed_headers(BODY))

    assert answer.status_code in (401, 404)
    assert _stored(desk) == 0


async def test_copy_of_the_signature_counts_where_the_first_is_taken(desk: Desk) -> None:
    """A server that uses `Authorization` for itself does not lock Vipps out."""
    headers = {**signed_headers(BODY), "Authorization": "Basic eDp5"}

    async with posting(desk.context) as client:
        answer = await client.post(PATH, content=BODY, headers=headers)

    assert answer.status_code == 200


async def test_doubled_header_is_refused(desk: Desk) -> None:
    """Two signatures leave open which one a proxy believed."""
    headers = raw_headers(BODY)

    status = await post_raw(desk, [*headers, headers[-1]], _last_part(BODY))

    assert status == 401
    assert _stored(desk) == 0


async def test_every_active_secret_is_good_and_retired_ones_are_not(desk: Desk) -> None:
    """Secrets can be changed without losing an event."""
    register(desk.context, "newer")
    register(desk.context, "elsewhere", base="https://pay.example.com")
    register(desk.context, "retired", is_retired=True)

    async with posting(desk.context) as client:
        newer = await post(client, secret="newer")
        elsewhere = await post(client, secret="elsewhere", base="https://pay.example.com")
        crossed = await post(client, secret="elsewhere", base=BASE_URL)
        retired = await post(client, secret="retired")

    answers = [newer, elsewhere, crossed, retired]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]


async def test_registration_made_elsewhere_works_at_once(desk: Desk) -> None:
    """A secret that another process got a moment ago needs no restart."""
    async with posting(desk.context) as client:
        first = await post(client)
        desk.later(seconds=2)
        register(desk.context, "brand-new")
        answer = await post(client, secret="brand-new", at=desk.now())

    assert (first.status_code, answer.status_code) == (200, 200)


async def test_registration_that_is_retired_is_forgotten_within_seconds(
    desk: Desk, database: Database
) -> None:
    """A secret that leaked is of no use a few seconds after it was retired."""
    async with posting(desk.context) as client:
        first = await post(client)
        with database.transaction() as session:
            session.execute(sa.update(Registration).values(retired_at=NOW))
        desk.later(seconds=6)
        answer = await post(client, at=desk.now())

    assert (first.status_code, answer.status_code) == (200, 401)


async def test_registration_that_can_not_be_opened_stops_no_other(
    desk: Desk, database: Database
) -> None:
    """One damaged row costs its own webhooks, not everybody's."""
    broken = register(desk.context, "theirs", msn=OTHER_MSN)
    with database.transaction() as session:
        of_theirs = sa.update(Registration).where(sa.column("id") == broken)
        session.execute(of_theirs.values(secret=b"damaged"))

    async with posting(desk.context) as client:
        mine = await post(client)
        theirs = await post(client, path=f"/webhooks/vipps/{OTHER_MSN}", msn=OTHER_MSN)

    assert (mine.status_code, theirs.status_code) == (200, 401)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@ONLY_SQLITE
async def test_other_methods_are_refused(desk: Desk, method: str) -> None:
    """There is nothing to get there."""
    async with posting(desk.context) as client:
        answer = await client.request(method, PATH)

    assert answer.status_code == 405


@pytest.mark.parametrize("digits", [5, 40, 5000])
@ONLY_SQLITE
async def test_body_declared_too_large_is_refused_unread(desk: Desk, digits: int) -> None:
    """A length that is over the limit is believed."""
    declared = b"65537" if digits == len(str(BODY_BYTES_MAX)) else b"9" * digits

    status = await post_raw(desk, [(b"content-length", declared)])

    assert status == 413


@ONLY_SQLITE
async def test_body_streamed_too_large_is_refused_in_time(desk: Desk) -> None:
    """Without a length, reading stops at the limit."""
    part: Message = {"type": "http.request", "body": b"x" * 40_000, "more_body": True}

    status = await post_raw(desk, [], part, part, part)

    assert status == 413


@ONLY_SQLITE
async def test_body_of_just_the_limit_is_read(desk: Desk) -> None:
    """64 KiB are allowed, in as many parts as they come."""
    body = BODY.ljust(BODY_BYTES_MAX)
    first: Message = {"type": "http.request", "body": body[:100], "more_body": True}

    status = await post_raw(desk, raw_headers(body), first, _last_part(body[100:]))

    assert status == 200
    assert desk.invoice().state == "pushed"


@ONLY_SQLITE
async def test_sender_that_hangs_up_gets_no_answer(desk: Desk) -> None:
    """Half a body is nothing."""
    status = await post_raw(desk, raw_headers(BODY), {"type": "http.disconnect"})

    assert status == 0
    assert _stored(desk) == 0


async def test_database_away_is_503_and_heals_by_itself(desk: Desk, database: Database) -> None:
    """While nothing can be stored Vipps keeps the event, and gives it again."""

    def refuse(_connection: object) -> None:
        raise exc.OperationalError("BEGIN", None, Exception("gone"))

    async with posting(desk.context) as client:
        event.listen(database._writer, "begin", refuse)
        away = await post(client)
        event.remove(database._writer, "begin", refuse)
        healed = await post(client)

    assert (away.status_code, away.content) == (503, b"")
    assert healed.status_code == 200
    assert desk.invoice().state == "pushed"


async def test_registrations_that_can_not_be_read_are_503(desk: Desk, database: Database) -> None:
    """What can't be checked is not called unproven."""

    def refuse(_connection: object) -> None:
        raise exc.OperationalError("BEGIN", None, Exception("gone"))

    async with posting(desk.context) as client:
        event.listen(database._reader, "begin", refuse)
        away = await post(client)
        event.remove(database._reader, "begin", refuse)
        healed = await post(client)

    assert (away.status_code, healed.status_code) == (503, 200)

"""Every refusal is a problem document with a stable code, and says nothing it shouldn't."""

import asyncio
import inspect
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

import service.api.errors
import service.errors
import statemachine.errors
from service.api.answers import Answer
from service.api.problems import KINDS, kind_of, problem_response
from service.api.routing import open_route
from service.errors import Conflict, FieldError, InvalidInput, UpstreamRejected
from tests.builders import ONLY_POSTGRESQL
from tests.service.api.shop import ONLY_SQLITE, PHONE, Shop, take_away

pytestmark = pytest.mark.anyio


def _classes() -> Iterator[type[Exception]]:
    for module in (service.errors, service.api.errors, statemachine.errors):
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, Exception) and cls.__module__ == module.__name__:
                yield cls


@pytest.mark.parametrize("cls", sorted(set(_classes()), key=str))
def test_table_covers_every_error_class(cls: type[Exception]) -> None:
    """Each kind of error has a line of its own, thought about by somebody."""
    kind = KINDS[cls]

    assert 400 <= kind.status < 600
    assert kind.code and kind.title


def test_kind_of_an_unforeseen_error_is_a_500() -> None:
    """What nobody foresaw is our fault, not the merchant's."""
    kind = kind_of(ZeroDivisionError())

    assert (kind.status, kind.code) == (500, "internal")


@pytest.mark.parametrize(
    ("error", "member", "value"),
    [
        (Conflict("c", "d", available_actions=("push",)), "availableActions", ["push"]),
        (Conflict("c", "d", available_actions=()), "availableActions", []),
        (
            InvalidInput(FieldError("amount.value", "is odd")),
            "errors",
            [{"field": "amount.value", "reason": "is odd"}],
        ),
        (
            UpstreamRejected(400, {"code": "1234", "traceId": "t", "detail": "secret"}),
            "upstream",
            {"code": "1234", "traceId": "t"},
        ),
    ],
)
def test_problem_carries_what_belongs_to_its_kind(
    error: Exception, member: str, value: object
) -> None:
    """Programs find what they need in members, not in sentences."""
    answer = httpx.Response(200, content=bytes(problem_response(error, "trc_1").body)).json()

    assert answer[member] == value
    assert {"type", "title", "status", "detail", "code", "traceId"} <= answer.keys()
    assert answer["type"].endswith(f":{answer['code']}")


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("DELETE", "/v1/invoices", 405, "method_not_allowed"),
        ("PUT", "/v1/events", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_unknown_address_or_method_is_a_problem_document_too(
    shop: Shop, method: str, path: str, status: int, code: str
) -> None:
    """Even a typing error in the path is answered in the form I parse."""
    answer = await shop.client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["traceId"] == answer.headers["X-Trace-Id"]


@ONLY_SQLITE
@pytest.mark.parametrize("path", ["/v1/invoices", "/healthz", "/metrics", "/openapi.json"])
async def test_trace_is_no_method_of_any_address(shop: Shop, path: str) -> None:
    """No answer carries a request's own headers back, with the key among them (T52)."""
    answer = await shop.client.request("TRACE", path)

    assert answer.status_code == 405
    assert shop.client.headers["Authorization"] not in answer.text


@ONLY_SQLITE
async def test_405_names_every_method_that_there_is(shop: Shop) -> None:
    """The answer to a wrong method lists the right ones."""
    answer = await shop.client.put("/v1/invoices", json={})

    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


async def test_every_answer_has_the_headers_that_keep_it_private(shop: Shop) -> None:
    """Nothing of mine is cached on the way, and each answer can be traced."""
    answers = [await shop.client.get(p) for p in ("/v1/invoices", "/v1/invoices/nothere1", "/x")]

    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Trace-Id"].startswith("trc_")


async def test_unforeseen_error_is_a_500_that_tells_nothing(shop: Shop) -> None:
    """A fault of ours shows a trace id; its text, which may be personal, shows nowhere."""

    async def broken(_: Request) -> Answer:
        raise ZeroDivisionError(f"while calling {PHONE}")

    shop.app.router.routes.insert(0, open_route("/healthz", broken))
    with capture_logs() as logs:
        answer = await shop.nobody.get("/healthz")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert PHONE not in answer.text
    failed = next(line for line in logs if line["event"] == "api_call_failed")
    assert failed["trace_id"] == answer.json()["traceId"]
    assert isinstance(failed["exc_info"], ZeroDivisionError)
    assert PHONE not in str([line for line in logs if line is not failed])


@ONLY_POSTGRESQL
async def test_list_that_takes_too_long_is_broken_off_with_503(
    shop: Shop, database_url: str
) -> None:
    """T43: whatever is asked for, a statement has two seconds, and I am told to ask for less."""
    lists = (
        "invoices?q=rent",
        "events",
        "customers",
        "subscriptions",
        "reports/daily?date=2026-08-01",
    )
    with psycopg.connect(database_url) as holding:
        holding.execute("LOCK invoice, event, customer, subscription, transition")
        answers = await asyncio.gather(*(shop.client.get(f"/v1/{path}") for path in lists))
    after = await asyncio.gather(*(shop.client.get(f"/v1/{path}") for path in lists))

    assert [answer.status_code for answer in answers] == [503] * len(lists)
    assert {answer.json()["code"] for answer in answers} == {"read_too_long"}
    assert {answer.headers["Retry-After"] for answer in answers} == {"2"}
    assert [answer.status_code for answer in after] == [200] * len(lists)


async def test_database_away_is_a_503_that_says_when_to_come_back(shop: Shop) -> None:
    """While the database is away I am asked to try again, and nothing has changed."""
    take_away(shop.database)

    answer = await shop.create()

    assert answer.status_code == 503
    assert answer.json()["code"] == "database_away"
    assert answer.headers["Retry-After"] == "2"

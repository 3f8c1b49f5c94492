"""A request's id: the proxy's where it looks like one, else ours, and in each line about it."""

import asyncio
import json

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.cause import Cause, RequestIds, cause_of
from service.logs import configure_logs
from tests.service.test_logs import logged  # noqa: F401  (a fixture)

pytestmark = pytest.mark.anyio

_OF_NGINX = "0123456789abcdef0123456789abcdef"


async def _say(_: Request) -> Response:
    await asyncio.sleep(0)
    structlog.get_logger("service.x").info("said")
    return Response()


async def _answered(*given: str) -> httpx.Response:
    app = Starlette(routes=[Route("/", _say)], middleware=[Middleware(RequestIds)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://any.host") as client:
        return await client.get("/", headers=[("x-request-id", one) for one in given])


@pytest.mark.parametrize("given", [_OF_NGINX, "0b8d3c4e-1111-4222-8333-0123456789ab"])
async def test_request_id_of_the_proxy_is_kept(
    given: str,
    logged: pytest.CaptureFixture[str],  # noqa: F811
) -> None:
    """One name finds a request in the proxy's log and in ours."""
    configure_logs("json")

    answer = await _answered(given)

    assert answer.headers["x-request-id"] == given
    assert json.loads(logged.readouterr().err)["request_id"] == given


@pytest.mark.parametrize(
    "given",
    [[], ["4791234567"], ["kari@example.com"], [_OF_NGINX, _OF_NGINX], [_OF_NGINX + "\x7f"]],
)
async def test_request_id_that_is_none_is_replaced(
    given: list[str],
    logged: pytest.CaptureFixture[str],  # noqa: F811
) -> None:
    """What a stranger writes there, be it a number of somebody's, is in no log of ours."""
    configure_logs("json")

    answer = await _answered(*given)

    request_id = json.loads(logged.readouterr().err)["request_id"]
    assert request_id.startswith("trc_")
    assert answer.headers["x-request-id"] == request_id


def test_cause_in_a_row_reads_as_it_was_written() -> None:
    """With a trace or without, or nothing at all."""
    causes = [Cause(), Cause("trc_1"), Cause("trc_1", "00-1-2-01"), Cause("", "00-1-2-01")]

    assert [cause_of(one.text) for one in causes] == causes
    assert Cause().text is None

"""The sandbox inside another app, and under nonsense."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.sandbox import Clock, create_app, create_sandbox
from tests.sandbox.harness import CALM, a_long_payment

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [*a_long_payment(), "profile", "metadata", "qrFormat", "returnUrl", "shipping", "receiptUrl"]
)
KEYS = {
    "client_id": "a-client",
    "client_secret": "a-secret",
    "Ocp-Apim-Subscription-Key": "a-key",
    "Merchant-Serial-Number": "123456",
}


async def created(app: Starlette, content: bytes) -> httpx.Response:
    """Ask the app for a payment, with a fresh token."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        token = (await client.post("/accesstoken/get", headers=KEYS)).json()["access_token"]
        headers = KEYS | {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        return await client.post("/epayment/v1/payments", headers=headers, content=content)


def test_sandbox_mounted_in_a_service_leaves_it_its_paths() -> None:
    """The sandbox takes its own paths only, beside a service's on the same port."""
    clock = Clock()
    sandbox = create_sandbox(CALM, clock=clock)

    async def ours(request: Request) -> Response:
        return PlainTextResponse(request.path_params["msn"])

    app = Starlette(routes=[*sandbox.routes, Route("/webhooks/vipps/{msn}", ours)])

    async def story() -> tuple[str, int]:
        async with sandbox.run():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                answer = await client.get("/webhooks/vipps/123456")
                await client.post("/sandbox/clock", json={"advanceSeconds": 60})
                return answer.text, (await client.get("/v1/invoices")).status_code

    assert asyncio.run(story()) == ("123456", 404)
    assert clock.offset == timedelta(seconds=60)


def test_clock_tells_its_watchers_of_a_jump() -> None:
    """Who sleeps until a business time is woken when the clock is turned."""
    clock, jumps = Clock(), []
    clock.watch(lambda: jumps.append(clock.offset))

    clock.set_offset(timedelta(hours=1))

    assert jumps == [timedelta(hours=1)]


def test_body_beyond_three_megabytes_is_refused() -> None:
    """Nobody fills the sandbox's memory with one request."""
    content = b'{"reference":"' + b"a" * 3_200_000 + b'"}'

    assert asyncio.run(created(create_app(CALM), content)).status_code == 413


def test_body_nested_too_deeply_is_refused() -> None:
    """A body that no JSON writer could repeat is a 400, not a crash."""
    for depth in (300, 1000, 5000):
        nested = b"[" * depth + b"]" * depth
        content = b'{"metadata":' + nested + b"}"

        assert asyncio.run(created(create_app(CALM), content)).status_code == 400


@settings(max_examples=200, deadline=None)
@given(changes=st.dictionaries(FIELDS, ANYTHING, min_size=1, max_size=2))
def test_create_with_any_nonsense_gets_a_clean_no(changes: dict[str, Any]) -> None:
    """Whatever stands in a field, Vipps says yes or no, and never breaks."""
    content = orjson.dumps(a_long_payment() | changes)

    answer = asyncio.run(created(create_app(CALM), content))

    assert answer.status_code in (201, 400, 403)
    assert answer.status_code == 201 or answer.json()["extraDetails"]

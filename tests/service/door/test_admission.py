"""While too many calls wait for a thread, others are told so at once; webhooks are not."""

import asyncio
import threading

import httpx
import pytest
from anyio import to_thread
from starlette.types import Receive, Scope, Send

from service.door import Admission
from service.door.admission import WAITING_MAX
from tests.fake_merchant import until

pytestmark = pytest.mark.anyio


async def _served(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def test_call_is_refused_while_too_many_wait_and_webhooks_are_not() -> None:
    """A flood of calls gets an early no; Vipps and probes get in, and calls do again after it."""
    transport = httpx.ASGITransport(Admission(_served))
    open_gate = threading.Event()
    limiter = to_thread.current_default_thread_limiter()
    flood = int(limiter.total_tokens) + WAITING_MAX

    async with httpx.AsyncClient(transport=transport, base_url="http://any.host") as client:
        waiting = [
            asyncio.create_task(to_thread.run_sync(open_gate.wait)) for _ in range(flood - 1)
        ]
        await until(lambda: limiter.statistics().tasks_waiting == WAITING_MAX - 1)
        one_before = await client.get("/v1/invoices")
        waiting.append(asyncio.create_task(to_thread.run_sync(open_gate.wait)))
        await until(lambda: limiter.statistics().tasks_waiting == WAITING_MAX)
        answers = {path: await client.get(path) for path in ("/v1/x", "/webhooks/y", "/healthz")}
        open_gate.set()
        await asyncio.gather(*waiting)
        after = await client.get("/v1/invoices")

    statuses = {path: answer.status_code for path, answer in answers.items()}
    assert statuses == {"/v1/x": 503, "/webhooks/y": 200, "/healthz": 200}
    assert answers["/v1/x"].json()["code"] == "overloaded"
    assert answers["/v1/x"].headers["retry-after"] == "2"
    assert (one_before.status_code, after.status_code) == (200, 200)

"""Playing a scenario against a sandbox, with nothing but its HTTP API.

Business time passes faster than real time by turning the sandbox's clock in small steps, so
what expires meanwhile expires in its order.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from service.sandbox.ids import derived_uuid
from service.sandbox.scenario import Scenario, Step

DEFAULT_MSN = "123456"
# How often the clock is turned while time passes, and how often a payment is looked for.
_TICK_S = 0.1
_LOOK_S = 0.1
_MERCHANTS = ("capture", "refund", "cancel")

Json = dict[str, Any]


class StepRefused(Exception):
    """The sandbox said no to a step."""

    def __init__(self, step: Step, status: int, answer: str) -> None:
        super().__init__(f"line {step.line}: {step.act} was answered {status}: {answer}")


class Player:
    """Play steps one after the other; use it as an asynchronous context."""

    def __init__(self, url: str, *, tell: Callable[[str], None]) -> None:
        self._url = url
        self._tell = tell
        self._tokens: dict[str, str] = {}
        self._keys = 0

    async def __aenter__(self) -> "Player":
        """Open the connection."""
        self._session = aiohttp.ClientSession(self._url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self._session.close()

    async def play(self, scenario: Scenario) -> None:
        """Play all steps. Raises: StepRefused, aiohttp.ClientError."""
        for step in scenario.steps:
            await self._pass(step.after_s, scenario.speed)
            about = step.about if isinstance(step.about, str) else ""
            self._tell(f"line {step.line}: {step.act} {about}".rstrip())
            await self._act(step)

    async def _act(self, step: Step) -> None:
        if step.act == "create":
            await self._create(step)
        elif step.act == "wait-for":
            await self._wait_for(step)
        elif step.act == "advance":
            await self._ask(step, "POST", "/sandbox/clock", {"advanceSeconds": step.about})
        elif step.act == "chaos":
            await self._ask(step, "PUT", "/sandbox/chaos", step.about)
        elif step.act in _MERCHANTS:
            await self._adjust(step)
        else:
            body = dict(step.more) | ({} if step.msn is None else {"msn": step.msn})
            await self._ask(step, "POST", f"/sandbox/payments/{step.about}/{step.act}", body)

    async def _pass(self, seconds: float, speed: float | None) -> None:
        if speed is None:
            await self._turn(seconds)
            return
        passed, started = 0.0, time.monotonic()
        while passed < seconds:
            await asyncio.sleep(min(_TICK_S, (seconds - passed) / speed))
            real = time.monotonic() - started
            # Real time passes by itself; only the rest has to be turned.
            due = min(real * speed, seconds)
            await self._turn((due - passed) * (1 - 1 / speed))
            passed = due

    async def _turn(self, seconds: float) -> None:
        if seconds > 0:
            await self._session.post("/sandbox/clock", json={"advanceSeconds": seconds})

    async def _create(self, step: Step) -> None:
        body = {name: value for name, value in step.about.items() if name != "expiresIn"}
        if "expiresIn" in step.about:
            clock = await self._ask(step, "GET", "/sandbox/clock", None)
            now = datetime.fromisoformat(clock["now"]).astimezone(UTC)
            body["expiresAt"] = (now + timedelta(seconds=step.about["expiresIn"])).isoformat()
        await self._call(step, "/epayment/v1/payments", body)

    async def _adjust(self, step: Step) -> None:
        body: Json = {}
        if step.act != "cancel":
            path = f"/sandbox/payments/{step.about}"
            found = await self._ask(step, "GET", path + _query(step), None)
            # Without an amount, all that is left of it.
            sums = {name: part["value"] for name, part in found["aggregate"].items()}
            left = (
                sums["authorizedAmount"] - sums["capturedAmount"] - sums["cancelledAmount"]
                if step.act == "capture"
                else sums["capturedAmount"] - sums["refundedAmount"]
            )
            amount = {"currency": found["amount"]["currency"]}
            body = {"modificationAmount": amount | {"value": step.more.get("value", left)}}
        await self._call(step, f"/epayment/v1/payments/{step.about}/{step.act}", body)

    async def _wait_for(self, step: Step) -> None:
        path, wanted = f"/sandbox/payments/{step.about}{_query(step)}", step.more.get("state")
        while True:
            async with self._session.get(path) as answer:
                is_there = answer.status == 200
                if is_there and wanted in (None, (await answer.json())["state"]):
                    return
            await asyncio.sleep(_LOOK_S)

    async def _call(self, step: Step, path: str, body: Json) -> None:
        msn, self._keys = step.msn or DEFAULT_MSN, self._keys + 1
        headers = _merchant_headers(msn)
        if msn not in self._tokens:
            token = await self._ask(step, "POST", "/accesstoken/get", None, headers)
            self._tokens[msn] = token["access_token"]
        headers["Authorization"] = f"Bearer {self._tokens[msn]}"
        # The same scenario played again is not the same request again.
        headers["Idempotency-Key"] = derived_uuid(time.time_ns(), self._keys)
        await self._ask(step, "POST", path, body, headers)

    async def _ask(
        self,
        step: Step,
        method: str,
        path: str,
        body: object,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        content = None if body is None else orjson.dumps(body)
        async with self._session.request(method, path, data=content, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise StepRefused(step, answer.status, text)
            return dict(orjson.loads(text)) if text else {}


def _query(step: Step) -> str:
    return "" if step.msn is None else f"?msn={step.msn}"


def _merchant_headers(msn: str) -> dict[str, str]:
    return {
        "client_id": f"scenario-{msn}",
        "client_secret": "scenario",
        "Ocp-Apim-Subscription-Key": "scenario",
        "Merchant-Serial-Number": msn,
        "Content-Type": "application/json",
    }


async def play(
    scenario: Scenario, url: str, *, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Play the scenario against the sandbox at that URL. Raises: StepRefused, ConnectionError."""
    try:
        async with Player(url, tell=tell) as player:
            await player.play(scenario)
    except aiohttp.ClientError as error:
        raise ConnectionError(f"{url}: {error}") from error

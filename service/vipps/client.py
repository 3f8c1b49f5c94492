"""The calls to Vipps that the service makes; each takes a sales unit's keys and gives an `Answer`.

Nothing is tried twice here, but for one case: a token that Vipps no longer takes is replaced once.
Sources: developer.vippsmobilepay.com/docs/APIs/epayment-api/ and .../webhooks-api/ and
.../order-management-api/; facts, sections 1, 3 and 4.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from urllib.parse import quote

import httpx

from service.clock import real_now
from service.vipps.answer import Answer, no_answer
from service.vipps.exchange import SYSTEM_HEADERS, TIMEOUT_S, Exchange, new_http
from service.vipps.keys import VippsKeys
from service.vipps.tokens import AccessToken, Tokens

__all__ = ["VippsClient", "VippsKeys", "new_http"]

_PAYMENTS = "/epayment/v1/payments"
_CATEGORIES = "/order-management/v2/ecom/categories"
_WEBHOOKS = "/webhooks/v1/webhooks"
_USERINFO = "/vipps-userinfo-api/userinfo"


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    body: Mapping[str, object] | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    has_subscription_key: bool = True


class VippsClient:
    """Vipps at one address, for any number of sales units; shared by a whole process."""

    def __init__(
        self,
        base_url: str,
        http: httpx.AsyncClient,
        *,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], datetime] = real_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what calls need; nothing is sent yet. `timeout_s` is in all, a token included."""
        self._exchange = Exchange(base_url.rstrip("/"), http, now, monotonic)
        self._tokens = Tokens(self._exchange)
        self._timeout_s = timeout_s

    async def put_category(self, keys: VippsKeys, reference: str, order_details_url: str) -> Answer:
        """Give the payment's page in the app a link; the last one put is shown."""
        body = {"category": "GENERAL", "orderDetailsUrl": order_details_url}
        return await self._run(keys, _Call("PUT", f"{_CATEGORIES}/{_segment(reference)}", body))

    async def create_payment(
        self, keys: VippsKeys, body: Mapping[str, object], *, idempotency_key: str
    ) -> Answer:
        """Ask the customer; `body` comes from `bodies.create_payment_body`."""
        return await self._run(keys, _Call("POST", _PAYMENTS, body, idempotency_key))

    async def cancel_payment(
        self,
        keys: VippsKeys,
        reference: str,
        *,
        only_before_authorization: bool,
        idempotency_key: str,
    ) -> Answer:
        """Withdraw the request, or release all that is reserved and not captured.

        With `only_before_authorization` a payment the customer has approved stays (6060)."""
        body = {"cancelTransactionOnly": only_before_authorization}
        call = _Call("POST", _payment(reference, "cancel"), body, idempotency_key)
        return await self._run(keys, call)

    async def modify_payment(
        self,
        keys: VippsKeys,
        reference: str,
        *,
        act: Literal["capture", "refund"],
        body: Mapping[str, object],
        idempotency_key: str,
    ) -> Answer:
        """Take reserved money, or give taken money back; for `bodies.modification_body`."""
        call = _Call("POST", _payment(reference, act), body, idempotency_key)
        return await self._run(keys, call)

    async def get_payment(self, keys: VippsKeys, reference: str) -> Answer:
        """Return a payment's state and sums; for `reading.read_payment`."""
        return await self._run(keys, _Call("GET", _payment(reference)))

    async def get_events(self, keys: VippsKeys, reference: str) -> Answer:
        """Return a payment's event log, in `body["items"]`; for `reading.read_log`."""
        return await self._run(keys, _Call("GET", _payment(reference, "events")))

    async def get_userinfo(self, keys: VippsKeys, sub: str) -> Answer:
        """Return what the customer with this `sub` has agreed to share; personal data.

        Vipps's documents differ on whether the subscription key is needed here or refused (facts,
        section 6): where it is refused, the call is made once more without."""
        call = _Call("GET", f"{_USERINFO}/{_segment(sub)}")
        answer = await self._run(keys, call)
        if answer.status != 401:
            return answer
        return await self._run(keys, replace(call, has_subscription_key=False))

    async def register_webhook(self, keys: VippsKeys, url: str, events: Sequence[str]) -> Answer:
        """Have Vipps report these events; the body's `secret` is shown only this once."""
        return await self._run(keys, _Call("POST", _WEBHOOKS, {"url": url, "events": list(events)}))

    async def list_webhooks(self, keys: VippsKeys) -> Answer:
        """Return the sales unit's registrations, in `body["webhooks"]`, without secrets."""
        return await self._run(keys, _Call("GET", _WEBHOOKS))

    async def delete_webhook(self, keys: VippsKeys, registration_id: str) -> Answer:
        """End a registration."""
        return await self._run(keys, _Call("DELETE", f"{_WEBHOOKS}/{_segment(registration_id)}"))

    async def _run(self, keys: VippsKeys, call: _Call) -> Answer:
        # One deadline over token, call and second call, so that a lease can be sized by it.
        started = self._exchange.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._with_token(keys, call)
        except TimeoutError:
            return no_answer(self._exchange.elapsed_ms(started))
        return replace(answer, latency_ms=self._exchange.elapsed_ms(started))

    async def _with_token(self, keys: VippsKeys, call: _Call) -> Answer:
        token = await self._tokens.get(keys)
        if isinstance(token, Answer):
            return token
        answer = await self._send(keys, call, token)
        if not _is_token_refused(answer):
            return answer
        self._tokens.drop(keys, token)
        token = await self._tokens.get(keys)
        return token if isinstance(token, Answer) else await self._send(keys, call, token)

    async def _send(self, keys: VippsKeys, call: _Call, token: AccessToken) -> Answer:
        headers = {
            "Authorization": f"Bearer {token.text}",
            "Merchant-Serial-Number": keys.msn,
            **SYSTEM_HEADERS,
        }
        if call.has_subscription_key:
            headers["Ocp-Apim-Subscription-Key"] = keys.subscription_key
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        return await self._exchange.send(call.method, call.path, headers=headers, body=call.body)


def _is_token_refused(answer: Answer) -> bool:
    # A 403 with a domain code is about what was asked for (5050, 5080), not about who asked.
    return answer.status == 401 or (answer.status == 403 and answer.code is None)


def _payment(reference: str, act: str = "") -> str:
    path = f"{_PAYMENTS}/{_segment(reference)}"
    return f"{path}/{act}" if act else path


def _segment(text: str) -> str:
    return quote(text, safe="")

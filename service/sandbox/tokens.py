"""Access tokens: signed, so that they need no table and outlive a restart."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from service.sandbox.problems import Denied
from service.sandbox.settings import SalesUnitKeys, SandboxSettings

_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
_RESOURCE = "00000002-0000-0000-c000-000000000000"
_BAD_TOKEN = "Unauthorized. Access token is missing or invalid."  # noqa: S105 - a sentence.
_NO_KEY = "Access denied due to missing subscription key."
_BAD_KEY = "Access denied due to invalid subscription key."


class Tokens:
    """Give out access tokens and check the keys and tokens of every request."""

    def __init__(self, settings: SandboxSettings, signing_key: bytes) -> None:
        self._lifetime_s = settings.token_lifetime_s
        self._signing_key = signing_key
        self._by_client = {keys.client_id: keys for keys in settings.sales_units}
        self._by_msn = {keys.msn: keys for keys in settings.sales_units}
        # A client sends the same token for an hour; whether it is over is looked at each time.
        self._claims_of = lru_cache(maxsize=256)(self._verified)

    def issue(self, headers: Mapping[str, str], now: datetime) -> dict[str, str]:
        """Return the token answer, in which all numbers are text. Raises: Denied."""
        subscription_key = _subscription_key(headers)
        client_id, secret = headers.get("client_id"), headers.get("client_secret")
        if not client_id or not secret:
            raise Denied(400, "The headers client_id and client_secret are required.")
        keys = self._by_client.get(client_id) or self._by_msn.get(
            headers.get("merchant-serial-number", "")
        )
        if keys is not None and (client_id, secret) != (keys.client_id, keys.client_secret):
            raise Denied(401, "Unauthorized. Invalid client_id or client_secret.")
        _check_subscription_key(keys, subscription_key)
        return self._answer(client_id, int(now.timestamp()))

    def check(self, headers: Mapping[str, str], now: datetime) -> None:
        """Pass if the request may reach an API. Raises: Denied."""
        _subscription_key(headers)
        self.check_token(headers, now)

    def check_token(self, headers: Mapping[str, str], now: datetime) -> None:
        """Pass if the token is good, and the subscription key where there is one.

        Raises: Denied.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Denied(401, _BAD_TOKEN)
        client_id = self._client_of(token, now)
        keys = self._by_msn.get(headers.get("merchant-serial-number", ""))
        if keys is not None and client_id != keys.client_id:
            raise Denied(401, "Unauthorized. The keys are those of another sales unit.")
        if "ocp-apim-subscription-key" in headers:
            given = headers["ocp-apim-subscription-key"]
            _check_subscription_key(keys or self._by_client.get(client_id), given)

    def _answer(self, client_id: str, now_s: int) -> dict[str, str]:
        expires_s = now_s + self._lifetime_s
        return {
            "token_type": "Bearer",
            "expires_in": str(self._lifetime_s),
            "ext_expires_in": "0",
            "expires_on": str(expires_s),
            "not_before": str(now_s),
            "resource": _RESOURCE,
            "access_token": self._signed({"appid": client_id, "exp": expires_s}),
        }

    def _signed(self, claims: dict[str, object]) -> str:
        payload = base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
        return f"{_HEADER}.{payload}.{self._signature(payload)}"

    def _signature(self, payload: str) -> str:
        digest = hmac.digest(self._signing_key, f"{_HEADER}.{payload}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _client_of(self, token: str, now: datetime) -> str:
        claims = self._claims_of(token)
        if claims["exp"] <= now.timestamp():
            raise Denied(401, "Unauthorized. Access token has expired.")
        return str(claims["appid"])

    def _verified(self, token: str) -> Mapping[str, Any]:
        _, _, rest = token.partition(".")
        payload, _, signature = rest.partition(".")
        expected = self._signature(payload).encode()
        if not hmac.compare_digest(signature.encode(), expected):
            raise Denied(401, _BAD_TOKEN)
        claims: Mapping[str, Any] = orjson.loads(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        )
        return claims


def _subscription_key(headers: Mapping[str, str]) -> str:
    key = headers.get("ocp-apim-subscription-key")
    if not key:
        raise Denied(401, _NO_KEY)
    return key


def _check_subscription_key(keys: SalesUnitKeys | None, given: str) -> None:
    if keys is not None and given != keys.subscription_key:
        raise Denied(401, _BAD_KEY)

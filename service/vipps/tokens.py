"""Access tokens: fetched once for all who wait, kept in memory only, renewed in time.

Source: developer.vippsmobilepay.com/docs/APIs/access-token-api/
"""

import asyncio
import re
from dataclasses import dataclass, field, replace

from service.vipps.answer import Answer, no_answer
from service.vipps.exchange import SYSTEM_HEADERS, TIMEOUT_S, Exchange
from service.vipps.keys import VippsKeys

# A token is renewed when a tenth of its life is left, and never used in its last minute, so that
# none expires on the way.
MARGIN_SHARE = 0.1
MARGIN_S_MIN = 60.0
# Vipps gives 24 hours in production; an answer that promises more is not believed.
LIFETIME_S_MAX = 86_400

# Vipps's tokens are JWTs of about a kilobyte. Only what fits in a header unchanged is taken.
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_SECONDS = re.compile(r"[0-9]{1,9}")

_Owner = tuple[str, str]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and the monotonic second until which it is used; not shown in `repr`."""

    text: str = field(repr=False)
    usable_until: float


class Tokens:
    """The tokens of one process, one for each client id and MSN."""

    def __init__(self, exchange: Exchange, *, timeout_s: float = TIMEOUT_S) -> None:
        """Start empty; `timeout_s` is for fetching one, whoever waits for it."""
        self._exchange = exchange
        self._timeout_s = timeout_s
        self._kept: dict[_Owner, AccessToken] = {}
        self._fetching: dict[_Owner, asyncio.Task[AccessToken | Answer]] = {}

    async def get(self, keys: VippsKeys) -> AccessToken | Answer:
        """Return a usable token, or the answer that refused one.

        Whoever asks while one is being fetched waits for that one, and shares its failure too."""
        owner = _owner(keys)
        kept = self._kept.get(owner)
        if kept is not None and self._exchange.monotonic() < kept.usable_until:
            return kept
        task = self._fetching.get(owner)
        if task is None:
            task = asyncio.create_task(self._fetch(keys))
            self._fetching[owner] = task
            task.add_done_callback(lambda _: self._fetching.pop(owner, None))
        # Shielded: one caller's deadline must not take the token from the others.
        return await asyncio.shield(task)

    def drop(self, keys: VippsKeys, token: AccessToken) -> None:
        """Forget this token, unless a newer one has taken its place."""
        if self._kept.get(_owner(keys)) is token:
            del self._kept[_owner(keys)]

    async def _fetch(self, keys: VippsKeys) -> AccessToken | Answer:
        started = self._exchange.monotonic()
        answer = await self._ask(keys)
        if not answer.is_success:
            return _refusal(answer)
        token = _read(answer, started)
        if token is None:
            return replace(answer, status=None, body={})
        self._kept[_owner(keys)] = token
        return token

    async def _ask(self, keys: VippsKeys) -> Answer:
        started = self._exchange.monotonic()
        headers = {
            "client_id": keys.client_id,
            "client_secret": keys.client_secret,
            "Ocp-Apim-Subscription-Key": keys.subscription_key,
            "Merchant-Serial-Number": keys.msn,
            **SYSTEM_HEADERS,
        }
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange.send("POST", "/accesstoken/get", headers=headers)
        except TimeoutError:
            return no_answer(self._exchange.elapsed_ms(started))


def _owner(keys: VippsKeys) -> _Owner:
    return keys.client_id, keys.msn


def _read(answer: Answer, started: float) -> AccessToken | None:
    text, lifetime_s = answer.body.get("access_token"), _seconds(answer.body.get("expires_in"))
    if not isinstance(text, str) or _TOKEN.fullmatch(text) is None or lifetime_s is None:
        return None
    lifetime_s = min(lifetime_s, LIFETIME_S_MAX)
    margin_s = max(lifetime_s * MARGIN_SHARE, MARGIN_S_MIN)
    return AccessToken(text, started + lifetime_s - margin_s)


def _seconds(value: object) -> int | None:
    """Return a number of seconds: Vipps sends a text where one expects a number."""
    if type(value) is int and value >= 0:
        return value
    is_digits = isinstance(value, str) and _SECONDS.fullmatch(value) is not None
    return int(str(value)) if is_digits else None


def _refusal(answer: Answer) -> Answer:
    # A refused token says something of the keys, nothing of the command that wanted it: a 400 here
    # must not end an invoice, nor a 404 mean that a payment is unknown. It counts as 401.
    if answer.status is not None and answer.status < 500 and answer.status != 429:
        return replace(answer, status=401, code=None)
    return answer

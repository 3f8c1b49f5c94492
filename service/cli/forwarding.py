"""Events carried to a developer's own machine, each signed as a subscription's would be."""

import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import orjson

from service.clock import real_now
from service.errors import FieldError, InvalidInput
from webhooks import standard

# As long as a subscriber has (contract, section 6).
ANSWER_WITHIN_S = 15.0
_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Forward:
    """Where events go to, and the secret that signs them."""

    url: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Check the address. Raises: InvalidInput."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            reason = "is a URL such as http://localhost:3000/webhooks"
            raise InvalidInput(FieldError("--forward", reason))

    def deliver(self, payload: bytes) -> str:
        """Post an event, once somebody listens, and return what was said: a status, or why none.

        An answer of whatever kind is the end of it: a developer wants to see the next one, and
        `betalbar events tail --cursor` brings any back."""
        is_told = False
        while True:
            try:
                return str(self._post(payload).status_code)
            except httpx.ConnectError:
                if not is_told:
                    print(f"Nothing listens at {self.url} yet; waiting.", file=sys.stderr)
                is_told = True
                time.sleep(_AGAIN_S)
            except httpx.HTTPError as error:
                return type(error).__name__

    def _post(self, payload: bytes) -> httpx.Response:
        headers = standard.sign(
            webhook_id=orjson.loads(payload)["id"],
            at=real_now(),
            body=payload,
            secrets=[self.secret],
        )
        headers["content-type"] = "application/json"
        return httpx.post(self.url, content=payload, headers=headers, timeout=ANSWER_WITHIN_S)

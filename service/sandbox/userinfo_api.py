"""The Userinfo API: what a customer agreed to share, by the `sub` of their payment.

Source: developer.vippsmobilepay.com/docs/APIs/userinfo-api
"""

from datetime import timedelta
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.calls import Call, json_response
from service.sandbox.consents import READABLE_FOR, Consent, expired
from service.sandbox.fields import Faults
from service.sandbox.gate import Gate, Shape, check_system_headers
from service.sandbox.persons import userinfo
from service.sandbox.problems import Refused, plain

_JSON = "application/json;charset=UTF-8"
_SYSTEM_HEADER_MAX = 30


class UserinfoApi:
    """Answer the one call of the Userinfo API."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._world = gate.world

    def routes(self) -> list[Route]:
        """Return the routes, none of which catches more than its own path."""
        path = "/vipps-userinfo-api/userinfo/{sub}"
        # Whether a subscription key is wanted here is told both ways; both work.
        admit = self._gate.tokens.check_token
        return [self._gate.route(path, "GET", handle=self._get, shape=_SHAPE, admit=admit)]

    def _get(self, call: Call) -> Response:
        faults = Faults()
        check_system_headers(call, faults, most=_SYSTEM_HEADER_MAX)
        faults.settle()
        sub = call.params["sub"]
        consent = self._world.consents.get(sub)
        if consent is None or call.msn not in ("", consent.msn) or self._is_too_early(consent):
            raise plain(404, "There is no such user, or what they share is not written yet.")
        person = self._world.person(consent.phone_number)
        told = userinfo(person, frozenset(consent.scope), sub)
        if self._world.clock.now() >= consent.given_at + READABLE_FOR:
            told = expired(told) | {"sub": sub, "sid": told["sid"]}
        return json_response(told, media_type=_JSON)

    def _is_too_early(self, consent: Consent) -> bool:
        delay = timedelta(seconds=self._world.settings.userinfo_delay_s)
        return self._world.clock.real_now() < consent.told_at + delay


def _userinfo_problem(refused: Refused, path: str, trace_id: str) -> dict[str, Any]:
    # The only API whose `status` is text.
    return {
        "type": f"https://httpstatuses.io/{refused.status}",
        "title": refused.title,
        "status": str(refused.status),
        "detail": refused.detail,
        "instance": trace_id,
    }


_SHAPE = Shape(_userinfo_problem, _JSON)

"""Idempotency keys: the same request again gets the same answer, another one a 409.

A key that got a 4xx stays with it. 423, 429 and the codes 6260 and 6280 are not kept: they
mean "again, please, with the same key". How long Vipps keeps a key is not documented; here,
as long as its payment is remembered.
"""

import hashlib
from collections.abc import Callable

import orjson
from starlette.responses import Response

from service.sandbox.calls import BytesResponse, Call, json_response
from service.sandbox.gate import PROBLEM, problem
from service.sandbox.problems import Fault, Refused, bad_fields, refusal
from service.sandbox.world import Answer, World

KEY_LENGTH_MAX = 50
_NOT_KEPT = frozenset((423, 429))
_CODES_NOT_KEPT = frozenset(("6260", "6280"))

# What an operation gives: its answer's status and JSON, and the function that makes it so.
Act = Callable[[tuple[str, Answer] | None], None]
Outcome = tuple[int, object, Act]


class Idempotency:
    """Carry out each key's request once."""

    def __init__(self, world: World) -> None:
        self._world = world

    def once(
        self, call: Call, operate: Callable[[], Outcome], *, conflict_code: int, media_type: str
    ) -> Response:
        """Answer as `operate` decides, or as this key was answered before.

        A call without a key stands for itself. `conflict_code` is what a reused key with
        another request is refused with. Raises: Refused.
        """
        if call.idempotency_key is None:
            status, body, act = operate()
            act(None)
            return json_response(body, status, media_type=media_type)
        name, fingerprint = f"{call.msn}/{call.idempotency_key}", _fingerprint(call)
        earlier = self._world.answers.get(name)
        if earlier is not None and earlier.fingerprint != fingerprint:
            raise refusal(conflict_code, "The Idempotency-Key was used for another request.")
        if earlier is None:
            earlier = self._first(call, operate, kept_as=(name, fingerprint), media_type=media_type)
        return BytesResponse(earlier.body.encode(), earlier.status, earlier.media_type)

    def _first(
        self,
        call: Call,
        operate: Callable[[], Outcome],
        *,
        kept_as: tuple[str, str],
        media_type: str,
    ) -> Answer:
        name, fingerprint = kept_as
        try:
            status, body, act = operate()
        except Refused as refused:
            if refused.status in _NOT_KEPT or refused.code in _CODES_NOT_KEPT:
                raise
            body = problem(refused, call.path, self._world.ids.trace_id())
            answer = Answer(fingerprint, refused.status, orjson.dumps(body).decode(), PROBLEM)
            self._world.save(self._world.answers, name, row=answer)
            return answer
        answer = Answer(fingerprint, status, orjson.dumps(body).decode(), media_type)
        act((name, answer))
        return answer


def require_key(call: Call) -> str:
    """Return the call's idempotency key. Raises: Refused."""
    key = call.idempotency_key
    if not key:
        raise bad_fields([Fault("Idempotency-Key", "The Idempotency-Key header is required.")])
    check_key_length(call)
    return key


def check_key_length(call: Call) -> None:
    """Pass if the key, where there is one, is short enough. Raises: Refused."""
    if len(call.idempotency_key or "") > KEY_LENGTH_MAX:
        reason = f"The Idempotency-Key header must be at most {KEY_LENGTH_MAX} characters."
        raise bad_fields([Fault("Idempotency-Key", reason)])


def _fingerprint(call: Call) -> str:
    # Equal JSON is the same request, however a client's library orders it.
    try:
        body = orjson.dumps(orjson.loads(call.body), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:
        body = call.body
    return hashlib.sha256(b"\n".join((call.method.encode(), call.path.encode(), body))).hexdigest()

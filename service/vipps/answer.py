"""What Vipps answered, as one value; nothing in an answer is trusted (threats T51).

Three shapes of error body are read. ePayment and Webhooks: `{traceId, extraDetails: [{name,
reason}]}`; Order Management: `{instance, invalidParams: [{name, reason}]}`; the gateway in front of
both: `{statusCode, message}`. Source: developer.vippsmobilepay.com/docs/knowledge-base/errors/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

# A payment's event log is the longest answer we ask for: about 270 bytes an entry, so a thousand
# captures and refunds fit.
ANSWER_BYTES_MAX = 262_144
# Vipps's own answers nest five deep. The bound also keeps them within what orjson can write again.
DEPTH_MAX = 16
# A JSON array (the event log) is kept as the one member of this name.
ITEMS = "items"

_CODE = re.compile(r"[0-9]{1,6}")
# Ids for a person to quote to Vipps; what is not plain visible ASCII is no id, and NUL cannot be
# stored in PostgreSQL.
_TRACE_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call to Vipps gave.

    `status` is None where there was no answer: a timeout, a broken connection, or a success whose
    body can't be read; the effect may have happened. `body` is `{}` where there is none that can
    be read. It may hold personal data or a secret, so it is not in `repr`. `code` is Vipps's
    domain code, digits as text.
    """

    status: int | None
    body: Mapping[str, object] = field(repr=False)
    code: str | None
    trace_id: str | None
    retry_after_s: int | None
    latency_ms: int

    @property
    def is_success(self) -> bool:
        """Tell whether Vipps said yes."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_problem(self) -> bool:
        """Tell whether an API of Vipps said no, rather than something in front of it."""
        return not self.is_success and not self.body.keys().isdisjoint(_PROBLEM_MEMBERS)


# Each of the two error shapes has at least one of these; the gateway's has none, nor has a page of
# some proxy. Only an API knows whether a payment exists.
_PROBLEM_MEMBERS = frozenset(("type", "title", "traceId", "extraDetails", "invalidParams"))


def no_answer(latency_ms: int) -> Answer:
    """Return the answer that never came."""
    return Answer(None, {}, None, None, None, latency_ms)


def parse_answer(
    status: int, raw: bytes, *, retry_after_s: int | None = None, latency_ms: int
) -> Answer:
    """Return what a status and a body say; never raise, whatever the bytes are.

    A body that is empty or no more than a text or number counts as `{}`."""
    body = _body(raw)
    if body is None and 200 <= status < 300:
        return no_answer(latency_ms)
    members: Mapping[str, object] = body or {}
    code, trace_id = _code(members), _trace_id(members)
    return Answer(status, members, code, trace_id, retry_after_s, latency_ms)


def _body(raw: bytes) -> Mapping[str, object] | None:
    if not raw:
        return {}
    if len(raw) > ANSWER_BYTES_MAX:
        return None
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not _is_shallow(value, DEPTH_MAX):
        return None
    if isinstance(value, list):
        return {ITEMS: value}
    # A bare text is what a category's success is (Order Management, `200Upserted`).
    return value if isinstance(value, dict) else {}


def _is_shallow(value: object, levels_left: int) -> bool:
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return True
    return levels_left > 0 and all(_is_shallow(item, levels_left - 1) for item in inner)


def _code(members: Mapping[str, object]) -> str | None:
    # A field error names the field instead of `ErrorCode`, and then there is no domain code.
    for name in ("extraDetails", "invalidParams"):
        details = members.get(name)
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict) and detail.get("name") == "ErrorCode":
                return _matching(_CODE, detail.get("reason"))
    return None


def _trace_id(members: Mapping[str, object]) -> str | None:
    # Order Management has no `traceId`; its `instance` is the trace.
    return _matching(_TRACE_ID, members.get("traceId") or members.get("instance"))


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    is_match = isinstance(value, str) and pattern.fullmatch(value) is not None
    return str(value) if is_match else None

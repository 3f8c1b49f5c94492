"""Read what Vipps reports of a payment, from a webhook's body or from its event log.

Strict where money or identity is concerned, blind to members we do not know: Vipps adds some
without notice. Source: ePayment OpenAPI 1.8.1, `WebhookEvent` and `PaymentEvent`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from webhooks import strict_json
from webhooks.errors import MalformedEvent, NotAnEpaymentEvent
from webhooks.instants import parse_rfc3339

# The specification's own limit is 65 000 000. The bound is far above any payment, so that Vipps may
# raise its limit, and within 32 bits, so that no column and no client can overflow.
AMOUNT_MINOR_MAX = 1_000_000_000

_CURRENCY = re.compile(r"[A-Z]{3}")
_MSN = re.compile(r"[0-9]{4,10}")
# NUL and its kin are refused where a text becomes a key: PostgreSQL cannot store NUL, and an event
# that cannot be stored would be sent again for a week.
_KEY_64, _KEY_128, _KEY_256 = (
    re.compile(rf"[^\x00-\x1f\x7f]{{1,{length_max}}}") for length_max in (64, 128, 256)
)
_OTHER_TYPE = re.compile(r"(?!epayments\.)[a-z][a-z.-]*\.v[0-9]+")
# Members that only events of Recurring, Login and QR carry.
# Source: developer.vippsmobilepay.com/docs/APIs/webhooks-api/events/
_MEMBERS_OF_OTHER_APIS = frozenset(
    ("eventType", "agreementId", "chargeId", "merchantQrId", "customerToken")
)


@dataclass(frozen=True, slots=True)
class VippsEvent:
    """Say what happened to one payment at Vipps; every value is checked.

    `psp_reference` names this one operation, `amount_minor` is this event's amount, `occurred_at`
    is Vipps's clock in UTC. `name` is as sent: whether it is known is for the ledger to say.
    `sub` and `user_details` are personal data and stay out of `repr`.
    """

    msn: str
    reference: str
    psp_reference: str
    name: str
    amount_minor: int
    currency: str
    occurred_at: datetime
    success: bool
    idempotency_key: str | None = None
    sub: str | None = field(default=None, repr=False)
    user_details: dict[str, object] | None = field(default=None, repr=False)
    capture_guaranteed_until: datetime | None = None


def parse(body: bytes) -> VippsEvent:
    """Return the event that a verified webhook's body holds.

    Amounts are JSON integers from 0 to 10^9; times are RFC 3339 with an offset; `name` is any text
    of at most 64 characters. Raises: NotAnEpaymentEvent, where the body is an event of another
    Vipps API; MalformedEvent, for all else.
    """
    members = _object(strict_json.loads(body), "body")
    if _is_of_another_api(members):
        raise NotAnEpaymentEvent("body", "an event of another Vipps API")
    return _event(members, _matching(members, "msn", _MSN))


def parse_log_entry(entry: object, *, msn: str) -> VippsEvent:
    """Return the event that one decoded item of `GET /payments/{reference}/events` holds.

    The log has the same members as a webhook but no `msn`: it is that of the sales unit which
    asked. Raises: MalformedEvent.
    """
    return _event(_object(entry, "entry"), msn)


def event_key(event: VippsEvent) -> tuple[str, str, str, str]:
    """Return what names this event, whichever way and however often it comes.

    Vipps suggests reference and name, but partial captures repeat that pair; each operation has a
    `psp_reference` of its own. It is (msn, reference, name, psp_reference).
    """
    return event.msn, event.reference, event.name, event.psp_reference


def _event(members: Mapping[str, object], msn: str) -> VippsEvent:
    amount = _object(members.get("amount"), "amount")
    return VippsEvent(
        msn=msn,
        reference=_matching(members, "reference", _KEY_64),
        psp_reference=_matching(members, "pspReference", _KEY_128),
        name=_matching(members, "name", _KEY_64),
        amount_minor=_amount_minor(amount.get("value")),
        currency=_matching(amount, "currency", _CURRENCY, within="amount."),
        occurred_at=_instant(members, "timestamp"),
        success=_success(members.get("success")),
        idempotency_key=_optional_key(members, "idempotencyKey"),
        sub=_optional_key(members, "sub"),
        user_details=_optional_object(members, "userDetails"),
        capture_guaranteed_until=_optional_instant(members, "captureGuaranteedUntil"),
    )


def _is_of_another_api(members: Mapping[str, object]) -> bool:
    # `pspReference` is required of every ePayment event and known to no other API, so an ePayment
    # event with a new member can never be taken for a stranger.
    if "pspReference" in members:
        return False
    name = members.get("name")
    typed = isinstance(name, str) and _OTHER_TYPE.fullmatch(name) is not None
    return typed or not _MEMBERS_OF_OTHER_APIS.isdisjoint(members)


def _object(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise MalformedEvent(name, "not an object")
    return value


def _matching(
    members: Mapping[str, object], name: str, pattern: re.Pattern[str], *, within: str = ""
) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise MalformedEvent(within + name, "not a text")
    if pattern.fullmatch(value) is None:
        raise MalformedEvent(within + name, "not in the form Vipps documents")
    return value


def _amount_minor(value: object) -> int:
    # `True` is an int to Python, and 49900.0 equals 49900: only the exact type will do for money.
    if type(value) is not int:
        raise MalformedEvent("amount.value", "not an integer")
    if not 0 <= value <= AMOUNT_MINOR_MAX:
        raise MalformedEvent("amount.value", f"not from 0 to {AMOUNT_MINOR_MAX}")
    return value


def _success(value: object) -> bool:
    if not isinstance(value, bool):
        raise MalformedEvent("success", "not true or false")
    return value


def _instant(members: Mapping[str, object], name: str) -> datetime:
    value = members.get(name)
    at = parse_rfc3339(value) if isinstance(value, str) else None
    if at is None:
        raise MalformedEvent(name, "not an RFC 3339 time with an offset")
    return at


def _optional_key(members: Mapping[str, object], name: str) -> str | None:
    # Absent, null and empty all say the same: Vipps leaves the key out on CANCELLED.
    if members.get(name) in (None, ""):
        return None
    return _matching(members, name, _KEY_256)


def _optional_object(members: Mapping[str, object], name: str) -> dict[str, object] | None:
    value = members.get(name)
    return None if value is None else _object(value, name)


def _optional_instant(members: Mapping[str, object], name: str) -> datetime | None:
    return None if members.get(name) is None else _instant(members, name)

"""Read what Vipps tells of a payment: its event log, its state and sums; pure.

Strict where money or identity is concerned, blind to members we do not know.
Source: ePayment OpenAPI 1.8.1, `PaymentEvent` and `GetPaymentResponse`; threats T51.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

import orjson

from service.errors import UpstreamError
from service.vipps.answer import ITEMS
from service.vipps.bodies import METADATA_KEY
from webhooks import MalformedEvent, VippsEvent
from webhooks.instants import parse_rfc3339
from webhooks.vipps_event import AMOUNT_MINOR_MAX, parse_log_entry


class UnreadableAnswer(UpstreamError):
    """Vipps's answer is not what its specification says; `field` and `reason` say where and why."""

    def __init__(self, field: str, reason: str) -> None:
        """Keep the field's path and the rule it breaks, and nothing of what was received."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class PaymentState(StrEnum):
    """Vipps's own states of a payment; money is told by the sums, not by these."""

    CREATED = "CREATED"
    AUTHORIZED = "AUTHORIZED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"
    TERMINATED = "TERMINATED"


_STATES: Mapping[str, PaymentState] = {state.value: state for state in PaymentState}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the event log, and its bytes as they are stored: canonical JSON."""

    event: VippsEvent
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """An entry that is no event, its bytes, and what is wrong with it."""

    raw: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class EventLog:
    """A payment's event log as Vipps gave it, in its order."""

    entries: tuple[LogEntry, ...]
    malformed: tuple[MalformedEntry, ...]


@dataclass(frozen=True, slots=True)
class PaymentSnapshot:
    """What a payment is at Vipps at one moment.

    All amounts are in minor units of `currency`; `amount_minor` is what was asked for.
    `metadata_invoice_id` is the invoice that we named when we made it. `redirect_url` is None also
    where it leads away from Vipps.
    """

    reference: str
    state: PaymentState
    amount_minor: int
    currency: str
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    cancelled_minor: int
    psp_reference: str
    redirect_url: str | None = field(repr=False)
    metadata_invoice_id: str | None
    sub: str | None = field(repr=False)
    user_details: Mapping[str, object] | None = field(repr=False)
    capture_guaranteed_until: datetime | None


_KEY = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_CURRENCY = re.compile(r"[A-Z]{3}")
# Landing pages of all three countries, before and after MobilePay becomes Vipps in January 2027.
REDIRECT_HOSTS = (
    "vipps.no",
    "vippsmobilepay.com",
    "mobilepay.dk",
    "mobilepay.fi",
    "vipps.dk",
    "vipps.fi",
)
# A space, a control character or a backslash is read differently by different browsers; a
# quotation mark would grow in JSON, and an event must stay small (contract, section 6). Vipps's own
# are of less than a thousand characters.
_PLAIN_URL = re.compile(r"[!#-\[\]-~]{1,2048}")
# Digits or a UUID in all that Vipps documents; five of them stand in an event.
_PSP_REFERENCE = re.compile(r"[!#-\[\]-~]{1,128}")


def read_log(body: Mapping[str, object], msn: str) -> EventLog:
    """Return the entries of an answer to `get_events`; one bad entry spoils no other.

    Raises: UnreadableAnswer, where the answer is no list at all."""
    items = body.get(ITEMS)
    if not isinstance(items, list):
        raise UnreadableAnswer("body", "not a list")
    entries: list[LogEntry] = []
    malformed: list[MalformedEntry] = []
    for item in items:
        # Sorted, so that the same entry is the same bytes whenever it is read.
        raw = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        try:
            entries.append(LogEntry(parse_log_entry(item, msn=msn), raw))
        except MalformedEvent as error:
            malformed.append(MalformedEntry(raw, str(error)))
    return EventLog(tuple(entries), tuple(malformed))


def read_payment(body: Mapping[str, object], base_url: str) -> PaymentSnapshot:
    """Return what an answer to `get_payment` says.

    `base_url` is where Vipps was asked: a sandbox's own pages are at its own address. Raises:
    UnreadableAnswer."""
    amount_minor, currency = _amount(body, "amount")
    aggregate = _object(body, "aggregate")
    return PaymentSnapshot(
        reference=_key(body, "reference"),
        state=_state(body.get("state")),
        amount_minor=amount_minor,
        currency=currency,
        authorized_minor=_sum(aggregate, "authorizedAmount", currency),
        captured_minor=_sum(aggregate, "capturedAmount", currency),
        refunded_minor=_sum(aggregate, "refundedAmount", currency),
        cancelled_minor=_sum(aggregate, "cancelledAmount", currency),
        psp_reference=_psp_reference(body),
        redirect_url=read_redirect_url(body, base_url),
        metadata_invoice_id=_optional_key(body.get("metadata"), METADATA_KEY),
        sub=_optional_key(body.get("profile"), "sub"),
        user_details=_optional_object(body.get("userDetails")),
        capture_guaranteed_until=_optional_instant(body.get("captureGuaranteedUntil")),
    )


def read_redirect_url(body: Mapping[str, object], base_url: str) -> str | None:
    """Return where the customer pays, from an answer to `create_payment` or `get_payment`.

    None where there is none, or where it is not Vipps's own: a customer must never be sent
    elsewhere from our page."""
    value = body.get("redirectUrl")
    if not isinstance(value, str) or _PLAIN_URL.fullmatch(value) is None:
        return None
    url = _split(value)
    if url is None or url.username is not None or url.password is not None:
        return None
    return value if _is_vipps(url, urlsplit(base_url)) else None


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        # Reading the port is what checks it.
        return url if url.hostname and (url.port is None or url.port > 0) else None
    except ValueError:
        return None


def _is_vipps(url: SplitResult, base: SplitResult) -> bool:
    if (url.scheme, url.hostname) == (base.scheme, base.hostname):
        return True
    host = f".{url.hostname}"
    is_known = any(host.endswith(f".{known}") for known in REDIRECT_HOSTS)
    return url.scheme == "https" and is_known and url.port in (None, 443)


def _object(members: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = members.get(name)
    if not isinstance(value, dict):
        raise UnreadableAnswer(name, "not an object")
    return value


def _key(members: Mapping[str, object], name: str) -> str:
    value = _optional_key(members, name)
    if value is None:
        raise UnreadableAnswer(name, "not a plain text")
    return value


def _psp_reference(body: Mapping[str, object]) -> str:
    value = _key(body, "pspReference")
    if _PSP_REFERENCE.fullmatch(value) is None:
        raise UnreadableAnswer("pspReference", "not a plain text")
    return value


def _optional_key(members: object, name: str) -> str | None:
    value = members.get(name) if isinstance(members, dict) else None
    return value if isinstance(value, str) and _KEY.fullmatch(value) is not None else None


def _state(value: object) -> PaymentState:
    state = _STATES.get(value) if isinstance(value, str) else None
    if state is None:
        raise UnreadableAnswer("state", "not one that Vipps documents")
    return state


def _amount(members: Mapping[str, object], name: str) -> tuple[int, str]:
    amount = _object(members, name)
    value, currency = amount.get("value"), amount.get("currency")
    # `True` is an int to Python, and 49900.0 equals 49900: only the exact type will do for money.
    if type(value) is not int or not 0 <= value <= AMOUNT_MINOR_MAX:
        raise UnreadableAnswer(f"{name}.value", f"not an integer from 0 to {AMOUNT_MINOR_MAX}")
    if not isinstance(currency, str) or _CURRENCY.fullmatch(currency) is None:
        raise UnreadableAnswer(f"{name}.currency", "not three capital letters")
    return value, currency


def _sum(aggregate: Mapping[str, object], name: str, currency: str) -> int:
    amount_minor, own_currency = _amount(aggregate, name)
    if own_currency != currency:
        raise UnreadableAnswer(f"aggregate.{name}", "in another currency than the payment")
    return amount_minor


def _optional_object(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, dict) else None


def _optional_instant(value: object) -> datetime | None:
    return parse_rfc3339(value) if isinstance(value, str) else None

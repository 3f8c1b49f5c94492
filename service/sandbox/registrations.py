"""Webhook registrations: which address hears of which events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.sandbox.fields import Faults, is_https, is_web_url
from service.sandbox.ids import webhook_secret
from service.sandbox.problems import Fault, bad_fields

PER_EVENT_MAX = 25

_NAMES = (
    "created",
    "aborted",
    "expired",
    "cancelled",
    "captured",
    "refunded",
    "authorized",
    "terminated",
)
EVENT_TYPES = tuple(f"epayments.payment.{name}.v1" for name in _NAMES)


@dataclass(frozen=True, slots=True)
class Registration:
    """One address with its secret; `msn` None hears of every sales unit (partners)."""

    id: str
    msn: str | None
    url: str
    event_types: tuple[str, ...]
    secret: str = field(repr=False)
    # Since when every attempt has failed; None while the address answers.
    failing_since: datetime | None = None

    def hears(self, msn: str, event_name: str) -> bool:
        """Say whether this event goes to this address."""
        is_mine = self.msn is None or self.msn == msn
        return is_mine and event_type(event_name) in self.event_types


def event_type(event_name: str) -> str:
    """Return what one subscribes to in order to hear of these events."""
    return f"epayments.payment.{event_name.lower()}.v1"


def registered(
    body: Mapping[str, Any],
    *,
    msn: str | None,
    new_id: str,
    others: Iterable[Registration],
) -> Registration:
    """Return the new registration with a fresh secret. Raises: Refused."""
    faults = Faults()
    url, events = body.get("url"), body.get("events")
    reason = "Must be an absolute https URL without credentials."
    faults.expect(_is_reachable(url), "url", reason=reason)
    is_known = isinstance(events, list) and events and all(e in EVENT_TYPES for e in events)
    faults.expect(bool(is_known), "events", reason=f"Must be some of {list(EVENT_TYPES)}.")
    faults.settle()
    types = tuple(dict.fromkeys(body["events"]))
    _check_room(types, [other for other in others if other.msn == msn])
    return Registration(new_id, msn, body["url"], types, webhook_secret())


def registration_of_row(row: dict[str, Any]) -> Registration:
    """Return the registration that the file kept."""
    since = row["failing_since"] and datetime.fromisoformat(row["failing_since"])
    return Registration(**row | {"event_types": tuple(row["event_types"]), "failing_since": since})


def answered(registration: Registration) -> Registration:
    """Return the registration after its address answered 200."""
    return replace(registration, failing_since=None)


def failed(registration: Registration, now: datetime) -> Registration:
    """Return the registration after its address failed once more."""
    return replace(registration, failing_since=registration.failing_since or now)


def _is_reachable(url: object) -> bool:
    # Beyond ASCII, what is signed and what a client sends would differ.
    is_plain = isinstance(url, str) and url.isascii() and not set(url) & {"@", "#", "\\"}
    return is_plain and is_web_url(url, allows_scheme=is_https)


def _check_room(types: tuple[str, ...], others: list[Registration]) -> None:
    full = [t for t in types if sum(t in o.event_types for o in others) >= PER_EVENT_MAX]
    if full:
        reason = f"At most {PER_EVENT_MAX} webhooks can be registered per event: {full}."
        raise bad_fields([Fault("events", reason)])

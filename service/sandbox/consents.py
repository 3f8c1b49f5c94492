"""What customers agreed to share, and for how long it can be read."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

# Source: developer.vippsmobilepay.com/docs/APIs/userinfo-api/userinfo-api-guide
READABLE_FOR = timedelta(hours=168)
EXPIRED = "[Expired]"


@dataclass(frozen=True, slots=True)
class Consent:
    """One customer's yes to one sales unit: `given_at` is business time, `told_at` real."""

    msn: str
    phone_number: str
    scope: tuple[str, ...]
    given_at: datetime
    told_at: datetime


def consent_of_row(row: dict[str, Any]) -> Consent:
    """Return the consent that the file kept."""
    instants = {name: datetime.fromisoformat(row[name]) for name in ("given_at", "told_at")}
    return Consent(**row | instants | {"scope": tuple(row["scope"])})


def expired(value: Any) -> Any:
    """Return the same shape without what it told."""
    if isinstance(value, dict):
        return {name: expired(part) for name, part in value.items()}
    if isinstance(value, list):
        return [expired(part) for part in value]
    # A claim is not data about the person, and its type leaves no room for a word.
    return value if isinstance(value, bool) else EXPIRED

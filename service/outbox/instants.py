"""How an instant is written in what we tell."""

from datetime import UTC, datetime


def rfc3339(at: datetime) -> str:
    """Return an aware instant as RFC 3339 in UTC, cut to milliseconds, with `Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

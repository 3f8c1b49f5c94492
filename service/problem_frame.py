"""What every refusal has in common: the frame of `application/problem+json` (RFC 9457)."""

from typing import Any

MEDIA_TYPE = "application/problem+json"

# A database that restarts is back, and a queue that is full is empty, within seconds.
RETRY_AFTER_S = 2

# Registered nowhere and fetched by nobody: it names the kind, the documentation explains it.
_TYPE = "urn:betalbar:problem:"


def problem_frame(code: str, *, title: str, status: int, trace_id: str) -> dict[str, Any]:
    """Return the members of a problem document that each has; `code` is for programs."""
    return {
        "type": _TYPE + code,
        "title": title,
        "status": status,
        "code": code,
        "traceId": trace_id,
    }

"""What is logged, and how: a list of what may appear, since lists of what may not leak.

An error's message can hold a phone number or a statement's values, so a traceback is logged as
its type and its places. Source: OWASP, Logging Cheat Sheet, "Data to exclude".
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from service.cause import current_cause

# Names and numbers of our own, never what a person or a stranger wrote.
ALLOWED_FIELDS = frozenset(
    {
        *("event", "level", "timestamp", "error", "exception", "places", "reason"),
        *("method", "path", "status", "code", "trace_id", "latency_ms"),
        *("request_id", "request_ids", "event_ids"),
        *("sales_unit", "invoice", "reference", "outcome", "type", "event_id", "position"),
        *("command", "kind", "then", "attempt", "count"),
        *("subscription", "delivery", "deliveries"),
        *("by", "files", "connections", "seconds"),
    }
)
_PLACES_MAX = 20

_Entry = MutableMapping[str, Any]


def configure_logs(how: Literal["json", "console"]) -> None:
    """Send our log and the libraries' to standard error, in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        _with_request,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_message,
        _only_allowed,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(how, shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("service").setLevel(logging.INFO)


def _formatter(
    how: Literal["json", "console"], shared: list[structlog.typing.Processor]
) -> structlog.stdlib.ProcessorFormatter:
    shown: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if how == "console":
        shown = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, shown],
        foreign_pre_chain=shared,
    )


def _with_request(_logger: Any, _method: str, entry: _Entry) -> _Entry:
    """Name the request that is being answered, where the line does not name its own."""
    if request_id := current_cause().request_id:
        entry.setdefault("request_id", request_id)
    return entry


def _without_message(_logger: Any, _method: str, entry: _Entry) -> _Entry:
    """Put an exception's type and places where the exception itself stood."""
    given = entry.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        entry["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)[-_PLACES_MAX:]
        entry["places"] = [f"{frame.filename}:{frame.lineno}" for frame in frames]
    return entry


def _only_allowed(_logger: Any, _method: str, entry: _Entry) -> _Entry:
    """Drop every field that is not on the list; structlog's own begin with an underscore."""
    # What a library says after its first line is the error in its own words.
    entry["event"] = str(entry.get("event", "")).partition("\n")[0]
    return {k: v for k, v in entry.items() if k in ALLOWED_FIELDS or k.startswith("_")}

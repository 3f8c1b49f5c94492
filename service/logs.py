"""Logs: one line per event, and only fields that are known to hold nothing personal."""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

# A list of what is allowed, since a list of what is not always lacks the newest name
# (threats T44). What is not here is dropped.
ALLOWED_FIELDS = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "exception",
        "exc_info",
        "attempt",
        "code",
        "command",
        "count",
        "delivery",
        "error",
        "event_id",
        "kind",
        "latency_ms",
        "method",
        "outcome",
        "path",
        "position",
        "reason",
        "reference",
        "sales_unit",
        "status",
        "subscription",
        "then",
        "trace_id",
        "type",
    }
)


def configure_logs(style: Literal["json", "console"]) -> None:
    """Send every log line to standard error, in one style; tracebacks carry no values."""
    last: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if style == "console":
        last = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_allowed,
            # Without the values of variables: they hold keys and phone numbers.
            *((structlog.processors.format_exc_info,) if style == "json" else ()),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def keep_allowed(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Drop every field that is not on the list."""
    return {name: value for name, value in fields.items() if name in ALLOWED_FIELDS}

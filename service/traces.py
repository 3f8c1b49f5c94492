"""OpenTelemetry traces: one from Vipps's webhook through the commit to the subscriber's answer.

Off, and free of cost, unless `BETALBAR_TRACES_URL` is set; the library is an extra and is known to
`service/traces_otel.py` alone.
"""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, Protocol

Kind = Literal["internal", "server", "client"]


class Span(Protocol):
    """A stretch of time in a trace."""

    @property
    def traceparent(self) -> str:
        """Return what a later span names as its parent, in W3C's form; empty: no trace is made."""

    def note(self, name: str, value: str | int) -> None:
        """Keep a fact with it: ids and numbers of our own, never what a person wrote (I11)."""


class Traces(Protocol):
    """Makes spans."""

    def span(
        self, name: str, *, kind: Kind = "internal", parent: str = ""
    ) -> AbstractContextManager[Span]:
        """Return a span as long as its block, under a parent, or under the one that is open."""

    def close(self) -> None:
        """Send what is left, within two seconds."""


class _NoSpan:
    """Nothing, again and again the same."""

    traceparent = ""

    def note(self, name: str, value: str | int) -> None:
        """Forget it."""

    def __enter__(self) -> Span:
        """Begin nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        places: TracebackType | None,
    ) -> None:
        """End nothing."""


_NO_SPAN = _NoSpan()


class NoTraces:
    """Makes none."""

    def span(
        self, name: str, *, kind: Kind = "internal", parent: str = ""
    ) -> AbstractContextManager[Span]:
        """Return what does nothing."""
        return _NO_SPAN

    def close(self) -> None:
        """Have nothing to send."""

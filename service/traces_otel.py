"""Traces by OpenTelemetry's own library, sent as OTLP over HTTP from a thread of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from service.traces import Kind, Span

# A stop has ten seconds, of which the workers use nine: a collector that is away may not cost
# more than this (service/app.py).
_SEND_WITHIN_S = 1.0

_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}


class OtelSpan:
    """A span of the library's."""

    def __init__(self, span: trace.Span) -> None:
        """Take one that is open."""
        self._span = span

    @property
    def traceparent(self) -> str:
        """Return it in W3C's form. Source: w3.org/TR/trace-context/#traceparent-header"""
        known = self._span.get_span_context()
        return f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}"

    def note(self, name: str, value: str | int) -> None:
        """Keep it as an attribute."""
        self._span.set_attribute(f"betalbar.{name}", value)


class OtelTraces:
    """Makes spans, and hands those that have ended to a processor."""

    def __init__(self, processor: SpanProcessor) -> None:
        """`processor` gets each span as it ends."""
        named = {"service.name": "betalbar", "service.version": version("betalbar")}
        self._provider = TracerProvider(resource=Resource(named), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("betalbar")

    @contextmanager
    def span(self, name: str, *, kind: Kind = "internal", parent: str = "") -> Iterator[Span]:
        """Open a span; of an error it keeps the type alone, whose text may quote a person."""
        with self._tracer.start_as_current_span(
            name,
            context=_context_of(parent),
            kind=_KINDS[kind],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield OtelSpan(span)
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(int(_SEND_WITHIN_S * 1000))
        self._provider.shutdown()


def otel_traces(url: str) -> OtelTraces:
    """Return traces that are sent to a collector."""
    exporter = OTLPSpanExporter(endpoint=url, timeout=_SEND_WITHIN_S)
    return OtelTraces(BatchSpanProcessor(exporter))


def _context_of(parent: str) -> Context | None:
    """Return the parent that a row has kept; None: the span that is open here."""
    if not parent:
        return None
    _, trace_id, span_id, flags = parent.split("-")
    known = SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(NonRecordingSpan(known))

"""The figures as Prometheus reads them; nobody's name, number or reference is among the labels.

Source: prometheus.io/docs/instrumenting/writing_exporters/
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.metrics.figures import Aged, Counted, Figures
from service.observed import Observed

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Received:
    """What this process has got at its address for webhooks since it began."""

    outcomes: Mapping[str, int]
    refusals: Mapping[str, int]


def exposition(figures: Figures, received: Received, observed: Observed) -> bytes:
    """Return everything as Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(_metrics(figures, received)))
    return generate_latest(registry) + generate_latest(observed.registry)


def _metrics(figures: Figures, received: Received) -> list[Metric]:
    return [
        *_money(figures),
        *_counts(figures),
        *_ages(figures),
        *_broker(figures),
        *_webhooks(received),
    ]


class _Collected(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _money(figures: Figures) -> Iterator[Metric]:
    labels = ("sales_unit", "currency", "percent")
    money = GaugeMetricFamily(
        "betalbar_money_at_risk_minor",
        "Reserved money, in minor units, by how much of the time to capture it has passed.",
        labels=labels,
    )
    count = GaugeMetricFamily(
        "betalbar_invoices_at_risk",
        "Invoices with such money.",
        labels=labels,
    )
    for row in figures.at_risk:
        values = (row.msn, row.currency, str(row.percent))
        money.add_metric(values, row.amount_minor)
        count.add_metric(values, row.invoices)
    yield from (money, count)


def _counts(figures: Figures) -> Iterator[Metric]:
    yield _gauge("invoices", "Invoices by state.", "state", figures.invoices)
    yield _gauge("problems", "Invoices with a problem.", "state", figures.problems)
    yield _gauge("commands_open", "Calls to Vipps not settled.", "kind", figures.commands)
    yield _gauge("deliveries", "Deliveries not made.", "status", figures.deliveries)
    yield _gauge("subscriptions", "Subscriptions by status.", "status", figures.subscriptions)


def _ages(figures: Figures) -> Iterator[Metric]:
    yield _age(
        "command_oldest",
        "For how long the oldest call of a kind waits.",
        "kind",
        figures.commands_aged,
    )
    yield _age(
        "undelivered_oldest",
        "For how long the oldest event waits to be told, and where.",
        "where",
        figures.events_aged,
    )
    yield _age(
        "sales_unit_held", "For how long Vipps has refused its keys.", "reason", figures.held
    )
    yield _age(
        "recovering",
        "For how long a restored sales unit has sent nothing.",
        "reason",
        figures.recovering,
    )
    yield _age(
        "registration_missing",
        "For how long Vipps has had no registration.",
        "reason",
        figures.unregistered,
    )


def _age(name: str, text: str, label: str, rows: Sequence[Aged]) -> Metric:
    gauge = GaugeMetricFamily(f"betalbar_{name}_seconds", text, labels=("sales_unit", label))
    for row in rows:
        gauge.add_metric((row.msn, row.kind), row.age_s)
    return gauge


def _broker(figures: Figures) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "betalbar_events_unpublished",
        "Events that the broker has not acknowledged.",
        labels=("sales_unit",),
    )
    failing = GaugeMetricFamily(
        "betalbar_broker_failing_seconds",
        "For how long the broker has taken nothing, and why.",
        labels=("sales_unit", "reason"),
    )
    for row in figures.unpublished:
        waiting.add_metric((row.msn,), row.events)
        if row.reason:
            failing.add_metric((row.msn, row.reason), row.failing_s)
    yield from (waiting, failing)


def _gauge(name: str, text: str, label: str, rows: Sequence[Counted]) -> Metric:
    gauge = GaugeMetricFamily(f"betalbar_{name}", text, labels=("sales_unit", label))
    for row in rows:
        gauge.add_metric((row.msn, row.kind), row.count)
    return gauge


def _webhooks(received: Received) -> Iterator[Metric]:
    """Yield what only this process knows: several behind one address are told apart."""
    yield _counter("webhooks_received", "Proven webhooks.", "outcome", received.outcomes)
    yield _counter("webhooks_refused", "Refused webhooks.", "reason", received.refusals)


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    counter = CounterMetricFamily(f"betalbar_{name}", text, labels=("process", label))
    for kind, count in sorted(counts.items()):
        counter.add_metric((str(os.getpid()), kind), count)
    return counter

"""What this process has seen since it began, counted for whoever watches it.

Only what no table can tell: how long things took, and what was not stored. All else is read from
the ledger (service/metrics). Each process counts for itself and is told apart by its number.
Source: prometheus.io/docs/practices/histograms/
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

# Vipps waits ten seconds for its 200, and is promised one.
_COMMIT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# From "at once" to the last step of the schedule, three days later.
_TOLD_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0, 259_200.0)
# A call to Vipps ends after ten.
_CALL_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Observed:
    """The counters and histograms of one process."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nothing here asks for
        self.registry = registry = CollectorRegistry(auto_describe=False)
        self._process = str(os.getpid())
        by_process = ("process",)
        self._commit = Histogram(
            "betalbar_webhook_commit_seconds",
            "From a webhook's last byte to its commit.",
            by_process,
            buckets=_COMMIT_S,
            registry=registry,
        ).labels(self._process)
        self._not_stored = Counter(
            "betalbar_webhooks_not_stored",
            "Proven webhooks that were answered with 503.",
            (*by_process, "reason"),
            registry=registry,
        )
        self._told = Histogram(
            "betalbar_delivery_seconds",
            "From an event's commit to a subscriber's 2xx.",
            by_process,
            buckets=_TOLD_S,
            registry=registry,
        ).labels(self._process)
        self._attempts = Counter(
            "betalbar_delivery_attempts",
            "Tries of deliveries, by what came of them.",
            (*by_process, "result"),
            registry=registry,
        )
        self._calls = Histogram(
            "betalbar_vipps_call_seconds",
            "How long Vipps took for a command.",
            (*by_process, "kind"),
            buckets=_CALL_S,
            registry=registry,
        )
        self._answers = Counter(
            "betalbar_vipps_answers",
            "Vipps's answers to commands, by HTTP status (none: no answer) and Vipps's own code.",
            (*by_process, "kind", "status", "code"),
            registry=registry,
        )

    def webhook_stored(self, took_s: float) -> None:
        """Note that a webhook was committed, so long after it had come."""
        self._commit.observe(took_s)

    def webhook_not_stored(self, reason: str) -> None:
        """Note that a proven webhook must be sent again."""
        self._not_stored.labels(self._process, reason).inc()

    def attempt_made(self, result: str, age_s: float | None) -> None:
        """Note a try of a delivery; `age_s` is the event's, where the subscriber has it now."""
        self._attempts.labels(self._process, result).inc()
        if age_s is not None:
            self._told.observe(age_s)

    def vipps_answered(self, kind: str, *, status: int | None, code: str, took_s: float) -> None:
        """Note what Vipps said to a command; None: nothing."""
        self._calls.labels(self._process, kind).observe(took_s)
        shown = "none" if status is None else str(status)
        self._answers.labels(self._process, kind, shown, code).inc()

"""What works beside the API in the same process, known only once it has started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.outbox.egress import Egress


@dataclass(slots=True)
class Running:
    """Filled in by the composition root when it starts the parts.

    `workers` tells of each one by name whether it runs; `outcomes` and `refusals` count the
    webhooks that came, as the receiver does. `at_stop` is called at the signal to stop, before the
    server waits for open requests: what would never end by itself ends then."""

    egress: Egress | None = None
    workers: dict[str, Callable[[], bool]] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    at_stop: list[Callable[[], None]] = field(default_factory=list)

    def stop(self) -> None:
        """End what would never end by itself."""
        for end in self.at_stop:
            end()

    @property
    def way_out(self) -> Egress:
        """Return how merchants are reached. Raises: RuntimeError, before the start."""
        if self.egress is None:
            raise RuntimeError("the composition root has not opened the egress")
        return self.egress

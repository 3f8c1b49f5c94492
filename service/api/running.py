"""What works beside the API in the same process, known only once it has started."""

from collections.abc import Callable
from dataclasses import dataclass, field

from service.outbox.egress import Egress


@dataclass(slots=True)
class Running:
    """Filled in by the composition root when it starts the parts.

    `workers` tells of each one by name whether it runs."""

    egress: Egress | None = None
    workers: dict[str, Callable[[], bool]] = field(default_factory=dict)

    @property
    def way_out(self) -> Egress:
        """Return how merchants are reached. Raises: RuntimeError, before the start."""
        if self.egress is None:
            raise RuntimeError("the composition root has not opened the egress")
        return self.egress

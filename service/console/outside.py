"""What pages reach beside the database: Vipps, subscribers, the sandbox; known after the start."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.errors import UpstreamTimeout
from service.outbox.egress import Egress
from service.vipps import VippsClient


class Playground(Protocol):
    """The built-in sandbox, as far as the console moves it; all on the event loop."""

    def now(self) -> datetime:
        """Return business time."""

    def ahead_s(self) -> float:
        """Return how far business time is ahead of real time."""

    def faults(self) -> Mapping[str, float | None]:
        """Return what goes wrong on purpose, by its API's names."""

    async def advance(self, seconds: float) -> None:
        """Turn the clock ahead."""

    async def set_faults(self, faults: Mapping[str, float]) -> None:
        """Let this go wrong from now on; what is left out goes right."""


@dataclass(slots=True)
class Outside:
    """Filled in by the composition root when it starts the parts."""

    vipps: VippsClient | None = None
    egress: Egress | None = None
    sandbox: Playground | None = None

    @property
    def to_vipps(self) -> VippsClient:
        """Return how Vipps is reached. Raises: UpstreamTimeout, before the start."""
        if self.vipps is None:
            raise UpstreamTimeout
        return self.vipps

    @property
    def to_subscribers(self) -> Egress:
        """Return how subscribers are reached. Raises: UpstreamTimeout, before the start."""
        if self.egress is None:
            raise UpstreamTimeout
        return self.egress

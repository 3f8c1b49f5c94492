"""What the composition root hands to every part: no part makes these for itself."""

from dataclasses import dataclass, field

from service.clock import Clock
from service.observed import Observed
from service.settings import Settings
from service.store.db import Database
from service.traces import NoTraces, Traces
from service.vault import Vault
from service.wake import Wake


@dataclass(frozen=True, slots=True)
class Context:
    """One process's settings, database, keys, times, signals, counters and traces."""

    settings: Settings
    database: Database
    vault: Vault
    clock: Clock
    wake: Wake
    observed: Observed = field(default_factory=Observed)
    traces: Traces = field(default_factory=NoTraces)

"""What the composition root hands to every part: no part makes these for itself."""

from dataclasses import dataclass

from service.clock import Clock
from service.settings import Settings
from service.store.db import Database
from service.vault import Vault
from service.wake import Wake


@dataclass(frozen=True, slots=True)
class Context:
    """One process's settings, database, keys, times and signals."""

    settings: Settings
    database: Database
    vault: Vault
    clock: Clock
    wake: Wake

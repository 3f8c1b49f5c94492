"""What the services of all tests have written to their logs, looked through at the very end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.spellings import spellings

# Settings that are secrets; a master key may be one of several.
_SECRET_SETTINGS = (
    "BETALBAR_API_KEY",
    "BETALBAR_MASTER_KEYS",
    "BETALBAR_METRICS_KEY",
    "BETALBAR_VIPPS_CLIENT_SECRET",
    "BETALBAR_VIPPS_SUBSCRIPTION_KEY",
    "BETALBAR_VIPPS_WEBHOOK_SECRET",
)
# Shorter ones, as `k`, stand in many a word.
_SECRET_LENGTH_MIN = 10
# Every number that a test gives to somebody begins so, and none of ours does.
_NUMBER = re.compile(rb"(?<![\w.-])\+?479[0-9]{7}(?!\w)")
_NAMES = (b"Nordmann",)


@dataclass
class Written:
    """The logs of every service that was started, and the secrets that each was started with."""

    logs: set[Path] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)

    def watch(self, *logs: Path, environment: Mapping[str, str]) -> None:
        """Look through these at the end."""
        self.logs.update(logs)
        given = (environment.get(name, "") for name in _SECRET_SETTINGS)
        each = (one for value in given for one in value.split(","))
        self.secrets.update(one for one in each if len(one) >= _SECRET_LENGTH_MIN)

    def shown(self) -> list[str]:
        """Return where a secret, a name or somebody's number stands, without repeating it."""
        wanted = [*_NAMES, *(one for secret in self.secrets for one in spellings(secret))]
        found = []
        for log in sorted(self.logs):
            text = log.read_bytes() if log.exists() else b""
            if _NUMBER.search(text) or any(one in text for one in wanted):
                found.append(str(log))
        return found


# One for the whole session; each process of pytest looks through its own.
WRITTEN = Written()

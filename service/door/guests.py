"""Who is inside: counted by address and in all, and looked at every second.

One look at everybody costs less than a timer for each request, and a deadline may be a second late.
"""

import asyncio
import ipaddress
import math
from collections import Counter
from typing import Final, Protocol

import structlog

from service.door.limits import LINGERING_MAX, Limits

# When all places are taken, whoever has waited so long without a request gives one up.
_GIVES_WAY_S = 1.0
# Nothing on the loop may take so long: every deadline of everybody is late by it.
_LATE_S = 1.0
# A household, or one machine, has as much of IPv6.
_IPV6_PREFIX: Final = 64

log = structlog.get_logger(__name__)


class Guest(Protocol):
    """A connection, as it is looked after."""

    loop: asyncio.AbstractEventLoop

    def look(self, now: float) -> None:
        """End what has waited for too long."""

    def give_way(self) -> None:
        """Leave the place to somebody else."""


class Guests:
    """The connections of one process."""

    def __init__(self, limits: Limits) -> None:
        """Start with nobody inside."""
        self.limits = limits
        self._inside: set[Guest] = set()
        self._by_address = Counter[str]()
        # Without a whole request, who has been so for the longest first.
        self._waiting: dict[Guest, float] = {}
        self._lingering: set[Guest] = set()
        self._refused = Counter[str]()
        self._look_due_at = math.inf  # with nobody inside
        self._late_s = 0.0

    def enter(self, one: Guest, host: str | None) -> str | None:
        """Count a connection in; return by what address, or None where it must stay out."""
        self._look_from_now_on(one.loop)
        address = self._counted_as(host)
        if address and self._by_address[address] >= self.limits.per_address:
            self.note("too many from one address")
            return None
        if len(self._inside) >= self.limits.connections and not self._make_room(one.loop.time()):
            self.note("too many in all")
            return None
        self._inside.add(one)
        self._by_address[address] += 1
        self.waits(one)
        return address

    def leave(self, one: Guest, address: str | None) -> None:
        """Count a connection out."""
        self._lingering.discard(one)
        if address is None:
            return
        self._inside.discard(one)
        self._waiting.pop(one, None)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def waits(self, one: Guest) -> None:
        """Note that a connection has no request under way."""
        self._waiting.pop(one, None)
        self._waiting[one] = one.loop.time()

    def is_served(self, one: Guest) -> None:
        """Note that a connection's request is there as a whole."""
        self._waiting.pop(one, None)

    def may_linger(self, one: Guest) -> bool:
        """Tell whether a refusal may be read in peace; not while thousands are refused."""
        if len(self._lingering) >= LINGERING_MAX:
            return False
        self._lingering.add(one)
        return True

    def late_s(self, now: float) -> float:
        """Return how long what is read now has perhaps waited: the loop was busy elsewhere."""
        return max(self._late_s, now - self._look_due_at)

    def note(self, reason: str) -> None:
        """Count a refusal; the log gets one line a second."""
        self._refused[reason] += 1

    def _counted_as(self, host: str | None) -> str:
        """Return what an address counts as; empty for those who come for many, as a proxy does."""
        try:
            address = ipaddress.ip_address(host or "")
        except ValueError:
            return ""  # a local socket
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if any(address in network for network in self.limits.uncounted):
            return ""
        if address.version == 4:
            return str(address)
        return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))

    def _make_room(self, now: float) -> bool:
        """End the connection that has waited for the longest; False where none has for long."""
        longest = next(iter(self._waiting), None)
        if longest is None or now - self._waiting[longest] < _GIVES_WAY_S:
            return False
        del self._waiting[longest]
        self.note("gave way to another")
        longest.give_way()
        return True

    def _look_from_now_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._look_due_at == math.inf:
            self._look_again(loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look_due_at = loop.time() + self.limits.look_every_s
        loop.call_at(self._look_due_at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._late_s = max(0.0, now - self._look_due_at)
        if self._late_s > _LATE_S:
            log.warning("loop_late", seconds=round(self._late_s, 1))
        for one in [*self._inside, *self._lingering - self._inside]:
            one.look(now)
        for reason, count in self._refused.items():
            log.warning("connections_refused", reason=reason, count=count)
        self._refused.clear()
        if self._inside or self._lingering:
            self._look_again(loop)
        else:
            self._look_due_at, self._late_s = math.inf, 0.0

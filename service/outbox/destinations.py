"""How much is under way to one address, whoever asked for it (T29).

Many subscriptions, of many sales units and under many names, can lead to one machine. It is spared
here, where its address is known: what finds no place waits a moment, and is then put off.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from contextvars import ContextVar, Token

# A large receiver of many merchants that answers in 20 ms gets 1 600 a second.
PLACES_MAX = 32
# Of these, for receivers that fail: behind one address (a shared host) they leave room for others.
PLACES_OF_TROUBLED_MAX = 8
# Then it is better to come again than to hold a place of the process.
_WAIT_S = 1.0
# Names whose address is remembered, for what goes over a connection that is open already.
_NAMES_MAX = 10_000


class DestinationBusy(Exception):
    """Too much is under way to that address."""


class Destinations:
    """Counts what is under way, by address; of one event loop."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}
        self._addresses: OrderedDict[str, str] = OrderedDict()

    def visit(self, name: str, *, places_max: int) -> "_Visit":
        """Hold a place at a name's address for as long as the block runs.

        Where the address is not known yet, `arrive` finds the place. Raises: DestinationBusy."""
        return _Visit(self, name, places_max)

    async def arrive(self, name: str, address: str) -> None:
        """Note to which address the visit under way leads. Raises: DestinationBusy."""
        self._addresses[name] = address
        self._addresses.move_to_end(name)
        if len(self._addresses) > _NAMES_MAX:
            self._addresses.popitem(last=False)
        visit = _VISIT.get(None)
        if visit is not None and visit.address != address:
            self.leave(visit)
            await self._enter(visit, address)

    async def hold(self, visit: "_Visit") -> None:
        """Hold a place for a visit where its address is known. Raises: DestinationBusy."""
        address = self._addresses.get(visit.name)
        if address is not None:
            await self._enter(visit, address)

    async def _enter(self, visit: "_Visit", address: str) -> None:
        if self._held[address] >= visit.places_max:
            await self._wait(visit, address)  # who leaves hands the place over
        else:
            self._held[address] += 1
        visit.address = address

    async def _wait(self, visit: "_Visit", address: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (visit.places_max, place)
        self._waiting.setdefault(address, deque()).append(entry)
        try:
            async with asyncio.timeout(_WAIT_S):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._free(address)
            else:
                self._forget(address, entry)
            if isinstance(error, TimeoutError):
                raise DestinationBusy from error
            raise

    def leave(self, visit: "_Visit") -> None:
        """Let go of a visit's place, if it has one."""
        if visit.address is not None:
            address, visit.address = visit.address, None
            self._free(address)

    def _free(self, address: str) -> None:
        """Give a place to the first that may have it."""
        self._held[address] -= 1
        for entry in self._waiting.get(address, ()):
            places_max, place = entry
            if self._held[address] < places_max and not place.done():
                self._held[address] += 1
                place.set_result(None)
                self._forget(address, entry)
                return
        if not self._held[address]:
            del self._held[address]

    def _forget(self, address: str, entry: tuple[int, asyncio.Future[None]]) -> None:
        waiting = self._waiting[address]
        waiting.remove(entry)
        if not waiting:
            del self._waiting[address]


class _Visit:
    """One request under way, and where it holds a place; a block of its own kind, since one made
    of a generator costs as much as all else that happens here."""

    __slots__ = ("_destinations", "_token", "address", "name", "places_max")

    def __init__(self, destinations: Destinations, name: str, places_max: int) -> None:
        self._destinations = destinations
        self.name = name
        self.places_max = places_max
        self.address: str | None = None

    async def __aenter__(self) -> None:
        self._token: Token[_Visit | None] = _VISIT.set(self)
        try:
            await self._destinations.hold(self)
        except BaseException:
            _VISIT.reset(self._token)
            raise

    async def __aexit__(self, *_raised: object) -> None:
        _VISIT.reset(self._token)
        self._destinations.leave(self)


_VISIT: ContextVar[_Visit | None] = ContextVar("visit", default=None)

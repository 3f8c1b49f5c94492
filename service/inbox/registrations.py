"""The secrets that may sign webhooks for a sales unit, kept at hand for the receiver."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from anyio import to_thread
from sqlmodel import Session, col

from service.context import Context
from service.store.tables import Registration
from service.vault import SealBroken, Vault
from webhooks.vipps import authority_and_path

# A new registration must work within seconds in every process; a secret that is tried in
# vain makes the list be read again at once, but not more often than this.
_FRESH = timedelta(seconds=5)
_AGAIN = timedelta(seconds=0.2)
# So many wait for that at once; a stranger's further requests are refused without it.
_WAITING_MAX = 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registered:
    """One registered address with the secrets that are good for it."""

    host: str
    path_and_query: str
    secrets: tuple[str, ...] = field(repr=False)


class Registrations:
    """The active registrations of every sales unit, as last read."""

    def __init__(self, context: Context) -> None:
        """Start with nothing read."""
        self._context = context
        self._read_at: datetime | None = None
        self._by_msn: dict[str, tuple[Registered, ...]] = {}
        self._reading = asyncio.Lock()
        self._waiting = 0

    async def of(self, msn: str) -> tuple[Registered, ...]:
        """Return a sales unit's registrations; empty where it has none or is unknown.

        While somebody reads them anew, what was read last serves all others: a database that hangs
        must not gather every request that comes. Raises: DatabaseAway, where they can't be read."""
        if self._read_at is None or not self._reading.locked():
            await self._read_unless_newer_than(_FRESH)
        return self._by_msn.get(msn, ())

    def known_as(self, msn: str) -> str:
        """Return the sales unit's name for the log; "unknown" for what only a stranger has said.

        Whatever stands in the address, such as somebody's phone number, must not (I11)."""
        return msn if msn in self._by_msn else "unknown"

    async def read_again(self) -> bool:
        """Read them anew after a mismatch, a moment after the last time; False under a flood.

        A secret is used by Vipps from the instant that it is made, and two requests signed with it
        may come faster than we may read: the second one waits."""
        if self._waiting >= _WAITING_MAX:
            return await self._read_unless_newer_than(_AGAIN)
        self._waiting += 1
        try:
            if not await self._read_unless_newer_than(_AGAIN):
                await asyncio.sleep(_AGAIN.total_seconds())
                await self._read_unless_newer_than(_AGAIN)
        finally:
            self._waiting -= 1
        return True

    async def _read_unless_newer_than(self, age: timedelta) -> bool:
        if self._is_newer_than(age):
            return False
        async with self._reading:
            # Who waited for another's reading has what it read.
            if not self._is_newer_than(age):
                now = self._context.clock.now()
                self._by_msn = await to_thread.run_sync(self._read)
                self._read_at = now
        return True

    def _is_newer_than(self, age: timedelta) -> bool:
        if self._read_at is None:
            return False
        # Not newer than now: the clock may have been put back.
        return timedelta() <= self._context.clock.now() - self._read_at < age

    def _read(self) -> dict[str, tuple[Registered, ...]]:
        with self._context.database.snapshot() as session:
            return read_active(session, self._context.vault, now=self._context.clock.now())


def read_active(
    session: Session, vault: Vault, *, now: datetime
) -> dict[str, tuple[Registered, ...]]:
    """Return every registration that is not retired yet by sales unit, secrets opened."""
    retired_at = col(Registration.retired_at)
    active = sa.select(Registration).where(sa.or_(retired_at.is_(None), retired_at > now))
    by_address: dict[tuple[str, str], list[str]] = {}
    for row in session.scalars(active):
        try:
            secret = vault.open(row.secret, place=f"registration:{row.id}:secret").decode()
        except SealBroken:
            # Its own webhooks fail; those of all others go on.
            log.error("registration_unreadable", sales_unit=row.msn)
            continue
        by_address.setdefault((row.msn, row.url), []).append(secret)
    found: dict[str, tuple[Registered, ...]] = {}
    for (msn, url), secrets in by_address.items():
        found[msn] = (*found.get(msn, ()), _registered(url, secrets))
    return found


def _registered(url: str, secrets: Sequence[str]) -> Registered:
    host, path_and_query = authority_and_path(url)
    return Registered(host, path_and_query, tuple(secrets))

"""The daily look at our registrations at Vipps, and the end of those that were replaced.

Vipps deletes a registration whose address has only failed for two weeks, and tells nobody.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from anyio import to_thread
from sqlmodel import Session, col

from service.context import Context
from service.errors import DatabaseAway, ServiceError
from service.inbox.registering import delete_due, sync
from service.store.recovery import RECOVERING
from service.store.tables import Registration, SalesUnit
from service.vipps import VippsClient
from service.wake import is_set_within

LOOK_EVERY_S = 30.0
EVERY = timedelta(days=1)
# A look that failed, or whose process died, is made again after this.
AGAIN = timedelta(hours=1)

log = structlog.get_logger(__name__)


class RegistrationKeeper:
    """Keeps what `webhooks register` made in being, until it is told to stop."""

    def __init__(self, context: Context, client: VippsClient) -> None:
        """Keep what is needed; nothing is looked at yet."""
        self._context = context
        self._client = client

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        while not await is_set_within(stop, LOOK_EVERY_S):
            try:
                await self.look()
            except DatabaseAway:
                log.warning("registrations_not_checked", reason="DatabaseAway")
            except Exception:
                # The worker boundary: the next look may do better.
                log.exception("registrations_not_checked")

    async def look(self) -> None:
        """Do what is due now: the check of each sales unit once a day, deletions at their time.

        Raises: DatabaseAway."""
        for msn in await to_thread.run_sync(self._claim_checks):
            await self._check(msn)
        for msn in await to_thread.run_sync(self._with_deletions):
            await self._delete(msn)

    async def _check(self, msn: str) -> None:
        try:
            synced = await sync(self._context, self._client, msn)
        except DatabaseAway:
            raise
        except ServiceError as error:
            log.warning("registrations_not_checked", sales_unit=msn, reason=str(error))
            return
        standing = synced.standing
        found = {
            "registration_deleted_at_vipps": standing.gone,
            "registration_at_another_address": standing.elsewhere,
            "registration_without_secret": standing.unknown,
        }
        for what, ones in found.items():
            if ones:
                log.warning(what, sales_unit=msn, count=len(ones))
        if synced.made:
            log.warning("registered_anew", sales_unit=msn)
        await to_thread.run_sync(self._note_checked, msn)

    async def _delete(self, msn: str) -> None:
        try:
            count = await delete_due(self._context, self._client, msn)
        except DatabaseAway:
            raise
        except ServiceError as error:
            log.warning("registrations_not_deleted", sales_unit=msn, reason=str(error))
        else:
            log.info("registrations_deleted", sales_unit=msn, count=count)

    def _claim_checks(self) -> Sequence[str]:
        """Take the sales units that are due: of many processes, one gets each."""
        now = self._context.clock.now()
        with self._context.database.snapshot() as session:
            if not _due(session, now):
                return ()
        with self._context.database.transaction() as session:
            claimed = session.execute(
                sa.update(SalesUnit)
                .where(*_is_due(now))
                .values(registrations_due_at=now + AGAIN)
                .returning(col(SalesUnit.msn))
                .execution_options(synchronize_session=False)
            )
            return sorted(claimed.scalars())

    def _note_checked(self, msn: str) -> None:
        with self._context.database.transaction() as session:
            next_at = self._context.clock.now() + EVERY
            mine = sa.update(SalesUnit).where(col(SalesUnit.msn) == msn)
            session.execute(mine.values(registrations_due_at=next_at))

    def _with_deletions(self) -> Sequence[str]:
        with self._context.database.snapshot() as session:
            due = sa.select(col(Registration.msn)).where(
                col(Registration.retired_at).is_(None),
                col(Registration.delete_after) <= self._context.clock.now(),
                col(Registration.msn).not_in(RECOVERING),
            )
            return session.scalars(due.distinct()).all()


def _due(session: Session, now: datetime) -> bool:
    """Tell whether any is due, without the writing connection: mostly none is."""
    due = sa.select(col(SalesUnit.msn)).where(*_is_due(now))
    return session.execute(due.limit(1)).first() is not None


def _is_due(now: datetime) -> Sequence[sa.ColumnElement[bool]]:
    due_at = col(SalesUnit.registrations_due_at)
    is_time = sa.or_(due_at.is_(None), due_at <= now)
    return _made_by_register(), is_time, col(SalesUnit.recovering_since).is_(None)


def _made_by_register() -> sa.Exists:
    """Tell whether the sales unit has a registration that `register` made."""
    return sa.exists().where(
        col(Registration.msn) == col(SalesUnit.msn),
        col(Registration.made_by) == "register",
        col(Registration.retired_at).is_(None),
    )

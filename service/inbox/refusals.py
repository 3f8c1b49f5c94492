"""A short memory of refused webhooks, for `betalbar webhooks doctor`: a log, bounded.

It is written after the answer, at most once a second, and only for sales units that exist; it
holds no body. Nothing else reads it, so what a stranger sends changes nothing (I2).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from anyio import to_thread
from sqlmodel import Session, col

from service.context import Context
from service.errors import DatabaseAway
from service.ids import new_id
from service.store.tables import RefusedWebhook, Registration, SalesUnit
from service.vault import SealBroken
from webhooks.diagnosis import Known, diagnose
from webhooks.vipps import SignedRequest, authority_and_path

KEPT_MAX = 50
# As far back as it is worth to try whose secret or address it was.
LOOKED_AT_MAX = 8
_NOT_MORE_OFTEN = timedelta(seconds=1)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that could not be proven, with the address by which it came."""

    msn: str
    at: datetime
    reason: str
    seen: tuple[str, str]
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(repr=False)


class Refusals:
    """Notes the last refusals of each sales unit, behind the answers."""

    def __init__(self, context: Context) -> None:
        """Start with nothing noted."""
        self._context = context
        self._noted_at: datetime | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, refused: Refused) -> None:
        """Have it noted soon, unless one was just now; return at once."""
        is_busy = self._writing is not None and not self._writing.done()
        if is_busy or (self._noted_at and refused.at - self._noted_at < _NOT_MORE_OFTEN):
            return
        self._noted_at = refused.at
        self._writing = asyncio.create_task(self._write(refused))

    async def drain(self) -> None:
        """Return when nothing is being written any more."""
        if self._writing is not None:
            await self._writing

    async def _write(self, refused: Refused) -> None:
        try:
            await to_thread.run_sync(self._note, refused)
        except DatabaseAway:
            log.warning("refusal_not_noted", reason="DatabaseAway")
        except Exception:
            # The boundary of a task that nobody awaits: a log must never stop the receiver.
            log.exception("refusal_not_noted")

    def _note(self, refused: Refused) -> None:
        with self._context.database.snapshot() as session:
            if session.get(SalesUnit, refused.msn) is None:
                return
            causes = self._diagnose(session, refused)
        if not causes:
            # Its registration became known only now: the next try of Vipps gets in.
            return
        log.info("webhook_diagnosed", sales_unit=refused.msn, reason=" ".join(causes))
        with self._context.database.transaction() as session:
            session.add(
                RefusedWebhook(
                    id=new_id("rfw"),
                    msn=refused.msn,
                    at=refused.at,
                    reason=refused.reason,
                    diagnosis=list(causes),
                )
            )
            session.flush()
            _forget_older(session, refused.msn)

    def _diagnose(self, session: Session, refused: Refused) -> tuple[str, ...]:
        newest = sa.select(Registration).where(col(Registration.msn) == refused.msn)
        newest = newest.order_by(col(Registration.created_at).desc()).limit(LOOKED_AT_MAX)
        rows = session.scalars(newest).all()
        is_active = {row.id: not row.retired_at or row.retired_at > refused.at for row in rows}
        ours = f"{self._context.settings.base_url}/webhooks/vipps/{refused.msn}"
        urls = [row.url for row in rows if is_active[row.id]]
        urls += [ours, *(row.url for row in rows)]
        (host, path), *others = dict.fromkeys(authority_and_path(url) for url in urls)
        known = Known(
            active=self._secrets([row for row in rows if is_active[row.id]]),
            retired=self._secrets([row for row in rows if not is_active[row.id]]),
            seen=[refused.seen, *others],
        )
        request = SignedRequest("POST", path, host, refused.headers, refused.body)
        tolerance_s = self._context.settings.webhook_tolerance_s
        return diagnose(request, known, refused.at, tolerance_s=tolerance_s)

    def _secrets(self, rows: Sequence[Registration]) -> list[str]:
        opened = []
        for row in rows:
            # One that can't be opened signs nothing of what is refused here.
            with contextlib.suppress(SealBroken):
                place = f"registration:{row.id}:secret"
                opened.append(self._context.vault.open(row.secret, place=place).decode())
        return opened


def recent_refusals(session: Session, msn: str) -> Sequence[RefusedWebhook]:
    """Return the refusals that are kept of a sales unit, newest first."""
    kept = sa.select(RefusedWebhook).where(col(RefusedWebhook.msn) == msn)
    return session.scalars(kept.order_by(col(RefusedWebhook.id).desc())).all()


def _forget_older(session: Session, msn: str) -> None:
    mine = col(RefusedWebhook.msn) == msn
    kept = sa.select(col(RefusedWebhook.id)).where(mine)
    kept = kept.order_by(col(RefusedWebhook.id).desc()).limit(KEPT_MAX)
    session.execute(
        sa.delete(RefusedWebhook)
        .where(mine, col(RefusedWebhook.id).not_in(kept))
        .execution_options(synchronize_session=False)
    )

"""`/healthz`: the process is up. `/readyz`: it can do its work."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from anyio import to_thread
from sqlmodel import col
from starlette.requests import Request

from service.api.answers import Answer, json_answer
from service.api.calls import OpenHandler
from service.api.running import Running
from service.broker.positions import Behind, failing
from service.context import Context
from service.errors import DatabaseAway, SchemaOutdated
from service.shapes.discovery import Health, Readiness, RecoveringUnit, Unpublished
from service.store.instants import rfc3339_of
from service.store.recovery import Recovery, recoveries
from service.store.schema import require_current
from service.store.tables import Registration, SalesUnit

# Who probes waits for some seconds; a database that takes longer is of no use to anybody.
_ANSWERS_WITHIN_S = 3.0


async def healthz(_: Request) -> Answer:
    """Answer `GET /healthz`: 200 whenever anything answers at all."""
    shown: Health = {"status": "up"}
    return json_answer(shown)


def readyz(context: Context, running: Running) -> OpenHandler:
    """Return the handler of `GET /readyz`: 200, or 503 with what is missing.

    A sales unit whose keys Vipps refuses, that is recovering, or whose events the broker does not
    take, is named, but the service is ready without it: taking it out of service would stop all
    others', and its own webhooks, too."""

    looks = _Looks(context)

    async def handle(_: Request) -> Answer:
        workers = {name: is_running() for name, is_running in running.workers.items()}
        found = await looks.look()
        is_ready = found.database == "ok" and all(workers.values())
        shown: Readiness = {
            "status": "ready" if is_ready else "not_ready",
            "database": found.database,
            "workers": workers,
            "heldSalesUnits": list(found.held),
            "recovering": [_recovering(one) for one in found.recovering],
            "missingRegistrations": list(found.missing),
            "unpublished": [_unpublished(one) for one in found.behind],
        }
        return json_answer(shown, status=200 if is_ready else 503)

    return handle


@dataclass(frozen=True, slots=True)
class _Found:
    """How the database is, whose commands wait, who was restored and sends nothing yet, whose
    webhooks Vipps has dropped, and whose events the broker does not take."""

    database: Literal["ok", "away", "outdated"]
    held: Sequence[str] = ()
    recovering: Sequence[Recovery] = ()
    missing: Sequence[str] = ()
    behind: Sequence[Behind] = ()


class _Looks:
    """One look at the database at a time, for all who ask meanwhile.

    One that hangs takes the answer of each, in the end, but never another thread."""

    def __init__(self, context: Context) -> None:
        """Start with none under way."""
        self._context = context
        self._under_way: asyncio.Task[_Found] | None = None

    async def look(self) -> _Found:
        """Return what is found; a database that does not answer in time is away."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._in_a_thread())
        done, _ = await asyncio.wait([self._under_way], timeout=_ANSWERS_WITHIN_S)
        return self._under_way.result() if done else _Found("away")

    async def _in_a_thread(self) -> _Found:
        return await to_thread.run_sync(_look, self._context, abandon_on_cancel=True)


def _look(context: Context) -> _Found:
    try:
        require_current(context.database)
        with context.database.snapshot() as session:
            held = sa.select(col(SalesUnit.msn)).where(col(SalesUnit.held_since).is_not(None))
            missing = (
                sa.select(col(Registration.msn))
                .where(
                    col(Registration.missing_since).is_not(None),
                    col(Registration.retired_at).is_(None),
                )
                .distinct()
            )
            return _Found(
                "ok",
                list(session.scalars(held.order_by(col(SalesUnit.msn)))),
                recoveries(session),
                list(session.scalars(missing.order_by(col(Registration.msn)))),
                failing(session) if context.settings.broker_url else (),
            )
    except DatabaseAway:
        return _Found("away")
    except SchemaOutdated:
        return _Found("outdated")


def _recovering(one: Recovery) -> RecoveringUnit:
    since = rfc3339_of(one.since)
    return {"salesUnit": one.msn, "since": since, "leftToRead": one.left_to_read}


def _unpublished(one: Behind) -> Unpublished:
    return {
        "salesUnit": one.msn,
        "reason": one.reason,
        "since": rfc3339_of(one.since),
        "waiting": one.waiting,
    }

"""`/healthz`: the process is up. `/readyz`: it can do its work."""

from typing import Any

import sqlalchemy as sa
from anyio import to_thread
from sqlmodel import col
from starlette.requests import Request

from service.api.answers import Answer, json_answer
from service.api.calls import OpenHandler
from service.api.running import Running
from service.context import Context
from service.errors import DatabaseAway, SchemaOutdated
from service.store.schema import require_current
from service.store.tables import Registration, SalesUnit


async def healthz(_: Request) -> Answer:
    """Answer `GET /healthz`: 200 whenever anything answers at all."""
    return json_answer({"status": "up"})


def readyz(context: Context, running: Running) -> OpenHandler:
    """Return the handler of `GET /readyz`: 200, or 503 with what is missing.

    A sales unit whose keys Vipps refuses is named, but the service is ready without it:
    taking it out of service would stop every other sales unit's."""

    async def handle(_: Request) -> Answer:
        workers = {name: is_running() for name, is_running in running.workers.items()}
        database, held, missing = await to_thread.run_sync(_look, context)
        is_ready = database == "ok" and all(workers.values())
        found: dict[str, Any] = {
            "status": "ready" if is_ready else "not_ready",
            "database": database,
            "workers": workers,
            "heldSalesUnits": held,
            "missingRegistrations": missing,
        }
        return json_answer(found, status=200 if is_ready else 503)

    return handle


def _look(context: Context) -> tuple[str, list[str], list[str]]:
    """Return how the database is, whose commands wait, and whose webhooks Vipps has dropped."""
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
            held_msns = session.scalars(held.order_by(col(SalesUnit.msn)))
            missing_msns = session.scalars(missing.order_by(col(Registration.msn)))
            return "ok", list(held_msns), list(missing_msns)
    except DatabaseAway:
        return "away", [], []
    except SchemaOutdated:
        return "outdated", [], []

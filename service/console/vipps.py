"""How Vipps reaches us: what is registered, what came last, what was refused and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from anyio import from_thread
from sqlmodel import Session, col
from starlette.responses import Response
from starlette.routing import Route

from service.console.figures import time_zone_of
from service.console.gate import Gate, Visit
from service.console.outside import Outside
from service.console.rendering import see_other
from service.errors import ServiceError
from service.ids import first_id
from service.inbox import registering
from service.inbox.lost import Unknown, find_lost
from service.inbox.refusals import recent_refusals
from service.inbox.registering import Standing, webhook_url
from service.staff.roles import Permission
from service.staff.signing_in import note
from service.store.tables import Invoice, Registration, StoredVippsEvent
from service.vipps import VippsClient
from webhooks.meanings import meaning_of

HERE = "/console/vipps"

# A day, in which what is on its way with the old secret arrives.
ROTATION_OVERLAP_S = 86_400
_REFUSALS_SHOWN = 20
_HEALED_SHOWN = 10
# Silence of so long is told as such; to look further back would read other sales units' years.
_LOOKED_BACK = timedelta(days=7)
_REASON_LENGTH_MAX = 500

# What a form does at Vipps; what it returns is told.
Do = Callable[[Visit, Outside], str]


@dataclass(frozen=True, slots=True)
class Told:
    """What a form has brought: news, or why it was refused."""

    news: str = ""
    problem: str = ""
    findings: Sequence[str] = ()


def vipps_routes(gate: Gate, outside: Outside) -> list[Route]:
    """Return the routes of the page and of its forms."""
    forms: dict[str, Do] = {"register": _register, "rotate": _rotate}
    return [
        gate.shown(HERE, _show),
        gate.acted(f"{HERE}/compare", partial(_compare, outside), needs=Permission.SEE),
        *(
            gate.acted(f"{HERE}/{name}", partial(_act, outside, name, do), needs=Permission.MANAGE)
            for name, do in forms.items()
        ),
    ]


def _show(visit: Visit, told: Told = Told(), *, status: int = 200) -> Response:
    context, msn = visit.context, visit.unit.msn
    with context.database.snapshot() as session:
        mine = sa.select(Registration).where(col(Registration.msn) == msn)
        rows = session.scalars(mine.order_by(col(Registration.created_at).desc()).limit(20)).all()
        last = _last(session, msn, visit.now)
        healed = _healed(session, msn)
        refused = recent_refusals(session, msn)[:_REFUSALS_SHOWN]
    values = {
        "address": webhook_url(context, msn),
        "registrations": [(row, _standing(row, visit.now)) for row in rows],
        "is_registered": any(_standing(row, visit.now)[0] == "healthy" for row in rows),
        "last": last,
        "healed": healed,
        "refused": [(row, [(c, meaning_of(c)) for c in row.diagnosis]) for row in refused],
        "told": told,
        "time_zone": time_zone_of(visit.unit),
    }
    return visit.page("vipps.html", values, status=status)


def _standing(row: Registration, now: datetime) -> tuple[str, str]:
    """Return how a registration stands: a colour, and words."""
    if row.retired_at is not None and row.retired_at <= now:
        return "", "ended"
    if row.missing_since is not None:
        return "failed", "Vipps no longer lists it"
    if row.delete_after is not None:
        return "pending", "replaced, accepted meanwhile"
    return "healthy", "accepted"


def _last(session: Session, msn: str, now: datetime) -> Any:
    event = StoredVippsEvent
    newest = sa.select(
        col(event.received_at), col(event.name), col(event.outcome), col(event.reference)
    ).where(
        col(event.msn) == msn,
        col(event.source) == "webhook",
        col(event.id) >= first_id("vev", now - _LOOKED_BACK),
    )
    return session.execute(newest.order_by(col(event.id).desc()).limit(1)).first()


def _healed(session: Session, msn: str) -> Sequence[Any]:
    """Return the last events that only a read has brought: their webhooks did not come in time."""
    event = StoredVippsEvent
    brought = (
        sa.select(col(event.received_at), col(event.name), col(Invoice.reference))
        .join_from(event, Invoice, col(Invoice.id) == col(event.invoice_id))
        .where(
            col(event.msn) == msn,
            # As text: only then is the partial index known to hold what is asked for.
            sa.text("vipps_event.source = 'poll' AND vipps_event.outcome = 'applied'"),
        )
    )
    newest = brought.order_by(col(event.received_at).desc())
    return session.execute(newest.limit(_HEALED_SHOWN)).all()


def _compare(outside: Outside, visit: Visit) -> Response:
    try:
        standing, unknown = from_thread.run(_ask_vipps, visit, outside.to_vipps)
    except ServiceError as error:
        return _show(visit, Told(problem=f"Vipps could not be asked: {error}"), status=502)
    findings = [*_findings(standing), *_lost(unknown)]
    return _show(visit, Told(news="Asked Vipps just now.", findings=findings))


async def _ask_vipps(visit: Visit, vipps: VippsClient) -> tuple[Standing, Unknown]:
    standing = await registering.compare(visit.context, vipps, visit.unit.msn)
    return standing, await find_lost(visit.context, vipps, standing.keys)


def _lost(unknown: Unknown) -> Sequence[str]:
    return [
        f"{one.reference} is {one.state} there and lost here, by a restore: have it posted again."
        for one in unknown.lost
    ]


def _findings(standing: Standing) -> Sequence[str]:
    if not standing.here:
        found = ["Nothing of ours is registered at our address: register it."]
    else:
        found = [f"{len(standing.here) + len(standing.replaced)} of ours stand at our address."]
    found += [f"Vipps has deleted {one.vipps_id}." for one in standing.gone]
    found += [f"{one.vipps_id} stands at {one.url}." for one in standing.elsewhere]
    return found + [
        f"{vipps_id} is at our address, with a secret that nobody here has."
        for vipps_id in standing.unknown
    ]


def _act(outside: Outside, name: str, do: Do, visit: Visit) -> Response:
    reason = visit.form.get("reason", "").strip()
    if not reason or len(reason) > _REASON_LENGTH_MAX:
        problem = f"A reason is needed, in at most {_REASON_LENGTH_MAX} letters."
        return _show(visit, Told(problem=problem), status=422)
    try:
        subject = do(visit, outside)
    except ServiceError as error:
        return _show(visit, Told(problem=f"Nothing was changed: {error}"), status=502)
    with visit.context.database.transaction() as session:
        who, msn = visit.who.person.id, visit.unit.msn
        note(
            session,
            who,
            f"registration.{name}",
            now=visit.now,
            msn=msn,
            subject=subject,
            reason=reason,
        )
    return see_other(HERE)


def _register(visit: Visit, outside: Outside) -> str:
    made, _ = from_thread.run(registering.register, visit.context, outside.to_vipps, visit.unit.msn)
    return made.id


def _rotate(visit: Visit, outside: Outside) -> str:
    rotate = partial(registering.rotate, overlap_s=ROTATION_OVERLAP_S)
    made, _ = from_thread.run(rotate, visit.context, outside.to_vipps, visit.unit.msn)
    return made.id

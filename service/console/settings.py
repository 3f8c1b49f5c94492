"""How this service is set up, who may do what, and what people did: to read, not to change."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col
from starlette.responses import Response
from starlette.routing import Route

from service.console.figures import time_zone_of
from service.console.gate import Gate, Visit
from service.console.rendering import see_other
from service.console.signing_in import HOME
from service.errors import NotFound
from service.settings import Settings
from service.staff.roles import Permission
from service.staff.sessions import look_at
from service.staff.users import list_users
from service.store.tables import ApiKey, StaffAct
from webhooks.standard import public_key_text

_ACTS_SHOWN = 50


def settings_routes(gate: Gate) -> list[Route]:
    """Return the routes of the settings, and of looking at another sales unit."""
    return [
        gate.shown("/console/settings", _show),
        gate.acted("/console/unit", _look_at, needs=Permission.SEE),
    ]


def _show(visit: Visit) -> Response:
    context, is_admin = visit.context, visit.may("manage")
    with context.database.snapshot() as session:
        mine = sa.select(ApiKey).where(col(ApiKey.msn) == visit.unit.msn)
        keys = session.scalars(mine.order_by(col(ApiKey.id).desc())).all()
        people = _colleagues(session, visit)
        acts = _acts(session, visit.unit.msn, [person.id for person in people])
    values = {
        "unit": visit.unit,
        "facts": _facts(context.settings),
        "keys": keys,
        "people": people,
        "names": {person.id: person.name for person in people},
        "acts": acts if is_admin else [],
        "signing_key": public_key_text(context.vault.signing_key),
        "time_zone": time_zone_of(visit.unit),
    }
    return visit.page("settings.html", values)


def _look_at(visit: Visit) -> Response:
    try:
        with visit.context.database.transaction() as session:
            look_at(session, visit.who, visit.form.get("msn", ""))
    except NotFound:
        return visit.page("forbidden.html", {}, status=404)
    return see_other(HOME)


def _facts(settings: Settings) -> Sequence[tuple[str, str]]:
    kind = "SQLite" if settings.database_url.startswith("sqlite") else "PostgreSQL"
    alone = settings.refund_alone_max_minor
    return (
        ("Customers and Vipps reach it at", settings.base_url),
        ("Vipps", settings.vipps_url or "the built-in sandbox"),
        ("Database", kind),
        ("Broker", "set" if settings.broker_url else "none"),
        ("Refunds by one person alone", f"up to {alone / 100:.2f}" if alone else "without limit"),
        ("Attempts of deliveries are kept", f"{settings.attempts_kept_days} days"),
    )


def _colleagues(session: Session, visit: Visit) -> list[Any]:
    """Return who sees this sales unit too; of other sales units' people nothing is told."""
    everyone = list_users(session, visit.context.vault)
    return [person for person in everyone if visit.unit.msn in person.msns]


def _acts(session: Session, msn: str, user_ids: Sequence[str]) -> Sequence[StaffAct]:
    here = sa.or_(col(StaffAct.msn) == msn, col(StaffAct.msn).is_(None))
    mine = sa.select(StaffAct).where(col(StaffAct.user_id).in_(user_ids), here)
    return session.scalars(mine.order_by(col(StaffAct.id).desc()).limit(_ACTS_SHOWN)).all()

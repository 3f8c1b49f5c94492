"""The sandbox's clock and faults, beside the invoices that they concern; only where it is on."""

from collections.abc import Mapping
from functools import partial

from anyio import from_thread
from starlette.responses import Response
from starlette.routing import Route

from service.console.figures import time_zone_of
from service.console.formats import number_between
from service.console.gate import Gate, Visit
from service.console.outside import Playground
from service.console.rendering import see_other
from service.staff.roles import Permission
from service.staff.signing_in import note

HERE = "/console/sandbox"

_JUMPS = (
    ("+10 minutes", 600),
    ("+1 hour", 3_600),
    ("+1 day", 86_400),
    ("+7 days", 604_800),
)
_YEAR_S = 31_536_000
_FAULTS = {
    "lose": ("Webhooks lost", 1.0),
    "duplicate": ("Webhooks sent twice", 1.0),
    "reorder": ("Webhooks out of order", 1.0),
    "status429": ("Calls answered 429", 1.0),
    "status5xx": ("Calls answered 500 or 503", 1.0),
    "timeoutAfterActing": ("Calls done, never answered", 1.0),
    "delaySeconds": ("Seconds before each webhook", 86_400.0),
}


def sandbox_routes(gate: Gate, sandbox: Playground) -> list[Route]:
    """Return the routes of the sandbox's controls."""
    return [
        gate.shown(HERE, partial(_show, sandbox)),
        gate.acted(f"{HERE}/clock", partial(_turn, sandbox), needs=Permission.ASK),
        gate.acted(f"{HERE}/faults", partial(_set_faults, sandbox), needs=Permission.ASK),
    ]


def _show(sandbox: Playground, visit: Visit, *, problem: str = "") -> Response:
    now, ahead_s, faults = from_thread.run_sync(_state, sandbox)
    values = {
        "at": now,
        "ahead": _span(ahead_s),
        "jumps": _JUMPS,
        "faults": [(name, label, faults[name] or 0) for name, (label, _) in _FAULTS.items()],
        "is_calm": not any(faults[name] for name in _FAULTS),
        "problem": problem,
        "time_zone": time_zone_of(visit.unit),
    }
    return visit.page("sandbox.html", values, status=422 if problem else 200)


def _state(sandbox: Playground) -> tuple[object, float, Mapping[str, float | None]]:
    return sandbox.now(), sandbox.ahead_s(), sandbox.faults()


def _turn(sandbox: Playground, visit: Visit) -> Response:
    seconds = number_between(visit.form.get("seconds", ""), 1, _YEAR_S)
    if seconds is None:
        return _show(sandbox, visit, problem="The clock turns by 1 second to a year, ahead only.")
    from_thread.run(sandbox.advance, seconds)
    return _noted(visit, "sandbox.clock", f"{seconds:g} s")


def _set_faults(sandbox: Playground, visit: Visit) -> Response:
    wanted: dict[str, float] = {}
    if visit.form.get("calm") != "yes":
        for name, (label, most) in _FAULTS.items():
            value = number_between(visit.form.get(name) or "0", 0, most)
            if value is None:
                return _show(sandbox, visit, problem=f"{label}: a number from 0 to {most:g}.")
            wanted[name] = value
    from_thread.run(sandbox.set_faults, wanted)
    return _noted(visit, "sandbox.faults", "calm" if not any(wanted.values()) else "some")


def _noted(visit: Visit, name: str, subject: str) -> Response:
    with visit.context.database.transaction() as session:
        who, msn = visit.who.person.id, visit.unit.msn
        note(session, who, name, now=visit.now, msn=msn, subject=subject)
    return see_other(HERE)


def _span(seconds: float) -> str:
    if seconds < 60:
        return ""
    days, rest = divmod(int(seconds), 86_400)
    return f"{days} d {rest // 3600} h {rest % 3600 // 60} min"

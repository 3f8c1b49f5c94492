"""The first page: the machine as a map of what is where, and what needs somebody."""

from datetime import timedelta
from functools import partial

from starlette.responses import Response
from starlette.routing import Route

from service.console import chart
from service.console import map as state_map
from service.console.attention import needs_attention
from service.console.figures import Counted, Figures, time_zone_of
from service.console.formats import number, span
from service.console.gate import Gate, Visit
from service.console.signing_in import HOME
from service.metrics.figures import money_at_risk
from statemachine import State

# What is no older than this is told as being of now.
_SHOWN_AS_NOW = timedelta(seconds=10)


def overview_routes(gate: Gate, figures: Figures) -> list[Route]:
    """Return the route of the overview."""
    return [gate.shown(HOME, partial(_show, figures))]


def nowhere_route(gate: Gate) -> Route:
    """Return the route of every other address; it comes last."""
    return gate.shown(f"{HOME}/{{rest:path}}", _show_nothing)


def _show(figures: Figures, visit: Visit) -> Response:
    now, unit = visit.business_now, visit.unit
    counted = figures.of(unit)
    with visit.context.database.brief_snapshot() as session:
        attention = needs_attention(session, unit, now=now)
        at_risk = money_at_risk(session, unit.msn)
    days = counted.days if counted else ()
    return visit.page(
        "overview.html",
        {
            "counted": counted,
            "is_old": counted is not None and counted.at < now - _SHOWN_AS_NOW,
            "attention": attention,
            "at_risk": at_risk,
            "map": state_map,
            "ways": [_way(counted, arrow) for arrow in state_map.arrows()],
            "states": list(State),
            "chart": chart,
            "bars": chart.bars(days),
            "labels": chart.labels(days),
            "paces": chart.paces(days),
            "marks": chart.marks(),
            "span": span,
            "time_zone": time_zone_of(unit),
        },
    )


def _way(counted: Counted | None, arrow: state_map.Arrow) -> tuple[state_map.Arrow, bool, str]:
    """Return an arrow, whether any invoice went that way today, and how many."""
    ways = counted.today if counted else {}
    today = sum(ways.get((start, arrow.end), 0) for start in arrow.starts)
    return arrow, today > 0, f" · {number(today)}" if today else ""


def _show_nothing(visit: Visit) -> Response:
    return visit.page("nowhere.html", {}, status=404)

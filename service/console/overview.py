"""The first page: the machine as a map of what is where, and what needs somebody."""

from functools import partial

from starlette.responses import Response
from starlette.routing import Route

from service.console import chart
from service.console import map as state_map
from service.console.figures import Figures, Overview, time_zone_of
from service.console.formats import number, span
from service.console.gate import Gate, Visit
from service.console.signing_in import HOME
from statemachine import State


def overview_routes(gate: Gate) -> list[Route]:
    """Return the route of the overview."""
    return [gate.shown(HOME, partial(_show, Figures()))]


def nowhere_route(gate: Gate) -> Route:
    """Return the route of every other address; it comes last."""
    return gate.shown(f"{HOME}/{{rest:path}}", _show_nothing)


def _show_nothing(visit: Visit) -> Response:
    return visit.page("nowhere.html", {}, status=404)


def _show(figures: Figures, visit: Visit) -> Response:
    with visit.context.database.snapshot() as session:
        seen = figures.overview(session, visit.unit, visit.business_now)
    return visit.page(
        "overview.html",
        {
            "figures": seen,
            "map": state_map,
            "ways": [_way(seen, arrow) for arrow in state_map.arrows()],
            "states": list(State),
            "chart": chart,
            "bars": chart.bars(seen.days),
            "labels": chart.labels(seen.days),
            "paces": chart.paces(seen.days),
            "marks": chart.marks(),
            "span": span,
            "time_zone": time_zone_of(visit.unit),
        },
    )


def _way(figures: Overview, arrow: state_map.Arrow) -> tuple[state_map.Arrow, bool, str]:
    """Return an arrow, whether any invoice went that way today, and how many."""
    today = sum(figures.today.get((start, arrow.end), 0) for start in arrow.starts)
    return arrow, today > 0, f" · {number(today)}" if today else ""

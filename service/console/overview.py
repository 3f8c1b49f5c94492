"""The first page: the machine as a map of what is where, and what needs somebody."""

from starlette.responses import Response
from starlette.routing import Route

from service.console import chart
from service.console import map as state_map
from service.console.figures import Overview, overview, time_zone_of
from service.console.formats import number
from service.console.gate import Gate, Visit
from service.console.signing_in import HOME
from statemachine import State


def overview_routes(gate: Gate) -> list[Route]:
    """Return the route of the overview."""
    return [gate.shown(HOME, _show)]


def _show(visit: Visit) -> Response:
    with visit.context.database.snapshot() as session:
        figures = overview(session, visit.unit, now=visit.now)
    return visit.page(
        "overview.html",
        {
            "figures": figures,
            "map": state_map,
            "ways": [_way(figures, arrow) for arrow in state_map.arrows()],
            "states": list(State),
            "chart": chart,
            "bars": chart.bars(figures.days),
            "labels": chart.labels(figures.days),
            "time_zone": time_zone_of(visit.unit),
        },
    )


def _way(figures: Overview, arrow: state_map.Arrow) -> tuple[state_map.Arrow, bool, str]:
    """Return an arrow, whether any invoice went that way today, and how many."""
    today = sum(figures.today.get((start, arrow.end), 0) for start in arrow.starts)
    return arrow, today > 0, f" · {number(today)}" if today else ""

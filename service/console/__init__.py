"""The console: where finance and support see what became of each invoice, and why."""

from starlette.routing import BaseRoute

from service.console.exporting import export_routes
from service.console.feed import feed_routes
from service.console.figures import Figures
from service.console.gate import Gate
from service.console.invoice import invoice_routes
from service.console.invoices import list_routes
from service.console.live import Live
from service.console.outside import Outside
from service.console.overview import nowhere_route, overview_routes
from service.console.rendering import Pages
from service.console.sandbox import sandbox_routes
from service.console.settings import settings_routes
from service.console.signing_in import signing_in_routes
from service.console.subscriptions import subscription_routes
from service.console.vipps import vipps_routes
from service.context import Context

__all__ = ["Console", "Outside"]


class Console:
    """The routes; all but the way in ask for somebody who is signed in."""

    def __init__(self, context: Context, outside: Outside | None = None) -> None:
        """Put the parts together; `outside` is how they reach what is not in the database."""
        pages = Pages(context.settings)
        gate = Gate(context, pages)
        outside = outside or Outside()
        self._live = Live(gate)
        self._figures = Figures(context)
        self.routes: list[BaseRoute] = [
            *pages.asset_routes(),
            *signing_in_routes(gate),
            self._live.route(),
            *overview_routes(gate, self._figures),
            *list_routes(gate),
            *export_routes(gate),
            *invoice_routes(gate),
            *subscription_routes(gate, outside),
            *feed_routes(gate),
            *vipps_routes(gate, outside),
            *settings_routes(gate),
        ]
        if outside.sandbox is not None:
            self.routes += sandbox_routes(gate, outside.sandbox)
        self.routes.append(nowhere_route(gate))

    def end(self) -> None:
        """End what would never end by itself: the process stops."""
        self._live.end()
        self._figures.end()

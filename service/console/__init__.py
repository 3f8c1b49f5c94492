"""The console: where finance and support see what became of each invoice, and why."""

from starlette.routing import BaseRoute

from service.console.gate import Gate
from service.console.invoice import invoice_routes
from service.console.invoices import list_routes
from service.console.overview import overview_routes
from service.console.rendering import Pages
from service.console.signing_in import signing_in_routes
from service.console.subscriptions import subscription_routes
from service.context import Context


def console_routes(context: Context) -> list[BaseRoute]:
    """Return the routes; all but the way in ask for somebody who is signed in."""
    pages = Pages(context.settings)
    gate = Gate(context, pages)
    return [
        *pages.asset_routes(),
        *signing_in_routes(gate),
        *overview_routes(gate),
        *list_routes(gate),
        *invoice_routes(gate),
        *subscription_routes(gate),
    ]

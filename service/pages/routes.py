"""Every address of the invoice page."""

from starlette.routing import BaseRoute, Route

from service.context import Context
from service.pages.acting import Acting
from service.pages.endpoint import Door
from service.pages.papers import Papers
from service.pages.rendering import Renderer, serve_asset
from service.pages.showing import Showing
from service.pages.watching import Watching


def page_routes(context: Context) -> list[BaseRoute]:
    """Return the routes of the invoice page and of its files."""
    renderer = Renderer(context.settings)
    door = Door(context, renderer)
    showing = Showing(context, renderer, Watching(context))
    acting, papers = Acting(context, showing), Papers(context)
    page = "/i/{token}"
    acts = {
        "pay": acting.pay,
        "later": acting.put_off,
        "withdraw": acting.withdraw,
        "agree": acting.agree,
    }
    return [
        Route("/i/assets/{name}", serve_asset, methods=["GET"]),
        door.route(page, showing.show),
        door.route(f"{page}/state", showing.state),
        door.route(f"{page}/back", acting.come_back),
        door.route(f"{page}/document", papers.document),
        door.route(f"{page}/qr.svg", papers.qr),
        *(
            door.route(f"{page}/{name}", acting.form(act), method="POST")
            for name, act in acts.items()
        ),
    ]

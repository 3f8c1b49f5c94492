"""Every address of the invoice page."""

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.context import Context
from service.pages.endpoint import PRIVATE, Door, Visit
from service.pages.rendering import Renderer, serve_asset
from service.pages.scene import look_again_ms, scene_of
from service.pages.view import invoice_on_page


def page_routes(context: Context) -> list[BaseRoute]:
    """Return the routes of the invoice page and of its files."""
    renderer = Renderer(context.settings)
    door, page = Door(context, renderer), _Page(context, renderer)
    return [
        Route("/i/assets/{name}", serve_asset, methods=["GET"]),
        door.route("/i/{token}", page.show),
        door.route("/i/{token}/state", page.state),
    ]


class _Page:
    """What a customer sees."""

    def __init__(self, context: Context, renderer: Renderer) -> None:
        self._context = context
        self._renderer = renderer

    async def show(self, visit: Visit) -> Response:
        """Answer `GET /i/{token}`."""
        now = self._context.clock.business_now()
        values = {
            "invoice": invoice_on_page(visit.found, visit.language, now),
            "path": visit.path,
            "state_path": f"{visit.path}/state",
            "check_path": visit.path,
            "is_going_on": False,
        }
        return self._renderer.page("page.html", values, language=visit.language, brand=visit.brand)

    async def state(self, visit: Visit) -> Response:
        """Answer `GET /i/{token}/state`: what the open page asks again and again."""
        now = self._context.clock.business_now()
        scene = scene_of(visit.found.invoice, visit.found.payments, now)
        told = {"version": visit.found.version, "nextMs": look_again_ms(scene)}
        return JSONResponse(told, headers=PRIVATE)

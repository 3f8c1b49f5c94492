"""What a customer sees: the page itself, and the news that an open page asks for."""

from typing import Any

from starlette.responses import JSONResponse, Response

from service.context import Context
from service.ledger.loaded import live_payment
from service.ledger.resource import redirect_url
from service.pages.endpoint import PRIVATE, Visit, see_other
from service.pages.look import Found
from service.pages.rendering import Renderer
from service.pages.scene import Scene, look_again_ms, scene_of
from service.pages.view import invoice_on_page
from service.pages.watching import Watching

# Whoever waits to be sent on to Vipps has this in the address, and nothing else differs.
GOING_ON = "?go=1"


class Showing:
    """Answer what is only looked at; looking moves nothing, but has Vipps read more often."""

    def __init__(self, context: Context, renderer: Renderer, watching: Watching) -> None:
        """Keep what is needed."""
        self._context = context
        self._renderer = renderer
        self._watching = watching

    async def show(self, visit: Visit) -> Response:
        """Answer `GET /i/{token}`; who waits to be sent on is, as soon as Vipps is ready."""
        if "go" in visit.request.query_params:
            way_on = self.way_on(visit.found, visit.path)
            if way_on not in (None, visit.path):
                return see_other(str(way_on))
        await self._watching.look(visit.found)
        return self.page(visit)

    def page(self, visit: Visit, *, status: int = 200, problem: str | None = None) -> Response:
        """Return the page as it is now; `problem` names what was wrong with a form."""
        now = self._context.clock.business_now()
        invoice = invoice_on_page(visit.found, visit.language, now)
        is_going_on = "go" in visit.request.query_params and invoice.is_waiting
        values: dict[str, Any] = {
            "invoice": invoice,
            "path": visit.path,
            "check_path": visit.path + (GOING_ON if is_going_on else ""),
            "state_path": f"{visit.path}/state",
            "is_going_on": is_going_on,
            "problem": problem,
        }
        return self._renderer.page(
            "page.html", values, language=visit.language, brand=visit.brand, status=status
        )

    async def state(self, visit: Visit) -> Response:
        """Answer `GET /i/{token}/state`: what the open page asks again and again."""
        await self._watching.look(visit.found)
        scene = self._scene(visit.found)
        told = {"version": visit.found.version, "nextMs": look_again_ms(scene)}
        return JSONResponse(told, headers=PRIVATE)

    def way_on(self, found: Found, path: str) -> str | None:
        """Return where to go after a click: to Vipps, or back to the page; None = not yet."""
        scene = self._scene(found)
        if scene is Scene.MOMENT:
            return None
        live = live_payment(found.payments)
        url = redirect_url(live, self._context.vault) if live and scene is Scene.STARTED else None
        return url or path

    def _scene(self, found: Found) -> Scene:
        return scene_of(found.invoice, found.payments, self._context.clock.business_now())

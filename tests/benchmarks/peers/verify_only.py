"""The limit: our own server, which answers 200 once the signature is proven, and stores nothing.

python -m tests.benchmarks.peers.verify_only
"""

from starlette.routing import Route
from starlette.types import Receive, Scope

from service.app import create_app
from service.cli import serving
from service.inbox.receiver import Receiver, _read_body
from service.logs import configure_logs
from service.sandbox import spare_the_collector
from service.settings import load_settings


class Verifying(Receiver):
    """The receiver without what comes after the proof."""

    async def _answer(self, scope: Scope, receive: Receive) -> int:
        body = await _read_body(scope, receive)
        return 200 if await self._is_proven(scope["path_params"]["msn"], scope, body) else 401


def main() -> None:
    """Serve as `betalbar serve --no-worker` does, with another receiver."""
    settings = load_settings()
    listening = serving.listen(settings.host, settings.port)
    configure_logs(settings.log)
    app = create_app(settings, has_worker=False)
    app.router.routes[0] = Route("/webhooks/vipps/{msn}", Verifying(app.state.context))
    spare_the_collector()
    serving._run(serving._config(app), listening)


if __name__ == "__main__":
    main()

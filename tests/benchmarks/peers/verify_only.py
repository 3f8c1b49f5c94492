"""The limit: our own server, which answers 200 once the signature is proven, and stores nothing.

    python -m tests.benchmarks.peers.verify_only

Everything but the receiver is what `betalbar serve --no-worker` runs.
"""

from starlette.types import Receive, Scope

import service.app
from service.cli import serving
from service.inbox.receiver import Receiver, _read_body


class Verifying(Receiver):
    """The receiver without what comes after the proof."""

    async def _answer(self, scope: Scope, receive: Receive) -> int:
        body = await _read_body(scope, receive)
        return 200 if await self._is_proven(scope["path_params"]["msn"], scope, body) else 401


if __name__ == "__main__":
    service.app.Receiver = Verifying  # type: ignore[attr-defined]  # the part that differs
    serving.serve(processes=1, has_worker=False, has_samples=False)

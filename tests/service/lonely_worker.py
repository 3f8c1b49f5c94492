"""A worker in a process of its own that never looks by itself: it lives by what others say."""

import asyncio
import os
import signal
import sys
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from service import app
from service.context import Context
from service.neighbours import Neighbours
from service.settings import load_settings
from tests.fake_merchant import until
from tests.service.outbox.builders import MSN, Shop

NEVER_S = 3600.0


@asynccontextmanager
async def lonely_worker(shop: Shop, database_url: str, direct_url: str) -> AsyncIterator[Context]:
    """Run such a worker on a shop's database; give the context of a process beside it."""
    given = {
        "BETALBAR_DATABASE_URL": database_url,
        "BETALBAR_DATABASE_DIRECT_URL": direct_url,
        "BETALBAR_MASTER_KEYS": urlsafe_b64encode(b"k" * 32).decode(),
        "BETALBAR_VIPPS_URL": "http://127.0.0.1:9",
        "BETALBAR_VIPPS_MSN": MSN,
        "BETALBAR_SUBSCRIBER_ALLOW": "127.0.0.0/8",
    }
    command = (sys.executable, "-m", "tests.service.lonely_worker")
    worker = await asyncio.create_subprocess_exec(*command, env={**os.environ, **given})
    try:
        yield Context(
            load_settings(given), shop.database, shop.vault, shop.context().clock, shop.wake
        )
    finally:
        worker.terminate()
        await worker.wait()


@asynccontextmanager
async def together(*contexts: Context) -> AsyncIterator[None]:
    """Let processes hear each other beside the block; begin once all do."""
    neighbours = [Neighbours(context, rarely_s=NEVER_S) for context in contexts]
    for context in contexts:
        context.wake.bind()
    running = [asyncio.create_task(each.run()) for each in neighbours]
    try:
        await until(lambda: all(context.wake.look_s == NEVER_S for context in contexts))
        yield
    finally:
        for each in neighbours:
            each.end()
        await asyncio.gather(*running)


async def _main() -> None:
    app.Neighbours = partial(Neighbours, rarely_s=NEVER_S)  # type: ignore[attr-defined, assignment]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await app.run_worker(load_settings(), stop)


if __name__ == "__main__":
    asyncio.run(_main())

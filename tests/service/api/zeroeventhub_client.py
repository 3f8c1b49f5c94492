"""Follows a feed with PyPI's client to its end: `URL KEY`, in the client's own environment."""

import asyncio
import json
import sys
from typing import Any

import httpx
import zeroeventhub  # type: ignore[import-not-found]  # in an environment of its own


async def _follow(url: str, key: str) -> dict[str, Any]:
    cursors = [zeroeventhub.Cursor(0, zeroeventhub.FIRST_CURSOR)]
    seen: list[Any] = []
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as session:
        client = zeroeventhub.Client(f"{url}/v1/feed/events", 1, session)
        while True:
            page = zeroeventhub.PageEventReceiver()
            events = client.fetch_events(cursors, 2, zeroeventhub.ALL_HEADERS)
            await zeroeventhub.receive_events(page, events)
            cursors = page.latest_checkpoints
            if not page.events:
                return {"events": seen, "cursor": cursors[0].cursor}
            seen += [event.data for event in page.events]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_follow(*sys.argv[1:]))))

"""`GET /v1/events`: the feed as pages; `GET /v1/events/digest`: proof that none was missed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.api.feed_places import FIRST, cursor_after, feed_page, wanted_types
from service.api.query import Query
from service.errors import FieldError, InvalidInput
from service.feed.digest import BUCKETS_MAX, Bucket, digest
from service.ledger.resource import rfc3339

_BUCKETS_DEFAULT = 24

# An event is dated when its transaction begins and seen when it commits; none lasts so long,
# since a statement ends after 30 s and a lock is waited for 8 s (service/store/db.py).
_SETTLES_WITHIN = timedelta(seconds=60)


async def list_events(call: Call) -> Answer:
    """Answer `GET /v1/events`; `tryLater` says that nothing more is there for now."""
    query = Query(call.request, "cursor", "limit", "types")
    types = wanted_types(query.several("types"))
    page = await feed_page(call, query.text("cursor") or FIRST, limit=query.limit(), types=types)
    items = [orjson.Fragment(entry.payload) for entry in page.entries]
    cursor = cursor_after(call.caller.msn, page.position)
    return json_answer({"items": items, "cursor": cursor, "tryLater": page.is_last})


async def show_digest(call: Call) -> Answer:
    """Answer `GET /v1/events/digest?from=&to=&buckets=`; without `to`, until now."""
    query = Query(call.request, "from", "to", "buckets")
    now, msn = call.context.clock.business_now(), call.caller.msn
    start, end = query.instant("from"), query.instant("to") or _rounded(now)
    if start is None:
        raise InvalidInput(FieldError("from", "is missing"))
    buckets = query.whole("buckets", 1, BUCKETS_MAX, _BUCKETS_DEFAULT)
    found = await call.read(
        lambda session: digest(session, msn, start=start, end=end, buckets=buckets)
    )
    return json_answer(
        {
            "from": rfc3339(start),
            "to": rfc3339(end),
            "settledUntil": rfc3339(now - _SETTLES_WITHIN),
            "buckets": [_as_json(bucket, msn) for bucket in found],
        }
    )


def _rounded(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


def _as_json(bucket: Bucket, msn: str) -> dict[str, Any]:
    return {
        "from": rfc3339(bucket.start),
        "to": rfc3339(bucket.end),
        "count": bucket.count,
        "hash": bucket.hash,
        "cursor": cursor_after(msn, bucket.after),
    }

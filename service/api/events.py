"""`GET /v1/events`: the feed as pages; `GET /v1/events/digest`: proof that none was missed."""

from datetime import UTC, datetime, timedelta

import orjson

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.api.feed_places import FIRST, cursor_after, feed_page, wanted_types
from service.errors import FieldError, InvalidInput
from service.feed.digest import BUCKETS_DEFAULT, BUCKETS_MAX, Bucket, digest
from service.shapes.feed import DigestBucket, DigestResource, EventPage
from service.store.instants import rfc3339_of

# An event is dated when its transaction begins and seen when it commits; none lasts so long,
# since a statement ends after 30 s and a lock is waited for 8 s (service/store/db.py).
_SETTLES_WITHIN = timedelta(seconds=60)


async def list_events(call: Call) -> Answer:
    """Answer `GET /v1/events`; `tryLater` says that nothing more is there for now."""
    query = call.query
    types = wanted_types(query.several("types"))
    page = await feed_page(call, query.text("cursor") or FIRST, limit=query.limit(), types=types)
    items = [orjson.Fragment(entry.payload) for entry in page.entries]
    cursor = cursor_after(call.caller.msn, page.position)
    shown: EventPage = {"items": items, "cursor": cursor, "tryLater": page.is_last}
    return json_answer(shown)


async def show_digest(call: Call) -> Answer:
    """Answer `GET /v1/events/digest?from=&to=&buckets=`; without `to`, until now."""
    query, now, msn = call.query, call.context.clock.business_now(), call.caller.msn
    start, end = query.instant("from"), query.instant("to") or _rounded(now)
    if start is None:
        raise InvalidInput(FieldError("from", "is missing"))
    buckets = query.whole("buckets", 1, BUCKETS_MAX, BUCKETS_DEFAULT)
    found = await call.read(
        lambda session: digest(session, msn, start=start, end=end, buckets=buckets)
    )
    shown: DigestResource = {
        "from": rfc3339_of(start),
        "to": rfc3339_of(end),
        "settledUntil": rfc3339_of(now - _SETTLES_WITHIN),
        "buckets": [_as_json(bucket, msn) for bucket in found],
    }
    return json_answer(shown)


def _rounded(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


def _as_json(bucket: Bucket, msn: str) -> DigestBucket:
    return {
        "from": rfc3339_of(bucket.start),
        "to": rfc3339_of(bucket.end),
        "count": bucket.count,
        "hash": bucket.hash,
        "cursor": cursor_after(msn, bucket.after),
    }

"""The operations on the feed."""

from service.api.contract.operations import (
    LIMIT,
    Operation,
    Operations,
    Parameter,
    Reply,
    instant_parameter,
    list_parameter,
    one,
    text_parameter,
    whole_parameter,
)
from service.api.query import LIMIT_DEFAULT
from service.feed.digest import BUCKETS_DEFAULT, BUCKETS_MAX
from service.outbox.event_types import FILTERS
from service.shapes.feed import DigestResource, EventPage, FeedDiscovery

_CURSOR = text_parameter(
    "cursor", "`_first` (as without), `_last`, or one that you were given.", example="_first"
)
_TYPES = list_parameter(
    "types", "Only events of these types.", of=FILTERS, example=["invoice.captured"]
)

# Only a hint: more than the most is not refused.
_HINT = {"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT}

OPERATIONS: Operations = {
    "/v1/events": {
        "GET": Operation(
            "listEvents",
            "Read the feed, page by page",
            one(Reply("Events in the feed's order.", EventPage)),
            "No event comes twice, and none is skipped. Keep `cursor` with what you made of them.",
            query=(_CURSOR, LIMIT, _TYPES),
            refusals=("no_longer_kept",),
        ),
    },
    "/v1/events/stream": {
        "GET": Operation(
            "streamEvents",
            "Follow the feed as server-sent events",
            one(
                Reply(
                    "Goes on until you leave.", {"type": "string"}, media_type="text/event-stream"
                )
            ),
            "`id:` is the cursor after the event, `data:` the event. `Last-Event-ID` resumes.",
            query=(_CURSOR, _TYPES),
            headers=("Last-Event-ID",),
            refusals=("no_longer_kept", "too_many_streams"),
        ),
    },
    "/v1/events/digest": {
        "GET": Operation(
            "getDigest",
            "Prove that you missed nothing",
            one(Reply("Count and hash of each stretch of time.", DigestResource)),
            "The hash is SHA-256 over the sorted lines `reference sequence state` of all "
            "transitions told in that time.",
            query=(
                instant_parameter("from", "The beginning.", is_required=True),
                instant_parameter("to", "The end; without, now.", example="2026-11-23T00:00:00Z"),
                whole_parameter(
                    "buckets",
                    "Into how many stretches.",
                    lowest=1,
                    highest=BUCKETS_MAX,
                    default=BUCKETS_DEFAULT,
                ),
            ),
            refusals=("no_longer_kept",),
        ),
    },
    "/v1/feed": {
        "GET": Operation(
            "discoverFeed",
            "See the feed's partitions, as FeedAPI asks",
            one(Reply("One partition.", FeedDiscovery)),
        ),
    },
    "/v1/feed/events": {
        "GET": Operation(
            "readFeed",
            "Read the feed as ZeroEventHub or FeedAPI",
            one(
                Reply(
                    "A line for each event, and one for the cursor.",
                    {"type": "string"},
                    media_type="application/x-ndjson",
                )
            ),
            "ZeroEventHub gives `n` and `cursor0`; FeedAPI `token`, `partition` and `cursor`.",
            query=(
                Parameter("n", "How many partitions.", {"const": "1", "type": "string"}, "1"),
                text_parameter(
                    "cursor0", "`_first`, `_last`, or one that you were given.", example="_first"
                ),
                text_parameter("headers", "Taken and not used: events have no headers."),
                text_parameter("token", "As `GET /v1/feed` shows it."),
                Parameter("partition", "Which partition.", {"const": "0", "type": "string"}),
                text_parameter("cursor", "As `cursor0`."),
                text_parameter("event-types", "Only these types, separated by `;`."),
                text_parameter("skip-event-types", "All but these types."),
                Parameter("pagesizehint", "About how many events.", _HINT, LIMIT_DEFAULT),
            ),
            refusals=("feed_token_outdated", "no_longer_kept"),
        ),
    },
}

"""`/asyncapi.json`: AsyncAPI 3.0, the events and the ways that they take.

Source: asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from service.api.contract.components import PARAMETERS, SCHEMA, event_schemas
from service.broker.cloud_events import CONTENT_TYPE, subject_of
from service.events.meanings import MEANINGS
from service.outbox.event_types import EVENT_TYPES, PING

Json = dict[str, Any]

_TOLD = tuple(event_type for event_type in EVENT_TYPES if event_type != PING)
# What an event is called where it is wrapped.
_CLOUD = "cloudevent."

_ABOUT = """\
The same events, with the same ids and bytes, on every channel. Members are only ever added.
"""


@cache
def asyncapi() -> Json:
    """Return the document, but for where the service is."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Betalbar's events",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "webhook": {
                "title": "Webhook",
                "description": "A subscription's own address, by the rules of Standard Webhooks.",
                "address": None,
                "messages": _named(EVENT_TYPES),
            },
            "feed": {
                "title": "Feed",
                "description": "Pages of events, in one order for ever.",
                "address": "/v1/events",
                "servers": [{"$ref": "#/servers/api"}],
                "messages": _named(_TOLD),
            },
            "stream": {
                "title": "Server-sent events",
                "description": "The feed, each event as it comes; `id:` is a cursor.",
                "address": "/v1/events/stream",
                "servers": [{"$ref": "#/servers/api"}],
                "messages": _named(_TOLD),
            },
            "broker": {
                "title": "NATS JetStream",
                "description": "CloudEvents 1.0 in structured mode, where a broker is set.",
                "address": subject_of("{salesUnit}", "{type}"),
                "servers": [{"$ref": "#/servers/broker"}],
                "parameters": {
                    "salesUnit": {"description": "The sales unit's MSN."},
                    "type": {"description": "The event's type.", "enum": list(_TOLD)},
                },
                "messages": _named(_TOLD, prefix=_CLOUD),
            },
        },
        "operations": {
            "deliver": _sends("webhook", "Deliver an event to a subscription.", method="POST"),
            "giveAPage": _sends("feed", "Give a page of the feed.", method="GET"),
            "stream": _sends("stream", "Give each event as it comes.", method="GET"),
            "publish": _sends("broker", "Publish an event to the broker."),
        },
        "components": {
            "messages": {
                **{event_type: _event(event_type) for event_type in EVENT_TYPES},
                **{f"{_CLOUD}{event_type}": _cloud_event(event_type) for event_type in _TOLD},
            },
            "schemas": event_schemas(),
        },
    }


def served_asyncapi(base_url: str) -> Json:
    """Return the document of the service that is at this address."""
    parts = urlsplit(base_url)
    api = {"host": parts.netloc, "protocol": parts.scheme}
    broker = {
        "host": "broker.example:4222",
        "protocol": "nats",
        "description": "Yours: `BETALBAR_BROKER_URL`.",
    }
    return {**asyncapi(), "servers": {"api": api, "broker": broker}}


def _named(event_types: tuple[str, ...], *, prefix: str = "") -> Json:
    return {
        event_type: {"$ref": f"#/components/messages/{prefix}{event_type}"}
        for event_type in event_types
    }


def _sends(channel: str, says: str, *, method: str | None = None) -> Json:
    operation: Json = {
        "action": "send",
        "summary": says,
        "channel": {"$ref": f"#/channels/{channel}"},
    }
    if method is not None:
        operation["bindings"] = {"http": {"method": method, "bindingVersion": "0.3.0"}}
    return operation


def _event(event_type: str) -> Json:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "name": event_type,
        "summary": MEANINGS[event_type],
        "headers": _headers({name: PARAMETERS[name] for name in names}),
        "payload": {"$ref": f"{SCHEMA}{event_type}"},
    }


def _headers(named: Mapping[str, Json]) -> Json:
    """Return the headers of a webhook; on the other channels there are none."""
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": one["description"]}
            for name, one in named.items()
        },
    }


def _cloud_event(event_type: str) -> Json:
    text = {"type": "string"}
    return {
        "name": f"{_CLOUD}{event_type}",
        "summary": MEANINGS[event_type],
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {"Nats-Msg-Id": {**text, "description": "The event's id."}},
            "required": ["Nats-Msg-Id"],
        },
        "payload": {
            "type": "object",
            "properties": {
                "specversion": {"const": "1.0"},
                "id": text,
                "source": {"type": "string", "format": "uri"},
                "type": {"const": event_type},
                "time": {"type": "string", "format": "date-time"},
                "datacontenttype": {"const": "application/json"},
                "subject": {**text, "description": "The invoice's reference, or another id."},
                "data": {"$ref": f"{SCHEMA}{event_type}"},
            },
            "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
        },
    }

"""The operations on subscriptions and deliveries."""

from service.api.contract.operations import (
    PAGED,
    Example,
    Operation,
    Operations,
    Reply,
    list_parameter,
    one,
)
from service.api.schemas import NothingIn, ReplayIn, RotateIn, SubscriptionIn, SubscriptionPatch
from service.shapes.subscriptions import (
    Count,
    DeliveryPage,
    DeliveryResource,
    PingResult,
    SubscriptionPage,
    SubscriptionResource,
    SubscriptionWithSecret,
)
from service.store.tables import DeliveryStatus

_ONE = "/v1/subscriptions/{id}"
_SHOWN = Reply("The subscription, without its secret.", SubscriptionResource, ("ETag",))

OPERATIONS: Operations = {
    "/v1/subscriptions": {
        "GET": Operation(
            "listSubscriptions",
            "List subscriptions, newest first",
            one(Reply("A page of subscriptions.", SubscriptionPage)),
            query=PAGED,
        ),
        "POST": Operation(
            "createSubscription",
            "Subscribe to events",
            one(
                Reply(
                    "The subscription, with its secret for this once.",
                    SubscriptionWithSecret,
                    ("ETag", "Location"),
                ),
                status=201,
            ),
            "The address gets a signed `test.ping` at once. `eventTypes` are types, `invoice.*` "
            "or `*`.",
            body=SubscriptionIn,
            is_body_required=True,
            examples={
                "invoices": Example(
                    "Everything about invoices.",
                    {"url": "https://shop.example/betalbar", "eventTypes": ["invoice.*"]},
                ),
                "money": Example(
                    "What a clerk waits for, in any sequence.",
                    {
                        "url": "https://erp.example/betalbar",
                        "eventTypes": ["invoice.captured", "invoice.refunded"],
                        "description": "Bookkeeping",
                        "inOrder": False,
                    },
                ),
            },
            refusals=("too_many_subscriptions",),
            takes_conditions=True,
        ),
    },
    _ONE: {
        "GET": Operation("getSubscription", "Read one subscription", one(_SHOWN)),
        "PATCH": Operation(
            "changeSubscription",
            "Change a subscription",
            one(_SHOWN),
            "What is absent stays. `status` may be `healthy` (send again) or `disabled` (stop).",
            body=SubscriptionPatch,
            examples={
                "stop": Example("Send nothing more for now.", {"status": "disabled"}),
                "go on": Example("Send again, all that waits.", {"status": "healthy"}),
                "other": Example(
                    "Another address, filter and description.",
                    {
                        "url": "https://shop.example/betalbar/v2",
                        "eventTypes": ["*"],
                        "description": None,
                        "inOrder": True,
                    },
                ),
            },
            takes_conditions=True,
        ),
        "DELETE": Operation(
            "deleteSubscription",
            "End a subscription",
            one(Reply("What it is owed is not sent any more."), status=204),
            body=NothingIn,
            takes_conditions=True,
        ),
    },
    f"{_ONE}/rotate-secret": {
        "POST": Operation(
            "rotateSecret",
            "Get another secret",
            one(Reply("The new secret, for this once.", SubscriptionWithSecret)),
            "Both the old and the new one sign while they overlap.",
            body=RotateIn,
            examples={
                "an hour": Example("Both sign for an hour.", {"overlapSeconds": 3600}),
                "at once": Example("The old one ends now.", {"overlapSeconds": 0}),
            },
            refusals=("too_many_secrets",),
            takes_conditions=True,
        ),
    },
    f"{_ONE}/test": {
        "POST": Operation(
            "testSubscription",
            "Send a ping now",
            one(Reply("What the receiver said.", PingResult)),
            body=NothingIn,
            examples={"now": Example("Send it.", {})},
            takes_conditions=True,
        ),
    },
    f"{_ONE}/replay": {
        "POST": Operation(
            "replayEvents",
            "Send events of a stretch of time again",
            one(Reply("How many.", Count)),
            "The same ids and bytes. `failed`: what did not arrive; `all`: everything; `latest`: "
            "the last event of each invoice. Without `to`, until now.",
            body=ReplayIn,
            is_body_required=True,
            examples={
                "count": Example(
                    "Only count what would be sent.",
                    {
                        "from": "2026-11-01T00:00:00Z",
                        "to": "2026-11-22T00:00:00Z",
                        "mode": "all",
                        "dryRun": True,
                    },
                ),
                "failed": Example(
                    "What did not arrive.", {"from": "2026-11-01T00:00:00Z", "mode": "failed"}
                ),
            },
            refusals=("no_longer_kept", "subscription_disabled"),
            takes_conditions=True,
        ),
    },
    f"{_ONE}/deliveries": {
        "GET": Operation(
            "listDeliveries",
            "See what was sent, newest first",
            one(Reply("A page of deliveries.", DeliveryPage)),
            query=(
                *PAGED,
                list_parameter(
                    "status",
                    "Only those that fared so.",
                    of=DeliveryStatus,
                    example=[DeliveryStatus.PENDING],
                ),
            ),
        ),
    },
    "/v1/deliveries/{id}/redeliver": {
        "POST": Operation(
            "redeliver",
            "Send one delivery again",
            one(Reply("The delivery as it stands now.", DeliveryResource), status=202),
            body=NothingIn,
            examples={"now": Example("Send it.", {})},
            refusals=("subscription_disabled",),
            takes_conditions=True,
        ),
    },
}

"""The wire formats of webhooks, in and out: pure, no I/O, no clock, no framework.

`vipps` proves and `vipps_event` reads what Vipps sends; `standard` signs what we send, `retry` says
when to try again, `targets` where we may send. Everything wrong is a `WebhookError` (see `errors`).
The modules are the names to use: `from webhooks import vipps, standard`.
"""

from webhooks.errors import (
    ForbiddenTarget,
    MalformedEvent,
    NotAnEpaymentEvent,
    VerificationError,
    WebhookError,
)
from webhooks.targets import TargetUrl
from webhooks.vipps import SignedRequest
from webhooks.vipps_event import VippsEvent

__all__ = [
    "ForbiddenTarget",
    "MalformedEvent",
    "NotAnEpaymentEvent",
    "SignedRequest",
    "TargetUrl",
    "VerificationError",
    "VippsEvent",
    "WebhookError",
]

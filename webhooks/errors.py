"""What can be wrong with a webhook, as one small tree.

WebhookError                     never raised itself
├── VerificationError            not proven to be the sender's; never raised itself
│   ├── MissingHeader            a header the signature needs is absent
│   ├── MalformedHeader          a header is there, but twice or in another form
│   ├── StaleTimestamp           signed too long ago, or in the future
│   ├── ContentMismatch          the body is not the one that was hashed
│   └── SignatureMismatch        no secret of ours made this signature
├── MalformedEvent               proven, yet not an event we can read
│   └── NotAnEpaymentEvent       an event of another Vipps API
└── ForbiddenTarget              an address or URL we must not send to

The first line of a class's docstring is its default message. Messages name headers, fields and
rules; they never repeat what was received, because they end up in logs.
"""

from __future__ import annotations


class WebhookError(Exception):
    """Something about a webhook is wrong."""

    def __init__(self, detail: str | None = None) -> None:
        """Carry `detail`, or the first line of the class's docstring."""
        super().__init__(detail or str(self.__doc__).partition("\n")[0])


class VerificationError(WebhookError):
    """The request is not proven to come from its claimed sender."""


class MissingHeader(VerificationError):
    """A header that the signature needs is absent."""


class MalformedHeader(VerificationError):
    """A header has a form that the sender never uses."""


class StaleTimestamp(VerificationError):
    """The request was signed too far from now."""


class ContentMismatch(VerificationError):
    """The body is not the one whose hash was sent."""


class SignatureMismatch(VerificationError):
    """No known secret made this signature."""


class MalformedEvent(WebhookError):
    """The body is not an event; `field` and `reason` say where and why."""

    def __init__(self, field: str, reason: str) -> None:
        """Carry the path of the field (`amount.value`, `body`) and the rule it breaks."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotAnEpaymentEvent(MalformedEvent):
    """The body is an event of another Vipps API: to be stored as `ignored`."""


class ForbiddenTarget(WebhookError):
    """The target is one we must not send to; `reason` says why."""

    def __init__(self, reason: str) -> None:
        """Carry the rule that the target breaks."""
        super().__init__(reason)
        self.reason = reason

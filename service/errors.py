"""Everything the service refuses or fails at.

ServiceError
├── NotFound            nothing of this sales unit has that name
├── NoLongerKept        it was there, and was kept long enough
├── Conflict            not in this state, at this time, with this reference or consent
│   └── Recovering        restored: what Vipps did since is not known yet
├── PreconditionFailed  `If-Match` names an older version
├── InvalidInput        one or more fields are wrong
├── Unauthorized        no key, or not one of ours
├── ScopeMissing        a key that may not do this
├── TooManyRequests     more than this key may send in a while
├── DatabaseAway        nothing could be read or stored
│   └── ReadTooLong       so much was asked for that it was broken off
├── SchemaOutdated      the database needs `betalbar migrate`
├── SettingsInvalid     the environment says something that can't be
└── UpstreamError       Vipps did not do it
    ├── UpstreamTimeout   no answer: it may have happened
    └── UpstreamRejected  an answer that says no
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class ServiceError(Exception):
    """Never raised itself."""

    def __str__(self) -> str:
        """Return the message, else the class's own sentence."""
        return super().__str__() or (type(self).__doc__ or "").split("\n")[0]


class NotFound(ServiceError):
    """There is nothing by that name."""


class NoLongerKept(ServiceError):
    """That is no longer kept."""


class Conflict(ServiceError):
    """This can't be done now."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        available_actions: Sequence[str] | None = None,
        page_url: str | None = None,
    ) -> None:
        """Keep a stable code for programs and a sentence for people.

        `page_url` is the link to send where the customer can't be asked in the app."""
        super().__init__(detail)
        self.code = code
        self.available_actions = available_actions
        self.page_url = page_url


class Recovering(Conflict):
    """The sales unit was restored from a backup."""

    retry_after_s = 30

    def __init__(self) -> None:
        """Say what is waited for."""
        detail = "restored from a backup: nothing is decided until Vipps has been read"
        super().__init__("recovering", detail)


class PreconditionFailed(ServiceError):
    """It has changed since the version that If-Match names."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field, as a path in the request's own names, and why."""

    field: str
    reason: str


class InvalidInput(ServiceError):
    """One or more fields are wrong."""

    def __init__(self, *errors: FieldError, code: str = "invalid_input") -> None:
        """Keep every wrong field, so that one round of mending is enough."""
        super().__init__("; ".join(f"{error.field}: {error.reason}" for error in errors))
        self.errors = errors
        self.code = code


class Unauthorized(ServiceError):
    """A valid API key is needed."""


class ScopeMissing(ServiceError):
    """The API key may not do this."""

    def __init__(self, scope: str) -> None:
        """Say what the key lacks."""
        super().__init__(f"The API key lacks the scope `{scope}`.")


class TooManyRequests(ServiceError):
    """This API key has sent as many requests as it may for now."""

    def __init__(self, retry_after_s: int) -> None:
        """Keep after how many seconds there is room again."""
        super().__init__()
        self.retry_after_s = retry_after_s


class DatabaseAway(ServiceError):
    """The database is away; nothing was changed."""


class ReadTooLong(DatabaseAway):
    """So much was asked for that the database broke it off; ask for less."""


class SchemaOutdated(ServiceError):
    """The database has an older schema; run `betalbar migrate`."""


class SettingsInvalid(ServiceError):
    """A setting can't be used."""


class UpstreamError(ServiceError):
    """Never raised itself: Vipps did not do what was asked."""


class UpstreamTimeout(UpstreamError):
    """Vipps did not answer; the effect may have happened."""


class UpstreamRejected(UpstreamError):
    """Vipps answered no."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        """Keep the HTTP status and the answer's own problem document."""
        super().__init__(f"Vipps answered {status}")
        self.status = status
        self.answer = answer

"""Query parameters, read strictly: one that is misspelt would silently filter nothing."""

from collections.abc import Sequence
from datetime import datetime

from starlette.requests import Request

from service.errors import FieldError, InvalidInput
from webhooks.instants import parse_rfc3339

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
WAIT_S_MAX = 30

_VALUE_LENGTH_MAX = 256
_VALUES_MAX = 50


class Query:
    """The parameters of one request, each one of those that its route knows."""

    def __init__(self, request: Request, *known: str) -> None:
        """Take all parameters. Raises: InvalidInput, naming each that is wrong."""
        self._values: dict[str, list[str]] = {name: [] for name in known}
        wrong: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in known:
                wrong[name[:64]] = "is not a parameter of this address"
            elif len(value) > _VALUE_LENGTH_MAX:
                wrong[name] = f"is longer than {_VALUE_LENGTH_MAX} characters"
            elif not value.isprintable():
                wrong[name] = "has a control character"
            else:
                self._values[name].append(value)
        if wrong:
            raise InvalidInput(*(FieldError(name, reason) for name, reason in wrong.items()))

    def text(self, name: str) -> str | None:
        """Return a parameter that may be given once, or None. Raises: InvalidInput."""
        given = self._values[name]
        if len(given) > 1:
            raise InvalidInput(FieldError(name, "is given more than once"))
        return given[0] if given else None

    def several(self, name: str) -> Sequence[str]:
        """Return a parameter's values, repeated or separated by commas. Raises: InvalidInput."""
        parts = [part for text in self._values[name] for part in text.split(",")]
        if "" in parts:
            raise InvalidInput(FieldError(name, "has an empty value"))
        if len(parts) > _VALUES_MAX:
            raise InvalidInput(FieldError(name, f"has more than {_VALUES_MAX} values"))
        return parts

    def instant(self, name: str) -> datetime | None:
        """Return an RFC 3339 instant, or None. Raises: InvalidInput."""
        text = self.text(name)
        at = None if text is None else parse_rfc3339(text)
        if text is not None and at is None:
            raise InvalidInput(FieldError(name, "is not RFC 3339, such as 2026-12-01T00:00:00Z"))
        return at

    def limit(self) -> int:
        """Return how many items are wanted. Raises: InvalidInput."""
        return self.whole("limit", 1, LIMIT_MAX, LIMIT_DEFAULT)

    def wait_s(self) -> int:
        """Return how long the answer may wait for Vipps. Raises: InvalidInput."""
        return self.whole("wait", 0, WAIT_S_MAX, 0)

    def whole(self, name: str, lowest: int, highest: int, default: int) -> int:
        """Return a whole number between these two. Raises: InvalidInput."""
        text = self.text(name)
        if text is None:
            return default
        is_number = text.isascii() and text.isdigit() and len(text) <= 4
        if not is_number or not lowest <= int(text) <= highest:
            reason = f"is not a whole number from {lowest} to {highest}"
            raise InvalidInput(FieldError(name, reason))
        return int(text)

"""Collecting what is wrong with the fields of a request body."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from service.sandbox.problems import Fault, bad_fields


class Faults:
    """Gather every wrong field, so that one answer names them all."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def expect(self, is_right: bool, name: str, *, reason: str) -> bool:
        """Note a fault unless the claim holds; return the claim."""
        if not is_right:
            self._found.append(Fault(name, reason))
        return is_right

    def text(self, body: Mapping[str, Any], name: str, *, least: int, most: int) -> bool:
        """Expect text of that length, if the field is there."""
        value = body.get(name)
        if value is None or (isinstance(value, str) and least <= len(value) <= most):
            return True
        reason = f"The field {name} must be text of {least} to {most} characters."
        return self.expect(False, name, reason=reason)

    def whole(self, body: Mapping[str, Any], name: str, *, least: int, most: int) -> bool:
        """Expect a whole number in that range, if the field is there."""
        value = body.get(name)
        if value is None or (is_whole(value) and least <= value <= most):
            return True
        reason = f"The field {name} must be an integer from {least} to {most}."
        return self.expect(False, name, reason=reason)

    def one_of(self, body: Mapping[str, Any], name: str, *, choices: Iterable[str]) -> bool:
        """Expect one of the choices, if the field is there."""
        value, listed = body.get(name), tuple(choices)
        if value is None or value in listed:
            return True
        reason = f"The field {name} must be one of {list(listed)}."
        return self.expect(False, name, reason=reason)

    def required(self, body: Mapping[str, Any], names: Iterable[str], *, within: str = "") -> bool:
        """Expect the fields to be there and not null."""
        missing = [name for name in names if body.get(name) is None]
        for name in missing:
            self.expect(False, within + name, reason=f"The {name} field is required.")
        return not missing

    def settle(self) -> None:
        """Pass if nothing was wrong. Raises: Refused naming every fault."""
        if self._found:
            raise bad_fields(self._found)

    @property
    def found(self) -> tuple[Fault, ...]:
        """Return the faults so far."""
        return tuple(self._found)


def is_whole(value: object) -> TypeGuard[int]:
    """Say whether this is a JSON integer; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object, *, most: float) -> TypeGuard[float]:
    """Say whether this is a JSON number from 0 to `most`; `true` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= most


def is_text(value: object, pattern: re.Pattern[str]) -> TypeGuard[str]:
    """Say whether this is text that the pattern describes from end to end."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def is_loopback(host: str | None) -> bool:
    """Say whether the host can only be this machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_web_url(value: object, *, allows_scheme: Callable[[str], bool]) -> bool:
    """Say whether Vipps would take this URL.

    Plain http is taken towards the loopback only, which Vipps could not reach at all;
    without that no sandbox could serve a developer's machine.
    """
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f]", value):
        return False
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port  # Reading the port checks it.
    except ValueError:
        return False
    if parts.scheme == "http":
        return is_loopback(host)
    return allows_scheme(parts.scheme) and bool(host or parts.scheme != "https")


def is_https(scheme: str) -> bool:
    """Say whether the scheme is https."""
    return scheme == "https"


def is_https_or_custom(scheme: str) -> bool:
    """Say whether the scheme is https or an app's own."""
    return scheme == "https" or re.fullmatch(r"[a-z][a-z0-9+.-]+", scheme) is not None

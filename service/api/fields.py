"""The forms of single fields (contract, section 6, "Limits"); pure."""

import re
import unicodedata
from datetime import date, datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from service.settings import is_loopback
from webhooks.instants import parse_rfc3339

REFERENCE = re.compile(r"(?![0-9]+\Z)[a-zA-Z0-9-]{8,60}")

_PHONE_NUMBER = re.compile(r"\+?[0-9 \u00a0]+")
# The first digits are the country's, and no country's begin with 0.
_MSISDN = re.compile(r"[1-9][0-9]{8,14}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KID = re.compile(r"[0-9]{1,24}[0-9-]")
# Visible ASCII without quotes and backslash: parsers agree about the rest, and none of it grows
# when it is written as JSON, so that an event's size is known (contract: under 20 kB).
_URL = re.compile(r"https?://[!#-\[\]-~]+")
_URL_LENGTH_MAX = 2048


def kid_is_valid(text: str) -> bool:
    """Tell whether the last character is the check digit of the others, MOD10 or MOD11.

    Source: Nets/Mastercard "KID", 2-25 characters; a MOD11 remainder of 10 is written `-`."""
    if _KID.fullmatch(text) is None:
        return False
    digits = [int(digit) for digit in reversed(text[:-1])]
    return text[-1] in (_mod10(digits), _mod11(digits))


def _mod10(digits: list[int]) -> str:
    """Return the check digit of digits, last one first."""
    doubled = [digit * (2 - place % 2) for place, digit in enumerate(digits)]
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def _mod11(digits: list[int]) -> str:
    weighted = sum(digit * (2 + place % 6) for place, digit in enumerate(digits))
    remainder = -weighted % 11
    return "-" if remainder == 10 else str(remainder)


def _reference(text: str) -> str:
    if REFERENCE.fullmatch(text) is None:
        raise ValueError("is not 8 to 60 letters, digits or hyphens, with more than digits")
    return text


def _kid(text: str) -> str:
    if not kid_is_valid(text):
        raise ValueError("is not a KID by MOD10 or MOD11")
    return text


def _phone_number(value: object) -> str:
    """Return MSISDN digits of what people and spreadsheets make of them."""
    text = str(value) if type(value) is int else value
    if isinstance(text, str) and _PHONE_NUMBER.fullmatch(text):
        digits = re.sub(r"[^0-9]", "", text)
        if _MSISDN.fullmatch(digits):
            return digits
    raise ValueError("is not a phone number with its country code, 9 to 15 digits")


def _day(value: object) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # the 30th of February
    raise ValueError("is not a date such as 2026-12-01")


def _instant(value: object) -> datetime:
    at = parse_rfc3339(value) if isinstance(value, str) else None
    if at is None:
        raise ValueError("is not RFC 3339 with an offset, such as 2026-12-15T00:00:00Z")
    return at


def _url(text: str) -> str:
    if len(text) > _URL_LENGTH_MAX:
        raise ValueError(f"is longer than {_URL_LENGTH_MAX} characters")
    if _URL.fullmatch(text) is None or not _has_plain_host(text):
        raise ValueError("is not a complete https URL")
    if text.startswith("http:") and not is_loopback(text):
        raise ValueError("is not https; http is for this machine only")
    return text


def _has_plain_host(text: str) -> bool:
    """Tell whether the URL names a host, perhaps a port, and no user."""
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False


def _without_control(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("has a control character")
    return text


def _without_nul(text: str) -> str:
    # PostgreSQL's text can't hold it.
    if "\x00" in text:
        raise ValueError("has a NUL character")
    return text


# What the validators say, as far as JSON Schema can; its patterns are JavaScript's.
_REFERENCE_SCHEMA = {"type": "string", "pattern": "^(?![0-9]+$)[a-zA-Z0-9-]{8,60}$"}
_KID_SCHEMA = {"type": "string", "pattern": "^[0-9]{1,24}[0-9-]$"}
_PHONE_SCHEMA = {"type": ["string", "integer"], "pattern": "^[+]?[0-9 ]+$", "minimum": 10**8}
_DAY_SCHEMA = {"type": "string", "format": "date"}
_INSTANT_SCHEMA = {"type": "string", "format": "date-time"}
_URL_SCHEMA = {"type": "string", "format": "uri", "maxLength": _URL_LENGTH_MAX}

Reference = Annotated[str, AfterValidator(_reference), WithJsonSchema(_REFERENCE_SCHEMA)]
Kid = Annotated[str, AfterValidator(_kid), WithJsonSchema(_KID_SCHEMA)]
PhoneNumber = Annotated[str, BeforeValidator(_phone_number), WithJsonSchema(_PHONE_SCHEMA)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema(_DAY_SCHEMA)]
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema(_INSTANT_SCHEMA)]
Url = Annotated[str, AfterValidator(_url), WithJsonSchema(_URL_SCHEMA)]
Text = Annotated[str, AfterValidator(_without_nul)]
Line = Annotated[str, AfterValidator(_without_control)]
Name = Annotated[Line, StringConstraints(min_length=1, max_length=100)]
Description = Annotated[Line, StringConstraints(min_length=3, max_length=100)]
Label = Annotated[Line, StringConstraints(min_length=1, max_length=40)]
Reason = Annotated[Text, StringConstraints(min_length=1, max_length=500)]
# A name of things, in events and so in subscribers' logs: no room for a person's.
Slug = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._/-]{0,59}$")]
CustomerId = Annotated[str, Field(pattern=r"^cus_[0-9A-Z]{26}$")]

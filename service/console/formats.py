"""Amounts, numbers and times as a person reads them."""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

# As people type it: `1 200`, `1200,5`, `1 200.50`.
_TYPED_AMOUNT = re.compile(r"([0-9]{1,9})(?:[.,]([0-9]{1,2}))?")
_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"


def number(value: int) -> str:
    """Return a whole number with a thin space between its thousands."""
    return f"{value:,}".replace(",", _NARROW_SPACE)


def money(minor: int, currency: str) -> str:
    """Return an amount in minor units as `2 000.00 NOK`; every currency here has hundredths.

    Without a currency, for a column that names it once."""
    whole, cents = divmod(abs(minor), 100)
    sign = "\N{MINUS SIGN}" if minor < 0 else ""
    amount = f"{sign}{number(whole)}.{cents:02}"
    return f"{amount}\N{NO-BREAK SPACE}{currency}" if currency else amount


def day_and_time(at: datetime, time_zone: str, least: str = "minute") -> str:
    """Return a moment as the sales unit's clock on the wall shows it; `least` may be `second`."""
    seconds = ":%S" if least == "second" else ""
    return f"{at.astimezone(ZoneInfo(time_zone)):%Y-%m-%d %H:%M{seconds}}"


def amount_in_minor_units(typed: str) -> int | None:
    """Return a typed amount in minor units; None, where it is no amount."""
    found = _TYPED_AMOUNT.fullmatch("".join(typed.split()))
    if found is None:
        return None
    whole, cents = found.groups()
    return int(whole) * 100 + int((cents or "0").ljust(2, "0"))


def number_between(typed: str, least: float, most: float) -> float | None:
    """Return a typed number; None, where it is none or lies outside."""
    try:
        value = float(typed.replace(",", "."))
    except ValueError:
        return None
    return value if least <= value <= most else None


def pretty(value: Any) -> str:
    """Return a JSON value as people read it."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def span(seconds: float) -> str:
    """Return a length of time in its largest unit: `40 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length_s in (("d", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= length_s:
            return f"{seconds / {'d': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"

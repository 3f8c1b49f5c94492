"""Amounts, numbers and times as a person reads them."""

from datetime import datetime
from zoneinfo import ZoneInfo

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


def day_and_time(at: datetime, time_zone: str) -> str:
    """Return a moment as the sales unit's clock on the wall shows it."""
    return f"{at.astimezone(ZoneInfo(time_zone)):%Y-%m-%d %H:%M}"

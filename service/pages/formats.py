"""Amounts, dates and numbers as people write them, by Babel."""

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time
from babel.numbers import format_currency

from service.pages.languages import Language
from service.settings import TIME_ZONES

_NBSP = "\N{NO-BREAK SPACE}"


def money(amount_minor: int, currency: str, language: Language) -> str:
    """Write an amount with its currency; every currency of ours has two decimals."""
    # Only here, at the way out, is an amount anything else than an integer: Babel wants it so.
    major = Decimal(amount_minor).scaleb(-2)
    text: str = format_currency(major, currency, locale=language.locale)
    # English has no sign for crowns, and the code stuck to the figure is hard to read.
    return text.replace(currency, currency + _NBSP) if text.startswith(currency) else text


def day(when: date, language: Language) -> str:
    """Write a day: `1. desember 2026`."""
    text: str = format_date(when, "long", locale=language.locale)
    return text


def local_day(at: datetime, currency: str) -> date:
    """Return the day that an instant falls on where the sales unit is."""
    return at.astimezone(ZoneInfo(TIME_ZONES[currency])).date()


def clock(at: datetime, currency: str, language: Language) -> str:
    """Write the time of day where the sales unit is: `14:05`."""
    zone = ZoneInfo(TIME_ZONES[currency])
    text: str = format_time(at, "short", tzinfo=zone, locale=language.locale)
    return text


def organisation_number(number: str, currency: str) -> str:
    """Write an organisation's number as its country does: `999 999 999`, `12 34 56 78`."""
    groups = {"NOK": (3, 9), "DKK": (2, 8)}
    size, length = groups.get(currency, (0, 0))
    if len(number) != length or not number.isdigit():
        return number
    return _NBSP.join(number[i : i + size] for i in range(0, length, size))

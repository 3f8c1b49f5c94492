"""What a phone says of a payment: words and figures, ready to be put on a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from service.sandbox.clock import as_text
from service.sandbox.payments import Aggregate, Payment, State

_NBSP = "\N{NO-BREAK SPACE}"
_SIGNS = {"NOK": "kr", "DKK": "kr", "SEK": "kr", "EUR": "€", "USD": "$", "GBP": "£"}
_SCOPES = {
    "name": "your name",
    "address": "your address",
    "email": "your email address",
    "phoneNumber": "your phone number",
    "birthDate": "your date of birth",
    "nin": "your national identity number",
}
_ENDS = {
    State.ABORTED: "Cancelled by you",
    State.EXPIRED: "Expired",
    State.TERMINATED: "Withdrawn",
}
_EXPLANATIONS = {
    State.CREATED: "",
    State.AUTHORIZED: "The money is set aside; the shop takes it when it delivers.",
    State.ABORTED: "Nothing was taken. The shop would have to ask again.",
    State.EXPIRED: "The time to answer ran out. Nothing was taken.",
    State.TERMINATED: "The shop took its request back. Nothing was taken.",
}
# Later the merchant's doings say it all.
_PLAIN_ENDS = ("Reserved", *_ENDS.values())
_CARDS = {
    "VISA": "Visa",
    "VISA_ELECTRON": "Visa Electron",
    "MASTERCARD": "Mastercard",
    "BANKAXEPT": "BankAxept",
    "ACCOUNT": "Bank account",
}
_UNITS = ((86_400, "day", "days"), (3_600, "hour", "hours"), (60, "minute", "minutes"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a receipt."""

    name: str
    quantity: str
    amount: str


@dataclass(frozen=True, slots=True)
class Card:
    """One payment as its customer sees it; `path` is where its page is."""

    id: str
    path: str
    merchant: str
    reference: str
    description: str
    amount: str
    state: State
    standing: str
    time_left: str
    created_at: str
    can_wait: bool
    is_authorizing: bool
    is_postponed: bool
    asks: tuple[str, ...]
    lines: tuple[Line, ...]
    order_details_url: str | None

    @property
    def is_waiting(self) -> bool:
        """Say whether the customer can still answer."""
        return self.state is State.CREATED

    @property
    def explanation(self) -> str:
        """Say what the end of the payment means for the customer."""
        return _EXPLANATIONS[self.state] if self.standing in _PLAIN_ENDS else ""

    @property
    def has_details(self) -> bool:
        """Say whether there is more to see than the summary."""
        return bool(self.lines or self.order_details_url)

    @property
    def web_view_url(self) -> str | None:
        """Return what a web view can open; an app's own scheme is none of it."""
        return self.order_details_url if is_web(self.order_details_url) else None


def card_of(
    payment: Payment,
    path: str,
    *,
    merchant: str,
    now: datetime,
    order: Mapping[str, Any],
) -> Card:
    """Return the payment as its customer sees it at `now`, a business time.

    `order` is what Order Management knows: a `category`, a `receipt`, or neither.
    """
    category = order.get("category") or {}
    return Card(
        id=f"{payment.msn}-{payment.reference}",
        path=path,
        merchant=merchant,
        reference=payment.reference,
        description=payment.request.get("paymentDescription") or "",
        amount=money(payment.amount_minor, payment.currency),
        state=payment.state,
        standing=standing(payment),
        time_left=time_left(payment.expires_at, now),
        created_at=as_text(payment.events[0].occurred_at),
        can_wait=payment.is_long_living,
        is_authorizing=payment.is_authorizing,
        is_postponed=payment.is_postponed,
        asks=tuple(words for name, words in _SCOPES.items() if name in payment.scope),
        lines=_lines(order.get("receipt") or {}, payment.currency),
        order_details_url=category.get("orderDetailsUrl"),
    )


def money(amount_minor: int, currency: str) -> str:
    """Write an amount as the app does: `1 192,50 kr`, without øre where there are none."""
    whole, cents = divmod(amount_minor, 100)
    figure = f"{whole:,}".replace(",", _NBSP) + (f",{cents:02d}" if cents else "")
    return f"{figure}{_NBSP}{_SIGNS[currency]}"


def time_left(until: datetime, now: datetime) -> str:
    """Write how long it is until then, in its largest whole unit."""
    seconds = (until - now).total_seconds()
    for size, one, many in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {one if count == 1 else many}"
    return "less than a minute"


def standing(payment: Payment) -> str:
    """Say in a word or two what became of the payment."""
    if payment.state is State.CREATED:
        if payment.is_authorizing:
            return "Being approved"
        return "Postponed" if payment.is_postponed else "Waiting for you"
    return _ENDS.get(payment.state) or _of_the_money(payment.aggregate)


def _of_the_money(sums: Aggregate) -> str:
    if sums.refunded_minor:
        return "Refunded" if sums.refunded_minor == sums.captured_minor else "Refunded in part"
    if sums.captured_minor:
        return "Paid"
    return "Released" if sums.cancelled_minor else "Reserved"


def _lines(receipt: Mapping[str, Any], currency: str) -> tuple[Line, ...]:
    return tuple(_line(line, currency) for line in receipt.get("orderLines", ()))


def _line(line: Mapping[str, Any], currency: str) -> Line:
    unit = line.get("unitInfo") or {}
    quantity = f"{unit['quantity']} {unit.get('quantityUnit') or ''}" if unit else ""
    amount = money(line["totalAmount"], currency)
    minus = "\N{MINUS SIGN}" if line.get("isReturn") else ""
    return Line(line["name"], quantity.strip().lower(), minus + amount)


def is_web(url: str | None) -> bool:
    """Say whether a browser may be sent there; scripts and apps' schemes are not web."""
    return url is not None and urlsplit(url).scheme in ("http", "https")


def return_url(payment: Payment) -> str | None:
    """Return where the merchant's page waits for who came by a link."""
    url = payment.request.get("returnUrl")
    return url if payment.redirect_token is not None and is_web(url) else None


def shown_card(card: str) -> str:
    """Write what the customer pays with."""
    return _CARDS[card]


def shown_number(phone_number: str) -> str:
    """Write a phone number for people: `+47 912 34 567`."""
    if phone_number.startswith("47") and len(phone_number) == 10:
        rest = phone_number[2:]
        return _NBSP.join(("+47", rest[:3], rest[3:5], rest[5:]))
    return f"+{phone_number}"


def phone_time(now: datetime) -> str:
    """Write the time as the phone's status bar does; it is carried in Norway."""
    return now.astimezone(ZoneInfo("Europe/Oslo")).strftime("%H:%M")

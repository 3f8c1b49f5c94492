"""Which payments are on whose phone, and what stands on each of them."""

import hashlib
import re
from collections import Counter
from typing import Any

from service.sandbox.fields import is_text
from service.sandbox.order_management import order_name
from service.sandbox.payments import Payment, State, payment_key
from service.sandbox.phone_views import Card, card_of, shown_card, shown_number
from service.sandbox.problems import plain
from service.sandbox.world import World

_PHONE_NUMBER = re.compile(r"[0-9]{9,15}", re.ASCII)
# What people put between digits, and before them.
_DECORATION = re.compile(r"[\s().\-\N{NO-BREAK SPACE}]|^\s*(\+|00)")
# A number without its country is taken to be Norwegian.
_HOME_COUNTRY, _HOME_DIGITS = "47", 8

# More people than anyone scrolls through.
_PEOPLE_MAX = 50


class PhoneBook:
    """Look up phones and their payments; what was opened by a link is remembered."""

    def __init__(self, world: World) -> None:
        self._world = world
        # Payment -> the phone number that its link was opened with.
        self._claims = world.store.table("claim", decode=str)

    def owner(self, payment: Payment) -> str | None:
        """Return the number of the phone that shows the payment, if any does."""
        asked = (payment.request.get("customer") or {}).get("phoneNumber")
        return self._claims.get(payment.key) or asked

    def claim(self, payment: Payment, phone_number: str) -> None:
        """Have that phone show a payment whose link was opened with its number."""
        self._world.save(self._claims, payment.key, row=phone_number)

    def payments_of(self, phone_number: str) -> list[Payment]:
        """Return what is on that phone, the newest first."""
        self._world.expire_due()
        rows = self._world.payments.rows.values()
        found = [payment for payment in rows if self.owner(payment) == phone_number]
        return sorted(found, key=lambda payment: payment.events[0].occurred_at, reverse=True)

    def version_of(self, phone_number: str) -> str:
        """Return a text that differs as soon as that phone shows something else."""
        # A turned clock leaves less time for each payment.
        shown = hashlib.sha256(str(self._world.clock.offset).encode())
        for payment in self.payments_of(phone_number):
            labels = f"{payment.is_postponed} {payment.is_authorizing}"
            shown.update(f"{payment.key} {len(payment.events)} {labels}\n".encode())
        return shown.hexdigest()[:16]

    def payment(self, msn: str, reference: str, *, phone_number: str) -> Payment:
        """Return a payment on that phone. Raises: Refused."""
        payment = self._world.payment(msn, reference)
        if payment is None or self.owner(payment) != phone_number:
            raise plain(404, "There is no such payment on this phone.")
        return payment

    def payment_of_token(self, token: str) -> Payment:
        """Return the payment whose link has this token. Raises: Refused."""
        self._world.expire_due()
        for payment in self._world.payments.rows.values():
            if payment.redirect_token is not None and payment.redirect_token == token:
                return payment
        raise plain(404, "This link leads to no payment.")

    def card(self, payment: Payment, path: str) -> Card:
        """Return the payment as its customer sees it now, at that path."""
        name = order_name(payment.msn, payment.reference)
        receipt = payment.request.get("receipt") or self._world.receipts.get(name)
        return card_of(
            payment,
            path,
            merchant=self._world.unit(payment.msn).shown_name,
            now=self._world.clock.now(),
            order={"category": self._world.categories.get(name), "receipt": receipt},
        )

    def person(self, phone_number: str) -> dict[str, Any]:
        """Return whose phone it is."""
        person = self._world.person(phone_number)
        return {
            "number": phone_number,
            "shown_number": shown_number(phone_number),
            "name": f"{person.first_name} {person.last_name}",
            "is_user": person.is_user,
            "card": shown_card(person.card),
        }

    def people(self) -> list[dict[str, Any]]:
        """Return everybody with a phone, who has most waiting first."""
        self._world.expire_due()
        waiting = Counter(dict.fromkeys(self._world.persons.rows, 0))
        for payment in self._world.payments.rows.values():
            if (number := self.owner(payment)) is not None:
                waiting[number] += payment.state is State.CREATED
        most = waiting.most_common(_PEOPLE_MAX)
        return [self.person(number) | {"waiting": count} for number, count in most]


def path_of(payment: Payment, phone_number: str) -> str:
    """Return where the payment is on that phone."""
    return f"/phone/{phone_number}/payments/{payment_key(payment.msn, payment.reference)}"


def check_number(text: str) -> str:
    """Return the phone number as Vipps writes it. Raises: Refused."""
    if not is_text(text, _PHONE_NUMBER):
        raise plain(404, "A phone number is 9 to 15 digits, with the country first.")
    return text


def read_number(text: str) -> str:
    """Return the phone number that somebody typed. Raises: Refused."""
    digits = _DECORATION.sub("", text)
    if len(digits) == _HOME_DIGITS:
        digits = _HOME_COUNTRY + digits
    if not is_text(digits, _PHONE_NUMBER):
        raise plain(400, "A phone number is 9 to 15 digits, like +47 912 34 567.")
    return digits

"""The people in the sandbox who have the app on their phone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from service.sandbox.cards import CARDS, DEFAULT_CARD
from service.sandbox.fields import Faults
from service.sandbox.ids import derived_uuid

_FIRST_NAMES = ("Kari", "Ola", "Freja", "Aino", "Mikkel", "Ingrid", "Eero", "Solveig")
_LAST_NAMES = ("Nordmann", "Hansen", "Virtanen", "Berg", "Nielsen", "Lund", "Korhonen", "Dahl")
_ADDRESS = {
    "addressLine1": "Storgata 1",
    "city": "Oslo",
    "country": "NO",
    "postCode": "0155",
}
_NAMES = {
    "firstName": "first_name",
    "lastName": "last_name",
    "email": "email",
    "dateOfBirth": "date_of_birth",
}
_CLAIMS = {"isUser": "is_user", "hasAddress": "has_address"}


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with a phone number; `is_user` says whether they can pay at all, `card` how."""

    phone_number: str
    first_name: str
    last_name: str
    email: str
    date_of_birth: str = "1988-12-31"
    is_user: bool = True
    card: str = DEFAULT_CARD
    has_address: bool = True

    @property
    def nin(self) -> str:
        """Return a national identity number that nobody real has: the month is 80 or more."""
        digits = int(derived_uuid("nin", self.phone_number)[:8], 16)
        return f"01{80 + digits % 12}{digits % 10**7:07}"


@lru_cache(maxsize=1024)
def person_of(phone_number: str) -> Person:
    """Return the person that the sandbox makes up for a number it was not told about."""
    dice = int(derived_uuid("person", phone_number)[:8], 16)
    first = _FIRST_NAMES[dice % len(_FIRST_NAMES)]
    last = _LAST_NAMES[dice // 16 % len(_LAST_NAMES)]
    email = f"{first}.{last}.{phone_number[-4:]}@example.com".lower()
    return Person(phone_number, first, last, email)


def changed_person(person: Person, body: Mapping[str, Any]) -> Person:
    """Return the person with what the body names changed. Raises: Refused."""
    faults = Faults()
    known = [*_NAMES, *_CLAIMS, "card"]
    for name in body:
        faults.expect(name in known, name, reason=f"Known are {known}.")
    for name in _NAMES:
        faults.text(body, name, least=1, most=200)
    for name in _CLAIMS:
        fits = isinstance(body.get(name, True), bool)
        faults.expect(fits, name, reason="Must be true or false.")
    faults.one_of(body, "card", choices=CARDS)
    faults.settle()
    names = _NAMES | _CLAIMS | {"card": "card"}
    return replace(person, **{names[n]: value for n, value in body.items() if value is not None})


def person_answer(person: Person) -> dict[str, Any]:
    """Return the person by their API names."""
    names = {name: getattr(person, ours) for name, ours in _NAMES.items()}
    claims = {name: getattr(person, ours) for name, ours in _CLAIMS.items()}
    return {"phoneNumber": person.phone_number} | names | claims | {"card": person.card}


def person_row(person: Person) -> dict[str, Any]:
    """Return the person as the file keeps them."""
    return asdict(person)


def sub_of(person: Person, msn: str) -> str:
    """Return the identifier that Vipps gives this person towards one sales unit."""
    return derived_uuid("sub", msn, person.phone_number)


def shared_details(person: Person, scope: frozenset[str]) -> dict[str, Any]:
    """Return `userDetails` with what was asked for; the rest of the required is empty.

    The schema demands four fields whatever was asked; that Vipps leaves the others empty
    is our inference from the empty address of its Userinfo API.
    """
    has_name, has_address = "name" in scope, "address" in scope and person.has_address
    details: dict[str, Any] = {
        "email": person.email if "email" in scope else "",
        "firstName": person.first_name if has_name else "",
        "lastName": person.last_name if has_name else "",
        "mobileNumber": person.phone_number if "phoneNumber" in scope else "",
    }
    if "birthDate" in scope:
        details["dateOfBirth"] = person.date_of_birth
    return details | {"addresses": [_ADDRESS] if has_address else []}


def userinfo(person: Person, scope: frozenset[str], sub: str) -> dict[str, Any]:
    """Return what the Userinfo API tells; only what the scope covers is there at all.

    Source: developer.vippsmobilepay.com/docs/APIs/userinfo-api/userinfo-api-guide
    """
    first, last = person.first_name, person.last_name
    told: dict[str, dict[str, Any]] = {
        "name": {"name": f"{first} {last}", "given_name": first, "family_name": last},
        "birthDate": {"birthdate": person.date_of_birth},
        "email": {"email": person.email, "email_verified": True},
        "phoneNumber": {"phone_number": person.phone_number, "phone_number_verified": True},
        "address": {"address": _userinfo_address(person), "other_addresses": []},
        "nin": {"nin": person.nin},
    }
    found = {"sub": sub, "sid": derived_uuid("sid", sub)}
    return found | {k: v for part in told if part in scope for k, v in told[part].items()}


def _userinfo_address(person: Person) -> dict[str, str]:
    # Who has no address gets empty texts, neither null nor nothing.
    names = ("address_type", "country", "formatted", "postal_code", "region", "street_address")
    if not person.has_address:
        return dict.fromkeys(names, "")
    street, code = _ADDRESS["addressLine1"], _ADDRESS["postCode"]
    city, country = _ADDRESS["city"], _ADDRESS["country"]
    formatted = f"{street}\n{code}\n{city}\n{country}"
    return dict(zip(names, ("home", country, formatted, code, city, street), strict=True))

"""The people in the sandbox who have the app on their phone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with a phone number; `is_user` says whether they can pay at all."""

    phone_number: str
    first_name: str
    last_name: str
    email: str
    date_of_birth: str = "1988-12-31"
    is_user: bool = True


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
    for name in body:
        faults.expect(name in (*_NAMES, "isUser"), name, reason=f"Known are {[*_NAMES, 'isUser']}.")
    for name in _NAMES:
        faults.text(body, name, least=1, most=200)
    fits = isinstance(body.get("isUser", True), bool)
    faults.expect(fits, "isUser", reason="Must be true or false.")
    faults.settle()
    known = {_NAMES[name]: body[name] for name in _NAMES if body.get(name) is not None}
    return replace(person, **known, is_user=body.get("isUser", person.is_user))


def person_answer(person: Person) -> dict[str, Any]:
    """Return the person by their API names."""
    names = {name: getattr(person, ours) for name, ours in _NAMES.items()}
    return {"phoneNumber": person.phone_number} | names | {"isUser": person.is_user}


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
    has_name, no_address = "name" in scope, "address" not in scope
    details: dict[str, Any] = {
        "email": person.email if "email" in scope else "",
        "firstName": person.first_name if has_name else "",
        "lastName": person.last_name if has_name else "",
        "mobileNumber": person.phone_number if "phoneNumber" in scope else "",
    }
    if "birthDate" in scope:
        details["dateOfBirth"] = person.date_of_birth
    return details | {"addresses": [] if no_address else [_ADDRESS]}

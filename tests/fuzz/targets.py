"""What is fuzzed: each takes any bytes, and raises only where a rule of ours is broken."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address

from service.api.cursors import read_id, read_position, write_cursor
from service.api.idempotency import read_key
from service.errors import InvalidInput
from tests.fuzz.mutants import request_of, signed_hash
from tests.fuzz.signer import Sent, authorization, signed
from tests.webhooks.builders import HOST, NOW, PATH, SECRET, an_event_body
from webhooks.errors import ForbiddenTarget, MalformedEvent, VerificationError
from webhooks.standard import verify as verify_standard
from webhooks.targets import check_url, vet
from webhooks.vipps import SignedRequest, verify
from webhooks.vipps_event import AMOUNT_MINOR_MAX, parse

GENUINE = signed(an_event_body(), secret=SECRET, at=NOW, url=(HOST, PATH))

_STANDARD_SECRET = "whsec_" + "A" * 32
# Blocks that no delivery may ever reach, said once more and otherwise than in our own table.
_INSIDE = re.compile(r"(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|22[4-9]|2[3-5]\d)\.")


class Broken(AssertionError):
    """Something got through that must not."""


def verifier(data: bytes) -> None:
    """Read header lines, an empty line and a body, as the receiver hands them over."""
    head, _, body = data.partition(b"\n\n")
    pairs = [line.partition(b": ") for line in head.split(b"\n")]
    headers = [(name, value) for name, _, value in pairs]
    try:
        verify(SignedRequest("POST", PATH, HOST, headers, body), [SECRET], NOW)
    except VerificationError:
        return
    must_be_signed(headers, body)


def must_be_signed(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    """Check by the independent signer that these bytes are Vipps's. Raises: Broken."""
    given = {name.lower(): value for name, value in headers}
    date = given.get(b"x-ms-date", b"")
    unsigned = Sent("POST", PATH, HOST, date, signed_hash(body), b"", body)
    if authorization(unsigned, SECRET) not in given.values():
        raise Broken("accepted without the signature that the independent signer makes")


def signature_header(data: bytes) -> None:
    """Take the bytes for the signature: of Vipps's scheme, and of ours."""
    try:
        verify(request_of(replace(GENUINE, authorization=data)), [SECRET], NOW)
    except VerificationError:
        pass
    else:
        if data != GENUINE.authorization:
            raise Broken("another spelling of the signature was accepted")
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": data.decode("latin-1"),
    }
    try:
        verify_standard(headers, b"{}", keys=[_STANDARD_SECRET], now=NOW)
    except VerificationError:
        return
    raise Broken("a signature was guessed")


def event(data: bytes) -> None:
    """Take the bytes for a verified body."""
    try:
        found = parse(data)
    except MalformedEvent as error:
        if not str(error):
            raise Broken("refused without a reason") from error
        return
    is_int = type(found.amount_minor) is int and 0 <= found.amount_minor <= AMOUNT_MINOR_MAX
    if not is_int or found.occurred_at.tzinfo is None or "\0" in found.reference:
        raise Broken("an event holds what can't be stored")


def address(data: bytes) -> None:
    """Take the bytes for a subscriber's URL, and for what its name resolves to."""
    text = data.decode("latin-1")
    try:
        target = check_url(text)
    except ForbiddenTarget:
        pass
    else:
        if target.address is not None:
            _must_be_outside(str(target.address))
    try:
        found = vet([text])
    except ForbiddenTarget:
        return
    for each in found:
        _must_be_outside(str(each))


def _must_be_outside(literal: str) -> None:
    found = ip_address(literal)
    hidden = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    if hidden or found.is_private or found.is_loopback or _INSIDE.match(literal):
        raise Broken(f"{literal} is not outside")


def cursor(data: bytes) -> None:
    """Take the bytes for a place in a list."""
    text = data.decode("latin-1")
    for read in (read_position, read_id):
        try:
            place = read(text, "invoices", "123456")
        except InvalidInput:
            continue
        if read(write_cursor("invoices", "123456", place), "invoices", "123456") != place:
            raise Broken("a place is not the one that was written")


def idempotency_key(data: bytes) -> None:
    """Take the bytes for an `Idempotency-Key`."""
    is_good = 1 <= len(data) <= 255 and all(0x21 <= byte <= 0x7E for byte in data)
    try:
        key = read_key([(b"idempotency-key", data)])
    except InvalidInput:
        if is_good:
            raise Broken("a good key was refused") from None
        return
    if not is_good or key != data.decode("ascii"):
        raise Broken("a key was taken that is not one")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (verifier, signature_header, event, address, cursor, idempotency_key)
}

"""Genuine webhooks by an independent signer, and endless mutations of them: none may get in."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

from tests.fuzz.signer import Sent, authorization, signed
from tests.webhooks.builders import HOST, NOW, OTHER_SECRET, PATH, SECRET
from webhooks.errors import VerificationError
from webhooks.vipps import TOLERANCE_S, SignedRequest, verify
from webhooks.vipps_event import parse

_NAMES = ("CREATED", "AUTHORIZED", "ABORTED", "EXPIRED", "TERMINATED", "CAPTURED", "REFUNDED")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FIELDS = ("date", "content_hash", "authorization", "body")
_PATHS = (
    f"{PATH}/",
    f"/{PATH}",
    f"{PATH}?a=b",
    "/webhooks/vipps/654321",
    "/webhooks/vipps/%3123456",
)
_HOSTS = ("evil.example", f"{HOST}:443", f"{HOST}.", HOST.upper(), "")

# A way to change what was sent; some need another genuine webhook to borrow from.
Change = Callable[[Random, Sent, Sent], Sent]


@dataclass(slots=True)
class Tally:
    """How many were tried, and what went wrong."""

    genuine: int = 0
    genuine_refused: list[str] = field(default_factory=list)
    mutated: int = 0
    accepted: list[Sent] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"webhooks: {self.mutated} mutated, {len(self.accepted)} accepted,"
            f" {len(self.foreign)} foreign exceptions;"
            f" {self.genuine} genuine, {len(self.genuine_refused)} refused;"
            f" {dict(self.reasons.most_common())}"
        )


def a_genuine(dice: Random) -> Sent:
    """Return a webhook of any payment, at any second of the window."""
    event = {
        "msn": "123456",
        "reference": f"acme-{dice.randrange(10**9):09}",
        "pspReference": f"{dice.getrandbits(64):016x}",
        "name": dice.choice(_NAMES),
        "amount": {"currency": dice.choice(("NOK", "DKK", "EUR")), "value": dice.randrange(10**7)},
        "timestamp": "2026-11-22T09:59:58.533Z",
        "idempotencyKey": dice.choice((None, "k-1", "K\u00e5re")),
        "success": dice.random() < 0.9,
    }
    body = json.dumps(event, ensure_ascii=dice.random() < 0.5).encode()
    at = NOW + timedelta(seconds=dice.randint(-TOLERANCE_S, TOLERANCE_S))
    return signed(body, secret=SECRET, at=at, url=(HOST, PATH))


def try_all(count: int, *, seed: int, each: Callable[[int], None] = lambda _: None) -> Tally:
    """Try so many mutations, and a genuine one for each twenty; `each` hears of progress."""
    dice, tally = Random(seed), Tally()
    genuine, other = a_genuine(dice), a_genuine(dice)
    while tally.mutated < count:
        if tally.mutated % 20 == 0:
            genuine, other = a_genuine(dice), genuine
            _must_pass(genuine, tally)
        changed = genuine
        while changed == genuine:
            for _ in range(dice.choice((1, 1, 1, 2, 3))):
                changed = dice.choice(_CHANGES)(dice, changed, other)
        if changed == other:
            continue  # all of another one was borrowed: that one is genuine
        _must_fail(changed, tally)
        each(tally.mutated)
    return tally


def request_of(sent: Sent) -> SignedRequest:
    """Return what our receiver would hand over."""
    return SignedRequest(sent.method, sent.path_and_query, sent.host, sent.headers, sent.body)


def _must_pass(sent: Sent, tally: Tally) -> None:
    tally.genuine += 1
    try:
        verify(request_of(sent), [OTHER_SECRET, SECRET], NOW)
        parse(sent.body)
    except Exception as error:
        # Whatever it is, a genuine one was lost.
        tally.genuine_refused.append(f"{error!r}: {sent}")


def _must_fail(sent: Sent, tally: Tally) -> None:
    tally.mutated += 1
    try:
        verify(request_of(sent), [OTHER_SECRET, SECRET], NOW)
    except VerificationError as error:
        tally.reasons[type(error).__name__] += 1
    except Exception as error:
        # What is no refusal would be a 500 to a stranger.
        tally.foreign.append(f"{error!r}: {sent}")
    else:
        tally.accepted.append(sent)


def _with(sent: Sent, name: str, value: bytes) -> Sent:
    changed: Any = {name: value}
    return replace(sent, **changed)


def _flip(dice: Random, sent: Sent, _: Sent) -> Sent:
    name, value = _field(dice, sent)
    if not value:
        return sent
    bit = dice.randrange(len(value) * 8)
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return _with(sent, name, bytes(changed))


def _cut(dice: Random, sent: Sent, _: Sent) -> Sent:
    name, value = _field(dice, sent)
    return _with(sent, name, value[: dice.randrange(len(value) + 1)])


def _insert(dice: Random, sent: Sent, _: Sent) -> Sent:
    name, value = _field(dice, sent)
    at = dice.randrange(len(value) + 1)
    return _with(sent, name, value[:at] + dice.randbytes(dice.randint(1, 4)) + value[at:])


def _respell(dice: Random, sent: Sent, _: Sent) -> Sent:
    """Spell the same signature in base64 anew: its last digit has two idle bits."""
    last = chr(sent.authorization[-2]) if len(sent.authorization) > 1 else ""
    if last not in _ALPHABET or not last:
        return sent
    twin = _ALPHABET[_ALPHABET.index(last) ^ dice.choice((1, 2, 3))]
    return replace(sent, authorization=sent.authorization[:-2] + twin.encode() + b"=")


def _borrow(dice: Random, sent: Sent, other: Sent) -> Sent:
    name, _ = _field(dice, sent)
    return _with(sent, name, getattr(other, name))


def _elsewhere(dice: Random, sent: Sent, _: Sent) -> Sent:
    return dice.choice(
        (
            replace(sent, path_and_query=dice.choice(_PATHS)),
            replace(sent, host=dice.choice(_HOSTS)),
            replace(sent, method=dice.choice(("GET", "PUT", "post", "POST "))),
        )
    )


def _forge(dice: Random, sent: Sent, _: Sent) -> Sent:
    """Change the amount, and sign it as well as one can without the secret."""
    changed = replace(sent, body=sent.body.replace(b'"value": ', b'"value": 1'))
    hashed = replace(changed, content_hash=signed_hash(changed.body))
    guessed = dice.choice(("", SECRET[:-1], SECRET.lower(), "secret", dice.randbytes(8).hex()))
    return replace(hashed, authorization=authorization(hashed, guessed))


def signed_hash(body: bytes) -> bytes:
    """Return the hash that stands beside a body."""
    return signed(body, secret="", at=NOW, url=("", "")).content_hash


def _stale(dice: Random, sent: Sent, _: Sent) -> Sent:
    """Sign with the true secret, yet out of the window."""
    away = timedelta(seconds=dice.choice((-1, 1)) * dice.randint(TOLERANCE_S + 1, 10**7))
    return signed(sent.body, secret=SECRET, at=NOW + away, url=(HOST, PATH))


def _field(dice: Random, sent: Sent) -> tuple[str, bytes]:
    name = dice.choice(_FIELDS)
    return name, getattr(sent, name)


_CHANGES: tuple[Change, ...] = (
    _flip,
    _flip,
    _cut,
    _insert,
    _respell,
    _borrow,
    _elsewhere,
    _forge,
    _stale,
)

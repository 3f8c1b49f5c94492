"""Wrong input over real HTTP: each status of the contract once, and nothing leaks."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.flows import checks
from tests.flows.client import Json, a_name, an_invoice
from tests.flows.processes import HTTP
from tests.flows.stack import API_KEY, CLIENT_SECRET, MSN, SUBSCRIPTION_KEY, Shop, Stack

Headers = dict[bytes, bytes]
# Control characters are refused by the server itself, with 400.
_VISIBLE = [*range(33, 127), *range(128, 256)]
HUGE = b'{"reference": "' + b"a" * 2_000_000 + b'"}'


@dataclass(frozen=True)
class Wrong:
    """One wrong request and what it is answered with."""

    status: int
    code: str
    path: str = "/v1/invoices"
    method: str = "POST"
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


WRONG = [
    Wrong(400, "not_json", body=b"{"),
    Wrong(401, "unauthorized", headers={"Authorization": "Bearer nobody"}),
    Wrong(404, "not_found", path="/v1/invoices/no-such-one", method="GET"),
    Wrong(405, "method_not_allowed", path="/v1/invoices", method="DELETE"),
    Wrong(409, "reference_taken", body=an_invoice("taken-already", description="Another one")),
    Wrong(409, "action_refused", path="/v1/invoices/taken-already/refund"),
    Wrong(
        412, "precondition_failed", "/v1/invoices/taken-already/push", headers={"If-Match": '"0"'}
    ),
    Wrong(413, "body_too_large", body=HUGE),
    Wrong(422, "invalid_input", body=an_invoice("x")),
    Wrong(422, "invalid_input", body={"amount": {"currency": "NOK", "value": 1.5}}),
    Wrong(
        422,
        "idempotency_key_reused",
        body=an_invoice("taken-already", description="Another one"),
        headers={"Idempotency-Key": "used-already"},
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: f"{w.status}-{w.code}")
def test_wrong_request_is_refused_with_a_problem(stack: Stack, wrong: Wrong) -> None:
    """What I do wrong I am told in one shape, with a code for programs, and nothing changes."""
    body = an_invoice("taken-already", push=False)
    first = stack.api.call("POST", "/v1/invoices", body, key="used-already")
    assert first.status_code in (200, 201), first.text
    before = asked_of(stack)

    content = wrong.body if isinstance(wrong.body, bytes) else json.dumps(wrong.body).encode()
    headers = {"Authorization": f"Bearer {API_KEY}"} | wrong.headers
    url = stack.service[-1].url + wrong.path
    answer = HTTP.request(wrong.method, url, content=content, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (wrong.status, wrong.code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert asked_of(stack) == before


def test_garbage_on_the_webhook_address_is_refused_silently(stack: Stack) -> None:
    """Whoever is not Vipps gets 401 or 413 with no detail, never an error of ours."""
    dice, url = Random(4711), f"{stack.service[0].url}/webhooks/vipps/"
    requests: list[tuple[str, bytes, Headers]] = [
        (MSN, b"", {}),
        (MSN, b"a" * 70_000, {}),
        ("no-msn", b"{}", {}),
    ]
    requests += [(MSN, dice.randbytes(200), garbage(dice)) for _ in range(50)]

    answers = [HTTP.post(url + msn, content=body, headers=h) for msn, body, h in requests]

    assert {a.status_code for a in answers[2:]} == {401}
    assert [a.status_code for a in answers[:2]] == [401, 413]
    assert {a.content for a in answers} == {b""}
    with checks.open_books(stack.database_url) as books:
        stored = {bytes(row["raw_hash"]) for row in books.table("vipps_event")}
    assert not stored & {hashlib.sha256(body).digest() for _, body, _ in requests}


def garbage(dice: Random) -> Headers:
    """Return headers that look a little like Vipps's."""
    return {
        b"X-Ms-Date": dice.choice([b"Sun, 22 Nov 2026 10:00:00 GMT", b"yesterday", b""]),
        b"X-Ms-Content-Sha256": dice.randbytes(20).hex().encode(),
        b"Authorization": b"HMAC-SHA256 " + bytes(dice.choices(_VISIBLE, k=60)),
    }


def asked_of(stack: Stack) -> tuple[int, int]:
    """Return how many invoices and acts there are; only requests make some."""
    with checks.open_books(stack.database_url) as books:
        return len(books.table("invoice")), len(books.table("act"))


def test_logs_and_database_hold_nothing_personal_or_secret(stack: Stack, shop: Shop) -> None:
    """A phone number, a name, a key: neither in the log, nor in clear in the database."""
    name, number, person = a_name("canary"), "4791919191", "Kanarifugl Nordmann"
    customer = {"phoneNumber": number, "name": person}
    stack.api.create(name, customer=customer, wait_s=10)
    stack.phone.approve(name)
    stack.api.reaches(name, "authorized")
    stack.api.call("POST", "/v1/invoices", {"customer": {"phoneNumber": number}})
    secrets = [API_KEY, CLIENT_SECRET, SUBSCRIPTION_KEY, "path-CANARY-token", *shop.app.secrets]
    canaries = [number, person, *secrets, stack.environment["BETALBAR_MASTER_KEYS"]]

    written = {"log": stack.output(), **database_bytes(stack)}

    found = [(c, where) for c in canaries for where, b in written.items() if c.encode() in b]
    assert not found
    assert b'"event": "webhooks_stored"' in written["log"], "the log must have been read"


def database_bytes(stack: Stack) -> dict[str, bytes]:
    """Return the whole database: SQLite's files, or every row of PostgreSQL as text and bytes."""
    if stack.database_url.startswith("sqlite"):
        file = Path(stack.database_url.removeprefix("sqlite:///"))
        return {p.name: p.read_bytes() for p in file.parent.glob(f"{file.name}*")}
    with checks.open_books(stack.database_url) as books:
        return {n: b"\n".join(map(row_bytes, books.table(n))) for n in books.names()}


def row_bytes(row: Json) -> bytes:
    """Return everything that one row holds."""
    values = (bytes(v) if isinstance(v, memoryview) else v for v in row.values())
    return b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)

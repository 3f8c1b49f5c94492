"""The evidence file: all that is stored, nobody's phone number, and not one byte to change."""

import asyncio
import base64
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.audit.evidence import canonical, evidence_file, mask, mask_text
from service.audit.verify import EvidenceBroken, verify_file
from service.ledger.resource import invoice_resource
from service.outbox import subscriptions
from service.store.db import Database
from service.store.tables import Attempt, Delivery, Event, StoredVippsEvent
from tests.builders import (
    BASE_URL,
    MSN,
    NOW,
    ONLY_SQLITE,
    PHONE,
    REFERENCE,
    SECRET,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    a_vipps_event,
    signed_headers,
)
from tests.service.inbox.posting import PATH, posting, register
from webhooks.standard import public_key_text
from webhooks.vipps import authority_and_path, sign

KEY = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
Change = Callable[[dict[str, Any]], None]


def file_of(desk: Desk) -> dict[str, Any]:
    """Return the evidence of the example invoice, as the API makes it."""

    def work(book: Any) -> dict[str, Any]:
        invoice = book.invoice_by_reference(MSN, REFERENCE)
        shown = invoice_resource(
            invoice,
            book.payments(invoice),
            vault=book.vault,
            base_url="https://pay.example",
            customer=None,
        )
        return evidence_file(book.session, book.vault, invoice, shown, NOW)

    return desk.write(work)


def a_file(database: Database) -> dict[str, Any]:
    """Return the evidence of an invoice that was authorized with the customer's data."""
    desk, vipps = a_pushed_desk(database)
    details = {"userDetails": {"mobileNumber": PHONE, "firstName": "Kari"}, "score": 0.1}
    assert desk.report({**orjson.loads(vipps.happens("AUTHORIZED")), **details})
    desk.read(vipps)
    return file_of(desk)


def signed(evidence: dict[str, Any]) -> bytes:
    """Return a file that somebody has signed with a key of their own."""
    value = base64.b64encode(KEY.sign(canonical(evidence))).decode()
    signature = {"algorithm": "ed25519", "publicKey": public_key_text(KEY), "value": value}
    return orjson.dumps({"evidence": evidence, "signature": signature})


def test_evidence_file_proves_the_whole_history(database: Database) -> None:
    """My auditor checks one file, without my database, on each kind of it."""
    file = a_file(database)
    public_key = file["signature"]["publicKey"]

    verified = verify_file(orjson.dumps(file), public_key=public_key)

    assert (verified.reference, verified.transitions) == (REFERENCE, 3)
    assert verified.public_key == public_key


def test_evidence_file_printed_for_people_is_still_whole(database: Database) -> None:
    """White space and the order of members are not what is signed."""
    file = a_file(database)
    pretty = orjson.dumps(file, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)

    assert verify_file(pretty).transitions == 3


def test_evidence_file_has_everything_that_is_stored(database: Database) -> None:
    """Events with their bodies and verdicts, acts, commands and what was told are in it."""
    evidence = a_file(database)["evidence"]

    assert {event["outcome"] for event in evidence["vippsEvents"]} >= {"applied"}
    assert [row["to_state"] for row in evidence["transitions"]] == [
        *("created", "pushed", "authorized")
    ]
    assert [event["type"] for event in evidence["events"]] == [
        *("invoice.created", "invoice.pushed", "invoice.authorized")
    ]
    assert evidence["acts"] and evidence["commands"] and evidence["payments"]


def test_evidence_file_shows_nobodys_phone_number(database: Database) -> None:
    """I can hand the file on: of the customer's number two digits are left."""
    file = orjson.dumps(a_file(database))

    assert PHONE.encode() not in file
    assert b'"mobileNumber":"********67"' in file


@pytest.mark.anyio
async def test_evidence_shows_what_proved_a_webhook(database: Database) -> None:
    """With the secret, my auditor can compute each webhook's signature anew."""
    desk = a_desk(database)
    desk.create()
    register(desk.context)
    body = orjson.dumps(a_vipps_event())
    proxy = {"Cookie": "session=1", "X-Forwarded-For": "192.0.2.7", "X-Vipps-More": "yes"}
    async with posting(desk.context) as client:
        sent = signed_headers(body) | proxy
        answer = await client.post(PATH, content=body, headers=sent)
    desk.read(VippsPayment(events=[a_vipps_event()]))

    file = await asyncio.to_thread(file_of, desk)

    webhook, *_ = file["evidence"]["vippsEvents"]
    headers = dict(webhook["headers"])
    assert answer.status_code == 200
    assert verify_file(orjson.dumps(file)).transitions == 2
    assert not headers.keys() & {"cookie", "x-forwarded-for"}
    assert headers["x-vipps-more"] == "yes"
    assert headers["host"] == "any.host"
    date = parsedate_to_datetime(headers["x-ms-date"])
    url = dict(zip(("host", "path_and_query"), authority_and_path(BASE_URL + PATH), strict=True))
    anew = sign(method="POST", **url, body=body, secret=SECRET, at=date)
    assert headers["authorization"] == anew["Authorization"]
    assert headers["x-ms-content-sha256"] == anew["X-Ms-Content-Sha256"]


def test_evidence_of_before_headers_were_kept_is_still_whole(database: Database) -> None:
    """A file that I was given last year, without headers, still verifies."""
    evidence = a_file(database)["evidence"]
    for event in evidence["vippsEvents"]:
        assert event.pop("headers") is None  # taken in without a request

    assert verify_file(signed(evidence)).transitions == 3


def test_evidence_masks_numbers_in_subscribers_answers(database: Database) -> None:
    """What a subscriber's server says of the customer does not leave with the file."""
    desk, _ = a_pushed_desk(database)
    told = desk.all(Event)[0]
    vault = desk.context.vault
    said = f'{{"error": "no customer {PHONE}", "at": "2026-11-22T10:00:00Z"}}'
    with database.transaction() as session:
        subscription, _ = subscriptions.create(
            session,
            vault,
            msn=MSN,
            url="https://merchant.example/x",
            event_types=["*"],
            description=None,
            allow=(),
            now=NOW,
        )
        session.flush()
        delivery = Delivery(
            id="dlv_1",
            msn=MSN,
            subscription_id=subscription.id,
            event_id=told.id,
            line=desk.invoice().id,
            position=told.position,
            next_attempt_at=NOW,
            created_at=NOW,
        )
        session.add(delivery)
        session.flush()
        answer = vault.seal(said.encode(), place="attempt:dlv_1:1:answer")
        session.add(Attempt(delivery_id="dlv_1", number=1, at=NOW, latency_ms=1, answer=answer))

    file = file_of(desk)

    (tried,) = file["evidence"]["deliveries"]
    assert tried["answer"] == said.replace(PHONE, "********67")
    assert verify_file(orjson.dumps(file)).transitions == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4791234567", "********67"),
        ("tel:+47 912 34 567!", "tel:************67!"),
        ("(+47) 912-34-567", "(*************67"),
        ("nr4791234567x", "nr********67x"),
        ("1234567", "1234567"),
        ("on 2026-11-22 at 10:00", "on 2026-11-22 at 10:00"),
        ("200 OK", "200 OK"),
        ("", ""),
    ],
)
def test_mask_of_a_text_leaves_two_digits_of_each_long_number(text: str, shown: str) -> None:
    """However a stranger writes a phone number, it is not shown; days and statuses are."""
    assert mask_text(text) == shown


def test_evidence_of_an_erased_body_keeps_its_hash(database: Database) -> None:
    """Erasing a person leaves the chain whole: the body is gone, its hash is not."""
    desk, _ = a_pushed_desk(database)
    with desk.context.database.transaction() as session:
        session.execute(sa.update(StoredVippsEvent).values(raw=b""))

    file = file_of(desk)

    assert [event["body"] for event in file["evidence"]["vippsEvents"]] == [None]
    assert verify_file(orjson.dumps(file)).transitions == 2


def test_mask_leaves_two_digits_of_each_number_in_any_spelling() -> None:
    """However a body writes it, a phone number is not shown."""
    body = {
        "phoneNumber": 4791234567,
        "customer": [{"phone_number": "+47 912 34 567"}],
        "MobileNumber": {"phone": "12"},
        "phone_number_verified": True,
        "phone": None,
        "kid": "1234566",
    }

    assert mask(body) == {
        "phoneNumber": "********67",
        "customer": [{"phone_number": "************67"}],
        "MobileNumber": {"phone": "12"},
        "phone_number_verified": True,
        "phone": None,
        "kid": "1234566",
    }


@ONLY_SQLITE
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_evidence_file_with_any_byte_changed_is_refused(
    database: Database, data: st.DataObject, whole: dict[str, bytes]
) -> None:
    """Not one byte of what I was given can be another."""
    if not whole:
        whole["file"] = orjson.dumps(a_file(database))
    raw = bytearray(whole["file"])
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(EvidenceBroken):
        verify_file(bytes(raw))


@pytest.fixture
def whole() -> dict[str, bytes]:
    """Keep one file for all examples of a test."""
    return {}


def test_evidence_file_of_another_key_is_refused(database: Database) -> None:
    """Who knows the service's key is not fooled by a file that is only whole."""
    raw = signed(a_file(database)["evidence"])

    assert verify_file(raw).public_key == public_key_text(KEY)
    with pytest.raises(EvidenceBroken, match="signed with another key"):
        verify_file(raw, public_key=public_key_text(Ed25519PrivateKey.generate()))


def _drop_row(evidence: dict[str, Any]) -> None:
    del evidence["transitions"][1]


def _cut_off(evidence: dict[str, Any]) -> None:
    del evidence["transitions"][-1]


def _change_row(evidence: dict[str, Any]) -> None:
    evidence["transitions"][1]["amount_minor"] = 1


def _other_body(evidence: dict[str, Any]) -> None:
    evidence["vippsEvents"][0]["bodySha256"] = "00" * 32


def _drop_body(evidence: dict[str, Any]) -> None:
    evidence["vippsEvents"] = []


def _other_state(evidence: dict[str, Any]) -> None:
    evidence["invoice"]["state"] = "refunded"


def _other_format(evidence: dict[str, Any]) -> None:
    evidence["format"] = "betalbar-evidence-9"


def _other_headers(evidence: dict[str, Any]) -> None:
    evidence["vippsEvents"][0]["headers"] = [["x-ms-content-sha256", "AAAA"]]


def _no_history(evidence: dict[str, Any]) -> None:
    del evidence["transitions"]


def _no_instant(evidence: dict[str, Any]) -> None:
    evidence["transitions"][0]["occurred_at"] = "yesterday"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_drop_row, "transition 2 is missing"),
        (_cut_off, "does not lead to the invoice"),
        (_change_row, "transition 2 was changed"),
        (_other_body, "transition 2 is not what its Vipps event says"),
        (_drop_body, "transition 2 is not what its Vipps event says"),
        (_other_headers, "are of another body"),
        (_other_state, "does not lead to the invoice"),
        (_other_format, "not of the format"),
        (_no_history, "not evidence of this service"),
        (_no_instant, "not evidence of this service"),
    ],
)
@ONLY_SQLITE
def test_evidence_that_contradicts_itself_is_refused_although_signed(
    database: Database, change: Change, said: str
) -> None:
    """A signature over a history that does not hold together proves nothing."""
    evidence = a_file(database)["evidence"]
    change(evidence)

    with pytest.raises(EvidenceBroken, match=said):
        verify_file(signed(evidence))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"evidence": {}, "signature": {}}',
        b'{"evidence": {}, "signature": {"value": 1, "publicKey": "x"}}',
        b'{"evidence": {}, "signature": {"value": "@", "publicKey": "x"}}',
        b'{"evidence": [], "signature": {"value": "", "publicKey": "", "algorithm": "ed25519"}}',
        b'{"evidence": {}, "signature": {"value": "", "publicKey": 1, "algorithm": "ed25519"}}',
        b'{"evidence": {}, "evidence": {}, "signature": {"value": "", "publicKey": ""}}',
    ],
)
def test_evidence_of_another_shape_is_no_evidence(raw: bytes) -> None:
    """Whatever file I was sent by mistake, I am told that it is none."""
    with pytest.raises(EvidenceBroken, match="not an evidence file"):
        verify_file(raw)


@pytest.mark.parametrize("key", ["whpk_", "whpk_AAAA", "another"])
def test_evidence_with_a_key_that_is_none_is_refused(key: str) -> None:
    """A key that can't be read signs nothing."""
    signature = {"algorithm": "ed25519", "publicKey": key, "value": ""}

    with pytest.raises(EvidenceBroken, match="changed after it was signed"):
        verify_file(orjson.dumps({"evidence": {}, "signature": signature}))


def test_evidence_is_the_same_when_it_is_read_again(database: Database) -> None:
    """What is signed does not depend on how a number or an order came out of a database."""
    file = a_file(database)
    again = orjson.loads(orjson.dumps(file))

    assert canonical(again["evidence"]) == canonical(file["evidence"])
    assert b'"score":0.1' in canonical(file["evidence"])


def test_evidence_of_an_invoice_that_nobody_touched_is_whole(database: Database) -> None:
    """Also the shortest history can be proven."""
    desk = a_desk(database)
    desk.create()

    assert verify_file(orjson.dumps(file_of(desk))).transitions == 1

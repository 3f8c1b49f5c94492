"""What a refusal says, word for word: it is all that whoever mends it reads, in log and console."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.webhooks.builders import (
    DATE,
    HASH,
    NOW,
    SECRET,
    a_signed_request,
    an_event_body,
    with_authorization,
    with_header,
)
from webhooks import retry, standard, strict_json, targets, vipps, vipps_event
from webhooks.errors import (
    ContentMismatch,
    ForbiddenTarget,
    MalformedEvent,
    MalformedHeader,
    MissingHeader,
    SignatureMismatch,
    StaleTimestamp,
    VerificationError,
)

LAN = (ip_network("10.0.0.0/8"),)
LOOPBACK = (ip_network("127.0.0.0/8"),)
OURS = standard.new_secret(bytes(32))
SEED = Ed25519PrivateKey.from_private_bytes(bytes(32))
ALIEN = standard.private_key_text(SEED)[:-8] + "AAAAAA=="

NOT_ABSOLUTE = "the URL is not an absolute https URL"
NOT_USUAL = "the URL's host or port is not in a usual form"
NEITHER = "the URL's host is neither a name nor an address"
ODD_ADDRESS = "the host is not an address in its usual form"
ODD_CHARACTER = "the URL has a character other than visible ASCII, or a backslash"
HTTPS_ONLY = "only https on port 443 or from 1024 is open to deliveries"
INSIDE = "the address is private, reserved or hides another"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://shop.example/" + "a" * 2028, "the URL has more than 2048 characters"),
        ("https://shop.example/ø", ODD_CHARACTER),
        ("https://shop.example\\@evil.example/", ODD_CHARACTER),
        ("https://shop.example/#a", "the URL has a fragment"),
        ("shop.example", NOT_ABSOLUTE),
        ("ftp://shop.example/", NOT_ABSOLUTE),
        ("https://kari@shop.example/", "the URL names a user"),
        ("https://shop.example:443:443/", NOT_USUAL),
        ("https://:443/", NOT_USUAL),
        ("https://shop.example:0/", "the URL's port is not from 1 to 65535"),
        ("https://shop.example:65536/", "the URL's port is not from 1 to 65535"),
        ("https://[2606:4700::1%25eth0]/", "the address has a zone"),
        ("https://-shop.example/", NEITHER),
        ("https://127.1/", ODD_ADDRESS),
        ("https://[shop.example]/", ODD_ADDRESS),
        ("https://localhost/", "localhost is not open to deliveries"),
        ("http://shop.example/", HTTPS_ONLY),
        ("https://shop.example:1023/", HTTPS_ONLY),
        ("https://10.0.0.1/", INSIDE),
    ],
)
def test_url_that_is_refused_says_which_rule_it_breaks(url: str, reason: str) -> None:
    """A developer reads in the answer to the request what to change."""
    with pytest.raises(ForbiddenTarget) as caught:
        targets.check_url(url)

    assert caught.value.reason == str(caught.value) == reason


def test_address_that_is_refused_says_which_rule_it_breaks() -> None:
    """The log of a delivery tells a name without addresses from one that leads inside."""
    with pytest.raises(ForbiddenTarget) as nowhere:
        targets.vet([])
    with pytest.raises(ForbiddenTarget) as inside:
        targets.vet(["8.8.8.8", "10.0.0.1"])
    with pytest.raises(ForbiddenTarget) as outside:
        targets.vet_for(targets.check_url("http://erp.lan/", allow=LAN), ["8.8.8.8"], allow=LAN)

    assert nowhere.value.reason == "the name has no address"
    assert inside.value.reason == INSIDE
    assert outside.value.reason == "only https on port 443 or from 1024 is open to this address"


@pytest.mark.parametrize("port", [1, 65535])
def test_every_port_is_open_where_the_operator_allows(port: int) -> None:
    """At home also the first and the last port may be listened on."""
    assert targets.check_url(f"http://127.0.0.1:{port}/", allow=LOOPBACK).port == port


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        (with_authorization(a_signed_request(), None), "authorization is absent"),
        (with_header(a_signed_request(), DATE, None), "x-ms-date is absent"),
        (with_header(a_signed_request(), HASH, None), "x-ms-content-sha256 is absent"),
        (with_authorization(a_signed_request(), b"Bearer x"), "authorization is not HMAC-SHA256"),
        (with_header(a_signed_request(), DATE, b"now"), "x-ms-date is not an IMF-fixdate"),
        (
            with_header(a_signed_request(), b"content-encoding", b"gzip"),
            "content-encoding is not identity",
        ),
        (
            with_header(with_header(a_signed_request(), DATE, b"a"), b"X-Ms-Date", b"b"),
            "x-ms-date is there more than once",
        ),
    ],
)
def test_webhook_of_vipps_that_is_refused_says_which_header(
    request_: vipps.SignedRequest, detail: str
) -> None:
    """An operator reads in the log which header a proxy took away or rewrote."""
    with pytest.raises(VerificationError) as caught:
        vipps.verify(request_, [SECRET], NOW)

    assert str(caught.value) == detail


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"webhook-id": "a.b"}, "webhook-id has another form than ours"),
        ({"webhook-timestamp": "now"}, "webhook-timestamp is not a number of seconds"),
        ({"webhook-id": None}, "webhook-id is absent"),
        ({"webhook-signature": None}, "webhook-signature is absent"),
    ],
)
def test_attempt_that_a_receiver_refuses_says_which_header(
    changed: dict[str, str | None], detail: str
) -> None:
    """Whoever receives with our verifier reads what is wrong with what arrived."""
    sent = standard.sign(webhook_id="evt_1", at=NOW, body=b"{}", secrets=[OURS])
    headers = {name: value for name, value in (sent | changed).items() if value is not None}

    with pytest.raises(VerificationError) as caught:
        standard.verify(headers, b"{}", keys=[OURS], now=NOW)

    assert str(caught.value) == detail


NO_FORM, NO_TEXT = "not in the form Vipps documents", "not a text"
NO_TIME = "not an RFC 3339 time with an offset"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"msn": 123456}, f"msn: {NO_TEXT}"),
        ({"msn": "123"}, f"msn: {NO_FORM}"),
        ({"reference": "a\nb"}, f"reference: {NO_FORM}"),
        ({"pspReference": None}, f"pspReference: {NO_TEXT}"),
        ({"amount": 49900}, "amount: not an object"),
        ({"amount": {"value": "1", "currency": "NOK"}}, "amount.value: not an integer"),
        ({"amount": {"value": -1, "currency": "NOK"}}, "amount.value: not from 0 to 1000000000"),
        ({"amount": {"value": 1, "currency": "nok"}}, f"amount.currency: {NO_FORM}"),
        ({"amount": {"value": 1}}, f"amount.currency: {NO_TEXT}"),
        ({"timestamp": 1}, f"timestamp: {NO_TIME}"),
        ({"timestamp": "2026-11-22"}, f"timestamp: {NO_TIME}"),
        ({"captureGuaranteedUntil": "soon"}, f"captureGuaranteedUntil: {NO_TIME}"),
        ({"success": "true"}, "success: not true or false"),
        ({"idempotencyKey": 1}, f"idempotencyKey: {NO_TEXT}"),
        ({"sub": "a\0"}, f"sub: {NO_FORM}"),
        ({"userDetails": "Kari"}, "userDetails: not an object"),
        (
            {"pspReference": ..., "agreementId": "agr_1"},
            "body: an event of another Vipps API",
        ),
    ],
)
def test_event_that_is_malformed_says_where_and_why(
    changes: dict[str, object], detail: str
) -> None:
    """The clerk who looks at a stored fault sees the member and the rule."""
    with pytest.raises(MalformedEvent) as caught:
        vipps_event.parse(an_event_body(**changes))

    assert str(caught.value) == detail


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"a":1, "a":2}', "body: a member is named twice"),
        (b"[" * 17 + b"]" * 17, "body: nested deeper than 16 levels"),
        (b" " * 65_537, "body: larger than 64 KiB"),
    ],
)
def test_json_of_two_meanings_says_what_is_doubtful(body: bytes, detail: str) -> None:
    """Whoever sends JSON that two readers could read differently is told in what."""
    with pytest.raises(MalformedEvent) as caught:
        strict_json.loads(body)

    assert str(caught.value) == detail


def test_entry_that_is_malformed_is_called_an_entry() -> None:
    """A fault in the log is not looked for in a webhook."""
    with pytest.raises(MalformedEvent) as caught:
        vipps_event.parse_log_entry([], msn="123456")

    assert str(caught.value) == "entry: not an object"


@pytest.mark.parametrize(
    ("mistaken", "detail"),
    [
        (lambda: retry.next_attempt_at(0, NOW, jitter=0), "attempt counts the tries made, from 1"),
        (
            lambda: retry.backoff_s(0, jitter=0, base_s=1, cap_s=1),
            "attempt counts the tries made, from 1",
        ),
        (lambda: retry.next_attempt_at(1, NOW, jitter=2), "jitter is from -1 to 1"),
        (lambda: vipps.authority_and_path("/hooks"), "not an absolute http or https URL"),
        (
            lambda: standard.sign(webhook_id="a.b", at=NOW, body=b"", secrets=[OURS]),
            "a webhook id is 1 to 128 of A-Z, a-z, 0-9, _ and -",
        ),
        (
            lambda: standard.sign(webhook_id="a", at=NOW, body=b"", secrets=[]),
            "a webhook without a signature must not be sent",
        ),
        (lambda: standard.new_secret(b""), "a secret has 24 to 64 bytes"),
        (lambda: standard.private_key_from_text(OURS), "a key of this kind starts with whsk_"),
        (lambda: standard.public_key_from_text("whpk_!"), "what follows whpk_ is not base64"),
        (
            lambda: standard.private_key_from_text(ALIEN),
            "the public half of the key is another key's",
        ),
    ],
)
def test_mistake_of_our_own_says_what_is_asked_for(
    mistaken: Callable[[], object], detail: str
) -> None:
    """Whoever calls a part wrongly, or keeps a damaged key, reads the rule."""
    with pytest.raises(ValueError) as caught:
        mistaken()

    assert str(caught.value) == detail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MissingHeader, "A header that the signature needs is absent."),
        (MalformedHeader, "A header has a form that the sender never uses."),
        (StaleTimestamp, "The request was signed too far from now."),
        (ContentMismatch, "The body is not the one whose hash was sent."),
        (SignatureMismatch, "No known secret made this signature."),
    ],
)
def test_refusal_without_words_of_its_own_says_what_its_kind_is(
    error: type[VerificationError], said: str
) -> None:
    """One sentence of its documentation, and nothing of what follows it; its own words win."""
    longer = type("Longer", (error,), {"__doc__": f"{said}\n\nAnd why."})

    assert str(error()) == said
    assert str(longer()) == said
    assert str(error("its own")) == "its own"

"""Any Standard Webhooks library verifies what we send; nothing else passes for ours."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.webhooks import vectors
from webhooks import standard
from webhooks.errors import (
    MalformedHeader,
    MissingHeader,
    SignatureMismatch,
    StaleTimestamp,
    VerificationError,
)

NOW = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
SECRET = standard.new_secret(bytes(range(32)))
OLD_SECRET = standard.new_secret(bytes(24))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = standard.public_key_text(KEY)
BODY = '{"id":"evt_01JD","data":{"name":"Åse"}}'.encode()


def signed(
    body: bytes = BODY,
    *,
    at: datetime = NOW,
    secrets: tuple[str, ...] = (SECRET,),
    signing_keys: tuple[Ed25519PrivateKey, ...] = (),
) -> dict[str, str]:
    """Return the headers of one attempt."""
    return standard.sign(
        webhook_id="evt_01JD", at=at, body=body, secrets=secrets, signing_keys=signing_keys
    )


def refused(headers: dict[str, str], body: bytes = BODY) -> type[VerificationError]:
    """Return why a receiver with our current keys refuses the attempt."""
    with pytest.raises(VerificationError) as caught:
        standard.verify(headers, body, keys=[SECRET, PUBLIC], now=NOW)
    return caught.type


def with_a_foreign_character(headers: dict[str, str]) -> str:
    """Return the signature with a character inside that lenient readers of base64 leave out."""
    signature = headers["webhook-signature"]
    return f"{signature[:9]}!{signature[9:]}"


def test_sign_makes_the_published_signatures() -> None:
    """Both published vectors come out byte for byte, in one header."""
    headers = standard.sign(
        webhook_id=vectors.STANDARD_ID,
        at=vectors.STANDARD_AT,
        body=vectors.STANDARD_BODY,
        secrets=[vectors.STANDARD_SECRET],
        signing_keys=[standard.private_key_from_text(vectors.STANDARD_PRIVATE)],
    )

    assert headers == {
        "webhook-id": vectors.STANDARD_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"{vectors.STANDARD_V1} {vectors.STANDARD_V1A}",
    }


@pytest.mark.parametrize(
    ("signature", "key"),
    [
        (vectors.STANDARD_V1, vectors.STANDARD_SECRET),
        (vectors.STANDARD_V1A, vectors.STANDARD_PUBLIC),
    ],
)
def test_verify_accepts_the_published_signatures(signature: str, key: str) -> None:
    """Our own receiver agrees with everybody else's."""
    headers = {
        "Webhook-Id": vectors.STANDARD_ID,
        "Webhook-Timestamp": "1614265330",
        "Webhook-Signature": signature,
    }

    webhook_id = standard.verify(
        headers, vectors.STANDARD_BODY, keys=[key], now=vectors.STANDARD_AT
    )

    assert webhook_id == vectors.STANDARD_ID


def test_keys_are_written_as_published() -> None:
    """A subscriber's library reads the keys that we show."""
    key = standard.private_key_from_text(vectors.STANDARD_PRIVATE)

    assert standard.private_key_text(key) == vectors.STANDARD_PRIVATE
    assert standard.public_key_text(key) == vectors.STANDARD_PUBLIC


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_official_library_verifies_each_secret_during_rotation(secret: str) -> None:
    """While a secret is rotated, receivers with the old and with the new one both accept."""
    # The official verifier reads the clock itself, so this attempt is signed now.
    headers = signed(at=datetime.now(UTC), secrets=(SECRET, OLD_SECRET), signing_keys=(KEY, KEY))

    payload = standardwebhooks.Webhook(secret).verify(BODY, headers)

    assert payload == {"id": "evt_01JD", "data": {"name": "Åse"}}


def test_official_library_refuses_a_changed_body() -> None:
    """The check above can fail."""
    headers = signed(at=datetime.now(UTC))

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(BODY.replace(b"01JD", b"01JE"), headers)


def test_sign_lists_secrets_then_keys_in_the_order_given() -> None:
    """One header carries a v1 for each secret and then a v1a for each key."""
    other = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)

    both = signed(secrets=(SECRET, OLD_SECRET), signing_keys=(KEY, other))

    alone = [
        signed(secrets=(SECRET,)),
        signed(secrets=(OLD_SECRET,)),
        signed(secrets=(), signing_keys=(KEY,)),
        signed(secrets=(), signing_keys=(other,)),
    ]
    assert both["webhook-signature"].split(" ") == [one["webhook-signature"] for one in alone]
    assert [s.partition(",")[0] for s in both["webhook-signature"].split(" ")] == [
        "v1",
        "v1",
        "v1a",
        "v1a",
    ]


def test_sign_again_later_keeps_the_id_and_changes_the_rest() -> None:
    """A retry is the same event with a fresh signature."""
    first, second = signed(), signed(at=NOW + timedelta(seconds=5))

    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("webhook_id", ["", "evt.1", "evt 1", "evt\n1", "é", "x" * 129])
def test_sign_refuses_an_id_that_could_be_split(webhook_id: str) -> None:
    """An id with a full stop could lend its signature to another body."""
    with pytest.raises(ValueError, match="webhook id"):
        standard.sign(webhook_id=webhook_id, at=NOW, body=BODY, secrets=[SECRET])


def test_sign_without_keys_is_refused() -> None:
    """Nothing leaves unsigned."""
    with pytest.raises(ValueError, match="without a signature"):
        signed(secrets=())


@pytest.mark.parametrize(
    "secret",
    [
        "",
        SECRET.removeprefix("whsec_"),
        SECRET.replace("whsec_", "whsk_"),
        "whsec_",
        "whsec_AAAA",
        "whsec_not base64!",
        f"{SECRET[:9]}!{SECRET[9:]}",
        "whsec_" + "å" * 40,
        SECRET[:-2],
    ],
)
def test_sign_with_a_broken_secret_is_refused_without_showing_it(secret: str) -> None:
    """A damaged secret is told at once, and its text stays out of the log."""
    with pytest.raises(ValueError, match=r"whsec_|bytes") as caught:
        signed(secrets=(secret,))

    assert len(secret) < 7 or secret.removeprefix("whsec_") not in str(caught.value)


@pytest.mark.parametrize("length", [24, 32, 64])
def test_new_secret_of_allowed_length_signs(length: int) -> None:
    """24 to 64 random bytes make a secret."""
    secret = standard.new_secret(bytes(length))

    headers = signed(secrets=(secret,))

    assert standard.verify(headers, BODY, keys=[secret], now=NOW) == "evt_01JD"


@pytest.mark.parametrize("length", [0, 23, 65])
def test_new_secret_of_other_length_is_refused(length: int) -> None:
    """A secret that can be guessed, or that the specification forbids, is not made."""
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        standard.new_secret(bytes(length))


def test_private_key_is_read_with_and_without_its_public_half() -> None:
    """Both spellings of a signing key in use are read."""
    seed_only = "whsk_" + base64.b64encode(KEY.private_bytes_raw()).decode()

    for text in (seed_only, standard.private_key_text(KEY)):
        key = standard.private_key_from_text(text)

        assert key.private_bytes_raw() == KEY.private_bytes_raw()


@pytest.mark.parametrize(
    "text",
    [
        "whsk_" + base64.b64encode(bytes(64)).decode(),
        "whsk_" + base64.b64encode(bytes(31)).decode(),
        "whsk_" + base64.b64encode(bytes(33)).decode(),
        "whsk_!",
        PUBLIC,
        "",
    ],
)
def test_private_key_in_another_form_is_refused(text: str) -> None:
    """A damaged signing key is told at start."""
    with pytest.raises(ValueError, match=r"key|base64"):
        standard.private_key_from_text(text)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_verify_without_a_header_is_refused(name: str) -> None:
    """All three headers are needed."""
    headers = signed()
    del headers[name]

    assert refused(headers) is MissingHeader


@pytest.mark.parametrize("webhook_id", ["", "evt_01JD.1", "evt_01JÐ", "x" * 129])
def test_verify_id_in_another_form_is_malformed(webhook_id: str) -> None:
    """An id that we would never send is not ours."""
    assert refused(signed() | {"webhook-id": webhook_id}) is MalformedHeader


@pytest.mark.parametrize(
    "timestamp", ["", "x", "1.5", "-1", "+1", " 1", "1e9", "nan", "1" * 5000, "١٢٣", "1_000"]
)
def test_verify_timestamp_in_another_form_is_malformed(timestamp: str) -> None:
    """The time is a whole number of seconds."""
    assert refused(signed() | {"webhook-timestamp": timestamp}) is MalformedHeader


@pytest.mark.parametrize("offset_s", [-302, 302])
def test_verify_outside_the_window_is_stale(offset_s: int) -> None:
    """An old attempt cannot be replayed to a receiver."""
    assert refused(signed(at=NOW + timedelta(seconds=offset_s))) is StaleTimestamp


@pytest.mark.parametrize("offset_s", [-299, 299])
def test_verify_inside_the_window_passes(offset_s: int) -> None:
    """Five minutes of difference between two clocks are forgiven."""
    headers = signed(at=NOW + timedelta(seconds=offset_s))

    assert standard.verify(headers, BODY, keys=[SECRET], now=NOW) == "evt_01JD"


def test_verify_at_the_windows_edge_passes() -> None:
    """The fifth minute is inside, to the second."""
    headers = signed(at=NOW)

    for offset in (timedelta(minutes=-5), timedelta(minutes=5)):
        now = NOW.replace(microsecond=0) + offset
        assert standard.verify(headers, BODY, keys=[SECRET], now=now) == "evt_01JD"


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "evt_01JE"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1a,"},
        {"webhook-signature": "v1a,å"},
        {"webhook-signature": "v1a,AAAA"},
        {"webhook-signature": "v1,\ud800"},
        {"webhook-signature": f"v1,AAAA\t{signed()['webhook-signature']}"},
        {"webhook-signature": with_a_foreign_character(signed())},
        {"webhook-signature": with_a_foreign_character(signed(secrets=(), signing_keys=(KEY,)))},
        {"webhook-signature": signed()["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": signed()["webhook-signature"].replace("v1,", "v1a,")},
        {"webhook-signature": signed()["webhook-signature"][:-1]},
        {"webhook-signature": signed(secrets=(OLD_SECRET,))["webhook-signature"]},
        {"webhook-signature": signed(b"")["webhook-signature"]},
    ],
)
def test_verify_changed_header_is_refused(changed: dict[str, str]) -> None:
    """A receiver can trust id, time and body only together."""
    assert refused(signed() | changed) is SignatureMismatch


def test_verify_changed_body_is_refused() -> None:
    """A receiver notices a changed amount."""
    assert refused(signed(signing_keys=(KEY,)), BODY + b" ") is SignatureMismatch


def test_verify_signature_under_another_version_is_refused() -> None:
    """A signature counts only as the kind it says it is."""
    headers = signed(secrets=(), signing_keys=(KEY,))
    relabelled = headers["webhook-signature"].replace("v1a,", "v1,")

    assert standard.verify(headers, BODY, keys=[PUBLIC], now=NOW) == "evt_01JD"
    assert refused(headers | {"webhook-signature": relabelled}) is SignatureMismatch


def test_verify_without_keys_is_refused() -> None:
    """Who knows no key trusts nobody."""
    with pytest.raises(SignatureMismatch):
        standard.verify(signed(), BODY, keys=[], now=NOW)


@pytest.mark.parametrize("key", ["", "x", "whsk_AAAA", "whpk_AAAA", "whpk_!", "whsec_AAAA"])
def test_verify_with_a_broken_key_says_so(key: str) -> None:
    """A receiver's own mistake does not look like an attack."""
    with pytest.raises(ValueError):
        standard.verify(signed(), BODY, keys=[key], now=NOW)


@given(
    body=st.binary(),
    random_bytes=st.binary(min_size=24, max_size=64),
    seconds=st.integers(0, 2**33),
)
def test_verify_accepts_whatever_was_signed(body: bytes, random_bytes: bytes, seconds: int) -> None:
    """Any bytes may be sent, also such as are no text."""
    secret, at = standard.new_secret(random_bytes), datetime.fromtimestamp(seconds, UTC)

    headers = signed(body, at=at, secrets=(secret,), signing_keys=(KEY,))

    assert standard.verify(headers, body, keys=[secret], now=at) == "evt_01JD"
    assert standard.verify(headers, body, keys=[PUBLIC], now=at) == "evt_01JD"


ODD_TEXT = st.text() | st.sampled_from(list(signed(signing_keys=(KEY,)).values()))


@given(
    headers=st.dictionaries(st.sampled_from([*signed()]) | st.text(), ODD_TEXT),
    body=st.binary(),
)
def test_verify_random_headers_raises_only_our_family(headers: dict[str, str], body: bytes) -> None:
    """A receiver that uses our verifier cannot be crashed."""
    with pytest.raises(VerificationError):
        standard.verify(headers, body, keys=[SECRET, PUBLIC], now=NOW)

"""Only what Vipps signed for our registered address gets in: one test per way to be wrong."""

import base64
import hashlib
import hmac
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webhooks.builders import (
    AUTHORIZATION,
    COPY,
    DATE,
    HASH,
    HOST,
    NOW,
    OTHER_SECRET,
    PATH,
    SECRET,
    a_signed_request,
    an_event_body,
    header,
    with_authorization,
    with_header,
)
from webhooks import vipps
from webhooks.errors import (
    ContentMismatch,
    MalformedHeader,
    MissingHeader,
    SignatureMismatch,
    StaleTimestamp,
    VerificationError,
)
from webhooks.vipps import SignedRequest

START = b"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="


def resigned(request: SignedRequest, *, key: bytes, signed_headers: str) -> SignedRequest:
    """Return the request signed with that key over that list of headers, as one could try."""
    values = {
        "x-ms-date": header(request, DATE).decode(),
        "host": request.host,
        "x-ms-content-sha256": header(request, HASH).decode(),
    }
    listed = ";".join(values.get(name, "") for name in signed_headers.split(";"))
    text = f"{request.method}\n{request.path_and_query}\n{listed}".encode()
    signature = base64.b64encode(hmac.digest(key, text, "sha256")).decode()
    value = f"HMAC-SHA256 SignedHeaders={signed_headers}&Signature={signature}"
    return with_authorization(request, value.encode())


class Jealous(bytes):
    """Bytes that may be compared by `compare_digest` only."""

    __hash__ = bytes.__hash__

    def __eq__(self, _other: object) -> bool:
        raise AssertionError("compared with ==, which takes as long as the beginnings agree")

    __ne__ = __eq__


def refused(request: SignedRequest) -> type[VerificationError]:
    """Return why the request is refused."""
    with pytest.raises(VerificationError) as caught:
        vipps.verify(request, [SECRET], NOW)
    return caught.type


def respelled(encoded: bytes) -> bytes:
    """Return another base64 text of the same 32 bytes; their last digit has two idle bits."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = encoded[:-2] + bytes([alphabet[alphabet.index(encoded[-2]) ^ 1]]) + b"="
    assert base64.b64decode(twin, validate=True) == base64.b64decode(encoded)
    return twin


def test_verify_genuine_request_returns_the_secrets_index() -> None:
    """While two registrations overlap, either secret opens the door and we know which."""
    request = a_signed_request()

    assert vipps.verify(request, [SECRET], NOW) == 0
    assert vipps.verify(request, [OTHER_SECRET, SECRET], NOW) == 1
    assert vipps.verify(request, [SECRET, SECRET], NOW) == 0


def test_verify_compares_nothing_secret_with_equals() -> None:
    """How long a refusal takes tells nobody how much of a signature was right (T19)."""
    request = a_signed_request()
    for name in (AUTHORIZATION, COPY, HASH):
        request = with_header(request, name, Jealous(header(request, name)))

    assert vipps.verify(request, [OTHER_SECRET, SECRET], NOW) == 1
    assert refused(with_header(request, HASH, Jealous(b"A" * 44))) is ContentMismatch


def test_verify_another_secret_is_refused() -> None:
    """Another shop's secret proves nothing to us."""
    request = a_signed_request(secret=OTHER_SECRET)

    assert refused(request) is SignatureMismatch


def test_verify_without_secrets_is_refused() -> None:
    """A sales unit that has no secret yet accepts nothing, not even what an empty one signed."""
    request = a_signed_request(secret="")

    with pytest.raises(SignatureMismatch):
        vipps.verify(request, [], NOW)


def test_verify_base64_decoded_secret_is_refused() -> None:
    """The secret is used as text, although it looks like base64."""
    request = resigned(
        a_signed_request(),
        key=base64.b64decode(SECRET),
        signed_headers="x-ms-date;host;x-ms-content-sha256",
    )

    assert refused(request) is SignatureMismatch


def test_verify_resigned_with_the_true_key_passes() -> None:
    """The attacks below fail for their own reason, not for a fault of the helper."""
    request = resigned(
        a_signed_request(),
        key=SECRET.encode(),
        signed_headers="x-ms-date;host;x-ms-content-sha256",
    )

    assert vipps.verify(request, [SECRET], NOW) == 0


NAMES = ("x-ms-date", "host", "x-ms-content-sha256")
OTHER_LISTS = [
    ";".join(chosen)
    for size in range(5)
    for chosen in itertools.permutations((*NAMES, "content-type"), size)
    if chosen != NAMES
]


@pytest.mark.parametrize("signed_headers", [*OTHER_LISTS, "X-Ms-Date;Host;X-Ms-Content-Sha256"])
def test_signed_headers_in_any_other_list_are_refused(signed_headers: str) -> None:
    """A signature that covers less, more or in another order is not Vipps's, even with the key."""
    request = resigned(a_signed_request(), key=SECRET.encode(), signed_headers=signed_headers)

    assert refused(request) is SignatureMismatch


@pytest.mark.parametrize(
    "changed",
    [
        replace(a_signed_request(), method="PUT"),
        replace(a_signed_request(), method="post"),
        replace(a_signed_request(), host="pay.example:443"),
        replace(a_signed_request(), host="pay.example."),
        replace(a_signed_request(), host="PAY.EXAMPLE"),
        replace(a_signed_request(), host="evil.example"),
        replace(a_signed_request(), path_and_query=PATH + "/"),
        replace(a_signed_request(), path_and_query=PATH + "?"),
        replace(a_signed_request(), path_and_query="/" + PATH),
        replace(a_signed_request(), path_and_query="/webhooks/vipps/%3123456"),
        replace(a_signed_request(), path_and_query="/webhooks/vipps/123457"),
    ],
)
def test_verify_another_address_is_refused(changed: SignedRequest) -> None:
    """What was signed for one registered address opens no other, however alike it looks."""
    assert refused(changed) is SignatureMismatch


@pytest.mark.parametrize("host", [b"evil.example", b"", b"\xff"])
def test_verify_ignores_the_received_host(host: bytes) -> None:
    """A proxy may rewrite Host; what counts is the address we registered."""
    request = with_header(a_signed_request(), b"host", host)

    assert vipps.verify(request, [SECRET], NOW) == 0


@pytest.mark.parametrize("name", [DATE, HASH])
def test_verify_without_a_needed_header_is_refused(name: bytes) -> None:
    """A header that the signature covers cannot be left out."""
    request = with_header(a_signed_request(), name, None)

    assert refused(request) is MissingHeader


def test_verify_without_any_authorization_is_refused() -> None:
    """Who does not sign is a stranger."""
    request = with_authorization(a_signed_request(), None)

    assert refused(request) is MissingHeader


@pytest.mark.parametrize("name", [AUTHORIZATION, COPY])
def test_verify_one_of_the_two_authorizations_is_enough(name: bytes) -> None:
    """Servers that strip Authorization still work, thanks to Vipps's copy of it."""
    request = with_header(a_signed_request(), name, None)

    assert vipps.verify(request, [SECRET], NOW) == 0


@pytest.mark.parametrize("value", [b"", b"Basic dXNlcjpwYXNz", b"Bearer x", b"hmac-sha256 x"])
def test_verify_foreign_authorization_falls_back_to_the_copy(value: bytes) -> None:
    """A proxy that logs in to us with a scheme of its own does not stop webhooks."""
    request = with_header(a_signed_request(), AUTHORIZATION, value)

    assert vipps.verify(request, [SECRET], NOW) == 0


def test_verify_wrong_signature_is_not_saved_by_a_right_copy() -> None:
    """Only one header is believed, so that the two cannot be played against each other."""
    request = with_header(a_signed_request(), AUTHORIZATION, START + b"x" * 44)

    assert refused(request) is SignatureMismatch


@pytest.mark.parametrize(
    "value",
    [
        b"Basic dXNlcjpwYXNz",
        b"hmac-sha256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=",
        b"HMAC-SHA256",
        b"HMAC-SHA512 SignedHeaders=x",
        b"",
        b"\xff\xfe",
    ],
)
def test_verify_other_scheme_is_malformed(value: bytes) -> None:
    """There is one scheme, spelled one way."""
    request = with_authorization(a_signed_request(), value)

    assert refused(request) is MalformedHeader


@pytest.mark.parametrize("name", [AUTHORIZATION, COPY, DATE, HASH, b"content-encoding"])
def test_verify_doubled_header_is_malformed(name: bytes) -> None:
    """Two values of one header leave it open which was meant, so neither is."""
    request = with_header(a_signed_request(), b"content-encoding", b"identity")
    doubled = replace(request, headers=[*request.headers, (name.title(), header(request, name))])

    assert refused(doubled) is MalformedHeader


def test_verify_mixed_case_header_names_pass() -> None:
    """Header names have no case, whatever the server does with them."""
    request = a_signed_request()
    shouted = replace(request, headers=[(name.upper(), value) for name, value in request.headers])

    assert vipps.verify(shouted, [SECRET], NOW) == 0


@pytest.mark.parametrize(
    "value",
    [
        START,
        header(a_signed_request(), AUTHORIZATION)[:-1],
        header(a_signed_request(), AUTHORIZATION) + b"=",
        header(a_signed_request(), AUTHORIZATION) + b" ",
        b"HMAC-SHA256  " + header(a_signed_request(), AUTHORIZATION)[12:],
        header(a_signed_request(), AUTHORIZATION).replace(b"Signature", b"signature"),
        header(a_signed_request(), AUTHORIZATION) + b"\xc3\xa6",
        START + b"\xff" * 44,
        START + b"A" * 65_536,
    ],
)
def test_verify_truncated_or_extended_signature_is_refused(value: bytes) -> None:
    """The header is right to the last byte or it is wrong, also when it is huge or not ASCII."""
    request = with_authorization(a_signed_request(), value)

    assert refused(request) is SignatureMismatch


def test_verify_other_spelling_of_the_same_signature_is_refused() -> None:
    """Base64 can spell the same bytes twice (YQ== and YR==); only the one that was sent counts."""
    genuine = header(a_signed_request(), AUTHORIZATION)

    request = with_authorization(a_signed_request(), genuine[:-44] + respelled(genuine[-44:]))

    assert refused(request) is SignatureMismatch


def test_verify_other_spelling_of_the_same_hash_is_refused() -> None:
    """The hash too is compared as it is written."""
    genuine = header(a_signed_request(), HASH)

    request = with_header(a_signed_request(), HASH, respelled(genuine))

    assert refused(request) is ContentMismatch


@pytest.mark.parametrize("value", [b"", b"x", b"\xff" * 44, b"A" * 65_536])
def test_verify_wrong_content_hash_is_refused(value: bytes) -> None:
    """A hash that is not the body's means that one of them was changed."""
    request = with_header(a_signed_request(), HASH, value)

    assert refused(request) is ContentMismatch


def test_verify_changed_body_is_refused() -> None:
    """An amount changed on the way is noticed."""
    request = a_signed_request()
    changed = replace(request, body=request.body.replace(b"49900", b"49901"))

    assert refused(changed) is ContentMismatch


def test_verify_changed_body_with_its_own_hash_is_refused() -> None:
    """Changing the hash along with the body does not help without the secret."""
    body = an_event_body(reference="acme-2026-000124")
    digest = base64.b64encode(hashlib.sha256(body).digest())

    request = with_header(replace(a_signed_request(), body=body), HASH, digest)

    assert refused(request) is SignatureMismatch


def test_verify_reserialised_body_is_refused() -> None:
    """The bytes count, not their meaning: a proxy that reformats JSON breaks the proof."""
    request = a_signed_request()
    changed = replace(request, body=request.body.replace(b",", b", "))

    assert refused(changed) is ContentMismatch


def test_verify_any_flipped_bit_is_refused() -> None:
    """No single bit of body, date, hash or signature can change unnoticed."""
    request = a_signed_request()
    body_bits = range(0, len(request.body) * 8, 7)
    flipped = [replace(request, body=flip(request.body, bit)) for bit in body_bits]
    for name in (DATE, HASH):
        value = header(request, name)
        flipped += [with_header(request, name, flip(value, b)) for b in range(len(value) * 8)]
    value = header(request, AUTHORIZATION)
    flipped += [with_authorization(request, flip(value, b)) for b in range(len(value) * 8)]

    reasons = {refused(changed) for changed in flipped}

    assert reasons <= {ContentMismatch, SignatureMismatch, MalformedHeader, StaleTimestamp}


def flip(value: bytes, bit: int) -> bytes:
    """Return the bytes with one bit turned."""
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("value", [b"gzip", b"br", b"identity, gzip", b"", b"\xff"])
def test_verify_coded_body_is_malformed(value: bytes) -> None:
    """Nothing is unpacked for a sender who is not proven."""
    request = with_header(a_signed_request(), b"content-encoding", value)

    assert refused(request) is MalformedHeader


def test_verify_identity_coding_passes() -> None:
    """Saying that nothing is coded changes nothing."""
    request = with_header(a_signed_request(), b"content-encoding", b"Identity")

    assert vipps.verify(request, [SECRET], NOW) == 0


HEADER_NAMES = st.sampled_from([AUTHORIZATION, COPY, DATE, HASH, b"content-encoding", b"\xff"])
GENUINE = st.sampled_from([value for _, value in a_signed_request().headers])


@given(
    headers=st.lists(st.tuples(HEADER_NAMES | st.binary(), GENUINE | st.binary()), max_size=8),
    body=st.just(an_event_body()) | st.binary(),
)
def test_verify_random_bytes_raises_only_our_family(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """Whatever a stranger sends is refused in an orderly way, never with a crash."""
    request = SignedRequest("POST", PATH, HOST, headers, body)

    try:
        matched = vipps.verify(request, [SECRET], NOW)
    except VerificationError as error:
        assert str(error)
    else:
        assert matched == 0 and body == an_event_body()


@given(body=st.binary(), secret=st.text(st.characters(codec="utf-8")))
def test_verify_signed_body_always_passes(body: bytes, secret: str) -> None:
    """What we sign for any body and any secret, we accept."""
    request = a_signed_request(body, secret=secret)

    assert vipps.verify(request, ["other", secret], NOW) == (1 if secret != "other" else 0)

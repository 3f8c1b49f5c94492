"""What would have to be otherwise for a refused webhook to be proven."""

from base64 import b64decode
from dataclasses import replace
from datetime import timedelta

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
    header,
    with_authorization,
    with_header,
)
from webhooks.diagnosis import TRIED_MAX, Known, diagnose
from webhooks.vipps import SignedRequest, authorization_for

KNOWN = Known((SECRET,), (OTHER_SECRET,), (("shop.example:8443", "/old/123456"),))


def signed_with(request: SignedRequest, key: bytes) -> SignedRequest:
    """Return the request with the same date and body hash, signed with these bytes."""
    date, body_hash = header(request, DATE), header(request, HASH)
    signature = authorization_for(request, key, date=date, body_hash=body_hash)
    return with_authorization(request, signature)


def test_proven_request_has_no_diagnosis() -> None:
    """What gets in needs no mending."""
    assert diagnose(a_signed_request(), KNOWN, NOW) == ()


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("shop.example:8443", PATH, ("host=shop.example:8443",)),
        (HOST, "/old/123456", ("path=/old/123456",)),
        ("shop.example:8443", "/old/123456", ("host=shop.example:8443", "path=/old/123456")),
        (HOST, f"{PATH}/", (f"path={PATH}/",)),
    ],
)
def test_diagnosis_of_another_address_names_what_was_signed(
    host: str, path: str, expected: tuple[str, ...]
) -> None:
    """BETALBAR_PUBLIC_URL and the registered URL differ: I am told how."""
    signed = signed_with(
        replace(a_signed_request(), host=host, path_and_query=path), SECRET.encode()
    )
    request = replace(signed, host=HOST, path_and_query=PATH)

    assert diagnose(request, KNOWN, NOW) == expected


def test_diagnosis_of_a_lost_slash_before_a_query_names_the_path() -> None:
    """A slash that a proxy took away is found, with the query where it was."""
    registered = replace(a_signed_request(), path_and_query="/hook/?shop=1")
    request = signed_with(replace(registered, path_and_query="/hook?shop=1"), SECRET.encode())

    found = diagnose(replace(request, path_and_query="/hook/?shop=1"), KNOWN, NOW)

    assert found == ("path=/hook?shop=1",)


def test_diagnosis_of_an_old_secret_says_so() -> None:
    """An old registration still delivers: it is to be deleted at Vipps."""
    assert diagnose(a_signed_request(secret=OTHER_SECRET), KNOWN, NOW) == ("retired_secret",)


def test_diagnosis_of_a_decoded_secret_says_so() -> None:
    """A sender that decodes the secret first makes another signature."""
    request = signed_with(a_signed_request(), b64decode(SECRET))

    assert diagnose(request, KNOWN, NOW) == ("decoded_secret",)


def test_diagnosis_with_a_secret_that_is_no_base64_goes_on() -> None:
    """Secrets need not be base64; those that are not can't have been decoded."""
    known = Known(("no base64!", SECRET))
    request = signed_with(a_signed_request(), b64decode(SECRET))

    assert diagnose(request, known, NOW) == ("decoded_secret",)


@pytest.mark.parametrize(("later_s", "expected"), [(612, "clock_s=+612"), (-301, "clock_s=-301")])
def test_diagnosis_of_a_wrong_clock_says_by_how_much(later_s: int, expected: str) -> None:
    """A signature that is right and old, or from the future, tells of a clock."""
    assert diagnose(a_signed_request(), KNOWN, NOW + timedelta(seconds=later_s)) == (expected,)


def test_diagnosis_at_the_windows_edge_blames_no_clock() -> None:
    """Five minutes are inside the window, so another cause stands alone."""
    request = a_signed_request(secret=OTHER_SECRET)

    assert diagnose(request, KNOWN, NOW + timedelta(seconds=300)) == ("retired_secret",)


def test_diagnosis_with_another_tolerance_asks_for_that() -> None:
    """An operator who has narrowed the window is told of a clock that runs within five minutes."""
    late = NOW + timedelta(seconds=11)

    assert diagnose(a_signed_request(), KNOWN, late, tolerance_s=10) == ("clock_s=+11",)
    assert diagnose(a_signed_request(), KNOWN, late, tolerance_s=11) == ()


@pytest.mark.parametrize("lost", [AUTHORIZATION, COPY])
def test_diagnosis_reads_either_header_of_the_signature(lost: bytes) -> None:
    """A proxy that keeps one of the two for itself hides nothing."""
    request = with_header(a_signed_request(secret=OTHER_SECRET), lost, None)

    assert diagnose(request, KNOWN, NOW) == ("retired_secret",)


def test_diagnosis_decodes_only_what_is_base64() -> None:
    """A secret with a foreign character in it was not decoded by leaving that out."""
    request = signed_with(a_signed_request(), b64decode(SECRET))

    assert diagnose(request, Known((f"{SECRET[:8]}!{SECRET[8:]}",)), NOW) == ("unknown_signature",)


def test_diagnosis_names_every_cause_at_once() -> None:
    """One round of mending is enough."""
    signed = signed_with(replace(a_signed_request(), host="shop.example:8443"), SECRET.encode())
    request = replace(signed, host=HOST, body=signed.body + b" ")

    found = diagnose(request, KNOWN, NOW + timedelta(hours=1))

    assert found == ("host=shop.example:8443", "clock_s=+3600", "body_rewritten")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (a_signed_request(secret="a stranger's"), "unknown_signature"),
        (with_header(a_signed_request(), DATE, None), "header_missing"),
        (with_header(a_signed_request(), DATE, b"yesterday"), "header_malformed"),
        (with_authorization(a_signed_request(), b"Bearer x"), "header_malformed"),
        (with_authorization(a_signed_request(), None), "header_missing"),
        (with_header(a_signed_request(), HASH, None), "header_missing"),
        (with_header(a_signed_request(), HASH, b"another"), "body_rewritten"),
        (with_header(a_signed_request(), b"content-encoding", b"gzip"), "header_malformed"),
    ],
)
def test_diagnosis_without_a_secret_of_ours_says_only_what_failed(
    request_: SignedRequest, expected: str
) -> None:
    """Of a stranger's request nothing is repeated."""
    assert diagnose(request_, KNOWN, NOW) == (expected,)


def test_diagnosis_of_a_strangers_old_request_says_only_that_it_is_old() -> None:
    """How old a stranger says it is proves nothing."""
    request = a_signed_request(secret="a stranger's")

    assert diagnose(request, KNOWN, NOW + timedelta(hours=1)) == ("clock",)


def test_diagnosis_tries_a_bounded_number_of_addresses() -> None:
    """A refused request costs a bounded number of signatures, whatever it says."""
    seen = [(f"{number}.example", PATH) for number in range(TRIED_MAX + 1)]
    signed = [signed_with(replace(a_signed_request(), host=h), SECRET.encode()) for h, _ in seen]
    known = Known((SECRET,), seen=seen)

    found = [diagnose(replace(request, host=HOST), known, NOW) for request in signed]

    assert found == [
        *((f"host={host}",) for host, _ in seen[:TRIED_MAX]),
        ("unknown_signature",),
    ]


@given(
    name=st.sampled_from([AUTHORIZATION, DATE, HASH]),
    value=st.binary(max_size=60),
    body=st.binary(),
)
def test_diagnosis_of_anything_at_all_never_raises(name: bytes, value: bytes, body: bytes) -> None:
    """Whatever a stranger sends, the log line is written."""
    request = replace(with_header(a_signed_request(), name, value), body=body)

    assert len(diagnose(request, KNOWN, NOW)) >= 1

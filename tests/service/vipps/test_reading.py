"""What Vipps tells of a payment, as checked values."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.vipps.reading import (
    PaymentState,
    UnreadableAnswer,
    read_log,
    read_payment,
    read_redirect_url,
)
from tests.service.vipps.builders import a_log_entry, a_payment

BASE = "https://api.vipps.no"
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_log_gives_each_entry_with_the_asked_sales_unit() -> None:
    """The log names no sales unit: it is that of the one that asked."""
    log = read_log({"items": [a_log_entry("CREATED"), a_log_entry()]}, "123456")

    assert [e.event.name for e in log.entries] == ["CREATED", "AUTHORIZED"]
    assert {e.event.msn for e in log.entries} == {"123456"}
    assert not log.malformed


def test_log_entry_is_the_same_bytes_however_it_is_ordered() -> None:
    """An entry read twice is stored as the same bytes."""
    entry = a_log_entry()
    turned = dict(reversed(entry.items()))

    log = read_log({"items": [entry, turned]}, "123456")

    assert log.entries[0].raw == log.entries[1].raw
    assert orjson.loads(log.entries[0].raw) == entry


def test_log_with_a_bad_entry_keeps_the_good_ones() -> None:
    """One entry that is none spoils no other, and is kept to be looked at."""
    bad = a_log_entry(amount={"currency": "NOK", "value": 200_000.0})

    log = read_log({"items": [a_log_entry(), bad, 7]}, "123456")

    assert len(log.entries) == 1
    assert [entry.reason for entry in log.malformed] == [
        "amount.value: not an integer",
        "entry: not an object",
    ]


@pytest.mark.parametrize("body", [{}, {"items": None}, {"items": {}}])
def test_log_that_is_no_list_is_unreadable(body: dict[str, object]) -> None:
    """Something else than a log is no empty log."""
    with pytest.raises(UnreadableAnswer):
        read_log(body, "123456")


def test_payment_gives_state_and_sums() -> None:
    """The sums are Vipps's own, in minor units."""
    snapshot = read_payment(a_payment(), BASE)

    assert snapshot.state is PaymentState.AUTHORIZED
    assert (snapshot.amount_minor, snapshot.currency) == (200_000, "NOK")
    assert snapshot.authorized_minor == 200_000
    assert (snapshot.captured_minor, snapshot.refunded_minor) == (50_000, 10_000)
    assert snapshot.cancelled_minor == 0
    assert snapshot.metadata_invoice_id == "inv_1"
    assert snapshot.capture_guaranteed_until == datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


def test_payment_of_another_shop_is_read_too() -> None:
    """What is optional at Vipps may be absent, null or of another kind."""
    body = a_payment(metadata=None, profile={}, captureGuaranteedUntil="soon", userDetails=[])
    del body["redirectUrl"]

    snapshot = read_payment(body, BASE)

    assert snapshot.metadata_invoice_id is None
    assert snapshot.sub is None
    assert snapshot.user_details is None
    assert snapshot.redirect_url is None
    assert snapshot.capture_guaranteed_until is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "PAID"),
        ("state", None),
        ("amount", {"currency": "NOK", "value": "200000"}),
        ("amount", {"currency": "NOK", "value": 200_000.0}),
        ("amount", {"currency": "NOK", "value": True}),
        ("amount", {"currency": "NOK", "value": -1}),
        ("amount", {"currency": "nok", "value": 1}),
        ("amount", {"currency": "DKK", "value": 200_000}),
        ("aggregate", None),
        ("aggregate", {}),
        ("pspReference", 1234567890),
        ("pspReference", "7" * 129),
        ("pspReference", "\U0001f9fe" * 64),
        ("reference", "a\x00b"),
    ],
)
def test_payment_with_odd_money_or_names_is_unreadable(field: str, value: object) -> None:
    """A sum of a wrong type or currency is never believed."""
    with pytest.raises(UnreadableAnswer):
        read_payment(a_payment(**{field: value}), BASE)


def test_payment_in_a_log_shows_no_personal_data() -> None:
    """Neither the customer nor the way to pay is in a log."""
    snapshot = read_payment(a_payment(userDetails={"mobileNumber": "4791234567"}), BASE)

    shown = repr(snapshot)

    assert not any(part in shown for part in ("4791234567", "c06c4afe", "abc123"))


@given(st.dictionaries(st.sampled_from(list(a_payment())), _JSON))
def test_payment_of_any_json_is_read_or_unreadable(changes: dict[str, object]) -> None:
    """However odd the answer, it is read or refused, and nothing else happens."""
    try:
        read_payment(a_payment(**changes), BASE)
    except UnreadableAnswer:
        return


@given(st.lists(_JSON))
def test_log_of_any_json_keeps_every_entry(items: list[object]) -> None:
    """Nothing of a log is lost, however odd."""
    log = read_log({"items": items}, "123456")

    assert len(log.entries) + len(log.malformed) == len(items)


@pytest.mark.parametrize(
    "url",
    [
        "https://landing.vipps.no?token=abc",
        "https://vipps.no/",
        "https://pay.mobilepay.dk/?token=a",
        "https://pay.mobilepay.fi/x",
        "https://pay.vipps.dk/x",
        "https://pay.vipps.fi/x",
        "https://landing.vippsmobilepay.com:443/x",
    ],
)
def test_redirect_to_vipps_is_taken(url: str) -> None:
    """The customer pays on Vipps's own pages, in all three countries."""
    assert read_redirect_url({"redirectUrl": url}, BASE) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://vipps.no.evil.example/",
        "https://evilvipps.no/",
        "https://vipps.no@evil.example/",
        "https://user:secret@landing.vipps.no/",
        "https://evil.example\\@landing.vipps.no/",
        "http://landing.vipps.no/",
        "https://landing.vipps.no:8443/",
        "https://landing.vipps.no:70000/",
        "https://landing.vipps.no\r\nSet-Cookie: a=b",
        "javascript:alert(1)//vipps.no",
        "vipps://token=abc",
        "//landing.vipps.no",
        "https://[::1",
        "https://",
        "",
        None,
        7,
        "https://api.vipps.no/" + "x" * 2028,
        'https://api.vipps.no/"',
    ],
)
def test_redirect_to_anywhere_else_counts_as_none(url: object) -> None:
    """Nobody who wants to pay is sent to a stranger."""
    assert read_redirect_url({"redirectUrl": url}, BASE) is None


def test_redirect_of_a_sandbox_is_on_its_own_address() -> None:
    """A sandbox's pages are its own, also without https; elsewhere they are no one's."""
    body = {"redirectUrl": "http://127.0.0.1:8080/landing?token=a"}

    assert read_redirect_url(body, "http://127.0.0.1:8080") is not None
    assert read_redirect_url(body, BASE) is None

"""What Vipps is asked for, and for how long."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.vipps.bodies import create_payment_body, payment_expires_at
from tests.service.vipps.builders import REFERENCE, a_request

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
DAY_S = 86_400

_INSTANTS = st.integers(0, 10**14).map(lambda us: NOW + timedelta(microseconds=us))


def test_body_of_a_push_is_exactly_the_contract() -> None:
    """Asking in the app sends the number, the expiry, a receipt and our own mark; nothing more."""
    request = a_request(expires_at=datetime(2026, 12, 1, 22, 59, tzinfo=UTC))

    body = create_payment_body(request)

    assert body == {
        "amount": {"currency": "NOK", "value": 200_000},
        "paymentMethod": {"type": "WALLET"},
        "reference": REFERENCE,
        "userFlow": "PUSH_MESSAGE",
        "customer": {"phoneNumber": "4791234567"},
        "expiresAt": "2026-12-01T22:59:00Z",
        "returnUrl": "https://pay.example.com/i/token?from=vipps",
        "paymentDescription": "Invoice 123",
        "metadata": {"betalbar": "inv_01JD0000000000000000000000"},
        "receipt": {
            "orderLines": [
                {
                    "name": "Invoice 123",
                    "id": REFERENCE,
                    "totalAmount": 200_000,
                    "totalAmountExcludingTax": 200_000,
                    "totalTaxAmount": 0,
                    "taxRate": 0,
                    "productUrl": "https://pay.example.com/i/token",
                }
            ],
            "bottomLine": {"currency": "NOK"},
        },
    }


def test_body_of_a_link_asks_to_share_only_when_told() -> None:
    """The customer is asked for the number only where it is not known with consent."""
    link = {"user_flow": "WEB_REDIRECT", "phone_number": None}

    asking = create_payment_body(a_request(**link, scope="phoneNumber"))
    plain = create_payment_body(a_request(**link))

    assert asking["profile"] == {"scope": "phoneNumber"}
    assert plain.keys().isdisjoint({"profile", "customer", "expiresAt"})


def test_body_with_the_merchants_lines_keeps_them_and_adds_the_page() -> None:
    """The merchant's lines are shown as they are; a line without a page links to the invoice."""
    line = {"name": "Socks", "id": "1", "totalAmount": 200_000, "taxRate": 2500}
    own = line | {"productUrl": "https://shop.example/socks"}

    body = create_payment_body(a_request(order_lines=(line, own)))

    receipt: Any = body["receipt"]
    assert receipt["orderLines"] == [
        line | {"productUrl": "https://pay.example.com/i/token"},
        own,
    ]


def test_body_never_carries_what_vipps_does_not_know() -> None:
    """A merchant's own data in a line stays with us."""
    line = {"name": "Socks", "id": "1", "totalAmount": 1, "metadata": {"erp": "4711"}}

    body = create_payment_body(a_request(order_lines=(line,)))

    assert "4711" not in str(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reference", "short"),
        ("reference", "acme_2026_000123"),
        ("amount_minor", 99),
        ("amount_minor", 65_000_001),
        ("currency", "SEK"),
        ("description", "ab"),
        ("description", "a" * 101),
        ("return_url", ""),
        ("return_url", "https://e.example/" + "a" * 2500),
        ("phone_number", None),
        ("phone_number", "+4791234567"),
        ("phone_number", "12345678"),
        ("scope", "phoneNumber"),
    ],
)
def test_request_beyond_a_limit_is_refused_and_named(field: str, value: object) -> None:
    """What Vipps would refuse is found before it is sent."""
    with pytest.raises(ValueError, match=field):
        a_request(**{field: value})


def test_request_with_a_wrong_number_does_not_show_it() -> None:
    """A refused number is in no error either."""
    with pytest.raises(ValueError, match="phone_number") as caught:
        a_request(phone_number="+4791234567")

    assert "4791234567" not in str(caught.value)


def test_request_by_link_with_an_expiry_is_refused() -> None:
    """Only a request in the app can wait for days."""
    with pytest.raises(ValueError, match="expires_at"):
        a_request(user_flow="WEB_REDIRECT", phone_number=None, expires_at=NOW)


def test_request_in_a_log_shows_no_phone_number() -> None:
    """A customer's number is in no log."""
    request = a_request()

    assert "4791234567" not in repr(request)


@pytest.mark.parametrize(
    ("left_s", "lifetime_s", "lives_s"),
    [
        (10 * DAY_S, DAY_S, DAY_S - 60),  # Norway: a day at most
        (10 * DAY_S, 60 * DAY_S, 10 * DAY_S - 60),  # Denmark: until payableUntil
        (661, DAY_S, 601),
        (660, DAY_S, None),
        (1, DAY_S, None),
        (10 * DAY_S, 660, None),
    ],
)
def test_expiry_is_the_nearer_limit_less_a_minute(
    left_s: int, lifetime_s: int, lives_s: int | None
) -> None:
    """A payment ends a minute inside the nearer limit; with eleven minutes left, by itself."""
    payable_until = NOW + timedelta(seconds=left_s)

    expires_at = payment_expires_at(NOW, payable_until, lifetime_s)

    assert expires_at == (None if lives_s is None else NOW + timedelta(seconds=lives_s))


@pytest.mark.parametrize("late_s", [0, 1, DAY_S])
def test_expiry_past_payable_until_is_refused(late_s: int) -> None:
    """Nobody is asked to pay what can no longer be paid."""
    with pytest.raises(ValueError, match="payable_until"):
        payment_expires_at(NOW + timedelta(seconds=late_s), NOW, DAY_S)


def test_expiry_with_fractions_ends_inside_the_cut() -> None:
    """An unpaid last payment counts as expired, so it ends at `payableUntil` less 60 s or after."""
    payable_until = NOW + timedelta(hours=1, microseconds=1)

    expires_at = payment_expires_at(NOW, payable_until, DAY_S)

    assert expires_at == NOW + timedelta(minutes=59, seconds=1)


@given(_INSTANTS, _INSTANTS, st.integers(1, 60 * DAY_S))
def test_expiry_of_any_payment_is_one_vipps_takes(
    now: datetime, payable_until: datetime, lifetime_s: int
) -> None:
    """An expiry is a whole second, over ten minutes ahead, and inside both limits."""
    assume(now < payable_until)

    expires_at = payment_expires_at(now, payable_until, lifetime_s)

    limit = min(payable_until, now + timedelta(seconds=lifetime_s))
    if expires_at is None:
        assert limit - now <= timedelta(seconds=660)
        return
    assert expires_at.microsecond == 0
    assert expires_at - now > timedelta(minutes=10)
    assert timedelta(seconds=59) < limit - expires_at <= timedelta(seconds=60)

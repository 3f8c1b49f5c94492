"""Whether a payment that Vipps already has is ours."""

import pytest

from service.vipps.adoption import is_seen_by_now, is_taken_elsewhere, may_adopt
from service.vipps.reading import read_payment
from tests.service.vipps.builders import a_payment

FOUND = read_payment(a_payment(), "https://api.vipps.no")
OURS = {"invoice_id": "inv_1", "amount_minor": 200_000, "currency": "NOK"}


def test_payment_that_agrees_in_all_is_adopted() -> None:
    """A payment made by a try that we never heard of is found again."""
    assert may_adopt(FOUND, invoice_id="inv_1", amount_minor=200_000, currency="NOK")


@pytest.mark.parametrize(
    "change", [{"invoice_id": "inv_2"}, {"amount_minor": 200_001}, {"currency": "DKK"}]
)
def test_payment_that_differs_is_not_adopted(change: dict[str, object]) -> None:
    """Another shop's payment under the same reference is never taken for ours."""
    assert not may_adopt(FOUND, **(OURS | change))  # type: ignore[arg-type] # one of three changes


@pytest.mark.parametrize(
    ("code", "ago_s", "is_taken"),
    [
        ("4150", None, False),
        ("4150", 59, False),
        ("4150", 60, True),
        ("4020", 60, True),
        (None, 3600, False),
    ],
)
def test_next_reference_is_used_only_when_nobody_can_be_asked_twice(
    *, code: str | None, ago_s: float | None, is_taken: bool
) -> None:
    """What Vipps does not know and yet calls taken is another API's, a minute after our try."""
    assert is_taken_elsewhere(code, ago_s) is is_taken


@pytest.mark.parametrize(("ago_s", "is_seen"), [(None, True), (59.9, False), (60, True)])
def test_absence_is_believed_a_minute_after_the_last_try(
    *, ago_s: float | None, is_seen: bool
) -> None:
    """A request still on its way must not be taken for one that was never made."""
    assert is_seen_by_now(ago_s) is is_seen

"""Whether a payment that Vipps already has is ours."""

import pytest

from service.vipps.adoption import Settlement, may_adopt, settle_conflict
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
    ("is_known", "is_ours", "code", "ago_s", "settlement"),
    [
        (True, True, "4150", 0, Settlement.ADOPT),
        (True, False, "4150", 0, Settlement.NEXT_SUFFIX),
        (True, False, None, 0, Settlement.NEXT_SUFFIX),
        (False, False, "4150", 59, Settlement.AGAIN_SAME),
        (False, False, "4150", 60, Settlement.NEXT_SUFFIX),
        (False, False, "4020", 60, Settlement.NEXT_SUFFIX),
        (False, False, None, 3600, Settlement.AGAIN_SAME),
    ],
)
def test_conflict_is_settled_so_that_nobody_is_asked_twice(
    *, is_known: bool, is_ours: bool, code: str | None, ago_s: float, settlement: Settlement
) -> None:
    """The next reference is used only when no payment of ours can be behind this one."""
    settled = settle_conflict(is_known=is_known, is_ours=is_ours, code=code, last_try_ago_s=ago_s)

    assert settled is settlement

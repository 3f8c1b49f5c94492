"""The sums of a payment's money."""

import pytest

from statemachine import Amounts, VippsEventName


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CREATED", Amounts(100, 50, 20, 10)),
        ("AUTHORIZED", Amounts(107, 50, 20, 10)),
        ("ABORTED", Amounts(100, 50, 20, 10)),
        ("EXPIRED", Amounts(100, 50, 20, 10)),
        ("TERMINATED", Amounts(100, 50, 20, 17)),
        ("CAPTURED", Amounts(100, 57, 20, 10)),
        ("CANCELLED", Amounts(100, 50, 20, 17)),
        ("REFUNDED", Amounts(100, 50, 27, 10)),
    ],
)
def test_plus_one_event_adds_to_the_sum_of_its_kind(name: str, expected: Amounts) -> None:
    """Each event adds to one sum at most; a withdrawn payment counts as cancelled."""
    before = Amounts(100, 50, 20, 10)

    after = before.plus(name, 7)

    assert after == expected
    assert before == Amounts(100, 50, 20, 10)


def test_plus_knows_every_event_of_vipps() -> None:
    """No event that Vipps can report is without an answer about its money."""
    for name in VippsEventName:
        assert Amounts().plus(name, 0) == Amounts()


def test_plus_unknown_event_raises() -> None:
    """A name that Vipps does not use is never counted silently."""
    with pytest.raises(KeyError):
        Amounts().plus("PARTIALLY_CAPTURED", 1)


def test_remaining_is_what_is_neither_taken_nor_released() -> None:
    """A merchant may capture what is still reserved and refund what is still kept."""
    amounts = Amounts(authorized=100, captured=60, refunded=25, cancelled=10)

    assert amounts.remaining_to_capture == 30
    assert amounts.remaining_to_refund == 35


def test_remaining_of_a_withdrawn_payment_is_zero() -> None:
    """A payment withdrawn before approval has nothing to capture, and never less."""
    amounts = Amounts(cancelled=100)

    assert amounts.remaining_to_capture == 0


@pytest.mark.parametrize(
    ("amounts", "is_sound"),
    [
        (Amounts(), True),
        (Amounts(100, 60, 60, 40), True),
        (Amounts(100, 61, 0, 40), False),
        (Amounts(100, 60, 61, 0), False),
        (Amounts(100, 60, -1, 0), False),
        (Amounts(100, 60, 0, -1), False),
        (Amounts(cancelled=100), False),
    ],
)
def test_is_sound_at_each_edge(amounts: Amounts, is_sound: bool) -> None:
    """No more is taken than reserved, and no more given back than taken."""
    assert amounts.is_sound is is_sound

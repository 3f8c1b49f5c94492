"""Sealed bytes open in their place, with their key, unchanged, or not at all."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.vault import Box, SealBroken

KEY, OTHER = b"k" * 32, b"o" * 32
PLACE = "customer:cus_1:personal"


@given(st.binary(max_size=300), st.text(max_size=50))
def test_sealed_bytes_open_in_their_place(plain: bytes, place: str) -> None:
    """What goes in comes out."""
    box = Box([KEY])

    assert box.open(box.seal(plain, place=place), place=place) == plain


def test_sealed_bytes_do_not_open_elsewhere() -> None:
    """A value that was copied to another row, or column, is of no use there."""
    box = Box([KEY])
    sealed = box.seal(b"4791234567", place=PLACE)

    for place in ("customer:cus_2:personal", "customer:cus_1:name", ""):
        with pytest.raises(SealBroken):
            box.open(sealed, place=place)


def test_sealed_bytes_do_not_open_with_another_key() -> None:
    """Without the key there is nothing to read."""
    sealed = Box([KEY]).seal(b"4791234567", place=PLACE)

    with pytest.raises(SealBroken):
        Box([OTHER]).open(sealed, place=PLACE)


def test_newest_key_seals_and_all_open() -> None:
    """Keys can be changed without touching what was sealed before."""
    old = Box([KEY]).seal(b"before", place=PLACE)
    both = Box([OTHER, KEY])

    new = both.seal(b"after", place=PLACE)

    assert both.open(old, place=PLACE) == b"before"
    assert Box([OTHER]).open(new, place=PLACE) == b"after"
    with pytest.raises(SealBroken):
        Box([KEY]).open(new, place=PLACE)


def test_same_value_is_never_sealed_alike() -> None:
    """Nobody can tell from the outside that two customers have the same name."""
    box = Box([KEY])

    assert box.seal(b"Kari", place=PLACE) != box.seal(b"Kari", place=PLACE)


def test_every_changed_byte_is_noticed() -> None:
    """A damaged value is an error, not another value."""
    sealed = Box([KEY]).seal(b"Kari Nordmann", place=PLACE)

    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SealBroken):
            Box([KEY]).open(bytes(changed), place=PLACE)


@given(st.binary(max_size=60))
def test_nonsense_is_refused_with_our_own_error(sealed: bytes) -> None:
    """Whatever stands in the column, the answer is the same clear no."""
    with pytest.raises(SealBroken):
        Box([KEY]).open(sealed, place=PLACE)


def test_head_names_the_version_and_the_key() -> None:
    """A value tells which key it needs, for the day of a rotation."""
    sealed = Box([KEY]).seal(b"", place=PLACE)

    assert sealed[0] == 1
    assert sealed[1:5] == Box([KEY]).seal(os.urandom(9), place="elsewhere")[1:5]
    assert sealed[1:5] != Box([OTHER]).seal(b"", place=PLACE)[1:5]

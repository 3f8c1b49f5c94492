"""Places for threads: in the order of asking, and never lost."""

import threading

import pytest

from service.store.turns import TooLong, Turns


def test_turns_come_in_the_order_of_asking() -> None:
    """Nobody who came later is served before one who waits."""
    turns, served = Turns(1), list[int]()

    def work(number: int) -> None:
        with turns.turn(30):
            served.append(number)

    with turns.turn(30):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for number, thread in enumerate(threads):
            thread.start()
            _until_in_line(turns, number + 1)
    for thread in threads:
        thread.join()

    assert served == list(range(20))


def test_turn_that_takes_too_long_is_given_up_and_the_place_stays_good() -> None:
    """Who gives up leaves the line, and no place is lost with them."""
    turns = Turns(2)

    with turns.turn(30), turns.turn(30), pytest.raises(TooLong), turns.turn(0.01):
        pytest.fail("the place is taken")

    with turns.turn(0), turns.turn(0), pytest.raises(TooLong), turns.turn(0):
        pytest.fail("there are two places")


def test_turn_that_ends_in_an_error_is_handed_on() -> None:
    """An error in the block frees its place."""
    turns = Turns(1)

    with pytest.raises(ValueError, match="odd"), turns.turn(30):
        raise ValueError("odd")

    with turns.turn(0):
        assert turns.waiting == 0


def _until_in_line(turns: Turns, count: int) -> None:
    ready = threading.Event()
    while turns.waiting < count:
        ready.wait(0.001)

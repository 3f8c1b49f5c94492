"""Who gets how much of a process, and that the dead can't take it all."""

from service.outbox.deliveries import AT_ONCE_PER_SUBSCRIPTION_MAX, Claimed
from service.outbox.places import (
    HELD_MAX,
    LEASE_S,
    RATE_MAX,
    RATE_WINDOW_S,
    SLOW_S,
    SOUND_MAX,
    STRANGERS_MAX,
    Places,
)

_AT = 1_000.0


def _a_delivery(subscription: str, number: int = 0, *, is_sound: bool = True) -> Claimed:
    return Claimed(
        id=f"dlv_{subscription}_{number}",
        subscription_id=subscription,
        event_id="evt",
        lease="lease",
        is_sound=is_sound,
        url=b"",
        secrets=b"",
        payload=b"",
    )


def _trusted(*subscriptions: str, times: int = 1) -> Places:
    places = Places()
    for key in subscriptions:
        for n in range(times):
            _answer(places, _a_delivery(key, n))
    return places


def _answer(places: Places, delivery: Claimed, *, is_well: bool = True, at: float = 1.0) -> None:
    places.take([delivery], at)
    assert places.start(at) == [delivery]
    places.answered(delivery, is_well=is_well)
    places.settled([delivery])


def test_room_is_shared_between_the_well_and_the_others() -> None:
    """What dead receivers have in hand takes nothing from the places of those that are well."""
    places = Places()
    before = places.room(_AT)

    places.take([_a_delivery(f"dead{n}", is_sound=False) for n in range(100)], _AT)
    places.start(_AT)

    after = places.room(_AT)
    assert (before.sound, after.sound) == (HELD_MAX, HELD_MAX)
    assert 0 < after.troubled <= before.troubled
    assert after.in_hand["dead7"] == 1


def test_start_gives_each_ten_at_once_and_all_their_turn() -> None:
    """My long queue and my neighbour's go out side by side, each within its own places."""
    places = _trusted("a", "b")
    places.take([_a_delivery(key, n) for key in "ab" for n in range(50)], _AT)

    first = places.start(_AT)
    places.answered(first[0], is_well=True)
    second = places.start(_AT)

    whose = [delivery.subscription_id for delivery in first]
    assert whose == ["a", "b"] * AT_ONCE_PER_SUBSCRIPTION_MAX
    assert second == [_a_delivery("a", AT_ONCE_PER_SUBSCRIPTION_MAX)]


def test_start_for_a_crowd_has_places_for_so_many_at_once() -> None:
    """However many are well, a process has so many requests under way; each answer frees one."""
    crowd = [f"sub{n}" for n in range(SOUND_MAX + 10)]
    places = _trusted(*crowd)
    places.take([_a_delivery(key) for key in crowd], _AT)

    first = places.start(_AT)
    places.answered(first[0], is_well=True)
    second = places.start(_AT)

    assert (len(first), len(second)) == (SOUND_MAX, 1)


def test_start_leaves_a_lease_that_would_not_last_to_others() -> None:
    """What has waited too long for its place goes back: nobody else may send it beside us."""
    places = _trusted("a")
    late, early = _a_delivery("a", 1), _a_delivery("a", 2)
    places.take([late], _AT)
    places.take([early], _AT + LEASE_S)

    begun = places.start(_AT + LEASE_S)

    assert (begun, places.give_back()) == ([early], [late])


def test_answered_with_a_failure_sends_nothing_more_of_what_waits() -> None:
    """My system has just failed: what was to come next waits in the database, not in a process."""
    places = _trusted("a", times=20)
    deliveries = [_a_delivery("a", n) for n in range(20)]
    places.take(deliveries, _AT)
    under_way = places.start(_AT)

    places.answered(under_way[0], is_well=False)

    assert places.start(_AT) == []
    assert places.give_back() == deliveries[len(under_way) :]
    assert not places.has_waiting


def test_room_grows_with_what_was_taken_well() -> None:
    """Who takes hundreds in a row gets hundreds at a time; who fails begins with one again."""
    places = _trusted("new")
    many = _trusted("a", times=100)

    grown = many.room(_AT).left_for("a")
    _answer(many, _a_delivery("a"), is_well=False, at=2.0)

    assert places.room(_AT).left_for("new") == AT_ONCE_PER_SUBSCRIPTION_MAX
    assert (grown, many.room(_AT).left_for("a")) == (100, 1)


def test_room_of_what_is_slow_is_given_back_and_closed_to_its_subscription() -> None:
    """After a moment a hanging receiver holds no place of others, and gets nothing more."""
    places = _trusted("hanging")
    hanging = [_a_delivery("hanging", n) for n in range(12)]
    places.take(hanging, _AT)
    under_way = places.start(_AT)

    at_first = places.room(_AT + SLOW_S)
    then = places.room(_AT + SLOW_S + 0.001)
    returned = places.give_back()
    for each in under_way:
        places.answered(each, is_well=False)
    places.settled(under_way)
    answered = places.room(_AT + SLOW_S + 0.001)

    assert returned == hanging[len(under_way) :]
    assert (at_first.sound, answered.sound) == (HELD_MAX - 12, HELD_MAX)
    assert then.sound == HELD_MAX
    assert "hanging" in then.closed
    assert "hanging" not in answered.closed


def test_room_when_a_crowd_dies_at_once_is_for_those_known_to_be_well() -> None:
    """A platform with hundreds of merchants goes down: mine, which answers, notices nothing."""
    places = _trusted("mine")
    places.take([_a_delivery(f"stranger{n}") for n in range(STRANGERS_MAX)], _AT)
    while places.start(_AT):
        places.room(_AT + 10)  # all of them hang, and give their places back

    room = places.room(_AT + 10)

    assert (room.is_for_trusted_only, room.sound) == (True, HELD_MAX)
    assert set(room.shares or ()) == {"mine"}


def test_answered_by_very_many_keeps_the_latest() -> None:
    """Memory does not grow with the number of subscriptions there ever were."""
    shares = _trusted(*(f"sub{n}" for n in range(1_500))).room(_AT).shares

    assert shares is not None
    assert len(shares) == 1_000
    assert "sub1499" in shares


def test_start_more_often_than_the_rate_waits_for_the_next_window() -> None:
    """A receiver that was away is not run over by its queue; one that keeps up gets more."""
    new, proven = _trusted("a"), _trusted("a", times=2 * RATE_MAX)

    at_first = RATE_MAX * RATE_WINDOW_S
    assert at_first < _in_a_window(new) < 1.2 * at_first
    assert 3 * at_first < _in_a_window(proven) < 3.6 * at_first


def _in_a_window(places: Places) -> int:
    """Return how many a receiver gets in one window that answers at once."""
    deliveries = [_a_delivery("a", n) for n in range(1_000)]
    places.take(deliveries, _AT)
    count = 0
    while begun := places.start(_AT):
        count += len(begun)
        for each in begun:
            places.answered(each, is_well=True)
    return count

"""Who gets how much of a process, and that the dead can't take it all."""

from datetime import UTC, datetime

from service.outbox.deliveries import Claimed
from service.outbox.places import RATE_MAX, SLOW_S, SOUND_MAX, STRANGERS_MAX, Places

_AT = 1_000.5


def _a_delivery(subscription: str, number: int = 0, *, is_sound: bool = True) -> Claimed:
    return Claimed(
        id=f"dlv_{subscription}_{number}",
        subscription_id=subscription,
        event_id="evt",
        line="inv",
        position=1,
        lease="lease",
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
        is_sound=is_sound,
        url=b"",
        secrets=b"",
        payload=b"",
    )


def test_room_is_shared_between_the_well_and_the_others() -> None:
    """What dead receivers have in hand takes nothing from the places of those that are well."""
    places = Places()
    before = places.room(_AT)

    for n in range(100):
        places.take(_a_delivery(f"dead{n}", is_sound=False), _AT)

    after = places.room(_AT)
    assert (before.sound, after.sound) == (SOUND_MAX, SOUND_MAX)
    assert 0 < after.troubled <= before.troubled
    assert after.in_hand["dead7"] == 1


def test_room_of_what_is_slow_is_given_back_and_closed_to_its_subscription() -> None:
    """After a moment a hanging receiver holds no place of others, and gets nothing more."""
    places = Places()
    hanging = [_a_delivery("hanging", n) for n in range(10)]
    for each in hanging:
        places.take(each, _AT)

    at_first = places.room(_AT + SLOW_S)
    then = places.room(_AT + SLOW_S + 0.001)
    places.leave(hanging)
    answered = places.room(_AT + SLOW_S + 0.001)

    assert (at_first.sound, then.sound, answered.sound) == (SOUND_MAX - 10, SOUND_MAX, SOUND_MAX)
    assert ("hanging" in at_first.closed, "hanging" in then.closed) == (False, True)
    assert "hanging" not in answered.closed


def test_room_when_a_crowd_dies_at_once_is_for_those_known_to_be_well() -> None:
    """A platform with hundreds of merchants goes down: mine, which answers, notices nothing."""
    places = Places()
    places.learn("mine", is_well=True)
    for n in range(STRANGERS_MAX):
        places.take(_a_delivery(f"stranger{n}"), _AT - 10)

    room = places.room(_AT)

    assert (room.is_for_trusted_only, room.sound) == (True, SOUND_MAX)
    assert room.trusted == {"mine"}


def test_learn_that_it_failed_takes_the_trust_back() -> None:
    """Who fails, or is slow, begins with one place again."""
    places = Places()
    places.learn("a", is_well=True)
    places.learn("b", is_well=True)
    places.learn("a", is_well=False)

    assert places.room(_AT).trusted == {"b"}


def test_learn_of_very_many_keeps_the_latest() -> None:
    """Memory does not grow with the number of subscriptions there ever were."""
    places = Places()
    for n in range(1_500):
        places.learn(f"sub{n}", is_well=True)

    trusted = places.room(_AT).trusted
    assert trusted is not None
    assert len(trusted) == 1_000
    assert "sub1499" in trusted


def test_room_of_a_hurried_subscription_is_closed_until_the_next_second() -> None:
    """A receiver that was away is not run over by its queue."""
    places = Places()
    for n in range(RATE_MAX):
        delivery = _a_delivery("a", n)
        places.take(delivery, _AT)
        places.leave([delivery])

    assert "a" in places.room(_AT).closed
    assert "a" not in places.room(_AT + 0.5).closed

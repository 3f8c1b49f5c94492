"""Clock, names and signals: what everything else stands on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from service import errors
from service.clock import Clock
from service.ids import new_id
from service.wake import Signal

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def test_business_time_runs_ahead_and_real_time_does_not() -> None:
    """Turning the sandbox's clock moves due dates, and no signature."""
    clock = Clock(real=lambda: NOW, offset=lambda: timedelta(days=3))

    assert (clock.now(), clock.business_now()) == (NOW, NOW + timedelta(days=3))


def test_clock_tells_utc() -> None:
    """Every instant is aware, and the same everywhere."""
    clock = Clock()

    assert clock.now().tzinfo is UTC
    assert abs(clock.business_now() - clock.now()) < timedelta(seconds=5)


def test_ids_are_fresh_and_name_their_kind() -> None:
    """An id tells what it is of, and fits Vipps's keys."""
    made = {new_id("cmd") for _ in range(1000)}

    assert len(made) == 1000
    assert all(key.startswith("cmd_") and len(key) == 30 for key in made)


def test_error_says_its_own_sentence() -> None:
    """An error without a message still says what is wrong."""
    assert str(errors.DatabaseAway()) == "The database is away; nothing was changed."
    assert str(errors.NotFound("no such invoice")) == "no such invoice"


@pytest.mark.anyio
async def test_signal_from_a_thread_wakes_who_waits() -> None:
    """Work that another thread committed is begun at once."""
    signal = Signal()
    signal.bind()
    first, second = signal.listen(), signal.listen()

    await asyncio.to_thread(signal.set)
    await asyncio.wait_for(asyncio.gather(first.wait(60), second.wait(60)), 30)

    first.close()
    second.close()


@pytest.mark.anyio
async def test_signal_while_nobody_waits_is_heard_at_the_next_wait() -> None:
    """What happened while a worker was busy is not missed."""
    signal = Signal()
    signal.bind()
    listener = signal.listen()
    signal.set()
    await asyncio.sleep(0)

    await asyncio.wait_for(listener.wait(60), 30)
    await listener.wait(0.0)  # heard once, and then over

    listener.close()


@pytest.mark.anyio
async def test_signal_after_the_last_one_left_is_nothing() -> None:
    """Who stops listening is left alone, also when the loop is gone."""
    signal = Signal()
    signal.set()
    signal.bind()
    signal.listen().close()

    signal.set()
    await asyncio.sleep(0)

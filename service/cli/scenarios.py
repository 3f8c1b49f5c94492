"""A scenario beside a sandbox that this process serves: its file, and the thread that plays it."""

import asyncio
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

from service.errors import SettingsInvalid
from service.sandbox.player import StepRefused, play
from service.sandbox.scenario import Scenario, ScenarioInvalid, parse_speed, read_scenario


def read(path: Path | None, speed: str) -> Scenario | None:
    """Return the scenario of that file at that speed, if one is named.

    Raises: SettingsInvalid.
    """
    if path is None:
        if speed:
            raise SettingsInvalid("--speed: there is no --scenario to play")
        return None
    try:
        scenario = read_scenario(path)
        return replace(scenario, speed=parse_speed(speed)) if speed else scenario
    except (ScenarioInvalid, OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"--scenario: {error}") from error
    except ValueError as error:
        raise SettingsInvalid(f"--speed: {error}") from error


def start(scenario: Scenario, url: str) -> None:
    """Play the scenario in a thread of its own; the sandbox stays when it is over.

    The sandbox already listens, so the first call waits until it is up.
    """
    threading.Thread(target=_play, args=(scenario, url), daemon=True).start()


def _play(scenario: Scenario, url: str) -> None:
    tell = partial(print, flush=True)
    try:
        asyncio.run(play(scenario, url, tell=tell))
    except (StepRefused, OSError) as error:
        print(f"The scenario ended early: {error}", file=sys.stderr, flush=True)
    else:
        tell("The scenario is over.")

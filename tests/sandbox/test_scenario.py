"""Scenario files: read with clear errors, played at any speed."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.cli import scenarios
from service.errors import SettingsInvalid
from service.sandbox.player import StepRefused, play
from service.sandbox.scenario import ScenarioInvalid, parse_scenario
from tests.sandbox.harness import Merchant, a_payment, free_port, until

LIFE = """\
speed: max
steps:
  - create:
      reference: invoice-0001
      amount: {currency: NOK, value: 20000}
      paymentMethod: {type: WALLET}
      userFlow: PUSH_MESSAGE
      customer: {phoneNumber: "4791234567"}
      paymentDescription: Invoice 1
      expiresIn: 12h
      receipt:
        orderLines:
          - {name: Insurance, id: "1", totalAmount: 20000, totalAmountExcludingTax: 16000,
             totalTaxAmount: 4000, taxRate: 2500}
        bottomLine: {currency: NOK}
  - postpone: invoice-0001
    after: 10m
  - approve: invoice-0001
    after: 3h
    card: MASTERCARD
  - wait-for: invoice-0001
    state: AUTHORIZED
  - capture: invoice-0001
    after: 2d
    value: 15000
  - refund: invoice-0001
  - cancel: invoice-0001
  - advance: 1d
"""
# The payment of another program, which the scenario waits for.
WAITING = """\
speed: 36000
steps:
  - wait-for: invoice-0002
  - reject: invoice-0002
    after: 1h
    msn: "123456"
"""


def url_of(merchant: Merchant) -> str:
    """Return where the sandbox is."""
    return str(merchant.client.base_url)


def test_scenario_plays_a_whole_life(lone_merchant: Merchant) -> None:
    """What takes days happens at once, each step at its own business time."""
    told: list[str] = []
    asyncio.run(
        play(parse_scenario(LIFE, name="life.yaml"), url_of(lone_merchant), tell=told.append)
    )

    shown = lone_merchant.client.get("/sandbox/payments/invoice-0001").json()
    names = ["CREATED", "AUTHORIZED", "CAPTURED", "REFUNDED", "CANCELLED"]
    assert [event["name"] for event in shown["events"]] == names
    assert [event["amount"]["value"] for event in shown["events"][2:]] == [15_000, 15_000, 5_000]
    assert shown["isPostponed"] is True
    passed_s = lone_merchant.client.get("/sandbox/clock").json()["offsetSeconds"]
    assert passed_s == 600 + 3 * 3600 + 3 * 86_400
    assert told[0] == "line 3: create"
    assert "line 18: approve invoice-0001" in told


def test_scenario_waits_for_what_another_program_makes(lone_merchant: Merchant) -> None:
    """A scenario plays the customer of an integration; an hour passes in a tenth of a second."""

    async def story() -> float:
        scenario = parse_scenario(WAITING, name="waiting.yaml")
        playing = asyncio.create_task(play(scenario, url_of(lone_merchant)))
        await asyncio.to_thread(lone_merchant.create, a_payment("invoice-0002"))
        started = time.monotonic()
        with pytest.raises(StepRefused):
            await playing
        return time.monotonic() - started

    took_s = asyncio.run(story())

    # Nobody answered within the ten minutes, so there is nothing left to refuse.
    assert lone_merchant.names("invoice-0002") == ["CREATED", "EXPIRED"]
    assert lone_merchant.client.get("/sandbox/clock").json()["offsetSeconds"] + took_s >= 3600


def test_scenario_step_that_is_refused_says_where_and_why(lone_merchant: Merchant) -> None:
    """The line in the file, the step, and what the sandbox answered."""
    scenario = parse_scenario("steps:\n  - approve: invoice-none\n", name="x.yaml")

    with pytest.raises(StepRefused, match=r"line 2: approve was answered 404: .*invoice-none"):
        asyncio.run(play(scenario, url_of(lone_merchant)))


def test_scenario_sets_chaos(lone_merchant: Merchant) -> None:
    """Trouble may be part of a life."""
    scenario = parse_scenario("steps:\n  - chaos: {lose: 0.5, seed: 7}\n", name="x.yaml")
    asyncio.run(play(scenario, url_of(lone_merchant)))

    assert lone_merchant.client.get("/sandbox/chaos").json()["lose"] == 0.5


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "x.yaml:1: the file must be a mapping"),
        ("steps: []", "x.yaml:1: `steps` must be a list of at least one"),
        ("speed: 0\nsteps:\n- advance: 1d", "x.yaml:1: `speed` must be from 1"),
        ("speed: fast\nsteps:\n- advance: 1d", "x.yaml:1: `speed` could not convert"),
        ("spede: 1\nsteps:\n- advance: 1d", "x.yaml:1: `spede` is unknown"),
        ("steps:\n- approve: a\n- [1]", "x.yaml:3: a step must be a mapping"),
        ("steps:\n- aprove: a", "x.yaml:2: a step must have exactly one of wait-for, approve"),
        ("steps:\n- approve: a\n  reject: a", "x.yaml:2: a step must have exactly one of"),
        ("steps:\n- approve: a\n  afer: 3h", "x.yaml:3: `afer` is unknown in approve"),
        ("steps:\n- approve: a\n  after: 3 h", "x.yaml:3: `3 h` is no duration such as 30s"),
        ("steps:\n- approve: a\n  after: 999d", "x.yaml:3: `999d` is no duration"),
        ("steps:\n- approve: a\n  after: 1h\n  after: 2h", "x.yaml:4: `after` stands here twice"),
        ("steps:\n- approve: [a]", "x.yaml:2: must be a single word"),
        ("steps:\n- wait-for: a\n  state: PAID", "x.yaml:3: `state` must be one of CREATED"),
        ("steps:\n- capture: a\n  value: 1.5", "x.yaml:3: `value` must be a whole number"),
        ("steps:\n- create: a", "x.yaml:2: must be a mapping of fields"),
        ("steps:\n- create: {a: {b: 1, b: 2}}", "x.yaml:2: `b` stands here twice"),
        ("steps:\n- create:\n    expiresIn: soon", "x.yaml:3: `soon` is no duration"),
        ("steps:\n- approve: a\n- : {", "x.yaml:3: not YAML"),
        ("steps:\n- chaos: {lose: !!bool x}", "x.yaml:2: `x` cannot be read"),
    ],
)
def test_scenario_that_cannot_be_played_names_the_line(text: str, error: str) -> None:
    """A typo is found before the first step, and the editor can jump to it."""
    with pytest.raises(ScenarioInvalid) as raised:
        parse_scenario(text, name="x.yaml")

    assert str(raised.value).startswith(error)


def test_command_plays_a_scenario_file(tmp_path: Path) -> None:
    """`betalbar sandbox --scenario FILE --speed max` plays it once it is up, and stays."""
    path = tmp_path / "life.yaml"
    path.write_text(LIFE.replace("speed: max\n", ""))
    command = [sys.executable, "-m", "service.cli", "sandbox", "--port", str(free_port())]
    output = tmp_path / "output"
    with (
        output.open("w") as sink,
        subprocess.Popen([*command, "--scenario", str(path), "--speed", "max"], stdout=sink) as run,
    ):
        try:
            until(lambda: "The scenario is over." in output.read_text())
        finally:
            run.kill()


@pytest.mark.parametrize(
    ("name", "speed", "error"),
    [
        ("life.yaml", "", "--scenario: life.yaml:2: a step must have"),
        ("good.yaml", "slow", "--speed: could not convert"),
        ("none.yaml", "", "--scenario: .*none.yaml"),
        (None, "2", "--speed: there is no --scenario to play"),
    ],
)
def test_command_refuses_a_scenario_that_cannot_be_played(
    tmp_path: Path, name: str | None, speed: str, error: str
) -> None:
    """A clear message, as for any setting, before anything listens."""
    (tmp_path / "life.yaml").write_text("steps:\n- aprove: a\n")
    (tmp_path / "good.yaml").write_text("steps:\n- approve: a\n")

    with pytest.raises(SettingsInvalid, match=error):
        scenarios.read(tmp_path / name if name else None, speed)


def test_command_takes_its_speed_before_the_files(tmp_path: Path) -> None:
    """What is typed wins; without it, the file's own."""
    (tmp_path / "good.yaml").write_text("speed: 60\nsteps:\n- approve: a\n")

    read = [scenarios.read(tmp_path / "good.yaml", speed) for speed in ("", "7", "max")]

    assert [scenario and scenario.speed for scenario in read] == [60, 7, None]

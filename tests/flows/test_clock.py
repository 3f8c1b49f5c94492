"""The machine's clock jumps under load: nothing is lost, doubled or stuck (F16)."""

from pathlib import Path

from tests.fake_merchant import accept_genuine
from tests.flows.faketime import WallClock
from tests.flows.kills import judge, rest
from tests.flows.load import Load
from tests.flows.processes import eventually
from tests.flows.stack import Stack, running

_TEN_MINUTES_S, _YEAR_S = 600, 366 * 86_400


def test_clock_that_jumps_under_load_loses_and_doubles_nothing_and_heals(tmp_path: Path) -> None:
    """F16: ten minutes ahead, ten back, a year ahead: each time all goes on once it is right."""
    clock = WallClock(tmp_path / "clock")
    url = f"sqlite:///{tmp_path / 'betalbar.db'}"
    with running(tmp_path, url, of_version=clock.given_to) as stack:
        shop = stack.subscribe()
        shop.app.react = accept_genuine
        load = Load(stack.api, stack.phone, seed=3)
        with load.at_work():
            for seconds in (_TEN_MINUTES_S, -_TEN_MINUTES_S, _YEAR_S):
                load.wait_for_more(3)
                clock.turn(seconds)
                wait_for_another_refusal(stack)
                load.wait_for_more(3)
                clock.turn(0)
            load.wait_for_more(3)

        wrong = rest(stack) + load.failures
        shop.app.forget_refused()  # what was signed at a wrong time
        wrong += judge(stack, load, shop)

        assert not wrong, wrong[:20]
        assert b"Traceback" not in stack.output()


def wait_for_another_refusal(stack: Stack) -> None:
    """Return once one more webhook is refused: by this clock, Vipps's is wrong."""
    before = _refused(stack)
    eventually(lambda: _refused(stack) > before, what="webhooks refused")


def _refused(stack: Stack) -> int:
    return sum(passed.status == 401 for passed in list(stack.front.passed))

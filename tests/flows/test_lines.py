"""A network that loses one direction, cuts and slices: every wait ends, nothing doubles (F18)."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.flows.checks import open_books
from tests.flows.conftest import empty_database
from tests.flows.kills import judge, rest
from tests.flows.lines import Line
from tests.flows.load import Load
from tests.flows.pause import pass_a_minute
from tests.flows.processes import HTTP, eventually
from tests.flows.stack import Shop, Stack, running


@dataclass(frozen=True, slots=True)
class Lines:
    """A stack of two processes, and the lines between them and everybody."""

    stack: Stack
    shop: Shop
    to_database: Line
    to_vipps: Line
    to_shop: Line

    @property
    def all(self) -> tuple[Line, Line, Line]:
        """Return each of them."""
        return self.to_database, self.to_vipps, self.to_shop


@pytest.fixture
def lines(tmp_path: Path, postgres_url: str) -> Iterator[Lines]:
    """Run the service behind lines, with one subscriber."""
    with ExitStack() as opened, empty_database(postgres_url) as url:
        database, vipps, shop = (opened.enter_context(Line().open()) for _ in range(3))
        direct = sa.make_url(url)
        database.end = f"{direct.query['host']}/.s.PGSQL.5432"
        by_line = direct.set(host="127.0.0.1", port=database.port, query={})
        given = by_line.render_as_string(hide_password=False)
        by_lines = running(
            tmp_path, given, processes=2, BETALBAR_VIPPS_URL=f"http://127.0.0.1:{vipps.port}"
        )
        stack = opened.enter_context(by_lines)
        vipps.end = int(stack.sandbox.url.rpartition(":")[2])
        stack.database_url = url  # the witnesses have a line of their own
        yield Lines(stack, stack.subscribe(line=shop), database, vipps, shop)


def test_network_that_loses_one_direction_or_cuts_loses_and_doubles_nothing(lines: Lines) -> None:
    """F18: whatever becomes of the answers, what was asked for happens once and is told."""
    stack = lines.stack
    load = Load(stack.api, stack.phone, seed=5)
    with load.at_work():
        load.wait_for_more(5)
        with lines.to_vipps.losing_answers(), lines.to_shop.losing_answers():
            eventually(lambda: unanswered(stack) == ["call", "delivery"], what="waits ended")
        with lines.to_database.losing_answers():
            eventually(lambda: readiness(stack) == [503, 503], what="not ready")
        eventually(lambda: readiness(stack) == [200, 200], what="ready again")
        for fault in (Line.end_answers, Line.reset):
            for line in lines.all:
                fault(line)
            load.wait_for_more(2)
        with lines.to_database.slicing(), lines.to_vipps.slicing(), lines.to_shop.slicing():
            load.wait_for_more(2)

    pass_a_minute(stack)
    wrong = rest(stack) + load.failures + judge(stack, load, lines.shop)

    assert not wrong, wrong[:20]
    assert min(line.held for line in lines.all) > 0
    assert b"Traceback" not in stack.output()


def unanswered(stack: Stack) -> list[str]:
    """Return of what some has ended without an answer: calls to Vipps, deliveries."""
    with open_books(stack.database_url) as books:
        calls = books.rows(
            "SELECT 1 FROM command_attempt WHERE status IS NULL AND latency_ms IS NOT NULL LIMIT 1"
        )
        deliveries = books.rows("SELECT 1 FROM attempt WHERE status IS NULL LIMIT 1")
    return ["call"] * len(calls) + ["delivery"] * len(deliveries)


def readiness(stack: Stack) -> list[int]:
    """Return what each process says of itself."""
    return [HTTP.get(f"{child.url}/readyz").status_code for child in stack.service]

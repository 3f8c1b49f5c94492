"""Growth: the same work beside a thousand invoices and beside a million.

    python -m tests.benchmarks.growth [--databases sqlite,postgresql] [--sizes 1000,1000000]

The small database and the big one are both there and are measured in turns, by ours and by the
driver alone; reads are asked of one and the other, one by one. The small one grows by what it
receives: a remark says how far.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import sqlalchemy as sa

from service.api.cursors import write_cursor
from service.commands.claim import claim
from service.store.inserts import table_of
from service.store.tables import Command
from tests.benchmarks.databases import KINDS, Databases, databases, scalar, size_bytes
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.load import require_wrk
from tests.benchmarks.machine import this_machine
from tests.benchmarks.peers.disk import Disk
from tests.benchmarks.pile import Pile
from tests.benchmarks.rounds import Contender, Results, in_turns
from tests.benchmarks.servers import API_KEY
from tests.benchmarks.stage import Service, Stage
from tests.benchmarks.table import new_console, show
from tests.benchmarks.webhooks import MSN

SIZES = (1_000, 1_000_000)
# Of the rate: to a million invoices, and from there to ten millions.
_KEPT = (0.7, 0.9)
FLAT = 1.1  # what is to stay the same may differ by what a measurement differs by
_DUE = 2_000
_CLAIMED = 200
_READS = 20  # per kind of page and round
_FEW = 3  # of what takes long


@dataclass(slots=True)
class _Place:
    """One database of some size, with all that asks it."""

    size: int
    service: Service
    http: httpx.Client
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def name(self) -> str:
        """Return how it is called in the table."""
        return f"beside {self.size:,}"

    @property
    def pile(self) -> Pile:
        """Return what made its invoices."""
        return self.service.pile

    def some(self, highest: int) -> int:
        """Return a place anywhere in the pile."""
        return self.dice.randrange(max(1, highest // 10), max(2, highest))


def _feed(place: _Place) -> Mapping[str, str]:
    after = write_cursor("events", MSN, place.some(2 * place.size))
    return {"url": "/v1/events", "cursor": after, "limit": "100"}


def _list(_place: _Place) -> Mapping[str, str]:
    return {"url": "/v1/invoices", "limit": "50"}


def _list_further(place: _Place) -> Mapping[str, str]:
    before = write_cursor("invoices", MSN, place.pile.id_of(place.some(place.size)))
    return {"url": "/v1/invoices", "limit": "50", "cursor": before}


def _search(place: _Place) -> Mapping[str, str]:
    return {
        "url": "/v1/invoices",
        "limit": "50",
        "q": place.pile.reference_of(place.some(place.size)),
    }


_PAGES: Mapping[str, Callable[[_Place], Mapping[str, str]]] = {
    "feed page of 100": _feed,
    "list page of 50": _list,
    "list page of 50, further back": _list_further,
    "search for a reference": _search,
}
# A word is looked for in every invoice: the one that may grow.
_MAY_GROW = "search for a reference"


def measure(
    kind: str, *, rounds: int, seconds: float, sizes: Sequence[int] = SIZES
) -> list[Figure]:
    """Return the figures of one kind of database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        where = stack.enter_context(databases(kind, folder))
        stage = Stage(stack, where)
        places = [_open(stack, stage, size, where) for size in sizes]
        waits = _Waits()
        # Reads first: what the driver alone will write is nothing that a reader could open.
        for place in places:
            _let_be_due(place)
        for _ in range(rounds):
            waits.take(places)
        contenders: list[Contender] = [place.service.receiver for place in places]
        for place in places:
            disk = Disk(place.pile, where.cpu_s)
            disk.name = f"{Disk.name}, {place.name}"
            contenders.append(disk)
        results = in_turns(contenders, rounds=rounds, seconds=seconds)
        return [_received(where, places, results), *waits.figures(where, places)]


def _open(stack: ExitStack, stage: Stage, size: int, where: Databases) -> _Place:
    begun = time.perf_counter()
    service = stage.ours(f"beside {size:,}", invoices=size)
    took = time.perf_counter() - begun
    print(f"growth, {where.title}: {size:,} invoices made in {took:.0f} s", flush=True)
    http = httpx.Client(
        base_url=f"http://127.0.0.1:{service.receiver.port}",
        headers={"Authorization": f"Bearer {API_KEY}"},
        trust_env=False,
        timeout=120,
    )
    return _Place(size, service, stack.enter_context(http))


def _let_be_due(place: _Place) -> None:
    """Let some commands wait, out of all that there ever were: claiming has to find them."""
    command = table_of(Command)
    reads = command.c.kind == "read_payment"
    chosen = sa.select(command.c.id).where(reads).order_by(command.c.id.desc()).limit(_DUE)
    context = place.pile.context
    with context.database.transaction() as session:
        due = {"status": "waiting", "next_attempt_at": context.clock.now()}
        session.execute(sa.update(command).where(command.c.id.in_(chosen)).values(due))


class _Waits:
    """How long each kind of look took, beside each size."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._ms: dict[str, dict[int, list[float]]] = {}

    def take(self, places: Sequence[_Place]) -> None:
        """Ask all places in turns."""
        for number in range(_READS):
            for what, page in _PAGES.items():
                if number < _FEW or what != _MAY_GROW:
                    for place in places:
                        self._add(what, place, partial(_ask, place, page))
            if number < _FEW:
                for place in places:
                    self._add(f"claim {_CLAIMED} of {_DUE:,}", place, partial(_claim, place))

    def _add(self, what: str, place: _Place, work: Callable[[], None]) -> None:
        begun = time.perf_counter()
        work()
        took = (time.perf_counter() - begun) * 1000
        self._ms.setdefault(what, {}).setdefault(place.size, []).append(took)

    def figures(self, where: Databases, places: Sequence[_Place]) -> list[Figure]:
        """Return one figure for each kind of look."""
        return [self._figure(where, what, places) for what in self._ms]

    def _figure(self, where: Databases, what: str, places: Sequence[_Place]) -> Figure:
        small, *_, big = ((place.name, sorted(self._ms[what][place.size])) for place in places)
        ours, before = _middle(big[1]), _middle(small[1])
        goals = (
            () if what == _MAY_GROW else (Goal(f"≤ {FLAT} x {small[0]}", ours <= FLAT * before),)
        )
        return Figure(
            name=f"{what}, {where.title}, {big[0]}",
            unit="ms",
            ours=ours,
            peers={small[0]: before},
            p50_ms=ours,
            p99_ms=big[1][len(big[1]) * 99 // 100],
            goals=goals,
        )


def _middle(ordered: Sequence[float]) -> float:
    return ordered[len(ordered) // 2]


def _ask(place: _Place, page: Callable[[_Place], Mapping[str, str]]) -> None:
    wanted = dict(page(place))
    answer = place.http.get(wanted.pop("url"), params=wanted)
    if answer.status_code != 200 or not answer.json()["items"]:
        raise RuntimeError(f"{answer.url}: {answer.status_code}, or nothing there")


class _LeftAlone(Exception):
    """What was claimed is given back."""


def _claim(place: _Place) -> None:
    context = place.pile.context
    try:
        with context.database.transaction() as session:
            found = claim(session, context.vault, context.clock, limit=_CLAIMED)
            if len(found) != _CLAIMED:
                raise RuntimeError(f"claimed {len(found)} commands of {_CLAIMED}")
            raise _LeftAlone
    except _LeftAlone:
        pass


def _received(where: Databases, places: Sequence[_Place], results: Results) -> Figure:
    """Compare what ours loses to the pile with what the driver alone loses to it."""
    small, big = places[0], places[-1]
    rates = [results.per_s(place.name) or 0.0 for place in (small, big)]
    disk = [results.per_s(f"{Disk.name}, {place.name}") or 0.0 for place in (small, big)]
    ours_keeps, disk_keeps = rates[1] / rates[0], disk[1] / disk[0]
    grown, most = (scalar(p.pile.url, "SELECT count(*) FROM invoice") for p in (small, big))
    each_kb = size_bytes(big.pile.url) / most / 1000
    return Figure(
        name=f"receive, {where.title}, {big.name}",
        unit="events/s",
        ours=rates[1],
        rounds=[each.per_s for each in results.rounds[big.name]],
        peers={small.name: rates[0]},
        limits={
            f"{Disk.name}, {place.name}": rate
            for place, rate in zip((big, small), reversed(disk), strict=True)
        },
        others_cpu_us={name: results.cpu_us(name) for name in results.rounds if name != big.name},
        p50_ms=results.median(big.name, "p50_ms"),
        p99_ms=results.median(big.name, "p99_ms"),
        cpu_us=results.median(big.name, "cpu_us"),
        database_cpu_us=results.median(big.name, "database_cpu_us") or None,
        rows=(*results.rows(big.name), *results.rows(small.name)),
        goals=(
            Goal(f"keeps what the driver keeps ({disk_keeps:.0%})", ours_keeps >= disk_keeps),
            *_kept(places, results),
        ),
        remarks=(
            f"keeps {ours_keeps:.0%} of its rate, the driver alone {disk_keeps:.0%}",
            f"the small database had {grown:,} invoices in the end",
            f"an invoice takes {each_kb:.1f} kB, with its rows and their indexes",
        ),
    )


def _kept(places: Sequence[_Place], results: Results) -> list[Goal]:
    """Return what may be lost to a million invoices, and from there on."""
    rates = [results.per_s(place.name) or 0.0 for place in places]
    steps = zip(places[1:], rates, rates[1:], strict=False)
    return [
        Goal(f"keeps {share:.0%} to {place.size:,}", after >= share * before)
        for share, (place, before, after) in zip(_KEPT, steps, strict=False)
    ]


def run(
    rounds: int,
    *,
    seconds: float = 3.0,
    sizes: Sequence[int] = SIZES,
    kinds: Sequence[str] = KINDS,
) -> list[Figure]:
    """Measure on each kind of database. Raises: LoadFailed."""
    require_wrk()
    return [
        figure
        for kind in kinds
        for figure in measure(kind, rounds=rounds, seconds=seconds, sizes=sizes)
    ]


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default=",".join(KINDS))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    machine = this_machine()
    figures = run(
        options.rounds,
        sizes=[int(size) for size in options.sizes.split(",")],
        kinds=options.databases.split(","),
    )
    show(figures, machine, new_console())


if __name__ == "__main__":
    main()

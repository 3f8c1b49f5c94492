"""Everything that is measured, in one table.

    python -m tests.benchmarks [--quick] [--json FILE] [--only NAME,…] [--ten-million]

Starts everything that it needs, and ends it. Figures that miss their goals are printed as such,
and figures whose rows do not add up as FAILED: neither is an error of the run. docs/performance.md
says what the columns mean.
"""

import argparse
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.benchmarks import deliver, growth, idle, memory, receive, send
from tests.benchmarks.databases import KINDS
from tests.benchmarks.figures import Figure, Rows
from tests.benchmarks.load import LoadFailed, require_wrk
from tests.benchmarks.machine import this_machine
from tests.benchmarks.table import new_console, show, write_json

ROUNDS = 5

Measure = Callable[[], list[Figure]]


def _all(growth_to: int) -> Mapping[str, Measure]:
    small, big = growth.SIZES
    sizes = sorted({small, min(big, growth_to), growth_to})
    beyond = growth_to > big
    return {
        "receive": partial(receive.run, ROUNDS),
        "deliver": partial(deliver.run, ROUNDS),
        "send": partial(send.run, ROUNDS),
        # What is beyond a million is for the database that is meant for it.
        "growth": partial(
            growth.run, ROUNDS, sizes=sizes, kinds=("postgresql",) if beyond else KINDS
        ),
        "memory": partial(memory.run, ROUNDS),
        "idle": partial(idle.run, ROUNDS),
    }


def _quick() -> Mapping[str, Measure]:
    return {
        # What is prepared for a round takes as long as a second of it: one round, of two seconds.
        "receive": partial(receive.run, 1, seconds=2, is_quick=True),
        "deliver": partial(deliver.run, 1, ("sqlite",)),
        "send": partial(send.run, 1, ("sqlite",)),
        "growth": partial(growth.run, 1, seconds=1, sizes=(1_000, 3_000), kinds=("sqlite",)),
        "memory": partial(memory.run, 1, seconds=8, kinds=("postgresql",)),
        "idle": partial(idle.run, 1, kinds=("postgresql",), seconds=5),
    }


def _chosen(options: argparse.Namespace) -> Mapping[str, Measure]:
    every = _quick() if options.quick else _all(options.growth_to)
    names = options.only.split(",") if options.only else list(every)
    if unknown := set(names) - set(every):
        raise SystemExit(f"--only: {', '.join(sorted(unknown))}: there are {', '.join(every)}")
    return {name: every[name] for name in names}


def main() -> None:
    """Measure, print the table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--quick", action="store_true", help="less of everything, in 3 minutes")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--only", default="", help="such as receive,growth")
    parser.add_argument("--growth-to", type=int, default=growth.SIZES[-1], metavar="INVOICES")
    parser.add_argument(
        "--ten-million",
        action="store_const",
        const=10_000_000,
        dest="growth_to",
        help="let growth go on to 10⁷ invoices on PostgreSQL: some 80 GB",
    )
    options = parser.parse_args()
    chosen, machine, console = _chosen(options), this_machine(), new_console()
    # As Ctrl-C does: everything that was started is ended first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        require_wrk()
    except LoadFailed as error:
        raise SystemExit(str(error)) from None
    begun, figures = time.monotonic(), []
    for name, measure in chosen.items():
        started = time.monotonic()
        try:
            figures += measure()
        except Exception:
            # The others' figures must not be lost with it, after half an hour.
            traceback.print_exc()
            figures.append(Figure(name, "", 0.0, rows=[Rows("runs to the end", 0, 1, 1)]))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    show(figures, machine, console)
    console.print(f"measured in {time.monotonic() - begun:.0f} s")
    if options.json:
        write_json(options.json, figures, machine)


if __name__ == "__main__":
    main()

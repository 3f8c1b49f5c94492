"""The table that people read, and the file that machines do."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.figures import Figure, Goal, Rows
from tests.benchmarks.machine import Machine

# A file or a pipe has no width of its own, and the table must not be cut there.
_WIDTH_OF_A_FILE = 160
_COLUMNS = ("figure", "ours", "beside", "limit", "p50 / p99", "CPU per event", "rows", "goals")


def new_console() -> Console:
    """Return a terminal, or a file that is wide enough."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_OF_A_FILE)


def show(figures: Sequence[Figure], machine: Machine, console: Console) -> None:
    """Print the machine, one row per figure, and what must be said beside them."""
    for line in machine.lines():
        console.print(line, highlight=False)
    table = Table(show_lines=True)
    for name in _COLUMNS:
        table.add_column(name)
    for figure in figures:
        table.add_row(*_cells(figure))
    console.print(table)
    for figure in figures:
        for remark in figure.remarks:
            console.print(Text(f"{figure.name}: {remark}"))


def _cells(figure: Figure) -> tuple[Text | str, ...]:
    failed = Text("FAILED", style="bold red")
    return (
        figure.name,
        failed if figure.has_failed else f"{number(figure.ours)} {figure.unit}",
        "\n".join(_beside(figure, *other) for other in figure.peers.items()),
        "\n".join(_beside(figure, *other) for other in figure.limits.items()),
        _latencies(figure),
        _cpu(figure),
        Text("\n").join(map(_rows, figure.rows)),
        Text("\n").join(_goal(figure, goal) for goal in figure.goals),
    )


def number(value: float) -> str:
    """Return a number with as many digits as a measurement deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _beside(figure: Figure, name: str, value: float) -> str:
    ratio = "" if figure.has_failed else f"{figure.ratio_to(value):.2f} x "
    cpu_us = figure.others_cpu_us.get(name)
    cpu = "" if cpu_us is None else f", {number(cpu_us)} µs CPU"
    return f"{ratio}{name} ({number(value)}{cpu})"


def _latencies(figure: Figure) -> str:
    if figure.p50_ms is None or figure.p99_ms is None:
        return ""
    return f"{number(figure.p50_ms)} / {number(figure.p99_ms)} ms"


def _cpu(figure: Figure) -> str:
    if figure.cpu_us is None:
        return ""
    database = f"\n+ {number(figure.database_cpu_us)} µs db" if figure.database_cpu_us else ""
    return f"{number(figure.cpu_us)} µs{database}"


def _rows(rows: Rows) -> Text:
    if rows.add_up:
        return Text(f"{rows.found:,} {rows.what}")
    return Text(f"{rows.found:,} {rows.what}, not {rows.least:,} to {rows.most:,}", style="red")


def _goal(figure: Figure, goal: Goal) -> Text:
    if figure.has_failed or goal.is_reached is None:
        return Text(f"? {goal.text}", style="yellow")
    if goal.is_reached:
        return Text(f"reached: {goal.text}", style="green")
    return Text(f"missed: {goal.text}", style="red")


def write_json(path: Path, figures: Sequence[Figure], machine: Machine) -> None:
    """Write everything, the rounds too."""
    found = {"machine": machine.as_json(), "figures": [each.as_json() for each in figures]}
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

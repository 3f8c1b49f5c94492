"""The table that people read, and the file that machines do."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.figures import Figure
from tests.benchmarks.machine import Machine

_COLUMNS = ("ours", "peers", "limits", "p50 / p99", "CPU per event", "rows", "goals")


def show(figures: Sequence[Figure], machine: Machine, console: Console | None = None) -> None:
    """Print the machine, one row per figure, and what must be said beside them."""
    console = console or Console()
    for line in machine.lines():
        console.print(line, style="bold" if line.isupper() else "dim", highlight=False)
    table = Table(show_lines=True)
    table.add_column("figure", ratio=3)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("peers", "limits", "goals") else "right")
    for figure in figures:
        table.add_row(figure.name, *_cells(figure))
    console.print(table)
    for figure in figures:
        for remark in figure.remarks:
            console.print(Text(f"{figure.name}: {remark}"))


def _cells(figure: Figure) -> tuple[Text | str, ...]:
    return (
        Text("FAILED", style="bold red") if figure.has_failed else amount(figure.ours, figure.unit),
        _others(figure, figure.peers),
        _others(figure, figure.limits),
        _latencies(figure),
        _cpu(figure),
        _rows(figure),
        _goals(figure),
    )


def amount(value: float, unit: str) -> str:
    """Return a value with its unit, with as many digits as it deserves."""
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _others(figure: Figure, others: object) -> str:
    assert isinstance(others, dict)
    if figure.has_failed:
        return "\n".join(f"{name}: {amount(value, '')}" for name, value in others.items())
    return "\n".join(
        f"{figure.ratio_to(value):.2f} x {name} ({amount(value, '').strip()})"
        for name, value in others.items()
    )


def _latencies(figure: Figure) -> str:
    if figure.p50_ms is None or figure.p99_ms is None:
        return ""
    return f"{figure.p50_ms:.1f} / {figure.p99_ms:.1f} ms"


def _cpu(figure: Figure) -> str:
    if figure.cpu_us is None:
        return ""
    database = f"\n+ {figure.database_cpu_us:.0f} µs db" if figure.database_cpu_us else ""
    return f"{figure.cpu_us:.0f} µs{database}"


def _rows(figure: Figure) -> Text:
    lines = []
    for rows in figure.rows:
        mark = "" if rows.add_up else f" NOT {rows.least:,} to {rows.most:,}"
        lines.append(Text(f"{rows.found:,} {rows.what}{mark}", style="" if rows.add_up else "red"))
    return Text("\n").join(lines)


def _goals(figure: Figure) -> Text:
    lines = []
    for goal in figure.goals:
        if figure.has_failed or goal.is_reached is None:
            lines.append(Text(f"? {goal.text}", style="yellow"))
        elif goal.is_reached:
            lines.append(Text(f"reached: {goal.text}", style="green"))
        else:
            lines.append(Text(f"missed: {goal.text}", style="red"))
    return Text("\n").join(lines)


def write_json(path: Path, figures: Sequence[Figure], machine: Machine) -> None:
    """Write everything, the rounds too."""
    found = {"machine": machine.as_json(), "figures": [each.as_json() for each in figures]}
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

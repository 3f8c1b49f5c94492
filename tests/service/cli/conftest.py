"""The `betalbar` command in this process, on a database of its own."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How one command ended, and what it said."""

    code: int
    out: str
    err: str


Betalbar = Callable[..., Ended]


@pytest.fixture
def betalbar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Betalbar:
    """Return a function that runs one command on an SQLite file in `tmp_path`."""
    for name in [name for name in os.environ if name.startswith("BETALBAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BETALBAR_DATABASE_URL", f"sqlite:///{tmp_path / 'cli.db'}")
    # A table is as wide as its terminal; here there is none.
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, **settings: str) -> Ended:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["betalbar", *words])
            for name, value in settings.items():
                patch.setenv(f"BETALBAR_{name.upper()}", value)
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else int(bool(code)), said.out, said.err)

    return run

"""What peers need, installed into a folder of the benchmarks' own, once."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.flows.processes import ROOT

_HERE = Path(__file__).parent
_WITHIN_S = 300
FOLDER = ROOT / ".benchmarks"


class NotInstalled(Exception):
    """A peer can't be had here; the text says why, and is printed."""


def python_with_fastapi() -> Path:
    """Return a Python that can run the receiver of tutorials. Raises: NotInstalled."""
    wanted = _HERE / "requirements.txt"
    folder = FOLDER / f"python-{_mark(wanted)}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], FOLDER, "FastAPI")
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)]
        _run(install, FOLDER, "FastAPI")
        (folder / "complete").touch()
    return python


def express() -> Path:
    """Return a folder with express, pg and the receiver in it. Raises: NotInstalled."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise NotInstalled(f"NOT RUN: express needs {tool}, which is not installed")
    folder = FOLDER / f"express-{_mark(_HERE / 'express' / 'package.json')}"
    shutil.copytree(_HERE / "express", folder, dirs_exist_ok=True)
    if not (folder / "complete").exists():
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        _run(install, folder, "express")
        (folder / "complete").touch()
    return folder


def _mark(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def _run(command: Sequence[str], folder: Path, what: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"NOT RUN: {what} was not installed within {_WITHIN_S} s") from None
    if run.returncode != 0:
        raise NotInstalled(f"NOT RUN: {what} can't be installed: {run.stderr.strip()[-300:]}")

"""Packages of npm for tests that run other people's code."""

import shutil
import subprocess
from pathlib import Path

import pytest

_INSTALL_S = 120


def install(folder: Path, *packages: str, for_what: str, tools: tuple[str, ...]) -> None:
    """Install packages into a folder of its own; skip loudly where that cannot be done."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"NOT RUN: {for_what} needs {tool}, which is not installed")
    (folder / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"NOT RUN: npm did not get {packages} within {_INSTALL_S} s")
    if run.returncode != 0:
        pytest.skip(f"NOT RUN: npm cannot get {packages}: {run.stderr[-300:]}")

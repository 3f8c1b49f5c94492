"""Serve a sandbox with a file until killed: `python -m tests.sandbox.serve FILE PORT`."""

import sys
from dataclasses import replace
from pathlib import Path

import uvicorn

from service.sandbox import create_app
from tests.sandbox.harness import CALM


def main(path: str, port: str) -> None:
    """Serve on the loopback; nothing is done on the way out, since nobody asks nicely."""
    settings = replace(CALM, database_path=Path(path), retry_scale=0.1)
    uvicorn.run(create_app(settings), port=int(port), log_level="critical")


if __name__ == "__main__":
    main(*sys.argv[1:])

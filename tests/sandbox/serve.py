"""Serve a sandbox with a file until killed: `python -m tests.sandbox.serve FILE PORT`."""

import sys
from pathlib import Path

import uvicorn

from service.sandbox import SandboxProtocol, SandboxSettings, create_app


def main(path: str, port: str) -> None:
    """Serve on the loopback; nothing is done on the way out, since nobody asks nicely."""
    # Nothing of the tests' own is imported, so that it is up at once.
    settings = SandboxSettings(database_path=Path(path), retry_scale=0.1, has_rate_limits=False)
    uvicorn.run(create_app(settings), http=SandboxProtocol, port=int(port), log_level="critical")


if __name__ == "__main__":
    main(*sys.argv[1:])

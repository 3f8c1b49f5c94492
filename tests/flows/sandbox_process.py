"""A sandbox as its own process: `python -m tests.flows.sandbox_process FILE PORT`.

Its payments are in the file, so that it may be killed; what takes Vipps a minute takes it
seconds, so that a test need not wait.
"""

import sys
from pathlib import Path

import uvicorn

from service.sandbox import SandboxSettings, create_app


def main(path: str, port: str) -> None:
    """Serve until killed."""
    settings = SandboxSettings(
        public_url=f"http://127.0.0.1:{port}",
        database_path=Path(path),
        # Vipps's gaps of 2, 60 and 120 seconds become 0.1, 3 and 6.
        retry_scale=0.05,
        # A call that was acted on and not answered ends in a gateway's 504.
        silence_s=0.5,
    )
    uvicorn.run(create_app(settings), port=int(port), log_level="critical")


if __name__ == "__main__":
    main(*sys.argv[1:])

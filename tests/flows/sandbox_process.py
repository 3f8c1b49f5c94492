"""A sandbox as its own process, forked like the service's (tests/flows/forked.py).

Its payments are in the file, so that it may be killed; what takes Vipps a minute takes it
seconds, so that a test need not wait.
"""

from pathlib import Path

import uvicorn

from service.sandbox import SandboxSettings, create_app


def main(path: str, port: str) -> None:
    """Serve until killed."""
    settings = SandboxSettings(
        public_url=f"http://127.0.0.1:{port}",
        database_path=Path(path),
        # Vipps's gaps of a minute, two minutes and an hour become 0.3, 0.6 and 18 seconds.
        retry_scale=0.005,
        # A call that was acted on and not answered ends in a gateway's 504.
        silence_s=0.5,
    )
    uvicorn.run(create_app(settings), port=int(port), log_level="critical")

"""The `betalbar` command: what an operator, a script or a container starts."""

from service.cli.program import app, main

__all__ = ["app", "main"]

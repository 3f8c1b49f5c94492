"""The two ways to open a transaction; nothing else in the service commits.

SQLite: one writing connection per process and `BEGIN IMMEDIATE`. A plain BEGIN that
reads and then writes fails under concurrency with BUSY_SNAPSHOT, which no time-out
cures (measured: 361 of 400). `synchronous=FULL`, since a 200 to Vipps is a promise.

PostgreSQL: READ COMMITTED; what must not race is locked by row, in a fixed order:
invoices by id, then the feed. Readers see one state: REPEATABLE READ, read only.

`hide_parameters`: an error's text goes to the log, and parameters are people's data.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import orjson
import psycopg
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Engine
from sqlmodel import Session

from service.errors import DatabaseAway, ReadTooLong, SettingsInvalid
from service.store.turns import TooLong, Turns

# A merchant's request waits at most this long for the writing connection; Vipps waits
# 10 s for its answer, and a late 503 is worth less than an early one.
BUSY_TIMEOUT_S = 5

# A commit of 64 webhooks changes some eight hundred pages. With the usual limit of a thousand,
# nearly each copied its pages into the database too and waited for two more syncs. So it is one in
# twenty, and a page that was changed ten times is copied once. The log takes 64 MiB of the disk.
_CHECKPOINT_PAGES = 16_384

_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}",
    "PRAGMA cache_size=-65536",  # 64 MiB: the rate falls when index pages miss the cache
    f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}",
)

LOCK_TIMEOUT_MS = 8000

_SQLITE_READERS = 4
_POSTGRES_CONNECTIONS = 12

# What still takes no writing, or no longer, since another server does.
_READ_ONLY = psycopg.errors.ReadOnlySqlTransaction

_OF_SQLALCHEMY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
# The statements of the hot path go to the driver itself (service/store/statements.py).
_OF_THE_DRIVERS = (
    sqlite3.OperationalError,
    sqlite3.InterfaceError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    _READ_ONLY,
)

# A session left open keeps VACUUM from cleaning and its row locks from everyone else.
_POSTGRES_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": "30000",
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": "30000",
}
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _POSTGRES_SETTINGS.items())
# Behind PgBouncer a session is another one in each transaction.
_SET_IN_TRANSACTION = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in _POSTGRES_SETTINGS.items()
)
# Whoever waits for an answer gets one, and a search through millions takes no connection for long.
_BRIEFLY = "SET LOCAL statement_timeout = 2000"
_REFUSED_BY_A_POOLER = "unsupported startup parameter"

# A server whose machine is gone says nothing more. Left alone, the system would wait for two hours
# before it asks, and every thread with it. A socket on this machine has no use for these.
POSTGRES_SILENCE = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


# Opens one part of a transaction that several share.
Part = Callable[[], AbstractContextManager[Session]]


class Database:
    """One database, reached through a writing and a reading side."""

    def __init__(self, url: str, *, is_pooled: bool = False) -> None:
        """Prepare the engines; nothing is connected before the first transaction.

        `is_pooled`: the URL is PgBouncer's, which gives each transaction any session."""
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            writing, reading = _SQLITE_PRAGMAS, (*_SQLITE_PRAGMAS, "PRAGMA query_only=ON")
            self._writer = _sqlite_engine(url, writing, begin="BEGIN IMMEDIATE", pool_size=1)
            self._reader = _sqlite_engine(url, reading, begin="BEGIN", pool_size=_SQLITE_READERS)
            self._writing, self._reading = Turns(1), Turns(_SQLITE_READERS)
        else:
            self._writer = _postgres_engine(url, is_pooled=is_pooled)
            # An invoice and its payments are read by two statements: they must agree.
            self._reader = self._writer.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._writing = self._reading = Turns(_POSTGRES_CONNECTIONS)

    @contextmanager
    def migration(self) -> Iterator[sa.Connection]:
        """Run a writing transaction on a bare connection, for changes of the schema.

        Raises: DatabaseAway."""
        with _border(), self._writer.connect() as connection:
            if not self.is_sqlite:
                with connection.begin():
                    yield connection
                return
            # SQLite changes a table by making it anew, which would look like the end of every
            # row that others point to. The switch works outside a transaction only.
            with _foreign_keys_off(connection), connection.begin():
                yield connection
                if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise RuntimeError(f"a migration left rows of {broken[0]} without their parent")

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Run a writing transaction: committed at the end, rolled back by any error.

        Raises: DatabaseAway, where nothing could be stored."""
        with _border(), self._writing.turn(BUSY_TIMEOUT_S), _session(self._writer) as session:
            yield session

    @contextmanager
    def shared_transaction(self) -> Iterator[Part]:
        """Run a writing transaction of several parts, each undone alone by its own error.

        What it yields opens a part; all are committed at the end. Raises: DatabaseAway."""
        with _border(), self._writing.turn(BUSY_TIMEOUT_S), self._writer.begin() as connection:
            yield lambda: _part(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Run a reading transaction over one state of the database.

        Raises: DatabaseAway, where nothing could be read."""
        with _border(), self._reading.turn(BUSY_TIMEOUT_S), _session(self._reader) as session:
            yield session

    @contextmanager
    def brief_snapshot(self) -> Iterator[Session]:
        """Read as in `snapshot`, for somebody who waits: PostgreSQL gives a statement 2 s.

        Raises: ReadTooLong, DatabaseAway."""
        try:
            with self.snapshot() as session:
                if not self.is_sqlite:
                    session.connection().exec_driver_sql(_BRIEFLY)
                yield session
        except DatabaseAway as away:
            why = away.__cause__
            why = why.orig if isinstance(why, exc.DBAPIError) else why
            if isinstance(why, psycopg.errors.QueryCanceled):
                raise ReadTooLong from away
            raise

    def dispose(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()


@contextmanager
def _border() -> Iterator[None]:
    """Translate a database that can't be used into our own error.

    What we did wrong (IntegrityError, ProgrammingError) stays what it is."""
    try:
        yield
    except (*_OF_SQLALCHEMY, *_OF_THE_DRIVERS, TooLong) as error:
        if _REFUSED_BY_A_POOLER in str(error):
            raise SettingsInvalid(
                "BETALBAR_DATABASE_URL: a pooler answers there; set BETALBAR_DATABASE_DIRECT_URL"
                " to PostgreSQL's own URL"
            ) from error
        raise DatabaseAway from error
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseAway from error
        raise


@event.listens_for(Session, "loaded_as_persistent")
def _keep(session: Any, loaded: Any) -> None:
    # A session forgets what nobody else holds, and would read it again: a customer five times.
    session.info.setdefault("loaded", []).append(loaded)


@contextmanager
def _session(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def _part(connection: sa.Connection) -> Iterator[Session]:
    """Run a part of a transaction, undone by its own error. Raises: DatabaseAway."""
    part = Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
    with _border(), part as session, session.begin():
        yield session


@contextmanager
def _foreign_keys_off(connection: sa.Connection) -> Iterator[None]:
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _sqlite_engine(url: str, pragmas: Sequence[str], *, begin: str, pool_size: int) -> Engine:
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_S,
        hide_parameters=True,
        json_serializer=_dump,
        json_deserializer=orjson.loads,
        connect_args={"check_same_thread": False},
        poolclass=sa.pool.QueuePool,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling would begin late and plainly.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: str, *, is_pooled: bool) -> Engine:
    # What was prepared in one session is not known in the next.
    in_session = {"prepare_threshold": None} if is_pooled else {"options": _OPTIONS}
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=8,
        max_overflow=_POSTGRES_CONNECTIONS - 8,
        pool_timeout=BUSY_TIMEOUT_S,
        # A server that was restarted must cost nobody an answer but those in flight.
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=_dump,
        json_deserializer=orjson.loads,
        connect_args={"connect_timeout": 5, **in_session, **POSTGRES_SILENCE},
    )

    @event.listens_for(engine, "handle_error")
    def leave(failed: sa.engine.ExceptionContext) -> None:
        # The next connection finds the server that takes over: each to this one is of no use.
        if isinstance(failed.original_exception, _READ_ONLY):
            failed.is_disconnect = True

    if is_pooled:

        @event.listens_for(engine, "begin")
        def start(connection: sa.Connection) -> None:
            connection.exec_driver_sql(_SET_IN_TRANSACTION)

    return engine

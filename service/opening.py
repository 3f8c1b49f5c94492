"""One process's context, opened: what commands need of the service that they do not serve."""

from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import structlog

from service.clock import Clock
from service.context import Context
from service.errors import SettingsInvalid
from service.settings import Settings
from service.store.db import Database
from service.store.home import has_moved
from service.store.leases import database_time
from service.store.recovery import begin_recovery
from service.store.schema import migrate, require_current
from service.traces import NoTraces, Traces
from service.units import ensure_first_unit
from service.vault import load_master_keys, open_vault
from service.wake import Wake

log = structlog.get_logger(__name__)


def open_context(
    settings: Settings, *, clock: Clock | None = None, key_file: Path | None = None
) -> Context:
    """Open the database and its keys, and bring the first sales unit up to date.

    SQLite is migrated; an older schema on PostgreSQL is refused; one that was read in from a dump
    begins its recovery. `key_file` is where the master key is when none is set, unless beside the
    database.
    Raises: SettingsInvalid, SchemaOutdated, SealBroken, DatabaseAway."""
    clock = clock or Clock()
    traces = _open_traces(settings)
    masters = load_master_keys(
        settings.master_keys,
        key_file=key_file or settings.key_file,
        is_vipps_real=settings.is_vipps_real,
    )
    with ExitStack() as unless_opened:
        database = Database(settings.database_url, is_pooled=settings.is_database_pooled)
        unless_opened.callback(database.dispose)
        if database.is_sqlite:
            migrate(database)
        else:
            require_current(database)
            clock = replace(clock, of_database=database_time)
        with database.transaction() as session:
            vault = open_vault(session, masters, now=clock.now())
            ensure_first_unit(session, settings, vault, now=clock.now())
            if not database.is_sqlite and has_moved(session):
                log.warning("restored_from_a_dump")
                begin_recovery(session, now=clock.shared_now(session))
        unless_opened.pop_all()
    return Context(settings, database, vault, clock, Wake(), traces=traces)


def _open_traces(settings: Settings) -> Traces:
    """Return what the settings ask for. Raises: SettingsInvalid, where the extra is missing."""
    if not settings.traces_url:
        return NoTraces()
    if find_spec("opentelemetry") is None:
        raise SettingsInvalid("BETALBAR_TRACES_URL: needs the extra betalbar[otel]")
    from service.traces_otel import otel_traces

    return otel_traces(settings.traces_url)

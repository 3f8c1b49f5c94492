"""`betalbar doctor`: whether an installation can do its work, and the one thing to do next."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from sqlmodel import Session, col

from service.cli.bundle import write_bundle
from service.cli.doctor_keeping import examine_keeping
from service.cli.doctor_network import examine_address, examine_port
from service.cli.findings import (
    Finding,
    compare_clocks,
    differences,
    next_step,
    show_findings,
    strangers,
)
from service.cli.output import AsJson, show_json
from service.cli.serving import api_key
from service.context import Context
from service.errors import (
    DatabaseAway,
    SchemaOutdated,
    ServiceError,
    SettingsInvalid,
    UpstreamRejected,
)
from service.inbox.lost import find_lost
from service.inbox.registering import active, compare, webhook_url
from service.opening import open_context
from service.settings import Settings, load_settings
from service.store.channel import say_once
from service.store.db import Database
from service.store.recovery import recoveries
from service.store.schema import require_current
from service.store.tables import ApiKey, SalesUnit, Subscription
from service.units import list_units
from service.vault import SealBroken
from service.vipps import VippsClient, new_http
from webhooks.health import SubscriptionStatus

# RETURNING and upserts as we write them.
SQLITE_MIN = (3, 35, 0)
# From here on two processes that reset the log at one instant can't damage the file; the two
# older lines have the fix as well. Source: sqlite.org/wal.html, "The WAL-Reset Bug".
SQLITE_WITHOUT_RESET_BUG = (3, 51, 3)
SQLITE_MENDED = {(3, 44): 6, (3, 50): 7}
# The version that all tests run on.
POSTGRESQL_TESTED = 18

_FAILING = (SubscriptionStatus.DEGRADED, SubscriptionStatus.PARKED, SubscriptionStatus.DISABLED)


def doctor(
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also write versions, settings, errors and ages there, to ask for help."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check this installation, and say the one thing to do next; change nothing at Vipps.

    Looks at the settings, the database, its version and schema, the master keys, whether the
    service runs, the public URL and its certificate, the clock, and for each sales unit its keys
    for Vipps, its registration and its subscriptions. Ends with 1 where something is not well.
    Why single webhooks are refused is what `betalbar webhooks doctor` finds out. With --bundle it
    writes a file for who helps: no secret is in it, and nothing about a person.
    """
    findings = asyncio.run(_examine())
    if bundle is not None:
        _write(bundle, findings)
    step = next_step(findings)
    if as_json:
        show_json({"findings": [asdict(one) for one in findings], "next": step or None})
    else:
        show_findings(Console(highlight=False), findings)
        print(f"\nNext: {step}" if step else "\nAll is well.")
    if step:
        raise typer.Exit(1)


def _write(bundle: Path, findings: list[Finding]) -> None:
    """Write the bundle with what can be read; of a broken installation, what was found."""
    is_readable = any(one.check == "schema" and one.is_well for one in findings)
    context = None
    with suppress(SealBroken, SettingsInvalid, DatabaseAway, SchemaOutdated):
        context = open_context(load_settings()) if is_readable else None
    try:
        write_bundle(bundle, findings, context)
    finally:
        if context is not None:
            context.database.dispose()


async def _examine() -> list[Finding]:
    """Look at one thing after another; what stands on a thing that is missing is not looked at."""
    try:
        settings = load_settings()
    except SettingsInvalid as error:
        return [Finding("settings", False, str(error))]
    findings = [Finding("settings", True, _vipps_of(settings)), *_database(settings)]
    if not all(one.is_well for one in findings):
        return findings
    try:
        context = open_context(settings)
    except (SealBroken, SettingsInvalid) as error:
        advice = "set BETALBAR_MASTER_KEYS to the keys that this database was made with"
        return [*findings, Finding("master keys", False, str(error), advice)]
    try:
        findings += [*_past_the_pooler(settings), *_stored(context)]
        return [*findings, *await _reachable(context)]
    finally:
        context.database.dispose()


def _vipps_of(settings: Settings) -> str:
    return f"Vipps is {settings.vipps_url or 'the built-in sandbox'}"


def _database(settings: Settings) -> Iterator[Finding]:
    """Yield how the database is, without making or changing it."""
    if settings.database_url.startswith("sqlite"):
        yield _sqlite_version(sqlite3.sqlite_version_info)
        path = Path(sa.make_url(settings.database_url).database or "")
        if not path.exists():
            yield Finding("database", False, f"there is no file {path} yet", _start(settings))
            return
    database = Database(settings.database_url, is_pooled=settings.is_database_pooled)
    try:
        if not database.is_sqlite:
            yield _postgresql_version(database)
        require_current(database)
    except DatabaseAway:
        advice = "start it, or mend BETALBAR_DATABASE_URL"
        yield Finding("database", False, "it can't be reached", advice)
    except SchemaOutdated:
        yield Finding("schema", False, "it is not this version's", "betalbar migrate")
    except SettingsInvalid as error:  # it is a pooler
        yield Finding("database", False, str(error))
    else:
        yield Finding("schema", True, "this version's")
    finally:
        database.dispose()


def _past_the_pooler(settings: Settings) -> Iterator[Finding]:
    """Yield whether processes can hear each other, where a pooler is in between."""
    if not settings.is_database_pooled:
        return
    name = "PostgreSQL itself"
    try:
        say_once(settings.direct_url, ())
    except DatabaseAway:
        said = "can't be reached: each process looks every second for what others have done"
        yield Finding(name, False, said, "mend BETALBAR_DATABASE_DIRECT_URL")
    else:
        yield Finding(name, True, "is reached past the pooler")


def _sqlite_version(version: tuple[int, int, int]) -> Finding:
    said = ".".join(str(part) for part in version)
    if version < SQLITE_MIN:
        return Finding("SQLite", False, said, "use a Python with SQLite 3.35 or newer")
    is_mended = version[2] >= SQLITE_MENDED.get(version[:2], version[2] + 1)
    if version >= SQLITE_WITHOUT_RESET_BUG or is_mended:
        return Finding("SQLite", True, said)
    advice = (
        "before 3.51.3 two processes that write at one instant can, very rarely, damage the file:"
        " keep backups, and commands beside a running service few; PostgreSQL is without this"
    )
    return Finding("SQLite", True, said, advice)


def _postgresql_version(database: Database) -> Finding:
    with database.snapshot() as session:
        number = int(session.execute(sa.text("SHOW server_version_num")).scalar_one()) // 10_000
    advice = "" if number >= POSTGRESQL_TESTED else f"everything is tested on {POSTGRESQL_TESTED}"
    return Finding("PostgreSQL", True, f"version {number}", advice)


def _stored(context: Context) -> Iterator[Finding]:
    """Yield what the database knows that somebody should."""
    with context.database.snapshot() as session:
        units = list_units(session)
        if not units:
            yield Finding("sales units", False, "there is none", "set BETALBAR_VIPPS_MSN")
        for unit in units:
            yield from _unit(context, session, unit)
        yield from examine_keeping(context, session)


def _unit(context: Context, session: Session, unit: SalesUnit) -> Iterator[Finding]:
    name = f"sales unit {unit.msn}"
    if unit.held_since is not None:
        advice = "mend its keys for Vipps; its calls go on by themselves"
        yield Finding(name, False, f"its calls wait: {unit.held_because}", advice)
    if (since := unit.recovering_since) is not None:
        left = next(one.left_to_read for one in recoveries(session) if one.msn == unit.msn)
        said = f"restored, recovering since {since:%Y-%m-%d %H:%M} UTC; left to read: {left}"
        advice = (
            "let the service run, which reads at Vipps and sends nothing until it has; where that"
            f" can't be any more: betalbar recover --without-vipps --msn {unit.msn}"
        )
        yield Finding(name, False, said, advice)
    living = sa.select(sa.func.count()).where(
        col(ApiKey.msn) == unit.msn, col(ApiKey.revoked_at).is_(None)
    )
    keys = session.execute(living).scalar_one()
    if context.settings.has_built_in_sandbox and unit.msn == context.settings.msn:
        # A developer's, who has lost it in the scroll of the terminal.
        yield Finding("API key", True, api_key(context))
    elif not keys:
        advice = f"betalbar keys create 'the ERP' --msn {unit.msn}"
        yield Finding(name, False, "nobody can call the API: it has no key", advice)
    yield _subscriptions(session, unit.msn)


def _subscriptions(session: Session, msn: str) -> Finding:
    name = f"subscriptions of {msn}"
    wanted = sa.select(Subscription).where(
        col(Subscription.msn) == msn, col(Subscription.reason).is_distinct_from("by_merchant")
    )
    found = session.scalars(wanted).all()
    failing = [one for one in found if one.status in _FAILING]
    if failing:
        said = ", ".join(f"{one.id} is {one.status} ({one.reason})" for one in failing)
        return Finding(name, False, said, "mend the receiver; docs/deliveries.md says what follows")
    return Finding(name, True, f"{len(found)}, none failing" if found else "none yet")


async def _reachable(context: Context) -> list[Finding]:
    """Return what the network says: of this service, and of Vipps."""
    async with new_http() as http:
        port = await examine_port(context.settings, http)
        findings = [port, *await examine_address(context.settings, http, is_served=port.is_well)]
        if context.settings.has_built_in_sandbox and not port.is_well:
            return findings
        findings.append(await compare_clocks(context, http))
        client = VippsClient(context.settings.upstream_url, http)
        with context.database.snapshot() as session:
            msns = [unit.msn for unit in list_units(session) if unit.vipps_keys]
        for msn in msns:
            findings += await _at_vipps(context, client, msn)
    # What keeps Vipps from us comes before starting: a service that can't ask is of no use.
    return sorted(findings, key=lambda one: one is port)


async def _at_vipps(context: Context, client: VippsClient, msn: str) -> list[Finding]:
    name = f"keys of {msn}"
    try:
        standing = await compare(context, client, msn)
    except UpstreamRejected as error:
        if error.status not in (401, 403):
            return [Finding(name, False, str(error), "look at status.vippsmobilepay.com")]
        advice = "compare BETALBAR_VIPPS_CLIENT_ID and its neighbours with the portal"
        return [Finding(name, False, f"Vipps refuses them ({error.status})", advice)]
    except ServiceError as error:
        return [Finding(name, False, str(error), "let this machine reach Vipps")]
    with context.database.snapshot() as session:
        is_known = any(one.url == webhook_url(context, msn) for one in active(session, msn))
    advice = "" if is_known else f"betalbar webhooks register --msn {msn}"
    said = "Vipps reports to us" if is_known else "Vipps does not report to us"
    registration = Finding(f"registration of {msn}", is_known, said, advice)
    unknown = await find_lost(context, client, standing.keys)
    found = [registration, *differences(standing), *strangers(msn, unknown)]
    return [Finding(name, True, "Vipps takes them"), *found]


def _start(settings: Settings) -> str:
    return "betalbar serve" if settings.has_built_in_sandbox else "betalbar migrate"

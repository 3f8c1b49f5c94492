"""`betalbar keys`: API keys, each bound to one sales unit."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from service.api.keys import Grant, create_key, list_keys, revoke_key, rotate_key
from service.cli.output import AsJson, Msn, examples, opened, progress, show_json, show_rows
from service.kinds import Scope
from service.store.tables import ApiKey
from service.vault import load_master_keys, rewrap

_DAYS = ["%Y-%m-%d"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="API keys: made once, shown once, kept only as a hash.",
)


@app.command(
    epilog=examples(
        "betalbar keys create 'ERP, production'",
        "betalbar keys create 'BI, until summer' --scope read --expires 2027-06-01",
    )
)
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as 'ERP, production'.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may do; repeat it for several. All, if none is named."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=_DAYS, help="The day, in UTC, on which it ends. Never, if not given."),
    ] = None,
    msn: Msn = "",
    as_json: AsJson = False,
) -> None:
    """Make an API key for one sales unit, and show it for the only time.

    Send it as `Authorization: Bearer <key>`. It reads and moves what is of that sales unit and
    nothing of another: `read` looks, `write` changes, `money` captures, refunds, cancels and
    settles. A key that is lost can't be shown again: revoke it and make another.
    """
    with opened() as context, context.database.transaction() as session:
        unit = msn or context.settings.msn
        grant = Grant(scope or tuple(Scope), expires.replace(tzinfo=UTC) if expires else None)
        now = context.clock.now()
        key, plain = create_key(session, msn=unit, name=name, now=now, grant=grant)
        row = _row(key)
    # After the commit: a key that is shown works.
    _show_once(row, plain, as_json=as_json)


@app.command(
    epilog=examples("betalbar keys rotate key_01JDZ3M8Q5T0V2W4X6Y8Z0A1B3 --overlap-hours 48")
)
def rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `betalbar keys list` shows it.")],
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=24 * 30, help="How long the old one is still good.")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Make another API key for the same, and let the old one end after an overlap.

    Put the new one into your system within that time; nothing stops meanwhile.
    """
    overlap = timedelta(hours=overlap_hours)
    with opened() as context, context.database.transaction() as session:
        key, plain = rotate_key(session, key_id, overlap=overlap, now=context.clock.now())
        row = _row(key)
    _show_once(row, plain, as_json=as_json)


@app.command("rotate-master", epilog=examples("betalbar keys rotate-master"))
def rotate_master(as_json: AsJson = False) -> None:
    """Wrap every stored key anew, under the first of BETALBAR_MASTER_KEYS.

    Put a new master key in front of the old ones, restart every process, then run this beside
    them: it is done in small commits, and one that was stopped goes on where it was. When it has
    ended, the old keys open nothing any more and can be left out at the next restart. A backup
    from before still needs them.
    """
    with opened() as context, progress() as bar:
        settings = context.settings
        masters = load_master_keys(
            settings.master_keys,
            key_file=settings.key_file,
            is_vipps_real=settings.is_vipps_real,
        )
        task = bar.add_task("Wrapping keys", total=None)
        count = 0
        for done in rewrap(context.database, masters):
            count += done
            bar.update(task, completed=count)
    if as_json:
        show_json({"rewrapped": count, "masterKeys": len(masters)})
    else:
        print(_rewrapped(count, len(masters)))


def _rewrapped(count: int, masters: int) -> str:
    said = f"{count} keys are wrapped anew." if count else "Every key is under the newest already."
    others = " The older master keys can be left out now." if masters > 1 else ""
    return said + others


@app.command("list", epilog=examples("betalbar keys list --json"))
def list_(msn: Msn = "", as_json: AsJson = False) -> None:
    """Show the API keys, newest first, the revoked ones too; never the keys themselves.

    Without --msn, those of every sales unit.
    """
    with opened() as context, context.database.snapshot() as session:
        rows = [_row(key) for key in list_keys(session, msn=msn or None)]
    show_rows(rows, as_json=as_json, empty="There is no API key. Make one: betalbar keys create")


@app.command(epilog=examples("betalbar keys revoke key_01JDZ3M8Q5T0V2W4X6Y8Z0A1B3"))
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `betalbar keys list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """End an API key at once; requests with it get 401 from now on.

    Doing it again changes nothing.
    """
    with opened() as context, context.database.transaction() as session:
        row = _row(revoke_key(session, key_id, now=context.clock.now()))
    if as_json:
        show_json(row)
    else:
        print(f"{key_id} is revoked.")


def _show_once(row: dict[str, Any], plain: str, *, as_json: bool) -> None:
    if as_json:
        show_json({**row, "key": plain})
    else:
        print(f"{plain}\n\nKeep it now: it is not shown again. Its id is {row['id']}.")


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "msn": key.msn,
        "name": key.name,
        "scopes": key.scopes,
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
        "lastUsedAt": key.last_used_at,
        "revokedAt": key.revoked_at,
    }

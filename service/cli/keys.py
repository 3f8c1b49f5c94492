"""`betalbar keys`: API keys, each bound to one sales unit."""

from typing import Annotated, Any

import typer

from service.api.keys import create_key, list_keys, revoke_key
from service.cli.output import AsJson, Msn, examples, opened, show_json, show_rows
from service.store.tables import ApiKey

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="API keys: made once, shown once, kept only as a hash.",
)


@app.command(epilog=examples("betalbar keys create 'ERP, production'"))
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as 'ERP, production'.")],
    msn: Msn = "",
    as_json: AsJson = False,
) -> None:
    """Make an API key for one sales unit, and show it for the only time.

    Send it as `Authorization: Bearer <key>`. It reads and moves everything of that sales unit and
    nothing of another. A key that is lost can't be shown again: revoke it and make another.
    """
    with opened() as context, context.database.transaction() as session:
        unit = msn or context.settings.msn
        key, plain = create_key(session, msn=unit, name=name, now=context.clock.now())
        shown = {"id": key.id, "msn": key.msn, "name": key.name, "key": plain}
    # After the commit: a key that is shown works.
    if as_json:
        show_json(shown)
    else:
        print(f"{plain}\n\nKeep it now: it is not shown again. Its id is {key.id}.")


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


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "msn": key.msn,
        "name": key.name,
        "createdAt": key.created_at,
        "revokedAt": key.revoked_at,
    }

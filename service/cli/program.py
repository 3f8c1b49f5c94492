"""All commands put together, and what a process ends with.

Exit codes: 0 done; 1 refused, by us, by Vipps or by a database that is away; 2 usage: options,
settings, a taken port, an older schema.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from service.cli import (
    audit,
    backups,
    demo,
    doctor,
    events,
    invoices,
    keys,
    reconciling,
    recovering,
    retention,
    sales_units,
    serving,
    users,
    webhooks,
)
from service.cli.output import complain, examples
from service.errors import SchemaOutdated, ServiceError, SettingsInvalid

REFUSED = 1
USAGE = 2

app = typer.Typer(
    name="betalbar",
    help="Send invoices into the customer's Vipps MobilePay app, and be told what became of each.",
    epilog="Settings come from the environment, BETALBAR_*; README.md lists them with their"
    " defaults. Exit codes: 0 done, 1 refused, 2 usage.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # paragraphs flow, code stands out
    # Its tracebacks print local variables: keys, phone numbers.
    pretty_exceptions_enable=False,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        print(f"betalbar {version('betalbar')}")
        raise typer.Exit


# Without a docstring: typer would print that one in place of the help above.
@app.callback()
def _anywhere(
    is_asked: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    pass


app.command(epilog=examples("betalbar serve", "betalbar serve --processes 2"))(serving.serve)
app.command(epilog=examples("betalbar worker", "betalbar worker --port 9091"))(serving.worker)
app.command(epilog=examples("betalbar migrate"))(serving.migrate)
app.command(epilog=examples("betalbar demo"))(demo.demo)
app.command(epilog=examples("betalbar sandbox --port 8090 --file sandbox.db"))(serving.sandbox)
app.command(epilog=examples("betalbar doctor", "betalbar doctor --bundle betalbar.json"))(
    doctor.doctor
)
app.command(
    epilog=examples(
        "betalbar retention",
        "betalbar retention --read archive/betalbar-2026-11-27-0f3a9c51.jsonl",
    )
)(retention.retention)
app.add_typer(keys.app, name="keys")
app.add_typer(sales_units.app, name="sales-units")
app.add_typer(users.app, name="users")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(invoices.app, name="invoices")
app.add_typer(events.app, name="events")
app.command(
    epilog=examples("betalbar reconcile", "betalbar reconcile --reference acme-2026-000123")
)(reconciling.reconcile)
app.add_typer(audit.app, name="audit")
app.command(epilog=examples("betalbar backup betalbar-2026-11-27.db"))(backups.backup)
app.command(epilog=examples("betalbar restore betalbar-2026-11-27.db"))(backups.restore)
app.command(epilog=examples("betalbar recover", "betalbar recover --msn 123456 --without-vipps"))(
    recovering.recover
)


def main() -> None:
    """Run the command that was typed, and end the process with its exit code."""
    try:
        app(prog_name="betalbar")
    except (SettingsInvalid, SchemaOutdated) as error:
        sys.exit(complain(error, USAGE))
    except ServiceError as error:
        sys.exit(complain(error, REFUSED))

"""All commands put together, and what a process ends with.

Exit codes: 0 done; 1 refused, by us, by Vipps or by a database that is away; 2 usage: options,
settings, a taken port, an older schema.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from service.cli.output import complain, examples
from service.errors import SchemaOutdated, ServiceError, SettingsInvalid

REFUSED = 1
USAGE = 2

_app = typer.Typer(
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
@_app.callback()
def _anywhere(
    is_asked: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    pass


# Each command's module, by its order in the help. One alone is a function of that name, shown with
# these examples; a group of several is the module's `app`.
_PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "serve": ("serving", ("betalbar serve", "betalbar serve --processes 2")),
    "worker": ("serving", ("betalbar worker", "betalbar worker --port 9091")),
    "migrate": ("serving", ("betalbar migrate",)),
    "demo": ("demo", ("betalbar demo",)),
    "sandbox": ("serving", ("betalbar sandbox --port 8090 --file sandbox.db",)),
    "doctor": ("doctor", ("betalbar doctor", "betalbar doctor --bundle betalbar.json")),
    "retention": (
        "retention",
        (
            "betalbar retention",
            "betalbar retention --read archive/betalbar-2026-11-27-0f3a9c51.jsonl",
        ),
    ),
    "reconcile": (
        "reconciling",
        ("betalbar reconcile", "betalbar reconcile --reference acme-2026-000123"),
    ),
    "backup": ("backups", ("betalbar backup betalbar-2026-11-27.db",)),
    "restore": ("backups", ("betalbar restore betalbar-2026-11-27.db",)),
    "recover": (
        "recovering",
        ("betalbar recover", "betalbar recover --msn 123456 --without-vipps"),
    ),
    "keys": ("keys", ()),
    "sales-units": ("sales_units", ()),
    "users": ("users", ()),
    "webhooks": ("webhooks", ()),
    "invoices": ("invoices", ()),
    "events": ("events", ()),
    "audit": ("audit", ()),
}
MODULES = tuple(dict.fromkeys(f"{__package__}.{module}" for module, _ in _PLACES.values()))


class _Commands(Mapping[str, Any]):
    """All commands by name; each is loaded when it is asked for.

    Who types `betalbar keys list` does not wait for the libraries of all the others."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


def _load(name: str) -> Any:
    place, shown = _PLACES[name]
    module = import_module(f"service.cli.{place}")
    shelf = typer.Typer(rich_markup_mode="markdown", add_completion=False)
    if not shown:
        shelf.add_typer(module.app, name=name)
        return cast(TyperGroup, typer.main.get_command(shelf)).commands[name]
    shelf.command(epilog=examples(*shown))(getattr(module, name))
    return typer.main.get_command(shelf)


def program() -> TyperGroup:
    """Return all commands as one."""
    group = cast(TyperGroup, typer.main.get_command(_app))
    group.commands = cast(Any, _Commands())
    return group


def main() -> None:
    """Run the command that was typed, and end the process with its exit code."""
    try:
        program()(prog_name="betalbar")
    except (SettingsInvalid, SchemaOutdated) as error:
        sys.exit(complain(error, USAGE))
    except ServiceError as error:
        sys.exit(complain(error, REFUSED))

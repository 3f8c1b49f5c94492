"""`betalbar users`: people who sign in to the console."""

import sys
from typing import Annotated, Any

import segno
import typer

from service.cli.output import AsJson, examples, opened, show_json, show_rows
from service.kinds import Role
from service.staff.second_factor import link
from service.staff.users import NewPerson, Person, add_user, disable_user, list_users

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="People who sign in to the console, and what they may do there.",
)

Login = Annotated[str, typer.Argument(help="What they sign in with, such as kari@example.com.")]
_ISSUER = "Betalbar"


@app.command(epilog=examples("betalbar users add kari@example.com --role finance"))
def add(
    login: Login,
    role: Annotated[
        Role,
        typer.Option(
            help="viewer sees; support also asks customers again; finance also moves money;"
            " admin also manages subscriptions and settings."
        ),
    ] = Role.VIEWER,
    name: Annotated[str, typer.Option(help="What they are called; without it, the login.")] = "",
    msn: Annotated[
        list[str] | None, typer.Option(help="A sales unit that they see; may be given again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a person sign in to the console, and show the password for the only time.

    Who may move money (finance, admin) also gets a code for an authenticator app: scan it, or
    type the secret. Hand both over in person; to make new ones, disable the user and add another.
    """
    with opened() as context:
        new = NewPerson(login, name or login, role, tuple(msn or (context.settings.msn,)))
        with context.database.transaction() as session:
            made = add_user(session, context.vault, new, now=context.clock.now())
        console = f"{context.settings.base_url}/console"
    authenticator = made.totp_secret and link(made.totp_secret, login=login, issuer=_ISSUER)
    if as_json:
        shown = {"id": made.user_id, "password": made.password, "authenticator": authenticator}
        show_json(shown)
        return
    print(f"{login} signs in at {console}\n\n  password  {made.password}")
    if authenticator:
        print(f"  secret    {made.totp_secret}\n")
        if sys.stdout.isatty():
            segno.make(authenticator, error="l").terminal(compact=True)
        print("Scan or type the secret into an authenticator app.")
    print("\nNeither is shown again.")


@app.command("list", epilog=examples("betalbar users list"))
def list_(as_json: AsJson = False) -> None:
    """Show who may sign in, and who no longer may."""
    with opened() as context, context.database.snapshot() as session:
        rows = [_row(person) for person in list_users(session, context.vault)]
    show_rows(rows, as_json=as_json, empty="There is no user. Add one: betalbar users add LOGIN")


@app.command(epilog=examples("betalbar users disable kari@example.com"))
def disable(login: Login) -> None:
    """Let a person go: they are signed out everywhere at once, and can't sign in again.

    Doing it again changes nothing.
    """
    with opened() as context, context.database.transaction() as session:
        disable_user(session, context.vault, login, now=context.clock.now())
    print(f"{login} can't sign in any more.")


def _row(person: Person) -> dict[str, Any]:
    return {
        "login": person.login,
        "name": person.name,
        "role": person.role.value,
        "salesUnits": ", ".join(person.msns),
        "secondFactor": "yes" if person.has_second_factor else "no",
        "createdAt": person.created_at,
        "disabledAt": person.disabled_at,
    }

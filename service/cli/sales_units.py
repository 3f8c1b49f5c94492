"""`betalbar sales-units`: the tenants of one service."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from service.cli.output import AsJson, examples, opened, show_json, show_rows
from service.errors import FieldError, InvalidInput
from service.settings import parse_quiet_hours
from service.store.tables import SalesUnit
from service.units import UnitValues, add_unit, list_units
from service.vipps import VippsKeys

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Sales units: each has its own keys, customers, invoices and subscriptions.",
)

EXAMPLE = """{
  "msn": "654321", "name": "Second shop", "organisationNumber": "999999999",
  "contactUrl": "https://shop.example/help", "termsOfSaleUrl": "https://shop.example/terms",
  "privacyPolicyUrl": "https://shop.example/privacy", "currency": "NOK",
  "vippsKeys": {"clientId": "...", "clientSecret": "...", "subscriptionKey": "..."}
}"""


class _Document(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", hide_input_in_errors=True)


class _Keys(_Document):
    client_id: str
    client_secret: str = Field(repr=False)
    subscription_key: str = Field(repr=False)


class _Unit(_Document):
    """One sales unit as its file describes it; the policy may be left out."""

    msn: str
    name: str = Field(min_length=1, max_length=100)
    organisation_number: str
    contact_url: str
    terms_of_sale_url: str
    privacy_policy_url: str
    currency: Literal["NOK", "DKK", "EUR"]
    vipps_keys: _Keys
    soft_dismiss_after_s: int = Field(default=600, ge=1)
    max_payment_lifetime_s: int = Field(default=0, ge=0)
    push_again_after_s: int = Field(default=172_800, ge=1)
    max_pushes: int = Field(default=3, ge=1)
    quiet_hours: str = "21:00-08:00"

    @field_validator("quiet_hours")
    @classmethod
    def _quiet_hours_readable(cls, value: str) -> str:
        parse_quiet_hours(value)
        return value


@app.command(
    epilog=f"{examples('betalbar sales-units add shop.json')}\n\nA file:\n\n"
    f"```json\n{EXAMPLE}\n```\n\nMay be added: `softDismissAfterS`,"
    " `maxPaymentLifetimeS`, `pushAgainAfterS`, `maxPushes`, `quietHours`."
)
def add(
    file: Annotated[
        Path,
        typer.Argument(
            allow_dash=True,
            help="A JSON file that describes it; - reads standard input. Not options: keys stand"
            " in it, and a process list shows options to everybody.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Store one more sales unit, with its keys for Vipps sealed.

    The first one comes from the settings. Afterwards: `betalbar keys create` with its --msn for
    its API key, and `betalbar webhooks register`, so that Vipps reports to us.
    """
    values = _values(_read(file))
    with opened() as context, context.database.transaction() as session:
        add_unit(session, context.vault, values, now=context.clock.now())
    if as_json:
        show_json({"msn": values.msn, "name": values.name, "currency": values.currency})
    else:
        print(f"Sales unit {values.msn} is stored.")
        print(f"Next: betalbar keys create NAME --msn {values.msn}")


@app.command("list", epilog=examples("betalbar sales-units list"))
def list_(as_json: AsJson = False) -> None:
    """Show the sales units, and which of them Vipps has refused the keys of."""
    with opened() as context, context.database.snapshot() as session:
        rows = [_row(unit) for unit in list_units(session)]
    show_rows(rows, as_json=as_json, empty="There is no sales unit. Set BETALBAR_VIPPS_MSN.")


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InvalidInput(FieldError(str(file), error.strerror or "can't be read")) from error


def _values(text: bytes) -> UnitValues:
    try:
        unit = _Unit.model_validate_json(text)
        keys = VippsKeys(unit.msn, **unit.vipps_keys.model_dump())
    except ValidationError as error:
        # `from None`: the error holds the file, and the file holds secrets.
        raise InvalidInput(*(_field_error(e["loc"], e["msg"]) for e in error.errors())) from None
    except ValueError as error:
        raise InvalidInput(FieldError("vippsKeys", str(error))) from None
    known = unit.model_dump(exclude={"vipps_keys"})
    return UnitValues(
        **known,
        client_id=keys.client_id,
        client_secret=keys.client_secret,
        subscription_key=keys.subscription_key,
    )


def _field_error(location: tuple[int | str, ...], reason: str) -> FieldError:
    return FieldError(".".join(str(part) for part in location) or "file", reason)


def _row(unit: SalesUnit) -> dict[str, Any]:
    return {
        "msn": unit.msn,
        "name": unit.name,
        "currency": unit.currency,
        "vippsKeys": "sealed" if unit.vipps_keys else None,
        "heldSince": unit.held_since,
        "heldBecause": unit.held_because,
    }

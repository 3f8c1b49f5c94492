"""Sales units: the first one from the settings, others added."""

import hashlib
from typing import Any

import pytest
from sqlmodel import select

from service.commands.claim import open_keys
from service.errors import Conflict
from service.settings import load_settings
from service.store.db import Database
from service.store.tables import ApiKey, Fanout, Feed, Registration, SalesUnit
from service.units import add_unit, ensure_first_unit, list_units
from service.vault import Vault, open_vault
from tests.builders import MSN, NOW, OTHER_MSN, a_unit


def _start(database: Database, **environment: str) -> Vault:
    """Do what every start of the service does."""
    settings = load_settings({f"BETALBAR_{name}": text for name, text in environment.items()})
    with database.transaction() as session:
        vault = open_vault(session, [b"k" * 32], now=NOW)
        ensure_first_unit(session, settings, vault, now=NOW)
    return vault


def _all(database: Database, model: Any) -> list[Any]:
    with database.snapshot() as session:
        return list(session.exec(select(model)))


def test_first_unit_of_the_sandbox_needs_no_setting(database: Database) -> None:
    """A developer starts with nothing, and has a sales unit with a key."""
    vault = _start(database)

    (unit,) = _all(database, SalesUnit)
    (key,) = _all(database, ApiKey)
    assert (unit.msn, unit.name, unit.currency) == ("123456", "Demo merchant", "NOK")
    assert key.key_hash == hashlib.sha256(vault.sandbox_api_key("123456").encode()).digest()
    assert len(_all(database, Feed)) == len(_all(database, Fanout)) == 1
    assert open_keys(vault, unit.msn, unit.vipps_keys).client_secret == "sandbox"


def test_start_again_changes_nothing(database: Database) -> None:
    """A restart makes no second key, feed or registration."""
    environment = {"VIPPS_WEBHOOK_SECRET": "w", "API_KEY": "bb_test_key"}
    _start(database, **environment)
    before = [r.id for model in (ApiKey, Registration) for r in _all(database, model)]

    _start(database, **environment)

    assert [r.id for model in (ApiKey, Registration) for r in _all(database, model)] == before
    assert len(_all(database, SalesUnit)) == len(_all(database, Feed)) == 1


def test_start_with_other_settings_takes_them(database: Database) -> None:
    """What I change in the settings is in force after the next start."""
    _start(database, MERCHANT_NAME="Before")

    _start(database, MERCHANT_NAME="After", SOFT_DISMISS_AFTER_S="60")

    (unit,) = _all(database, SalesUnit)
    assert (unit.name, unit.soft_dismiss_after_s) == ("After", 60)


def test_secret_from_the_settings_replaces_the_one_before(database: Database) -> None:
    """A webhook secret that I replaced is of no use any more."""
    _start(database, VIPPS_WEBHOOK_SECRET="old")

    vault = _start(database, VIPPS_WEBHOOK_SECRET="new")

    rows = _all(database, Registration)
    (active,) = [row for row in rows if row.retired_at is None]
    place = f"registration:{active.id}:secret"
    assert (len(rows), vault.open(active.secret, place=place)) == (2, b"new")
    assert active.url == f"http://127.0.0.1:8080/webhooks/vipps/{MSN}"


def test_real_vipps_without_an_msn_makes_no_unit(database: Database) -> None:
    """Without a name there is no sales unit; it can be added later."""
    _start(database, VIPPS_URL="https://api.vipps.no", PUBLIC_URL="https://pay.example.com")

    assert _all(database, SalesUnit) == []


def test_units_are_added_once_and_listed(database: Database) -> None:
    """Several sales units live in one service, each known once."""
    vault = _start(database)
    with database.transaction() as session:
        add_unit(session, vault, a_unit(OTHER_MSN, currency="EUR"), now=NOW)

    with pytest.raises(Conflict) as refused, database.transaction() as session:
        add_unit(session, vault, a_unit(OTHER_MSN), now=NOW)

    with database.snapshot() as session:
        units = [(u.msn, u.max_payment_lifetime_s) for u in list_units(session)]
    assert refused.value.code == "sales_unit_exists"
    assert units == [(MSN, 86_400), (OTHER_MSN, 5_184_000)]

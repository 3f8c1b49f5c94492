"""The keys of one database, and what is derived from them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.store.db import Database
from service.store.tables import DataKey
from service.vault import SealBroken, Vault, open_vault
from service.vault.vault import page_lookup
from tests.builders import NOW

KEY, OTHER = b"k" * 32, b"o" * 32


def _open(database: Database, *keys: bytes) -> Vault:
    with database.transaction() as session:
        return open_vault(session, keys, now=NOW)


def test_vault_is_the_same_after_a_restart(database: Database) -> None:
    """What was sealed yesterday opens today, and links stay the same."""
    first = _open(database, KEY)

    again = _open(database, KEY)

    assert again.open(first.seal(b"x", place="a"), place="a") == b"x"
    assert again.page_token("inv_1") == first.page_token("inv_1")
    assert again.phone_lookup("1", "47") == first.phone_lookup("1", "47")
    assert again.sandbox_api_key("1") == first.sandbox_api_key("1")


def test_vault_of_processes_that_start_at_once_is_the_same(database: Database) -> None:
    """Two processes on an empty database agree on its keys."""
    with ThreadPoolExecutor(4) as pool:
        vaults = list(pool.map(lambda _: _open(database, KEY), range(4)))

    assert len({vault.page_token("inv_1") for vault in vaults}) == 1


def test_vault_with_another_master_key_does_not_open(database: Database) -> None:
    """The wrong key is noticed at the start, and changes nothing."""
    _open(database, KEY)
    before = _wrapped(database)

    with pytest.raises(SealBroken):
        _open(database, OTHER)

    assert _wrapped(database) == before


def test_vault_opens_with_an_older_master_key_too(database: Database) -> None:
    """A new master key is put in front; the old one still opens."""
    sealed = _open(database, KEY).seal(b"x", place="a")

    assert _open(database, OTHER, KEY).open(sealed, place="a") == b"x"


def _wrapped(database: Database) -> list[bytes]:
    with database.snapshot() as session:
        return list(session.scalars(sa.select(DataKey.__table__.c.wrapped)))  # type: ignore[attr-defined]


def test_customer_is_readable_with_their_own_key_only(database: Database) -> None:
    """Dropping one customer's key makes that person unreadable, and nobody else."""
    vault = _open(database, KEY)
    mine, theirs = vault.wrap_new_key("cus_1"), vault.wrap_new_key("cus_2")
    sealed = vault.customer_box("cus_1", mine).seal(b"Kari", place="p")

    assert vault.customer_box("cus_1", mine).open(sealed, place="p") == b"Kari"
    with pytest.raises(SealBroken):
        vault.customer_box("cus_2", theirs).open(sealed, place="p")
    with pytest.raises(SealBroken):
        vault.customer_box("cus_2", mine)
    with pytest.raises(SealBroken):
        vault.open(sealed, place="p")


def test_page_token_is_long_and_of_one_invoice(database: Database) -> None:
    """Nobody can guess another customer's link, or compute it from what is stored."""
    vault = _open(database, KEY)
    token = vault.page_token("inv_1")

    assert len(token) == 24
    assert token != vault.page_token("inv_2")
    assert token.encode() not in page_lookup(token)


def test_phone_lookup_is_of_one_sales_unit(database: Database) -> None:
    """Two merchants can't find out that they have the same customer."""
    vault = _open(database, KEY)

    assert vault.phone_lookup("1234", "4791234567") != vault.phone_lookup("4321", "4791234567")


def test_phone_lookup_can_be_computed_with_this_databases_keys_only(database: Database) -> None:
    """Who tries every number needs the keys: elsewhere the same number looks otherwise (T46)."""
    here = _open(database, KEY).phone_lookup("1234", "4791234567")
    with database.transaction() as session:
        session.execute(sa.delete(DataKey))

    elsewhere = _open(database, KEY).phone_lookup("1234", "4791234567")

    assert here != elsewhere

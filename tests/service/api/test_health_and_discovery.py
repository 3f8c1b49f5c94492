"""Health, the machine, the public keys."""

import pytest
import sqlalchemy as sa

from service.store.tables import SalesUnit
from statemachine import as_json
from tests.service.api.shop import MSN, NOW, Shop, take_away

pytestmark = pytest.mark.anyio


async def test_healthz_is_200_whatever_else_is_broken(shop: Shop) -> None:
    """The process is up as long as it answers."""
    take_away(shop.database)

    answer = await shop.nobody.get("/healthz")

    assert answer.status_code == 200


async def test_readyz_is_200_when_all_parts_run(shop: Shop) -> None:
    """A load balancer may send requests here."""
    shop.running.workers["commands"] = lambda: True

    answer = await shop.nobody.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "database": "ok",
        "workers": {"commands": True},
        "heldSalesUnits": [],
        "recovering": [],
        "missingRegistrations": [],
        "unpublished": [],
    }


async def test_readyz_is_503_when_a_worker_has_ended(shop: Shop) -> None:
    """A process that takes orders and does nothing with them is not ready."""
    shop.running.workers["commands"] = lambda: False

    answer = await shop.nobody.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")


async def test_readyz_is_503_while_the_database_is_away_or_old(shop: Shop) -> None:
    """It says which of the two it is."""
    with shop.database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))

    outdated = await shop.nobody.get("/readyz")
    take_away(shop.database)
    away = await shop.nobody.get("/readyz")

    assert (outdated.status_code, outdated.json()["database"]) == (503, "outdated")
    assert (away.status_code, away.json()["database"]) == (503, "away")


async def test_readyz_names_a_held_sales_unit_and_stays_200(shop: Shop) -> None:
    """One merchant's expired Vipps keys don't take the others' service down."""
    with shop.database.transaction() as session:
        session.execute(sa.update(SalesUnit).where(sa.column("msn") == MSN).values(held_since=NOW))

    answer = await shop.nobody.get("/readyz")

    assert (answer.status_code, answer.json()["heldSalesUnits"]) == (200, [MSN])


async def test_machine_is_the_table_itself(shop: Shop) -> None:
    """My code can be checked against the machine that really runs."""
    answer = await shop.client.get("/v1/machine")

    assert answer.json() == as_json()


async def test_signing_keys_are_the_public_halves(shop: Shop) -> None:
    """With these I verify `v1a` signatures; the same in every process."""
    answer = await shop.client.get("/v1/signing-keys")

    key = answer.json()["keys"][0]
    assert key["publicKey"].startswith("whpk_")
    assert key["algorithm"] == "ed25519"
    assert (await shop.other.get("/v1/signing-keys")).json() == answer.json()

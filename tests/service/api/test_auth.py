"""API keys: who may call, and what is kept of a key."""

import hashlib

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from service.api.keys import create_key, list_keys, revoke_key
from service.errors import NotFound
from service.store.tables import ApiKey
from tests.service.api.shop import MSN, NOW, ONLY_SQLITE, OTHER_MSN, Shop

pytestmark = pytest.mark.anyio


@ONLY_SQLITE
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer x{key}",
        "Bearer ' OR 1=1 --",
    ],
)
async def test_request_without_a_good_key_gets_401(shop: Shop, header: str | None) -> None:
    """Whoever has no key of mine learns nothing, and is told what is needed."""
    key = shop.client.headers["Authorization"].removeprefix("Bearer ")
    headers = {} if header is None else {"Authorization": header.replace("{key}", key)}

    answer = await shop.nobody.get("/v1/invoices", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthorized"
    assert key not in answer.text


@ONLY_SQLITE
async def test_two_authorization_headers_get_401(shop: Shop) -> None:
    """Of two keys it would be a guess which one counts."""
    header = shop.client.headers["Authorization"]

    answer = await shop.nobody.get(
        "/v1/invoices", headers=[("Authorization", header), ("Authorization", header)]
    )

    assert answer.status_code == 401


async def test_revoked_key_gets_401_at_once(shop: Shop) -> None:
    """A key that I revoke opens nothing from that moment on."""
    assert (await shop.client.get("/v1/invoices")).status_code == 200

    with shop.database.transaction() as session:
        revoke_key(session, shop.key_id, now=NOW)

    assert (await shop.client.get("/v1/invoices")).status_code == 401
    assert (await shop.other.get("/v1/invoices")).status_code == 200


async def test_key_that_is_any_text_works(shop: Shop) -> None:
    """A key from the settings may be whatever the operator chose, Norwegian letters too."""
    row = ApiKey(
        id="key_chosen",
        msn=MSN,
        key_hash=hashlib.sha256("blåbærsyltetøy i går".encode()).digest(),
        name="chosen",
        created_at=NOW,
    )
    with shop.database.transaction() as session:
        session.add(row)

    answer = await shop.nobody.get(
        "/v1/invoices", headers=[(b"Authorization", "Bearer blåbærsyltetøy i går".encode())]
    )

    assert answer.status_code == 200


async def test_create_key_is_kept_as_a_hash_only(shop: Shop) -> None:
    """A copy of the database holds no key that could be used."""
    with shop.database.transaction() as session:
        key, plain = create_key(session, msn=MSN, name="ERP", now=NOW)

    assert plain.startswith(f"bb_{key.id}_")
    assert len(plain.removeprefix(f"bb_{key.id}_")) == 32  # 192 bits
    with shop.database.snapshot() as session:
        stored = session.execute(sa.select(sa.text("*")).select_from(ApiKey)).all()
    assert plain.removeprefix(f"bb_{key.id}_") not in str(stored)


async def test_create_key_for_an_unknown_sales_unit_is_refused(shop: Shop) -> None:
    """A key opens a sales unit that exists."""
    with pytest.raises(NotFound), shop.database.transaction() as session:
        create_key(session, msn="999999", name="ERP", now=NOW)


async def test_list_keys_shows_one_sales_unit_or_all(shop: Shop) -> None:
    """I see my keys newest first, the revoked ones with their date."""
    with shop.database.transaction() as session:
        newer, _ = create_key(session, msn=MSN, name="ERP", now=NOW)
        revoke_key(session, newer.id, now=NOW)

    with shop.database.snapshot() as session:
        mine, everyone = list_keys(session, msn=MSN), list_keys(session)

    assert [key.id for key in mine] == [newer.id, shop.key_id]
    assert mine[0].revoked_at == NOW
    assert {key.msn for key in everyone} == {MSN, OTHER_MSN}


async def test_revoke_key_twice_keeps_the_first_date(shop: Shop) -> None:
    """When a key was ended does not change by ending it again."""
    with shop.database.transaction() as session:
        revoke_key(session, shop.key_id, now=NOW)
        again = revoke_key(session, shop.key_id, now=NOW.replace(hour=23))

    assert again.revoked_at == NOW
    with pytest.raises(NotFound):
        _revoke_unknown(shop)


def _revoke_unknown(shop: Shop) -> None:
    session: Session
    with shop.database.transaction() as session:
        revoke_key(session, "key_unknown", now=NOW)

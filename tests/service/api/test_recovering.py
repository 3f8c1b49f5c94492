"""A restored sales unit: what can be asked of it before it knows what Vipps did since."""

import pytest

from service.store.recovery import begin_recovery
from service.store.tables import Act, Command
from tests.service.api.shop import INVOICE, MSN, ONLY_SQLITE, Shop

pytestmark = [pytest.mark.anyio, ONLY_SQLITE]

ONE = "/v1/invoices/acme-2026-000123"


async def test_what_could_be_decided_wrongly_is_refused_and_nothing_kept(shop: Shop) -> None:
    """I am told to come again; whoever was not restored is not concerned."""
    await shop.create()
    shop.let_be_authorized()
    with shop.database.transaction() as session:
        begin_recovery(session, now=shop.times[-1], msn=MSN)
    before = len(shop.all(Act)), len(shop.all(Command))
    ways = ("push", "soft-dismiss", "cancel", "capture", "refund", "paid-elsewhere")

    answers = [await shop.client.post(f"{ONE}/{way}", json=_body(way)) for way in ways]
    answers.append(await shop.create(reference="acme-2026-000124"))
    same = await shop.create()
    others = await shop.other.post("/v1/invoices", json=INVOICE)
    unit = (await shop.nobody.get("/readyz")).json()["recovering"][0]

    assert {(one.status_code, one.json()["code"]) for one in answers} == {(503, "recovering")}
    assert {one.headers["retry-after"] for one in answers} == {"30"}
    assert (same.status_code, others.status_code) == (200, 201)
    assert before == (len(shop.all(Act)) - 1, len(shop.all(Command)) - _decided(shop))
    assert (unit["salesUnit"], unit["leftToRead"]) == (MSN, 1)


def _body(way: str) -> dict[str, str]:
    return {"channel": "bank"} if way == "paid-elsewhere" else {}


def _decided(shop: Shop) -> int:
    """Return how many commands the other sales unit's invoice has."""
    return len(shop.all(Command, Command.msn != MSN))

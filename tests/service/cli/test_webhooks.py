"""Registrations at Vipps by command, against the sandbox over real HTTP."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from anyio import to_thread
from starlette.applications import Starlette
from starlette.routing import Route

from service.clock import Clock
from service.context import Context
from service.inbox.receiver import Receiver
from service.sandbox import SandboxSettings, create_app
from service.settings import load_settings
from service.store.db import Database
from service.store.schema import migrate
from service.vault import load_master_keys, open_vault
from service.wake import Wake
from tests.fake_merchant import serve
from tests.service.cli.conftest import Betalbar, Ended
from webhooks import diagnosis
from webhooks.meanings import MEANINGS

pytestmark = pytest.mark.anyio

PUBLIC_URL = "http://127.0.0.1:8099"
OURS = f"{PUBLIC_URL}/webhooks/vipps/123456"
KEYS = {"vipps_client_id": "id", "vipps_client_secret": "s", "vipps_subscription_key": "k"}

Run = Callable[..., Ended]


async def _run(betalbar: Betalbar, *words: str, **settings: str) -> Ended:
    """Run a command in a thread: the sandbox lives on this one's loop."""
    given = {"public_url": PUBLIC_URL} | KEYS | settings
    return await to_thread.run_sync(partial(betalbar, *words, **given))


async def test_webhooks_registered_twice_are_registered_once(betalbar: Betalbar) -> None:
    """A deployment may register at every start; Vipps allows only so many."""
    async with serve(create_app(SandboxSettings())) as vipps_url:
        first = await _run(betalbar, "webhooks", "register", "--json", vipps_url=vipps_url)
        again = await _run(betalbar, "webhooks", "register", vipps_url=vipps_url)
        listed = await _run(betalbar, "webhooks", "list", "--json", vipps_url=vipps_url)

    made = json.loads(first.out)
    assert (made["url"], made["isNew"]) == (OURS, True)
    assert again.out == f"{OURS} was registered already.\n"
    assert json.loads(listed.out)["items"] == [
        {"url": OURS, "vippsId": made["id"], "atVipps": "yes", "secret": "kept, from register"}
        | {"deleteAfter": None}
    ]


async def test_webhooks_deleted_at_vipps_are_registered_again(betalbar: Betalbar) -> None:
    """Vipps deletes an address that was silent for two weeks; one command mends it."""
    async with serve(create_app(SandboxSettings())) as vipps_url:
        first = json.loads(
            (await _run(betalbar, "webhooks", "register", "--json", vipps_url=vipps_url)).out
        )
        await _delete(vipps_url, first["id"])
        listed = await _run(betalbar, "webhooks", "list", "--json", vipps_url=vipps_url)
        again = await _run(betalbar, "webhooks", "register", "--json", vipps_url=vipps_url)

    assert json.loads(listed.out)["items"][0]["atVipps"] == "no"
    assert json.loads(again.out)["isNew"] is True


async def test_webhooks_of_somebody_else_are_listed_with_an_unknown_secret(
    betalbar: Betalbar,
) -> None:
    """Another shop on the same sales unit is seen, and told apart from ours."""
    async with serve(create_app(SandboxSettings())) as vipps_url:
        theirs = "https://other.example/vipps"
        await _register(vipps_url, theirs)
        listed = await _run(betalbar, "webhooks", "list", "--json", vipps_url=vipps_url)

    found = json.loads(listed.out)["items"]
    assert [(row["url"], row["secret"]) for row in found] == [(theirs, "unknown")]


async def test_webhooks_secret_from_the_settings_is_paired_by_its_address(
    betalbar: Betalbar,
) -> None:
    """A secret that was brought along has no id of Vipps's, yet is not a stranger's."""
    async with serve(create_app(SandboxSettings())) as vipps_url:
        made = await _register(vipps_url, OURS)
        listed = await _run(
            betalbar,
            *("webhooks", "list", "--json"),
            vipps_url=vipps_url,
            vipps_webhook_secret=made["secret"],
        )

    assert json.loads(listed.out)["items"] == [
        {"url": OURS, "vippsId": made["id"], "atVipps": "yes", "secret": "kept, from setting"}
        | {"deleteAfter": None}
    ]
    assert made["secret"] not in listed.out


@pytest.mark.parametrize("command", ["register", "list", "sync", "rotate"])
async def test_webhooks_with_vipps_away_are_refused(betalbar: Betalbar, command: str) -> None:
    """A script sees by the exit code that nothing was registered."""
    ended = await _run(betalbar, "webhooks", command, vipps_url="http://127.0.0.1:9")

    assert ended.code == 1
    assert ended.err.startswith("betalbar: Vipps did not answer")


@pytest.mark.parametrize("command", ["register", "list", "sync", "rotate"])
async def test_webhooks_of_an_unknown_sales_unit_are_refused(
    betalbar: Betalbar, command: str
) -> None:
    """The sales unit is named."""
    ended = await _run(betalbar, "webhooks", command, "--msn", "999999")

    assert (ended.code, ended.err) == (1, "betalbar: there is no sales unit 999999\n")


async def test_webhooks_sync_mends_and_says_what_differed(betalbar: Betalbar) -> None:
    """One command after Vipps has deleted us, or after a move; nothing is deleted unasked."""
    async with serve(create_app(SandboxSettings())) as vipps_url:
        nothing = await _run(betalbar, "webhooks", "sync", vipps_url=vipps_url)
        first = json.loads(
            (await _run(betalbar, "webhooks", "register", "--json", vipps_url=vipps_url)).out
        )
        well = await _run(betalbar, "webhooks", "sync", vipps_url=vipps_url)
        await _delete(vipps_url, first["id"])
        mended = await _run(betalbar, "webhooks", "sync", "--json", vipps_url=vipps_url)
        moved = {"vipps_url": vipps_url, "public_url": "http://127.0.0.1:8098"}
        told = await _run(betalbar, "webhooks", "sync", **moved)
        ended = await _run(betalbar, "webhooks", "sync", "--delete", **moved)

    assert "run webhooks register" in nothing.out
    assert well.out == "Nothing differs.\n"
    found = json.loads(mended.out)
    assert found["deletedAtVipps"] == [first["id"]]
    assert found["registered"]["url"] == OURS
    new_id = found["registered"]["id"]
    assert f"{new_id} stands at {OURS}." in told.out
    assert "http://127.0.0.1:8098/webhooks/vipps/123456 is registered now." in told.out
    assert "`betalbar webhooks sync --delete` deletes them at Vipps." in told.out
    assert "Deleted at Vipps: 1." in ended.out


async def test_webhooks_rotate_shows_until_when_the_old_secret_is_good(betalbar: Betalbar) -> None:
    """I see when the old one ends; without an overlap it ends at once."""
    async with serve(create_app(SandboxSettings())) as vipps_url:
        await _run(betalbar, "webhooks", "register", vipps_url=vipps_url)
        slow = await _run(betalbar, "webhooks", "rotate", vipps_url=vipps_url)
        listed = await _run(betalbar, "webhooks", "list", "--json", vipps_url=vipps_url)
        fast = await _run(
            betalbar,
            *("webhooks", "rotate", "--overlap-seconds", "0", "--json"),
            vipps_url=vipps_url,
        )
        done = await _run(
            betalbar, "webhooks", "rotate", "--overlap-seconds", "0", vipps_url=vipps_url
        )

    assert f"{OURS} has a new secret; the old one is good until" in slow.out
    assert [row["deleteAfter"] is None for row in json.loads(listed.out)["items"]] == [False, True]
    assert json.loads(fast.out)["deleted"] == 1
    assert done.out == f"{OURS} has a new secret, and the old one is deleted at Vipps.\n"


async def test_webhooks_doctor_of_a_service_that_is_well_finds_nothing_bad(
    betalbar: Betalbar, tmp_path: Path
) -> None:
    """Address, clocks, registrations and a signed probe: all well, and it ends with 0."""
    async with _receiving(tmp_path) as (url, vipps_url):
        settings = {"vipps_url": vipps_url, "public_url": url}
        await _run(betalbar, "webhooks", "register", **settings)
        ended = await _run(betalbar, "webhooks", "doctor", **settings)

    assert (ended.code, "bad" in ended.out) == (0, False)
    assert f"{url}/webhooks/vipps/123456 answers 200" in ended.out
    assert "1 of ours at Vipps" in ended.out


async def test_webhooks_doctor_names_what_is_wrong_and_what_was_refused(
    betalbar: Betalbar, tmp_path: Path
) -> None:
    """Unregistered, unreachable, or signed for another address: each has its line."""
    async with _receiving(tmp_path) as (url, vipps_url):
        settings = {"vipps_url": vipps_url, "public_url": url}
        bare = await _run(betalbar, "webhooks", "doctor", "--json", **settings)
        made = json.loads((await _run(betalbar, "webhooks", "register", "--json", **settings)).out)
        async with httpx.AsyncClient() as http:
            bad = {"Authorization": "Bearer x", "X-Ms-Date": "x", "X-Ms-Content-Sha256": "x"}
            answer = await http.post(made["url"], content=b"{}", headers=bad)
        await _delete(vipps_url, made["id"])
        ended = await _run(betalbar, "webhooks", "doctor", **settings)
        away = await _run(betalbar, "webhooks", "doctor", vipps_url="http://127.0.0.1:9")

    assert bare.code == 1
    assert "betalbar webhooks register" in bare.out
    assert answer.status_code == 401
    assert ended.code == 1
    assert f"Vipps has deleted {made['id']}\n     betalbar webhooks sync" in ended.out
    assert "header_malformed: a header of the signature is there twice" in ended.out
    assert "Vipps can't be reached" in away.out
    assert "can't be reached: Connection refused" in away.out


def test_webhooks_doctor_knows_every_word_of_the_diagnosis() -> None:
    """No cause is shown without what it means."""
    source = Path(diagnosis.__file__).read_text()

    words = set(re.findall(r'"([a-z_]+)"', source)) | set(re.findall(r'f"([a-z_]+)=', source))

    assert words - {"authorization"} == set(MEANINGS)


@asynccontextmanager
async def _receiving(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Serve a sandbox, and the receiver on the database of `betalbar`."""
    database = Database(f"sqlite:///{folder / 'cli.db'}")
    migrate(database)
    keys = load_master_keys("", key_file=folder / "cli.db.keys", is_vipps_real=False)
    with database.transaction() as session:
        vault = open_vault(session, keys, now=datetime.now(UTC))
    context = Context(load_settings({}), database, vault, Clock(), Wake())
    receiver = Receiver(context)
    app = Starlette(routes=[Route("/webhooks/vipps/{msn}", receiver)])
    async with serve(create_app(SandboxSettings())) as vipps_url, serve(app) as url:
        yield url, vipps_url
        await receiver.drain()
    database.dispose()


async def _headers(http: httpx.AsyncClient) -> dict[str, str]:
    keys = {"client_id": "id", "client_secret": "s", "Ocp-Apim-Subscription-Key": "k"}
    unit = {"Merchant-Serial-Number": "123456"}
    token = (await http.post("/accesstoken/get", headers=keys | unit)).json()["access_token"]
    return {"Authorization": f"Bearer {token}", "Ocp-Apim-Subscription-Key": "k"} | unit


async def _register(vipps_url: str, url: str) -> dict[str, str]:
    async with httpx.AsyncClient(base_url=vipps_url) as http:
        body = {"url": url, "events": ["epayments.payment.captured.v1"]}
        headers = await _headers(http)
        response = await http.post("/webhooks/v1/webhooks", json=body, headers=headers)
        made: dict[str, str] = response.raise_for_status().json()
        return made


async def _delete(vipps_url: str, registration_id: str) -> None:
    async with httpx.AsyncClient(base_url=vipps_url) as http:
        path = f"/webhooks/v1/webhooks/{registration_id}"
        (await http.delete(path, headers=await _headers(http))).raise_for_status()

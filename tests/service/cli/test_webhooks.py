"""Registrations at Vipps by command, against the sandbox over real HTTP."""

import json
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from anyio import to_thread

from service.sandbox import SandboxSettings, create_app
from tests.fake_merchant import serve
from tests.service.cli.conftest import Betalbar, Ended

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
    ]
    assert made["secret"] not in listed.out


@pytest.mark.parametrize("command", ["register", "list"])
async def test_webhooks_with_vipps_away_are_refused(betalbar: Betalbar, command: str) -> None:
    """A script sees by the exit code that nothing was registered."""
    ended = await _run(betalbar, "webhooks", command, vipps_url="http://127.0.0.1:9")

    assert ended.code == 1
    assert ended.err.startswith("betalbar: Vipps did not answer")


@pytest.mark.parametrize("command", ["register", "list"])
async def test_webhooks_of_an_unknown_sales_unit_are_refused(
    betalbar: Betalbar, command: str
) -> None:
    """The sales unit is named."""
    ended = await _run(betalbar, "webhooks", command, "--msn", "999999")

    assert (ended.code, ended.err) == (1, "betalbar: there is no sales unit 999999\n")


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

"""`betalbar doctor`: what an installation lacks, and the one thing to do next."""

import json
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.cli.doctor import _sqlite_version
from service.sandbox import SandboxSettings, create_app
from tests.fake_merchant import serve
from tests.service.cli.conftest import Betalbar
from tests.service.cli.test_serving import free_port, served, started

pytestmark = pytest.mark.anyio

KEYS = {"vipps_client_id": "id", "vipps_client_secret": "s", "vipps_subscription_key": "k"}


async def _next(betalbar: Betalbar, **settings: str) -> str:
    """Return what is to be done next, empty where all is well."""
    ended = await to_thread.run_sync(partial(betalbar, "doctor", "--json", **settings))
    found: dict[str, Any] = json.loads(ended.out)
    assert ended.code == (1 if found["next"] else 0)
    return found["next"] or ""


async def test_doctor_leads_step_by_step_to_a_service_that_is_well(betalbar: Betalbar) -> None:
    """Whoever does what it says, one thing after the other, ends with a service that works."""
    async with serve(create_app(SandboxSettings())) as vipps_url, serve(_ready()) as url:
        port = url.rpartition(":")[2]
        settings = {"vipps_url": vipps_url, "port": port} | KEYS
        steps: list[str] = []
        while (step := await _next(betalbar, **settings)) and len(steps) < 6:
            steps.append(step)
            words = step.replace("'the ERP'", "ERP").split()[1:]
            await to_thread.run_sync(partial(betalbar, *words, **settings))

    assert steps == [
        "betalbar migrate",
        "betalbar keys create 'the ERP' --msn 123456",
        "betalbar webhooks register --msn 123456",
    ]


async def test_doctor_beside_a_running_service_finds_all_well(tmp_path: Path) -> None:
    """A developer's first `make run` is checked by one command, which ends with 0."""
    with served(tmp_path) as one:
        port = one.url.rpartition(":")[2]
        with started(tmp_path, "doctor", port=port) as process:
            said, _ = process.communicate(timeout=120)

    assert (process.returncode, said.splitlines()[-1]) == (0, "All is well.")
    assert f"API key: {one.key}" in said
    assert "ok   registration of 123456: Vipps reports to us" in said


async def test_doctor_names_each_thing_that_is_not_there(betalbar: Betalbar) -> None:
    """Settings, database, master keys, port, Vipps: the first that is wrong is what is next."""
    nobody = f"http://127.0.0.1:{free_port()}"
    postgres = {"database_url": "postgresql://nobody@127.0.0.1:9/nothing"}
    await to_thread.run_sync(betalbar, "keys", "list")

    assert (await _next(betalbar, port="http")).startswith("BETALBAR_PORT: ")
    assert "BETALBAR_DATABASE_URL" in await _next(betalbar, **postgres)
    assert "BETALBAR_MASTER_KEYS" in await _next(betalbar, master_keys=f"{'A' * 43}=")
    assert await _next(betalbar, port=nobody.rpartition(":")[2]) == "betalbar serve"
    async with serve(Starlette()) as other:
        assert "BETALBAR_PORT" in await _next(betalbar, port=other.rpartition(":")[2])
    await to_thread.run_sync(partial(betalbar, "keys", "create", "ERP"))
    assert "reach Vipps" in await _next(betalbar, vipps_url=nobody, **KEYS)


async def test_doctor_tells_of_keys_that_vipps_refuses(betalbar: Betalbar) -> None:
    """A wrong key is told apart from a Vipps that is away."""

    async def refuse(_: Any) -> JSONResponse:
        return JSONResponse({"title": "Unauthorized"}, 401)

    await to_thread.run_sync(partial(betalbar, "keys", "create", "ERP"))
    refusing = Starlette(routes=[Route("/{path:path}", refuse, methods=["GET", "POST"])])
    async with serve(refusing) as vipps_url:
        said = await _next(betalbar, vipps_url=vipps_url, **KEYS)

    assert "BETALBAR_VIPPS_CLIENT_ID" in said


async def test_doctor_with_a_public_url_that_leads_elsewhere_says_so(betalbar: Betalbar) -> None:
    """A proxy that points at another site is found before Vipps finds it."""
    await to_thread.run_sync(partial(betalbar, "keys", "create", "ERP"))
    async with serve(_ready()) as url, serve(Starlette()) as elsewhere:
        port = url.rpartition(":")[2]
        wrong = await _next(betalbar, port=port, public_url=elsewhere)
        closed = await _next(betalbar, port=port, public_url="https://127.0.0.1:9")

    assert "nginx" in wrong
    assert "open port 9" in closed


@pytest.mark.parametrize(
    ("version", "is_well", "is_noted"),
    [
        ((3, 34, 1), False, True),
        ((3, 40, 1), True, True),
        ((3, 44, 5), True, True),
        ((3, 44, 6), True, False),
        ((3, 50, 7), True, False),
        ((3, 51, 2), True, True),
        ((3, 51, 3), True, False),
        ((3, 53, 0), True, False),
    ],
)
async def test_doctor_knows_which_sqlite_is_sound(
    version: tuple[int, int, int], is_well: bool, is_noted: bool
) -> None:
    """One that is too old is refused; one with a rare fault is noted, with what follows."""
    found = _sqlite_version(version)

    assert (found.is_well, bool(found.advice)) == (is_well, is_noted)


async def test_doctor_makes_no_database_and_migrates_none(
    betalbar: Betalbar, tmp_path: Path
) -> None:
    """Looking changes nothing: an older file stays as it is until somebody decides."""
    await _next(betalbar)
    assert not (tmp_path / "cli.db").exists()

    with sqlite3.connect(tmp_path / "cli.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    step = await _next(betalbar)
    with sqlite3.connect(tmp_path / "cli.db") as connection:
        (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()

    assert (step, found) == ("betalbar migrate", "0001")


def _ready() -> Starlette:
    """Return what a service answers that is ready."""

    async def readyz(_: Any) -> JSONResponse:
        return JSONResponse({"status": "ready"})

    async def healthz(_: Any) -> JSONResponse:
        return JSONResponse({"status": "up"})

    return Starlette(routes=[Route("/readyz", readyz), Route("/healthz", healthz)])

"""The README's receivers take what our service really delivers, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from markdown_it import MarkdownIt

from service.store.db import Database
from service.store.tables import Delivery
from tests.builders import ONLY_SQLITE
from tests.fake_merchant import FakeMerchant, serve, until
from tests.flows.processes import HTTP, eventually, free_port
from tests.npm import install
from tests.service.outbox.builders import Shop, a_shop
from tests.service.outbox.test_deliverer import delivering

pytestmark = [pytest.mark.anyio, ONLY_SQLITE]

README = (Path(__file__).parent.parent / "README.md").read_text()
PACKAGE = "standardwebhooks@1.1.1"


def _sample(beginning: str) -> str:
    fences = [t.content for t in MarkdownIt().parse(README) if t.type == "fence"]
    [found] = [text for text in fences if text.startswith(beginning)]
    return found


@pytest.fixture
def shop(database: Database) -> Shop:
    """Return a service whose clock stands at the real time, which receivers check."""
    made = a_shop(database)
    made.now = datetime.now(UTC)
    return made


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the library into a folder of its own; skip loudly where that cannot be done."""
    folder = tmp_path_factory.mktemp("node")
    install(folder, PACKAGE, for_what="the README's Node receiver", tools=("node", "npm"))
    return folder


@contextmanager
def _running(command: list[str], folder: Path, secret: str, port: int) -> Iterator[Path]:
    """Run a receiver beside the block; give the file with what it prints."""
    printed = folder / "printed"
    with printed.open("wb") as out, (folder / "errors").open("wb") as errors:
        environment = os.environ | {"SECRET": secret}
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=errors)
    try:
        eventually(lambda: _listens(port), what="receiver")
        yield printed
    finally:
        child.kill()
        child.wait(30)


def _listens(port: int) -> bool:
    try:
        HTTP.get(f"http://127.0.0.1:{port}/")
    except httpx.ConnectError:
        return False
    except httpx.TransportError:
        return True
    return True


async def _is_told_and_not_fooled(shop: Shop, command: list[str], folder: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}/betalbar"
    _, secret = shop.subscribe(url)
    with _running(command, folder, secret, port) as printed:
        async with delivering(shop):
            event = shop.tell()
            shop.wake.events.set()
            await until(lambda: [d.status for d in shop.all(Delivery)] == ["delivered"])

        assert printed.read_text() == f"invoice.pushed {event}\n"
        assert not _is_accepted(url)
        assert printed.read_text().count("\n") == 1


def _is_accepted(url: str) -> bool:
    """Tell whether a forged event is taken."""
    now = str(int(datetime.now(UTC).timestamp()))
    headers = {"webhook-id": "evt_x", "webhook-timestamp": now, "webhook-signature": "v1,AAAA"}
    try:
        answer = HTTP.post(url, content=b'{"type":"x","id":"evt_x"}', headers=headers)
    except httpx.TransportError:
        return False
    return answer.is_success


async def test_python_receiver_takes_what_is_genuine_only(shop: Shop, tmp_path: Path) -> None:
    """I paste the Python receiver, and it works."""
    port = free_port()
    source = _sample("import os\n").replace("9000", str(port))

    await _is_told_and_not_fooled(shop, [sys.executable, "-c", source], tmp_path, port)


async def test_node_receiver_takes_what_is_genuine_only(shop: Shop, node_modules: Path) -> None:
    """I paste the Node receiver, and it works with npm's package."""
    port = free_port()
    source = _sample("import { createServer }").replace("9000", str(port))
    (node_modules / "receiver.mjs").write_text(source)

    await _is_told_and_not_fooled(shop, ["node", "receiver.mjs"], node_modules, port)


async def test_plain_hmac_takes_what_is_genuine_only(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no library at all I can tell a genuine event from another."""
    names: dict[str, Any] = {}
    exec(_sample("import base64"), names)  # noqa: S102 - the sample is what is tested
    is_genuine, merchant = names["is_genuine"], FakeMerchant()

    async with serve(merchant) as url, delivering(shop):
        _, secret = shop.subscribe(f"{url}/in")
        shop.tell()
        shop.wake.events.set()
        await until(lambda: len(merchant.received) == 1)
    monkeypatch.setenv("SECRET", secret)

    [got] = merchant.received
    old = {**got.headers, "webhook-timestamp": str(int(got.headers["webhook-timestamp"]) - 301)}
    assert is_genuine(got.headers, got.body)
    assert not is_genuine(got.headers, got.body + b" ")
    assert not is_genuine(old, got.body)
    assert not is_genuine({**got.headers, "webhook-id": "evt_x"}, got.body)

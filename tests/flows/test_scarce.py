"""A disk that fails, and a machine that runs out: nothing acknowledged is lost, and it heals."""

import resource
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import httpx
import orjson
import pytest

from service.clock import Clock
from tests.builders import a_vipps_event, signed_headers
from tests.flows.processes import DEADLINE_S, HTTP, eventually
from tests.flows.stack import MSN, Stack, running
from tests.flows.traced import is_synced_before_each, traced

_numbers = count()
# A connection that is not let in waits in the system's own queue.
_PATIENCE_S = 2.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a service of its own on SQLite, with nothing to do by itself."""
    folder = tmp_path_factory.mktemp("scarce")
    with running(folder, f"sqlite:///{folder / 'betalbar.db'}") as made:
        yield made


def _pid(stack: Stack) -> int:
    process = stack.service[0].process
    assert process is not None
    return process.pid


def _webhook(stack: Stack, *, within_s: float = DEADLINE_S, size: int = 0) -> int:
    """Send a webhook of a payment that nobody knows; return the answer's status."""
    name = f"scarce-{next(_numbers):08}"
    event = a_vipps_event(reference=name, psp_reference=name, msn=MSN, padding="x" * size)
    body = orjson.dumps(event)
    secret, base = stack.environment["BETALBAR_VIPPS_WEBHOOK_SECRET"], stack.front_served.url
    headers = signed_headers(body, msn=MSN, secret=secret, at=Clock().now(), base=base)
    url = f"{stack.service[0].url}/webhooks/vipps/{MSN}"
    return HTTP.post(url, content=body, headers=headers, timeout=within_s).status_code


def _stored(stack: Stack) -> int:
    """Return how many events are stored, in a database that is sound."""
    file = stack.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as books:
        assert books.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (found,) = books.execute("SELECT count(*) FROM vipps_event").fetchone()
    return int(found)


def test_every_200_comes_after_the_sync_of_what_it_tells_of(stack: Stack, tmp_path: Path) -> None:
    """F7: the power may go at any instant: what was said is on the disk, not on its way there."""
    trace, before = tmp_path / "trace", _stored(stack)

    with traced(_pid(stack), "trace=pwrite64,fdatasync,fsync,write,writev,sendto", to=trace):
        answers = [_webhook(stack) for _ in range(20)]

    assert answers == [200] * 20
    assert is_synced_before_each("HTTP/1.1 200", trace) == [True] * 20
    assert _stored(stack) == before + 20


def test_disk_whose_syncs_fail_is_answered_with_503_until_it_heals(stack: Stack) -> None:
    """F8: what could not be kept for certain is not acknowledged; afterwards all goes on."""
    before = _stored(stack)

    with traced(_pid(stack), "trace=fdatasync,fsync", "inject=fdatasync,fsync:error=EIO"):
        refused = [_webhook(stack) for _ in range(5)]
        url, key = f"{stack.service[0].url}/v1/invoices", stack.api.key
        body = {"amount": {"currency": "NOK", "value": 100}, "flow": "WEB_REDIRECT"}
        asked = HTTP.post(url, json=body, headers={"Authorization": f"Bearer {key}"}).status_code
    taken = [_webhook(stack) for _ in range(5)]

    assert (refused, asked) == ([503] * 5, 503)
    assert taken == [200] * 5
    assert _stored(stack) >= before + 5


def test_process_without_descriptors_serves_again_when_it_has_some(stack: Stack) -> None:
    """F20: nobody more is let in, nothing has to be started again, and nothing is lost."""
    pid, before = _pid(stack), _stored(stack)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    # Standard input, output and errors are open, so that no other number is to be had.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        taken = [_is_taken(stack) for _ in range(2)]
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: _is_taken(stack), what="served again")

    assert taken == [False] * 2
    assert _stored(stack) > before


def test_process_without_memory_acknowledges_only_what_it_has_stored(stack: Stack) -> None:
    """F20: it answers with an error, or dies at once; when it has some again, all goes on."""
    pid, before = _pid(stack), _stored(stack)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_AS)

    # Less than it has already: not a page more.
    resource.prlimit(pid, resource.RLIMIT_AS, (1, hard))
    with ThreadPoolExecutor(32) as vipps:
        taken = list(vipps.map(lambda _: _is_taken(stack, size=50_000), range(96)))
    stored = _stored(stack) - before
    if stack.service[0].is_alive():
        resource.prlimit(pid, resource.RLIMIT_AS, (soft, hard))
    else:
        stack.service[0].start()
    stack.service[0].wait_ready("/readyz")

    assert sum(taken) < len(taken)
    assert stored >= sum(taken)
    assert _webhook(stack) == 200


def _is_taken(stack: Stack, *, size: int = 0) -> bool:
    """Tell whether a webhook was acknowledged; a connection that is not let in is none."""
    try:
        return _webhook(stack, within_s=_PATIENCE_S, size=size) == 200
    except httpx.TransportError:
        return False

"""The short way through the server: nobody can tell it from the long one."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from service.sandbox import store
from tests.sandbox import harness
from tests.sandbox.harness import CALM, Merchant, a_payment

Raw = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module", params=["memory", "file"])
def merchant(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Merchant]:
    """Give a merchant of a sandbox that keeps its payments here or there."""
    path = tmp_path_factory.mktemp("server") / "sandbox.db" if request.param == "file" else None
    with pytest.MonkeyPatch.context() as patch:
        # Long enough for whoever does not wait to be faster.
        patch.setattr(store, "_TOGETHER_S", 0.1)
        with harness.sandbox(replace(CALM, database_path=path)) as caller:
            yield caller


def a_request(merchant: Merchant, start: str, *, body: bytes = b"", more: str = "") -> bytes:
    """Return a request as it stands on the wire."""
    headers = merchant.headers(**{"Host": "x", "Content-Length": str(len(body))})
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{start} HTTP/1.1\r\n{lines}{more}\r\n".encode() + body


def a_creation(merchant: Merchant, reference: str, *, more: str = "") -> bytes:
    """Return a create request as it stands on the wire."""
    body = json.dumps(a_payment(reference)).encode()
    more = f"Idempotency-Key: {reference}\r\n{more}"
    return a_request(merchant, "POST /epayment/v1/payments", body=body, more=more)


def spoken(merchant: Merchant, *parts: bytes, count: int) -> list[Raw]:
    """Send the parts over one connection; return its first `count` answers."""
    url = merchant.client.base_url
    with (
        socket.create_connection((url.host, url.port or 80), timeout=harness.WAIT_S) as line,
        line.makefile("rb") as answers,
    ):
        for part in parts:
            line.sendall(part)
        return [an_answer(answers) for _ in range(count)]


def an_answer(answers: BinaryIO) -> Raw:
    """Read one answer to its end; none of them is chunked."""
    first, *lines = iter(lambda: answers.readline().decode().strip(), "")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, answers.read(int(headers.get("content-length", 0)))


def test_answers_leave_a_connection_in_the_order_of_its_requests(merchant: Merchant) -> None:
    """Calls, pages and what is special may follow each other without waiting."""
    one, two = "mixed-0001", "mixed-0002"
    merchant.create(a_payment("mixed-0000"))
    told = spoken(
        merchant,
        a_creation(merchant, one)
        + a_request(merchant, f"DELETE /epayment/v1/payments/{one}")
        + a_request(merchant, f"GET /epayment/v1/payments/{one}")
        + a_request(merchant, "GET /phone")
        + a_creation(merchant, two, more="Expect: 100-continue\r\n")
        + a_request(merchant, f"GET /epayment/v1/payments/{one}/events?x=1")
        + a_request(merchant, f"GET /epayment/v1/payments/{two.replace('-', '%2D')}"),
        count=8,
    )

    kinds = [headers.get("content-type", "").split(";")[0] for _, headers, _ in told]
    assert [status for status, _, _ in told] == [201, 405, 200, 200, 100, 201, 200, 200]
    assert (kinds[3], kinds[4]) == ("text/html", "")
    assert [json.loads(told[n][2])["reference"] for n in (0, 2, 5, 7)] == [one, one, two, two]
    assert json.loads(told[6][2])[0]["reference"] == one


def test_request_in_pieces_is_answered_once_it_is_whole(merchant: Merchant) -> None:
    """The network cuts where it likes."""
    whole = a_creation(merchant, "pieces-0001")

    told = spoken(merchant, whole[:10], whole[10:300], whole[300:-5], whole[-5:], count=1)

    assert [status for status, _, _ in told] == [201]


def test_caller_who_wants_the_connection_closed_gets_it_closed(merchant: Merchant) -> None:
    """What stands behind such a request is nobody's."""
    last = a_creation(merchant, "closed-0001", more="Connection: close\r\n")

    told = spoken(merchant, last + a_creation(merchant, "closed-0002"), count=1)

    assert [(status, h["connection"]) for status, h, _ in told] == [(201, "close")]
    assert merchant.act("approve", "closed-0002").status_code == 404


def test_body_without_a_length_is_taken(merchant: Merchant) -> None:
    """Some clients send it in chunks."""
    body = json.dumps(a_payment("chunked-0001")).encode()
    answer = merchant.client.post(
        "/epayment/v1/payments",
        headers=merchant.headers(**{"Idempotency-Key": "chunked-0001"}),
        content=iter([body[:7], body[7:]]),
    )

    assert answer.status_code == 201


def test_both_ways_say_the_same_in_the_same_words(merchant: Merchant) -> None:
    """A test against one of them holds for the other: only the date may differ."""
    merchant.create(a_payment("words-0001"))
    path = "GET /epayment/v1/payments/words-0001"
    sent = [a_request(merchant, path, more=more) for more in ("", "Expect: 100-continue\r\n")]

    short, _, long = spoken(merchant, *sent, count=3)

    assert short[1].pop("date")[:16] == long[1].pop("date")[:16]
    assert short == long


def test_change_that_the_disk_refuses_is_told_as_trouble(tmp_path: Path) -> None:
    """Who hears a 201 can rely on it; the connection goes on."""
    path = tmp_path / "sandbox.db"
    with harness.sandbox(replace(CALM, database_path=path)) as merchant:
        merchant.headers()
        other = sqlite3.connect(path, isolation_level=None)
        refusing = "CREATE TRIGGER t BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'full'); END"
        other.execute(refusing)
        refused = spoken(merchant, a_creation(merchant, "full-0001") * 2, count=2)
        other.execute("DROP TRIGGER t")
        other.close()
        again = spoken(merchant, a_creation(merchant, "full-0001"), count=1)

    assert [status for status, _, _ in (*refused, *again)] == [500, 500, 201]

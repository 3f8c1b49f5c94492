"""Webhooks that are lost, doubled, late or out of order end where Vipps's own log ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.flows import checks
from tests.flows.client import a_name
from tests.flows.processes import HTTP, eventually
from tests.flows.stack import Shop, Stack

COPIES = 20


@pytest.fixture(autouse=True)
def calm(stack: Stack) -> Iterator[None]:
    """Let Vipps be calm again afterwards."""
    yield
    stack.phone.set_chaos()
    stack.front.backends = [child.url for child in stack.service]


def test_lost_webhooks_are_healed_by_the_reads_after_commands(stack: Stack, shop: Shop) -> None:
    """Not one webhook comes, and yet I am told of every step, once."""
    name, api = a_name("lost"), stack.api
    stack.phone.set_chaos(lose=1)

    api.create(name)
    stack.phone.approve(name)
    api.reaches(name, "authorized")
    answer = api.act(name, "capture", wait_s=20)

    assert answer.json()["state"] == "captured"
    sources = [(step["to"], step["source"]) for step in api.history(name)]
    assert sources[2:] == [("authorized", "poll"), ("captured", "poll")]
    told = [f"invoice.{state}" for state, _ in sources]
    eventually(lambda: shop.told(name) == told, what="told")


def test_doubled_and_reordered_webhooks_end_in_the_same_state(stack: Stack, shop: Shop) -> None:
    """Doubled and reordered, what Vipps reports moves my invoice exactly once each."""
    name, api = a_name("disorder"), stack.api
    stack.phone.set_chaos(duplicate=1, reorder=1, seed=3)

    api.create(name)
    stack.phone.approve(name)
    api.reaches(name, "authorized")
    for act, value in (("capture", 9_000), ("refund", 4_000)):
        body = {"amount": {"currency": "NOK", "value": value}}
        assert api.act(name, act, body, wait_s=20).status_code == 200
    eventually(lambda: not stack.unheard(name), what="all webhooks answered")

    found = api.invoice(name)
    assert found["aggregate"] == stack.phone.payments()[name]["aggregate"]
    states = [step["to"] for step in api.history(name)]
    assert states == ["created", "pushed", "authorized", "captured", "captured"]
    told = [f"invoice.{state}" for state in states]
    eventually(lambda: shop.told(name) == told, what="told")


def test_twenty_copies_at_once_move_the_invoice_once(stack: Stack, shop: Shop) -> None:
    """The same signed report twenty times at once, through every process: one step, one event."""
    name, api = a_name("copies"), stack.api
    api.create(name, wait_s=10)
    eventually(lambda: not stack.unheard(name), what="CREATED answered")
    stack.front.backends = []  # the original is held back, its signature is good
    stack.phone.approve(name)
    original = eventually(
        lambda: next((w for w in stack.front.arrived if is_approval(w.body, name)), None)
    )
    assert original is not None
    urls = [child.url + original.path for child in stack.service]

    def send(number: int) -> int:
        url = urls[number % len(urls)]
        return HTTP.post(url, content=original.body, headers=original.headers).status_code

    with ThreadPoolExecutor(COPIES) as pool:
        statuses = list(pool.map(send, range(COPIES)))

    assert statuses == [200] * COPIES
    states = [step["to"] for step in api.history(name)]
    assert states == ["created", "pushed", "authorized"]
    with checks.open_books(stack.database_url) as books:
        found = books.rows(
            "SELECT outcome, count(*) AS n FROM vipps_event WHERE name = 'AUTHORIZED'"
            " AND source = 'webhook' AND reference = :reference GROUP BY outcome",
            reference=name,
        )
    outcomes = {row["outcome"]: row["n"] for row in found}
    assert outcomes == {"applied": 1, "duplicate": COPIES - 1}
    told = [f"invoice.{state}" for state in states]
    eventually(lambda: shop.told(name) == told, what="told")


def is_approval(body: bytes, reference: str) -> bool:
    """Tell whether a webhook says that the customer approved this payment."""
    return b"AUTHORIZED" in body and reference.encode() in body

"""Numbers, secrets and tokens that came in by any way come out by none that did not ask (I11)."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from service.clock import Clock
from tests.builders import a_vipps_event, signed_headers
from tests.fake_merchant import Answer, Received
from tests.flows.client import a_name
from tests.flows.planted import (
    BROKER_PASSWORD,
    METRICS_KEY,
    REFUSED_AMOUNT,
    Planted,
    RepeatingVipps,
    ask_in_wrong_ways,
    collector,
    secrets_of,
    send_unsigned,
)
from tests.flows.postgres_tools import run_tool
from tests.flows.processes import HTTP, Served, eventually
from tests.flows.signed_in import work_signed_in
from tests.flows.stack import MSN, Shop, Stack, running
from tests.nats_server import NatsServer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    """Run a broker that wants a password."""
    rule = f'authorization {{ user: "betalbar", password: "{BROKER_PASSWORD}" }}'
    user = f"betalbar:{BROKER_PASSWORD}@"
    server = NatsServer(tmp_path / "nats", config=rule, user=user)
    server.start()
    yield server
    server.stop()


def test_nothing_planted_by_any_way_in_comes_out(
    tmp_path: Path, broker: NatsServer, database_url: str
) -> None:
    """T44, T45: neither logs, figures, traces, errors, files, copies nor events give it away."""
    planted = Planted()
    vipps, (traces, traces_served) = RepeatingVipps(planted), collector()
    vipps_served = Served(vipps)
    with ExitStack() as stopped:
        for one in (vipps_served, traces_served):
            one.start()
            stopped.callback(one.stop)
        stack = stopped.enter_context(
            running(
                tmp_path,
                database_url,
                BETALBAR_BROKER_URL=broker.url,
                BETALBAR_TRACES_URL=f"{traces_served.url}/v1/traces",
                BETALBAR_METRICS_KEY=METRICS_KEY,
                BETALBAR_VIPPS_URL=vipps_served.url,
            )
        )
        vipps.url = stack.sandbox.url
        planted.ways |= secrets_of(stack).ways
        url = stack.service[0].url
        shop = _a_talkative_shop(stack, planted)

        paid = _play(stack, planted)
        note = work_signed_in(stack, url, planted, reference=paid)
        answers = ask_in_wrong_ways(url, planted)
        send_unsigned(url, planted)
        _send_signed(stack, planted)
        figures = HTTP.get(f"{url}/metrics", headers={"Authorization": f"Bearer {METRICS_KEY}"})
        feed = stack.api.feed()
        eventually(lambda: len(broker.ids()) >= len(feed), what="published")
        eventually(lambda: len({e["id"] for e in shop.app.events()}) >= len(feed), what="told")
        said = _by_commands(stack, planted, tmp_path)
        stack.service[0].stop()
        where = {
            **answers,
            **said,
            "figures": figures.content,
            "log": stack.output(),
            "feed": orjson.dumps(feed),
            "events": b"".join(received.body for received in shop.app.received),
            "broker": b"".join(m.data for m in asyncio.run(broker.messages())),
            "traces": b"".join(received.body for received in traces.received),
            "bundle": (tmp_path / "bundle.json").read_bytes(),
        }
        stored = _stored(tmp_path, database_url)

    # A reason is kept as its writer's own words, whatever they are, and goes nowhere else.
    assert any(note.encode() in rows for rows in stored.values())
    where |= {name: rows.replace(note.encode(), b"") for name, rows in stored.items()}
    assert planted.found_in(where) == []
    assert len(planted.ways) > 55
    # Each place was really written to.
    assert [name for name in where if not where[name] and not name.startswith("answer")] == []
    assert b"api_call" in where["log"] and b"vipps webhook" in where["traces"]
    assert b"betalbar_" in where["figures"] and b"invoice.authorized" in where["broker"]


def _a_talkative_shop(stack: Stack, planted: Planted) -> Shop:
    """Subscribe a shop that repeats what it should not to whoever tells it something."""
    shop = stack.subscribe()
    planted.ways |= {"subscriber's secret": shop.app.secrets[0], "path": "path-CANARY-token"}

    async def react(_received: Received) -> Answer:
        words = f"{planted.number('an answer')} {planted.token('an answer of a subscriber')}"
        headers = {"x-said": planted.token("a header of a subscriber"), "retry-after": words}
        # The ping was the first, and what comes next has to come again.
        is_well = len(shop.app.received) > 2
        return Answer(200 if is_well else 500, headers, words.encode())

    shop.app.react = react
    return shop


def _stored(folder: Path, database_url: str) -> dict[str, bytes]:
    """Return the database's files and a copy; or a dump of all rows, where a server has them."""
    if database_url.startswith("sqlite"):
        files = [*folder.glob("betalbar.db*"), folder / "copy.db"]
        return {file.name: file.read_bytes() for file in files}
    return {"dump": run_tool("pg_dump", "--inserts", database_url)}


def _play(stack: Stack, planted: Planted) -> str:
    """Let somebody pay, and somebody be refused by Vipps in its own words; return who paid."""
    paid, refused = a_name("canary"), a_name("canary")
    person = {"phoneNumber": planted.number("a customer"), "name": planted.token("a name")}
    stack.api.create(paid, customer=person, wait_s=10)
    stack.phone.approve(paid)
    stack.api.reaches(paid, "authorized")
    capture = {"reason": "paid"}
    assert stack.api.act(paid, "capture", capture, wait_s=10).status_code in (200, 202)
    number = {"phoneNumber": f"+{planted.number('a refused customer')}"}
    amount = {"currency": "NOK", "value": REFUSED_AMOUNT}
    stack.api.create(refused, customer=number, amount=amount, wait_s=10)
    eventually(lambda: stack.api.invoice(refused)["problem"], what="refused")
    kept = {"phoneNumber": planted.number("a kept customer"), "name": planted.token("a kept name")}
    made = stack.api.call("POST", "/v1/customers", kept).json()
    search = {"phoneNumber": kept["phoneNumber"]}
    found = stack.api.call("POST", "/v1/customers/search", search).json()
    assert [one["id"] for one in found["items"]] == [made["id"]]
    stack.api.reaches(paid, "captured")
    return paid


def _send_signed(stack: Stack, planted: Planted) -> None:
    """Plant in webhooks that Vipps has signed: what we do not know, and what is no event."""
    secret, base = stack.environment["BETALBAR_VIPPS_WEBHOOK_SECRET"], stack.front_served.url
    told = {"userDetails": {"mobileNumber": planted.number("a signed number")}}
    unknown = a_vipps_event(reference=a_name("unknown"), msn=MSN)
    for body in (orjson.dumps(unknown | told), planted.token("no event").encode()):
        headers = signed_headers(body, msn=MSN, secret=secret, at=Clock().now(), base=base)
        answer = HTTP.post(f"{base}/webhooks/vipps/{MSN}", content=body, headers=headers)
        assert answer.status_code == 200


def _by_commands(stack: Stack, planted: Planted, folder: Path) -> dict[str, bytes]:
    """Run commands on files and settings in which something is planted; return what they say."""
    file = folder / "invoices.csv"
    right, wrong = planted.number("a row"), planted.number("a wrong row")
    rows = f"{a_name('import')},200,{right}\n{a_name('import')},much,{wrong}{wrong}\n"
    file.write_text(f"reference,amount,phoneNumber\n{rows}")
    is_sqlite = stack.database_url.startswith("sqlite")
    elsewhere = f"mysql://u:{planted.token('a database')}@h/d"
    asked: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("invoices", "import", str(file)), {}),
        *([(("backup", str(folder / "copy.db")), {})] if is_sqlite else []),
        (("doctor", "--bundle", str(folder / "bundle.json")), {}),
        (("keys", "list"), {"BETALBAR_MASTER_KEYS": planted.token("a wrong master key")}),
        (("keys", "list"), {"BETALBAR_DATABASE_URL": elsewhere}),
    ]
    said = {}
    for number, (words, more) in enumerate(asked):
        child = stack.betalbar(*words)
        child.name, child.environment = f"command{number}", {**child.environment, **more}
        child.start()
        assert child.process is not None
        child.process.wait(300)
        said[child.name] = child.stdout.read_bytes() + child.stderr.read_bytes()
    return said

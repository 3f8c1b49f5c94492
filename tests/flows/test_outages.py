"""What is away for a while delays only what needs it, and heals by itself."""

from pathlib import Path

from tests.flows.client import a_name
from tests.flows.kills import judge, rest
from tests.flows.load import Load
from tests.flows.own_postgresql import own_postgresql
from tests.flows.processes import HTTP, eventually
from tests.flows.stack import Stack, running


def test_vipps_away_leaves_the_invoice_created_and_asks_again(lonely: Stack) -> None:
    """While Vipps is away my invoice waits and says why; then it is pushed by itself."""
    name, api, shop = a_name("away"), lonely.api, lonely.subscribe()
    lonely.sandbox.kill()

    api.create(name)
    waiting = eventually(
        lambda: (found := api.invoice(name))["problem"] and found, what="problem shown"
    )
    lonely.sandbox.start()
    pushed = api.reaches(name, "pushed", within_s=60)

    assert waiting["state"] == "created"
    assert waiting["problem"]["command"] == "create_payment"
    assert pushed["problem"] is None
    told = ["invoice.created", "invoice.pushed"]
    eventually(lambda: shop.told(name) == told, what="told")
    assert [e["effect"] for e in lonely.phone.effects(name)] == ["created"]


def test_subscriber_away_delays_only_itself_and_catches_up_in_order(lonely: Stack) -> None:
    """My colleague's system is down: mine hears everything at once, theirs in order later."""
    name, api = a_name("deaf"), lonely.api
    awake, asleep = lonely.subscribe(), lonely.subscribe()
    told = ["invoice.created", "invoice.pushed"]
    asleep.served.stop()

    api.create(name, wait_s=10)
    eventually(lambda: awake.told(name) == told, within_s=10, what="the other told at once")
    assert asleep.told(name) == []
    asleep.served.start()

    eventually(lambda: asleep.told(name) == told, what="caught up")
    mine = [r for r in asleep.app.received if name.encode() in r.body]
    assert all(r.is_verified for r in mine)


def test_postgresql_away_gives_503_and_heals_without_loss(tmp_path: Path) -> None:
    """The database is pulled away under traffic: nothing acknowledged is lost, nothing doubled."""
    with own_postgresql() as server, running(tmp_path, server.url, processes=2) as stack:
        shop = stack.subscribe()
        # A capture that is tried again after a minute would only have to be waited for.
        load = Load(stack.api, stack.phone, seed=1, bank_away=0.0)
        with load.at_work():
            load.wait_for_more(20)
            server.stop()
            eventually(lambda: readiness(stack) == [503, 503], what="not ready")
            eventually(lambda: 503 in refusals(stack), what="webhooks refused, not lost")
            server.start()
            eventually(lambda: readiness(stack) == [200, 200], what="ready again")
            load.wait_for_more(5)

        wrong = rest(stack) + load.failures + judge(stack, load, shop)

        assert not wrong, wrong[:20]


def test_postgresql_that_hangs_is_answered_for_with_503_and_heals_without_loss(
    tmp_path: Path,
) -> None:
    """F10: the database stands still in the middle of it all: no answer says what is not stored."""
    with own_postgresql() as server, running(tmp_path, server.url, processes=2) as stack:
        shop = stack.subscribe()
        load = Load(stack.api, stack.phone, seed=2, bank_away=0.0)
        with load.at_work():
            load.wait_for_more(10)
            server.hang()
            try:
                eventually(lambda: readiness(stack) == [503, 503], what="not ready")
            finally:
                server.go_on()
            eventually(lambda: readiness(stack) == [200, 200], what="ready again")
            load.wait_for_more(5)

        wrong = rest(stack) + load.failures + judge(stack, load, shop)

        assert not wrong, wrong[:20]


def test_postgresql_that_goes_over_to_its_standby_loses_nothing(tmp_path: Path) -> None:
    """F10: the server is gone for good, and its standby takes over: the service finds it itself."""
    with (
        own_postgresql() as server,
        server.standby() as standby,
        running(tmp_path, standby.url, processes=2) as stack,
    ):
        shop = stack.subscribe()
        load = Load(stack.api, stack.phone, seed=4)
        with load.at_work():
            load.wait_for_more(10)
            server.stop()
            standby.promote()
            eventually(lambda: readiness(stack) == [200, 200], what="ready again")
            load.wait_for_more(5)

        wrong = rest(stack) + load.failures + judge(stack, load, shop)

        assert not wrong, wrong[:20]


def readiness(stack: Stack) -> list[int]:
    """Return what each process says of itself."""
    return [HTTP.get(f"{child.url}/readyz").status_code for child in stack.service]


def refusals(stack: Stack) -> set[int]:
    """Return the statuses that Vipps has been answered with."""
    return {passed.status for passed in list(stack.front.passed)}

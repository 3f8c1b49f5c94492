"""Killed (SIGKILL) at each exact point between Vipps and the merchant: K1 to K12 (I12).

Each test says what is on disk right after the death, and what three witnesses say after the
restart: the books, Vipps's ledger of effects, and the merchant's mail.
"""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.fake_merchant import Answer, Received, accept
from tests.flows.client import Phone, a_name
from tests.flows.conftest import empty_database
from tests.flows.kills import judge, rest
from tests.flows.processes import HTTP, eventually
from tests.flows.stack import API_KEY, running
from tests.flows.stage import Stage


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Run one stack on each kind of database for all deaths."""
    folder = tmp_path_factory.mktemp(f"points-{request.param}")
    if request.param == "sqlite":
        with running(folder, f"sqlite:///{folder / 'betalbar.db'}") as stack:
            yield Stage(stack, stack.subscribe())
        return
    server_url = request.getfixturevalue("postgres_url")
    with empty_database(server_url) as url, running(folder, url) as stack:
        yield Stage(stack, stack.subscribe())


def test_k1_killed_before_verifying_a_webhook_takes_vippss_next_try(stage: Stage) -> None:
    """The webhook has arrived and is not looked at yet: Vipps was told nothing, and comes again."""
    name = dies_of_an_approval(stage, "K1")

    assert_nothing_of_the_approval(stage, name)
    assert_approval_is_taken(stage, name)


def test_k2_killed_after_verifying_a_webhook_takes_vippss_next_try(stage: Stage) -> None:
    """The signature was right and nothing is stored yet: Vipps was told nothing."""
    name = dies_of_an_approval(stage, "K2")

    assert_nothing_of_the_approval(stage, name)
    assert_approval_is_taken(stage, name)


def test_k3_killed_inside_the_inbox_transaction_leaves_nothing_half_done(stage: Stage) -> None:
    """The event's row is written and its transition is not: neither is there afterwards."""
    name = dies_of_an_approval(stage, "K3")

    assert_nothing_of_the_approval(stage, name)
    assert_approval_is_taken(stage, name)


def test_k4_killed_before_the_200_takes_the_next_try_for_a_duplicate(stage: Stage) -> None:
    """All is committed and Vipps does not know: its next try changes nothing and gets its 200."""
    name = dies_of_an_approval(stage, "K4")

    assert stage.invoice(name)["state"] == "authorized"
    assert [r["outcome"] for r in stage.reports(name, "AUTHORIZED")] == ["applied"]
    assert stage.is_unacknowledged(name, "authorized")
    assert_approval_is_taken(stage, name)
    webhooks = [r for r in stage.reports(name, "AUTHORIZED") if r["source"] == "webhook"]
    assert [r["outcome"] for r in webhooks] == ["applied", "duplicate"]


def test_k5_killed_with_a_command_claimed_asks_vipps_once(stage: Stage) -> None:
    """A worker has claimed what is to be done, and nothing has left yet.

    Webhooks are never claimed here: one transaction stores and applies them (K3, K4, K6). What
    is claimed are the commands to Vipps, here the one that makes the payment."""
    name = a_name("point")
    stage.doom("K5", name, "create_payment")
    made = stage.send(name)
    stage.wait_killed()

    command = stage.command(name, "create_payment")
    assert (command["status"], stage.tries(command)) == ("running", 1)
    assert stage.effects(name) == {}

    stage.restart(held=lambda: stage.command(name, "create_payment"))
    stage.stack.api.reaches(name, "pushed")
    assert made.result(30)["reference"] == name
    assert stage.effects(name) == {"created": 1}
    stage.agrees()


def test_k6_killed_with_the_transition_written_and_not_committed_leaves_nothing(
    stage: Stage,
) -> None:
    """Event, transition, invoice and what is to be told are written, and the commit is not."""
    name = dies_of_an_approval(stage, "K6", "authorize")

    assert_nothing_of_the_approval(stage, name)
    assert_approval_is_taken(stage, name)


def test_k7_killed_before_the_deliverer_is_woken_tells_after_the_restart(stage: Stage) -> None:
    """It is committed, and nobody was woken to tell of it: the restart finds it in the feed."""
    name = dies_of_an_approval(stage, "K7", "authorize")

    assert stage.invoice(name)["state"] == "authorized"
    event_id = stage.rows(
        "SELECT id FROM event WHERE invoice_id = :id AND type = 'invoice.authorized'",
        id=stage.invoice(name)["id"],
    )[0]["id"]
    assert stage.deliveries(name, "invoice.authorized") == []
    assert stage.letters(name, "invoice.authorized") == []
    assert_approval_is_taken(stage, name)
    assert stage.letters(name, "invoice.authorized")[0].webhook_id == event_id


def test_k8_killed_with_the_intent_committed_captures_once(stage: Stage) -> None:
    """My capture is stored, I got no answer, and nothing has gone to Vipps.

    I ask again with the same Idempotency-Key and get the answer that was meant for me."""
    name, key = stage.authorized(), uuid4().hex
    stage.doom("K8", "capture")
    with pytest.raises(httpx.TransportError):
        capture(stage, name, key)
    stage.wait_killed()

    command = stage.command(name, "capture")
    assert (command["status"], stage.tries(command)) == ("waiting", 0)
    assert stage.effects(name) == {"created": 1, "authorized": 1}

    stage.restart()
    stage.notes.acts[(name, "capture")] += 1
    again = capture(stage, name, key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert_captured_once(stage, name)


def test_k9_killed_while_vipps_answers_captures_once(stage: Stage) -> None:
    """The call has left, Vipps has done it, and the answer went nowhere.

    The same call goes out again under the same key, which Vipps knows."""
    name = stage.authorized()
    stage.doom("K9", "POST", name, "/capture")
    asked = stage.ask(name, "capture")
    stage.wait_killed()

    command = stage.command(name, "capture")
    eventually(lambda: stage.effects(name)["captured"] == 1, what="done at Vipps")
    assert (command["status"], command["answer"], stage.tries(command)) == ("running", None, 1)
    assert stage.invoice(name)["captured_minor"] == 0

    stage.restart(held=lambda: stage.command(name, "capture"))
    assert asked.result(30).status_code == 202
    assert_captured_once(stage, name)
    assert keys_at_vipps(stage.stack.phone, name, "captured") == [command["idempotency_key"]]


def test_k10_killed_with_the_answer_in_hand_makes_no_second_payment(stage: Stage) -> None:
    """Vipps has made the payment and said so, and we had not stored its answer."""
    name = a_name("point")
    stage.doom("K10", name, "create_payment")
    made = stage.send(name)
    stage.wait_killed()

    command = stage.command(name, "create_payment")
    assert (command["status"], command["answer"], stage.tries(command)) == ("running", None, 1)
    assert stage.effects(name) == {"created": 1}

    stage.restart(held=lambda: stage.command(name, "create_payment"))
    eventually(lambda: stage.command(name, "create_payment")["status"] == "done", what="settled")
    assert made.result(30)["reference"] == name
    assert stage.effects(name) == {"created": 1}
    assert stage.triggers(name) == ["create", "push"]
    stage.agrees()


def test_k11_killed_while_the_merchant_answers_tells_the_same_again(stage: Stage) -> None:
    """I have the event, and my answer went nowhere: the same bytes come again, same id.

    The merchant itself says when: it has the request, and the sender dies before any answer."""
    name = stage.pushed()

    async def react(received: Received) -> Answer:
        if is_about(received, name, "invoice.authorized"):
            stage.shop.app.react = accept
            stage.service.kill()
        return Answer()

    stage.shop.app.react = react
    stage.stack.phone.approve(name)
    stage.wait_killed()

    assert_told_but_not_marked(stage, name)
    assert_told_again(stage, name)


def test_k12_killed_with_the_merchants_204_in_hand_tells_the_same_again(stage: Stage) -> None:
    """I have the event and said so, and it was not marked: the same bytes come again, same id."""
    name = a_name("point")
    stage.doom("K12", name, "invoice.authorized")
    stage.send(name).result(30)
    stage.stack.phone.approve(name)
    stage.wait_killed()

    assert_told_but_not_marked(stage, name)
    assert_told_again(stage, name)


def test_after_all_deaths_three_witnesses_still_tell_one_story(stage: Stage) -> None:
    """Nothing that was cut off happens again once everything has come to rest."""
    wrong = rest(stage.stack) + judge(stage.stack, stage.notes, stage.shop)

    assert not wrong, wrong[:20]
    assert b"Traceback" not in stage.stack.output()


def dies_of_an_approval(stage: Stage, point: str, *words: str) -> str:
    """Have a customer approve, and the process die of the webhook; return the reference."""
    name = a_name("point")
    stage.doom(point, name, *(words or ("AUTHORIZED",)))
    stage.send(name).result(30)
    stage.stack.api.reaches(name, "pushed")
    stage.stack.phone.approve(name)
    stage.wait_killed()
    return name


def assert_nothing_of_the_approval(stage: Stage, name: str) -> None:
    """It is as if the webhook had never come, and Vipps knows that."""
    assert stage.invoice(name)["state"] == "pushed"
    assert stage.invoice(name)["authorized_minor"] == 0
    assert stage.triggers(name) == ["create", "push"]
    assert stage.reports(name, "AUTHORIZED") == []
    assert stage.effects(name) == {"created": 1, "authorized": 1}
    assert stage.is_unacknowledged(name, "authorized")


def assert_approval_is_taken(stage: Stage, name: str) -> None:
    """After the restart it moves the invoice once, is told once, and Vipps has its 200."""
    stage.restart()
    eventually(lambda: not stage.is_unacknowledged(name, "authorized"), what="acknowledged")
    eventually(lambda: stage.letters(name, "invoice.authorized"), what="told")
    stage.agrees()
    assert stage.triggers(name) == ["create", "push", "authorize"]
    outcomes = [r["outcome"] for r in stage.reports(name, "AUTHORIZED")]
    assert outcomes.count("applied") == 1
    assert len(stage.letters(name, "invoice.authorized")) == 1


def capture(stage: Stage, name: str, key: str) -> httpx.Response:
    """Ask for all that remains, once, with that key."""
    url = f"{stage.service.url}/v1/invoices/{name}/capture"
    headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": key}
    return HTTP.post(url, json={}, headers=headers)


def assert_captured_once(stage: Stage, name: str) -> None:
    """The money has moved once, in all books."""
    stage.stack.api.reaches(name, "captured")
    eventually(lambda: stage.command(name, "capture")["status"] == "done", what="settled")
    assert stage.effects(name) == {"created": 1, "authorized": 1, "captured": 1}
    assert stage.triggers(name) == ["create", "push", "authorize", "capture"]
    stage.agrees()


def keys_at_vipps(phone: Phone, name: str, effect: str) -> list[str]:
    """Return the keys under which an effect happened."""
    return [e["idempotencyKey"] for e in phone.effects(name) if e["effect"] == effect]


def is_about(received: Received, name: str, type_: str) -> bool:
    """Tell whether the merchant got that event of that invoice."""
    return name.encode() in received.body and received.event["type"] == type_


def assert_told_but_not_marked(stage: Stage, name: str) -> None:
    """The merchant has it, and the delivery is still somebody's who is dead."""
    (delivery,) = stage.deliveries(name, "invoice.authorized")
    assert delivery["status"] == "pending"
    assert delivery["lease"] is not None
    assert len(stage.letters(name, "invoice.authorized")) == 1


def assert_told_again(stage: Stage, name: str) -> None:
    """After the restart the same bytes come once more, and what is later comes after them."""
    stage.restart(held=lambda: stage.deliveries(name, "invoice.authorized")[0])
    eventually(
        lambda: stage.deliveries(name, "invoice.authorized")[0]["status"] == "delivered",
        what="marked",
    )
    first, second = stage.letters(name, "invoice.authorized")
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert first.is_verified
    assert second.is_verified
    stage.ask(name, "capture").result(30)
    assert_captured_once(stage, name)
    assert stage.shop.told(name)[-2:] == ["invoice.authorized", "invoice.captured"]

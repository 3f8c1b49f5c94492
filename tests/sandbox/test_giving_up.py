"""When Vipps stops trying."""

from dataclasses import replace

from tests.sandbox.harness import CALM, a_payment, sandbox
from tests.sandbox.receiver import Receiver


def test_webhook_given_up_frees_its_payment(receiver: Receiver) -> None:
    """After seven days the event is never sent again, and the payment's next one goes out."""
    receiver.answer_with = lambda r: 500 if r.name == "CREATED" else 200
    with sandbox(replace(CALM, retry_scale=2e-6)) as merchant:
        merchant.register(receiver.url)
        merchant.create(a_payment("invoice-0001"))
        merchant.act("approve", "invoice-0001")
        received = receiver.wait_until(lambda all_: any(r.name == "AUTHORIZED" for r in all_))

    names = [r.name for r in received]
    assert names[-1] == "AUTHORIZED"
    assert 5 < names.count("CREATED") <= 35


def test_registration_that_never_answers_is_deleted(receiver: Receiver) -> None:
    """Two weeks without one success, and Vipps deletes the registration."""
    receiver.answer_with = lambda _: 503
    with sandbox(replace(CALM, retry_scale=2e-7)) as merchant:
        merchant.register(receiver.url)
        count = 0
        while merchant.registrations():
            count += 1
            assert count < 5000, "it is still there"
            merchant.create(a_payment(f"invoice-{count:04}"))

    assert receiver.received


def test_registration_deleted_gets_nothing_more(receiver: Receiver) -> None:
    """What was still waiting for a deleted registration is not sent."""
    receiver.answer_with = lambda _: 500
    with sandbox(replace(CALM, retry_scale=0.05)) as merchant:
        made = merchant.register(receiver.url)
        merchant.create(a_payment("invoice-0001"))
        receiver.wait_for(1)
        merchant.call("DELETE", f"/webhooks/v1/webhooks/{made['id']}")
        before = len(receiver.received)
        receiver.answer_with = lambda _: 200
        merchant.register(receiver.url)
        merchant.create(a_payment("invoice-0002"))
        receiver.wait_until(lambda all_: all_[-1].event["reference"] == "invoice-0002")

    late = [r for r in receiver.received[before:] if r.event["reference"] == "invoice-0001"]
    assert len(late) <= 1  # At most the one that was in flight.

"""`betalbar demo`: a whole story, over real HTTP, against a sandbox."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from service.cli.demo_stage import DemoFailed, Stage, staged
from service.errors import ServiceError


class _StoryBroken(ServiceError):
    """The demo did not come out as told."""


def demo() -> None:
    """Play a whole story in the terminal, in under a minute, and leave nothing behind.

    A service with SQLite and the built-in sandbox runs in a temporary folder, on a free port; a
    merchant posts invoices, a customer answers, a subscriber verifies every signed event. Ends
    with 0 when everything came out as told, with 1 and the reason when not.
    """
    # A stop runs the `finally` blocks, so that no process is left behind.
    signal.signal(signal.SIGTERM, _stop)
    console = Console()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="betalbar-demo-") as folder:
        try:
            with staged(Path(folder), console) as stage:
                play(stage)
        except DemoFailed as failed:
            raise _StoryBroken(str(failed)) from failed
    console.print(f"\nThe story took {time.monotonic() - started:.0f} s. Try it: make run")


def play(stage: Stage) -> None:
    """Play every scene, one after the other. Raises: DemoFailed."""
    _subscribe(stage)
    _pay(stage)
    _pay_later(stage)
    _take_a_part_and_give_it_back(stage)
    _heal_a_lost_webhook(stage)
    _catch_up(stage)
    _compare_with_the_feed(stage)


def _subscribe(stage: Stage) -> None:
    stage.title("A subscriber")
    body = {"url": stage.receiver.url, "eventTypes": ["invoice.*"]}
    made = stage.call("POST", "/v1/subscriptions", body)
    stage.say("merchant", f"subscribes {stage.receiver.url} to invoice.*")
    stage.receiver.trust(made["secret"])
    if stage.receiver.wait_for("test.ping", None, within_s=20) is None:
        raise DemoFailed("the signed test.ping did not arrive")
    stage.say("subscriber", f"got a signed test.ping, verified by {stage.receiver.verifier_name}")


def _pay(stage: Stage) -> None:
    stage.title("Asked, approved, captured")
    reference = "demo-insurance"
    stage.invoice(reference, 2_000_00, "Travel insurance")
    stage.expect_told(reference, "pushed")
    stage.customer(reference, "approve")
    stage.expect(reference, "authorized", "Kari", "taps Pay; the money is reserved")
    stage.expect_told(reference, "authorized")
    stage.act(reference, "capture")
    stage.expect(reference, "captured", "merchant", "captures all of it")
    stage.expect_told(reference, "captured")


def _pay_later(stage: Stage) -> None:
    stage.title("I'll pay later")
    reference = "demo-broadband"
    stage.invoice(reference, 499_00, "Broadband, November")
    stage.customer(reference, "postpone")
    stage.say("Kari", "taps I'll pay later; Vipps tells nobody")
    stage.act(reference, "soft-dismiss", {"reason": "she said so on the phone"})
    stage.expect(reference, "soft_dismissed", "merchant", "notes that she postponed it")
    stage.act(reference, "push")
    invoice = stage.expect(reference, "pushed", "merchant", "asks again, some days later")
    payment = invoice["payments"][-1]["reference"]
    stage.say("Betalbar", f"withdrew the first payment and made [bold]{payment}[/bold]")
    stage.customer(payment, "approve")
    stage.expect(reference, "authorized", "Kari", "taps Pay this time")
    stage.expect_told(reference, "authorized")


def _take_a_part_and_give_it_back(stage: Stage) -> None:
    stage.title("A part of it, and back")
    reference = "demo-groceries"
    stage.invoice(reference, 1_000_00, "Groceries")
    stage.customer(reference, "approve")
    stage.expect(reference, "authorized", "Kari", "taps Pay")
    stage.act(reference, "capture", {"amount": {"currency": "NOK", "value": 600_00}})
    stage.expect(reference, "captured", "merchant", "captures 600,00: the rest was sold out")
    stage.act(reference, "cancel")
    _wait_for_aggregate(stage, reference, "cancelledAmount", 400_00)
    stage.say("merchant", "releases the other 400,00", state="captured")
    stage.act(reference, "refund")
    stage.expect(reference, "refunded", "merchant", "gives the 600,00 back")
    stage.expect_told(reference, "refunded")


def _heal_a_lost_webhook(stage: Stage) -> None:
    stage.title("A lost webhook")
    reference = "demo-parking"
    stage.invoice(reference, 75_00, "Parking")
    stage.call("PUT", "/sandbox/chaos", {"lose": 1})
    stage.customer(reference, "approve")
    stage.call("PUT", "/sandbox/chaos", {})
    invoice = stage.call("GET", f"/v1/invoices/{reference}")
    stage.say("Kari", "taps Pay, and Vipps's webhook is lost", state=invoice["state"])
    stage.act(reference, "push")
    stage.say("merchant", "asks again: Betalbar withdraws first, and Vipps says 'approved'")
    healed = stage.expect(reference, "authorized", "Betalbar", "reads Vipps's event log")
    if len(healed["payments"]) != 1:
        raise DemoFailed("a second payment was made for an invoice that was approved")
    stage.say("Betalbar", "made no second payment")
    stage.expect_told(reference, "authorized")


def _catch_up(stage: Stage) -> None:
    stage.title("A subscriber that was down")
    reference = "demo-gym"
    stage.receiver.stop()
    stage.say("subscriber", "is down: connections are refused")
    stage.invoice(reference, 399_00, "Gym membership")
    stage.customer(reference, "approve")
    stage.expect(reference, "authorized", "Kari", "taps Pay; nobody had to wait")
    stage.receiver.start()
    stage.say("subscriber", "is up again; the first retry comes after some 5 s")
    for state in ("created", "pushed", "authorized"):
        stage.expect_told(reference, state)


def _compare_with_the_feed(stage: Stage) -> None:
    stage.title("Nothing missing, nothing forged")
    told = {event["id"] for event in stage.feed() if event["type"].startswith("invoice.")}
    until = time.monotonic() + 20
    while told - set(stage.receiver.ids()) and time.monotonic() < until:
        time.sleep(0.05)
    missing = told - set(stage.receiver.ids())
    if missing or stage.receiver.forged:
        raise DemoFailed(f"missing {sorted(missing)}, forged {stage.receiver.forged}")
    stage.say("feed", f"holds {len(told)} events, and the subscriber has every one")


def _wait_for_aggregate(stage: Stage, reference: str, name: str, amount_minor: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        aggregate = stage.call("GET", f"/v1/invoices/{reference}")["aggregate"]
        if aggregate[name]["value"] == amount_minor:
            return
        time.sleep(0.05)
    raise DemoFailed(f"{reference}: {name} did not become {amount_minor}")


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(1)

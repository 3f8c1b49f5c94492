"""What the sandbox lets go of, so that it runs for ever in bounded memory."""

from dataclasses import replace
from pathlib import Path

from tests.sandbox.harness import CALM, Merchant, a_payment, sandbox

FEW = replace(CALM, kept_max=5)


def pay(merchant: Merchant, count: int) -> None:
    """Have payments made and withdrawn."""
    for number in range(count):
        merchant.create(a_payment(f"invoice-{number:04}"))
        merchant.cancel(f"invoice-{number:04}")


def kept(merchant: Merchant) -> list[str]:
    """Return the references of the payments in memory."""
    items = merchant.client.get("/sandbox/payments").json()["items"]
    return [item["reference"] for item in items]


def read(merchant: Merchant, reference: str) -> int:
    """Return the status that reading the payment gets."""
    return merchant.call("GET", f"/epayment/v1/payments/{reference}").status_code


def test_oldest_ended_payments_are_forgotten_without_a_file() -> None:
    """Beyond the limit the oldest go, and their ledger lines after them."""
    with sandbox(FEW) as merchant:
        pay(merchant, 20)

        assert kept(merchant) == [f"invoice-{number:04}" for number in range(15, 20)]
        assert read(merchant, "invoice-0000") == 404
        assert merchant.act("approve", "invoice-0000").status_code == 404
        sequences = [effect["sequence"] for effect in merchant.effects()]
        assert sequences == list(range(21, 41))


def test_open_payments_are_never_forgotten() -> None:
    """A payment that can still be approved, or expire, is kept whatever comes after it."""
    with sandbox(FEW) as merchant:
        merchant.create(a_payment("invoice-open"))
        pay(merchant, 20)

        assert merchant.act("approve", "invoice-open").status_code == 200
        assert len(kept(merchant)) == 5


def test_older_payments_are_found_in_the_file(tmp_path: Path) -> None:
    """With a file, memory is only what is near: nothing is lost."""
    with sandbox(replace(FEW, database_path=tmp_path / "sandbox.db")) as merchant:
        pay(merchant, 20)

        again = merchant.create(a_payment("invoice-0000"))

        assert len(kept(merchant)) == 5
        assert read(merchant, "invoice-0000") == 200
        assert again.status_code == 201
        assert merchant.names("invoice-0000") == ["CREATED", "TERMINATED"]
        assert [effect["sequence"] for effect in merchant.effects()] == list(range(1, 41))


def test_restart_brings_back_no_more_than_memory_may_hold(tmp_path: Path) -> None:
    """The limit holds from the first moment; numbering goes on where it was."""
    settings = replace(FEW, database_path=tmp_path / "sandbox.db")
    with sandbox(settings) as merchant:
        merchant.create(a_payment("invoice-open"))
        pay(merchant, 10)

    with sandbox(settings) as merchant:
        merchant.act("approve", "invoice-open")

        assert len(kept(merchant)) == 5
        assert read(merchant, "invoice-0000") == 200
        assert merchant.effects()[-1]["sequence"] == 22

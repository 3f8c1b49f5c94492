"""`betalbar audit verify`: the database, or one file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from service.audit.evidence import evidence_file
from service.clock import Clock
from service.context import Context
from service.ledger.book import Book, write
from service.ledger.invoices import create_invoice
from service.ledger.resource import invoice_resource
from service.settings import load_settings
from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import Transition
from service.vault import load_master_keys, open_vault
from service.wake import Wake
from tests.builders import MSN, REFERENCE, THE_MERCHANT, an_invoice
from tests.service.cli.conftest import Betalbar


@pytest.fixture
def kept(betalbar: Betalbar, tmp_path: Path) -> Path:
    """Put an invoice into the command's database; return its evidence file."""
    assert betalbar("migrate").code == 0
    assert betalbar("sales-units", "list").code == 0
    database = Database(f"sqlite:///{tmp_path / 'cli.db'}")
    masters = load_master_keys("", key_file=tmp_path / "cli.db.keys", is_vipps_real=False)
    with database.transaction() as session:
        vault = open_vault(session, masters, now=datetime.now(UTC))
    context = Context(load_settings({}), database, vault, Clock(), Wake())

    def evidence(book: Book) -> bytes:
        invoice = book.invoice_by_reference(MSN, REFERENCE)
        payments = book.payments(invoice)
        shown = invoice_resource(
            invoice, payments, vault=vault, base_url="https://pay.example", customer=None
        )
        now = context.clock.now()
        return orjson.dumps(evidence_file(book.session, vault, invoice, shown, now))

    write(context, lambda book: create_invoice(book, MSN, an_invoice(), THE_MERCHANT))
    file = tmp_path / "evidence.json"
    file.write_bytes(write(context, evidence))
    database.dispose()
    return file


def test_audit_of_a_whole_database_ends_with_zero(betalbar: Betalbar, kept: Path) -> None:
    """A nightly check says nothing is wrong."""
    ended = betalbar("audit", "verify")
    as_json = betalbar("audit", "verify", "--json")

    assert (ended.code, ended.out) == (0, "Invoices checked: 1; every history is whole.\n")
    assert json.loads(as_json.out) == {"invoices": 1, "faults": []}


def test_audit_of_a_touched_database_names_the_row_and_ends_with_one(
    betalbar: Betalbar, kept: Path, tmp_path: Path
) -> None:
    """A nightly check names the first bad row of each bad invoice."""
    database = Database(f"sqlite:///{tmp_path / 'cli.db'}")
    with database.transaction() as session:
        session.execute(sa.update(table_of(Transition)).values(amount_minor=1))
    database.dispose()

    ended = betalbar("audit", "verify")
    as_json = betalbar("audit", "verify", "--json")

    assert ended.code == as_json.code == 1
    assert f"{REFERENCE}: transition 1 was changed after it was written" in ended.out
    assert json.loads(as_json.out)["faults"][0]["sequence"] == 1


def test_audit_of_a_file_needs_no_database(betalbar: Betalbar, kept: Path, tmp_path: Path) -> None:
    """An auditor has the file and the key, and nothing else."""
    (tmp_path / "cli.db").unlink()
    key = json.loads(kept.read_bytes())["signature"]["publicKey"]

    known = betalbar("audit", "verify", str(kept), "--public-key", key)
    whole = betalbar("audit", "verify", str(kept))
    as_json = betalbar("audit", "verify", str(kept), "--json")

    assert known.out == f"{REFERENCE}: 1 transitions, whole and as signed.\n"
    assert f"Signed with {key}; compare it" in whole.out
    assert json.loads(as_json.out) == {
        "isWhole": True,
        "reference": REFERENCE,
        "transitions": 1,
        "publicKey": key,
    }
    assert not (tmp_path / "cli.db").exists()


def test_audit_of_a_changed_file_ends_with_one(betalbar: Betalbar, kept: Path) -> None:
    """What was changed after it was signed proves nothing."""
    kept.write_bytes(kept.read_bytes().replace(b"200000", b"200001"))

    ended = betalbar("audit", "verify", str(kept))
    as_json = betalbar("audit", "verify", str(kept), "--json")
    missing = betalbar("audit", "verify", str(kept) + ".not")

    assert (ended.code, ended.err) == (1, "betalbar: changed after it was signed\n")
    assert (as_json.code, json.loads(as_json.out)["isWhole"]) == (1, False)
    assert missing.code == 1
    assert "no such file" in missing.err

"""`betalbar invoices`: one sent and seen, and files of them, whatever is wrong in a file."""

import csv
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.cli.rows import COLUMNS, Row, Wrong, read_rows
from tests.flows.processes import HTTP
from tests.service.cli.conftest import Betalbar, Ended
from tests.service.cli.test_serving import Served, served, started, states_of, wait_for

HEADER = "reference,amount.currency,amount.value,flow,description,metadata.erp"


def a_file(folder: Path, *rows: str, header: str = HEADER, name: str = "invoices.csv") -> Path:
    """Write a file of rows and return its path."""
    path = folder / name
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def links(count: int, *, amount: int = 14_900) -> list[str]:
    """Return rows of invoices that are paid by link."""
    return [f"acme-{n:06},NOK,{amount},WEB_REDIRECT,Invoice {n},{n}" for n in range(count)]


def results(path: Path) -> list[dict[str, str]]:
    """Return what a result file says of each row."""
    with path.with_name(f"{path.name}.result.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_send_stores_a_link_and_the_same_reference_again_is_the_same_invoice(
    betalbar: Betalbar,
) -> None:
    """A slip of the finger makes no second invoice."""
    words = ("invoices", "send", "14900", "--reference", "acme-2026-0001", "--json")
    first, again = betalbar(*words), betalbar(*words)
    other = betalbar(*words[:2], "15000", *words[3:])

    assert (first.code, again.code, other.code) == (0, 0, 1)
    assert json.loads(first.out) == json.loads(again.out)
    assert json.loads(first.out)["amount"] == {"currency": "NOK", "value": 14_900}
    assert "taken by an invoice that differs" in other.err


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """Serve once for all tests here, and give the folder in which its database is."""
    folder = tmp_path_factory.mktemp("served")
    with served(folder) as one:
        yield one, folder


def test_send_into_the_app_is_with_vipps_at_once_and_shown_with_its_cause(
    service: tuple[Served, Path],
) -> None:
    """Beside a running service: sent, approved, and each step told with its cause."""
    one, folder = service
    sent = _beside(one, folder, "send", "14900", "--to", "4791234567", "--reference", "i-0001-x")
    HTTP.post(f"{one.url}/sandbox/payments/i-0001-x/approve")
    wait_for(lambda: states_of(one).get("i-0001-x") == "authorized")
    shown = _beside(one, folder, "show", "i-0001-x")

    assert sent.out.startswith("i-0001-x: pushed, NOK 149.00\n  page  http://")
    steps = shown.out.rstrip().splitlines()[-3:]
    assert [step.split()[1:5] for step in steps] == [
        ["-", "created", "create", "operator"],
        ["created", "pushed", "push", "response"],
        ["pushed", "authorized", "authorize", "webhook"],
    ]


def test_send_without_a_service_says_who_would_send_it(betalbar: Betalbar) -> None:
    """Nothing is lost, and what is missing is named."""
    ended = betalbar("invoices", "send", "100", "--to", "4791234567", "--wait", "0")

    assert (ended.code, "is `betalbar serve`" in ended.out) == (0, True)
    assert betalbar("invoices", "show", "not-there").code == 1
    assert betalbar("invoices", "list", "--state", "captured").out == "There is no such invoice.\n"


def test_import_makes_each_row_once_however_often_it_is_run(
    betalbar: Betalbar, tmp_path: Path
) -> None:
    """A file that is sent again, whole or longer, adds what is new and nothing else."""
    path = a_file(tmp_path, *links(30))
    trial = _import(betalbar, path, "--dry-run")
    first = _import(betalbar, path)
    pages = [row["pageUrl"] for row in results(path)]
    again = _import(betalbar, a_file(tmp_path, *links(31)))

    assert (trial["created"], trial["isDryRun"]) == (30, True)
    assert (first["created"], first["unchanged"], first["refused"]) == (30, 0, 0)
    assert (again["created"], again["unchanged"]) == (1, 30)
    assert [row["pageUrl"] for row in results(path)][:30] == pages
    assert len(set(pages)) == 30


def test_import_refuses_what_differs_and_goes_on(betalbar: Betalbar, tmp_path: Path) -> None:
    """One row that can't be holds up no other, and the exit code says that there was one."""
    _import(betalbar, a_file(tmp_path, *links(1)))
    euros = "acme-euros-1,EUR,100,WEB_REDIRECT,Euros,1"
    path = a_file(tmp_path, *links(1, amount=15_000), euros, *links(3)[1:])
    ended = _run(betalbar, path)
    found = json.loads(ended.out)

    assert ended.code == 1
    assert (found["created"], found["refused"]) == (2, 2)
    assert found["errors"] == [
        {"line": 2, "column": "reference", "reason": "is taken by an invoice that differs"},
        {"line": 3, "column": "amount.currency", "reason": "this sales unit's currency is NOK"},
    ]
    assert [row["outcome"] for row in results(path)] == ["refused", "refused", "created", "created"]


def test_import_with_one_wrong_row_sends_nothing(betalbar: Betalbar, tmp_path: Path) -> None:
    """Half a file is never sent by accident."""
    path = a_file(tmp_path, *links(3), "short,NOK,1.00,WEB_REDIRECT,No,1")
    ended = betalbar("invoices", "import", str(path))

    assert ended.code == 1
    assert "line 5: amount.value: is not in whole minor units" in ended.out
    assert "Nothing was sent" in ended.out
    assert betalbar("invoices", "list").out == "There is no such invoice.\n"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["reference,amount.value", "acme-0001,100"], "1: amount.currency: is missing"),
        (["reference,amount,amount.currency", "a,1,NOK"], "1: amount: is no column"),
        ([f"{HEADER},reference", "a"], "1: reference: is there more than once"),
        ([HEADER, "acme-0001,NOK"], "2: row: has 2 cells, and the header 6"),
        ([HEADER, "acme-0001,NOK,50,WEB_REDIRECT,Low,1"], "2: amount.value: is less than 100"),
        ([HEADER, ",NOK,100,WEB_REDIRECT,Nameless,1"], "2: reference: is required in a file"),
        ([HEADER, "acme-0001,NOK,100,,To whom,1"], "2: customer: is required"),
        ([HEADER, *links(1), "", *links(1)], "4: reference: stands in line 2 already"),
        ([HEADER, 'a,"b'], "2: row: can't be read as CSV"),
        ([""], "1: reference: is missing"),
    ],
)
def test_rows_that_are_wrong_are_named_by_line_and_column(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    """Whoever mends a file of thousands finds the cell."""
    path = a_file(tmp_path, *lines[1:], header=lines[0])

    assert said in "\n".join(str(one) for one in read_rows(path) if isinstance(one, Wrong))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_as_spreadsheets_write_them_are_read(tmp_path: Path, separator: str) -> None:
    """A mark at the beginning, cells with separators and line ends, lines that are empty."""
    cells = ["acme-0001", "NOK", "100", "WEB_REDIRECT", '"One, two; three"', "1"]
    path = tmp_path / "sheet.csv"
    lines = [HEADER.replace(",", separator), separator.join(cells), separator * 5, ""]
    path.write_bytes("\r\n".join(lines).encode("utf-8-sig"))

    (row,) = read_rows(path)

    assert isinstance(row, Row)
    assert (row.line, row.body.description) == (2, "One, two; three")
    assert row.body.metadata == {"erp": "1"}


def test_rows_of_every_column_and_of_json_are_the_same_request(tmp_path: Path) -> None:
    """Both kinds of file say what the API says."""
    cells = {
        "reference": "acme-0002",
        "amount.currency": "NOK",
        "amount.value": "14900",
        "customer.phoneNumber": "+47 912 34 567",
        "customer.name": "Kari",
        "description": "November",
        "kid": "1234566",
        "dueDate": "2036-12-01",
        "payableUntil": "2036-12-15T00:00:00Z",
        "flow": "PUSH_MESSAGE",
        "capture": "automatic",
        "push": "false",
        "replaces": "acme-0001",
        "documentUrl": "https://erp.example/1.pdf",
        "returnUrl": "https://shop.example/thanks",
    }
    assert {*cells, "customer.id"} == set(COLUMNS)
    sheet = a_file(tmp_path, ",".join(cells.values()), header=",".join(cells))
    body: dict[str, Any] = {k: v for k, v in cells.items() if "." not in k}
    body |= {"amount": {"currency": "NOK", "value": 14_900}, "push": False}
    body |= {"customer": {"phoneNumber": 4791234567, "name": "Kari"}}
    lines = a_file(tmp_path, "", header=json.dumps(body), name="invoices.jsonl")

    assert list(read_rows(sheet)) == [Row(2, _one(lines).body)]


def test_rows_of_json_that_are_wrong_are_named(tmp_path: Path) -> None:
    """Not JSON, not an object, a field too many: each has its line."""
    rows = ["[1]", '{"amount": {"value": 1}, "more": 1}', '{"a":1,"a":2}', "\xff"]
    path = a_file(tmp_path, *rows, header="{", name="invoices.jsonl")
    said = [str(one) for one in read_rows(path)]

    assert all(any(text.startswith(f"line {n}: ") for text in said) for n in range(1, 6))
    assert "line 3: more: is not a known field" in said


def test_rows_that_are_not_text_are_named(betalbar: Betalbar, tmp_path: Path) -> None:
    """A file in another encoding, of another kind or not there says so."""
    path = tmp_path / "latin.csv"
    path.write_bytes(f"{HEADER}\n".encode() + "æøå".encode("latin-1"))

    assert [str(one) for one in read_rows(path)] == [
        "line 2: row: is not UTF-8; save the file as CSV UTF-8"
    ]
    assert "neither .csv nor .jsonl" in betalbar("invoices", "import", "invoices.xlsx").err
    assert "no such file" in betalbar("invoices", "import", "nothing.csv").err


def test_import_beside_a_running_service_that_is_killed_goes_on(
    service: tuple[Served, Path],
) -> None:
    """An import is killed in the middle; the same command makes the rest, and none twice."""
    one, folder = service
    rows = [row.replace("WEB_REDIRECT", "PUSH_MESSAGE") + ",4791234567" for row in links(60)]
    path = a_file(folder, *rows, header=f"{HEADER},customer.phoneNumber")
    port = one.url.rpartition(":")[2]
    words = ("invoices", "import", str(path), "--rate", "40")
    with started(folder, *words, port=port) as process:
        wait_for(lambda: "acme-000010" in _said_so_far(path))
        process.kill()
    rest = json.loads(_beside(one, folder, "import", str(path), "--json", "--rate", "1000").out)
    made = [reference for reference in states_of(one) if reference.startswith("acme-")]

    assert rest["created"] + rest["unchanged"] == len(made) == len(set(made)) == 60
    assert rest["unchanged"] >= 11


def test_import_stopped_by_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """Nothing is half done, and the same command goes on."""
    path = a_file(tmp_path, *links(400))
    with started(tmp_path, "invoices", "import", str(path), "--rate", "50") as process:
        wait_for(lambda: "acme-000003" in _said_so_far(path))
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "The same command goes on." in said


def _said_so_far(path: Path) -> str:
    written = path.with_name(f"{path.name}.result.csv")
    return written.read_text() if written.exists() else ""


def _one(path: Path) -> Row:
    (row,) = read_rows(path)
    assert isinstance(row, Row)
    return row


def _run(betalbar: Betalbar, path: Path, *words: str) -> Ended:
    return betalbar("invoices", "import", str(path), "--rate", "1000", "--json", *words)


def _import(betalbar: Betalbar, path: Path, *words: str) -> dict[str, Any]:
    ended = _run(betalbar, path, *words)
    assert ended.code == 0, ended.out + ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def _beside(one: Served, folder: Path, *words: str) -> Ended:
    """Run a command on the database of a running service, in a process of its own."""
    port = one.url.rpartition(":")[2]
    with started(folder, "invoices", *words, port=port) as process:
        said, _ = process.communicate(timeout=120)
    return Ended(process.returncode, said, "")

"""A file of invoices, row by row: CSV with a header, or a JSON object in each line.

A column is named as the API names the field: `reference`, `amount.value`, `customer.phoneNumber`,
`metadata.erp`. A row is the body of `POST /v1/invoices`, and is checked as that one is.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.api.bodies import check, parse_json
from service.api.errors import NotJson
from service.api.schemas import InvoiceIn
from service.errors import FieldError, InvalidInput

COLUMNS = (
    "reference",
    "amount.currency",
    "amount.value",
    "customer.id",
    "customer.phoneNumber",
    "customer.name",
    "description",
    "kid",
    "dueDate",
    "payableUntil",
    "flow",
    "capture",
    "push",
    "replaces",
    "documentUrl",
    "returnUrl",
)
_METADATA = "metadata."
# What spreadsheets write, by what they take for a comma.
_SEPARATORS = ",;\t"
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One invoice of a file; `line` is where it begins, from 1."""

    line: int
    body: InvoiceIn

    @property
    def reference(self) -> str:
        """Return the invoice's name; `read_rows` lets no row pass without."""
        return self.body.reference or ""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong in a file: its line, its column, and why."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        """Say it as a place and a reason."""
        return f"line {self.line}: {self.column}: {self.reason}"


class _NotText(Exception):
    """A line that is not UTF-8."""


def read_rows(path: Path) -> Iterator[Row | Wrong]:
    """Yield each row, or what is wrong with it; several things of one row one by one.

    Raises: InvalidInput, where the file can't be read or has another ending."""
    reader = {".csv": _csv_bodies, ".jsonl": _json_bodies}.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(FieldError("FILE", f"{path}: ends with neither .csv nor .jsonl"))
    first_lines: dict[str, int] = {}
    try:
        for found in reader(path):
            yield from [found] if isinstance(found, Wrong) else _checked(*found, first_lines)
    except OSError as error:
        reason = (error.strerror or "can't be read").lower()
        raise InvalidInput(FieldError("FILE", f"{path}: {reason}")) from error


def _checked(line: int, value: Any, first_lines: dict[str, int]) -> list[Row | Wrong]:
    try:
        body = check(InvoiceIn, value)
    except InvalidInput as error:
        return [Wrong(line, one.field, one.reason) for one in error.errors]
    if body.reference is None:
        # It is what makes a row known when the file is sent again.
        return [Wrong(line, "reference", "is required in a file")]
    first = first_lines.setdefault(body.reference, line)
    if first != line:
        return [Wrong(line, "reference", f"stands in line {first} already")]
    return [Row(line, body)]


def _json_bodies(path: Path) -> Iterator[tuple[int, Any] | Wrong]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                yield line, parse_json(raw)
            except NotJson as error:
                yield Wrong(line, "row", str(error).replace("the body", "it", 1))


def _csv_bodies(path: Path) -> Iterator[tuple[int, Any] | Wrong]:
    with path.open("rb") as file:
        lines = _Lines(file)
        try:
            yield from _csv_rows(lines)
        except csv.Error as error:
            yield Wrong(lines.count, "row", f"can't be read as CSV: {error}")
        except _NotText:
            yield Wrong(lines.count, "row", "is not UTF-8; save the file as CSV UTF-8")


def _csv_rows(lines: "_Lines") -> Iterator[tuple[int, Any] | Wrong]:
    header_line = next(lines, "")
    separator = max(_SEPARATORS, key=header_line.count)
    header = [name.strip() for name in next(csv.reader([header_line], delimiter=separator), [])]
    wrong = list(_wrong_columns(header))
    yield from wrong
    if wrong:
        return
    begins = lines.count + 1
    for cells in csv.reader(lines, delimiter=separator, strict=True):
        if any(cell.strip() for cell in cells):
            yield _csv_body(begins, header, cells)
        # A cell may hold line ends, so that rows and lines are counted apart.
        begins = lines.count + 1


class _Lines:
    """A file's lines as text, counted as they are taken."""

    def __init__(self, file: Iterator[bytes]) -> None:
        self.count = 0
        self._file = file

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        raw = next(self._file)
        self.count += 1
        try:
            # Spreadsheets begin a file with a mark of its encoding.
            return raw.decode("utf-8-sig" if self.count == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _NotText from error


def _wrong_columns(header: list[str]) -> Iterator[Wrong]:
    for name in header:
        if name not in COLUMNS and not (name.startswith(_METADATA) and name != _METADATA):
            known = ", ".join((*COLUMNS, f"{_METADATA}NAME"))
            yield Wrong(1, name or "(empty)", f"is no column; these are: {known}")
        elif header.count(name) > 1:
            yield Wrong(1, name, "is there more than once")
    for name in ("reference", "amount.currency", "amount.value"):
        if name not in header:
            yield Wrong(1, name, "is missing in the header")


def _csv_body(line: int, header: list[str], cells: list[str]) -> tuple[int, Any] | Wrong:
    if len(cells) != len(header):
        return Wrong(line, "row", f"has {len(cells)} cells, and the header {len(header)}")
    body: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        text = cell.strip()
        if not text:
            continue
        if name == "amount.value" and not _WHOLE.fullmatch(text):
            return Wrong(line, name, "is not in whole minor units, such as 14900 for 149.00")
        outer, _, inner = name.partition(".")
        place = body.setdefault(outer, {}) if inner else body
        place[inner or outer] = _value(name, text)
    return line, body


def _value(name: str, text: str) -> str | int | bool:
    if name == "amount.value":
        return int(text)
    return _TRUTHS.get(text.lower(), text) if name == "push" else text

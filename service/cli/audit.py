"""`betalbar audit`: is every invoice's history what was written, and a file what was signed."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from service.audit.chain import Fault, check_all, count_invoices
from service.audit.verify import EvidenceBroken, describe, verify_file
from service.cli.output import AsJson, examples, opened, progress, show_json
from service.context import Context
from service.errors import FieldError, InvalidInput

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Whether the history of invoices is what was once written.",
)


@app.callback()
def audit() -> None:
    """Check the history of invoices; `betalbar audit verify --help` says how."""


@app.command(
    epilog=examples(
        "betalbar audit verify",
        "betalbar audit verify evidence.json --public-key whpk_...",
    )
)
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A file of GET /v1/invoices/REFERENCE/evidence; without, the database."
        ),
    ] = None,
    public_key: Annotated[
        str, typer.Option(help="The whpk_… that signed the file; GET /v1/signing-keys shows it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check every invoice's chain of transitions, or one evidence file.

    Without FILE: each row of the database must follow from the one before it, lead to its invoice,
    and be what its event has told; the first bad row of each bad invoice is named. With FILE: its
    signature, its chain and its bodies' hashes, without a database or a network. Without
    --public-key that proves that the file is whole, and not who signed it. Ends with 1 where
    something is wrong.
    """
    if file is not None:
        _verify_file(file, public_key, as_json)
        return
    with opened() as context:
        count, faults = _check(context)
    if as_json:
        show_json({"invoices": count, "faults": [asdict(fault) for fault in faults]})
    else:
        print("\n".join([*map(describe, faults), _summary(count, faults)]))
    if faults:
        raise typer.Exit(1)


def _check(context: Context) -> tuple[int, list[Fault]]:
    with context.database.snapshot() as session, progress() as bar:
        count = count_invoices(session)
        found = bar.track(check_all(session, context.vault), total=count, description="audit")
        return count, [fault for fault in found if fault is not None]


def _summary(count: int, faults: list[Fault]) -> str:
    whole = "every history is whole" if not faults else f"{len(faults)} are not whole"
    return f"Invoices checked: {count}; {whole}."


def _verify_file(file: Path, public_key: str, as_json: bool) -> None:
    try:
        raw = file.read_bytes()
    except OSError as error:
        reason = error.strerror or "can't be read"
        raise InvalidInput(FieldError("FILE", f"{file}: {reason.lower()}")) from error
    try:
        verified = verify_file(raw, public_key=public_key or None)
    except EvidenceBroken as error:
        if as_json:
            show_json({"isWhole": False, "what": str(error)})
            raise typer.Exit(1) from error
        raise
    if as_json:
        shown = {"reference": verified.reference, "transitions": verified.transitions}
        gone = {"noLongerKept": verified.gone} if verified.gone else {}
        show_json({"isWhole": True, **shown, **gone, "publicKey": verified.public_key})
        return
    print(f"{verified.reference}: {verified.transitions} transitions, whole and as signed.")
    if verified.gone:
        print(f"{verified.gone} bodies and events in it were no longer kept: their hashes stand.")
    if not public_key:
        print(f"Signed with {verified.public_key}; compare it with GET /v1/signing-keys.")

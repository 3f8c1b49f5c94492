"""`betalbar invoices`: sent and seen from a terminal, beside a running service or without."""

import time
from typing import Annotated, Any, Literal

import segno
import sqlalchemy as sa
import typer
from rich.console import Console
from sqlmodel import Session, col

from service.api.bodies import check
from service.api.creation import new_invoice
from service.api.resources import invoice_resources
from service.api.schemas import InvoiceIn
from service.api.waiting import is_under_way
from service.cli.business_time import with_business_time
from service.cli.importing import ACTOR
from service.cli.invoices_import import epilog, import_
from service.cli.output import AsJson, Msn, examples, opened, show_json, show_rows
from service.context import Context
from service.errors import NotFound, UpstreamTimeout
from service.events.shapes import Money
from service.ledger.book import write
from service.ledger.finding import Sought, find_invoice, invoices_sought
from service.ledger.invoices import create_invoice
from service.ledger.resource import transition_resource
from service.shapes.invoices import InvoiceResource
from service.store.tables import Invoice, SalesUnit, Transition
from statemachine import State

_LOOK_S = 0.2

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Invoices: send one or a file of them, and see what became of each.",
)

Reference = Annotated[str, typer.Argument(help="The invoice's reference.")]


@app.command(
    epilog=examples(
        "betalbar invoices send 14900 --to 4791234567 --description 'Broadband, November'",
        "betalbar invoices send 14900 --due-date 2026-12-15",
    )
)
def send(
    amount: Annotated[
        int, typer.Argument(help="In minor units: 14900 is 149.00.", metavar="AMOUNT")
    ],
    to: Annotated[
        str,
        typer.Option(help="The customer's phone number, who has agreed to be asked in the app."),
    ] = "",
    name: Annotated[str, typer.Option(help="The customer's name.")] = "",
    reference: Annotated[
        str, typer.Option(help="Your own name for it; the same again is the same invoice.")
    ] = "",
    description: Annotated[str, typer.Option(help="What the customer reads.")] = "",
    due_date: Annotated[str, typer.Option(help="The last day, such as 2026-12-01.")] = "",
    capture: Annotated[
        Literal["manual", "automatic"],
        typer.Option(help="Take the money by a capture of yours, or as soon as it is reserved."),
    ] = "manual",
    wait: Annotated[
        float, typer.Option(min=0, max=30, help="Seconds to wait until Vipps has it.")
    ] = 10,
    msn: Msn = "",
    as_json: AsJson = False,
) -> None:
    """Send one invoice: into the app with --to, else as a link to hand on.

    The amount is in the sales unit's currency. Calls to Vipps are made by a running `betalbar
    serve` or `worker`; without one the invoice is stored, and goes out when one is started.
    """
    asked = {
        "reference": reference,
        "description": description,
        "dueDate": due_date,
        "capture": capture,
        "customer": {"phoneNumber": to, **({"name": name} if name else {})} if to else None,
        "flow": "PUSH_MESSAGE" if to else "WEB_REDIRECT",
    }
    with opened() as real:
        context, unit = _in_business_time(real), msn or real.settings.msn
        money = {"currency": _currency(context, unit), "value": amount}
        body = check(InvoiceIn, {"amount": money, **{k: v for k, v in asked.items() if v}})
        invoice, _ = write(
            context, lambda book: create_invoice(book, unit, new_invoice(body), ACTOR)
        )
        resource = _awaited(context, unit, invoice.reference, wait)
    if as_json:
        show_json(resource)
        return
    _show_sent(resource, is_asked=bool(to))


@app.command("list", epilog=examples("betalbar invoices list --state authorized"))
def list_(
    state: Annotated[
        list[State] | None, typer.Option(help="Only in this state; may be given again.")
    ] = None,
    q: Annotated[str, typer.Option("--q", help="Only with this in reference or description.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    msn: Msn = "",
    as_json: AsJson = False,
) -> None:
    """Show the newest invoices, and what became of each."""
    with opened() as context:
        unit = msn or context.settings.msn
        sought = invoices_sought(unit, Sought(states=state or (), text=q or None))
        with context.database.snapshot() as session:
            found = session.scalars(sought.order_by(col(Invoice.id).desc()).limit(limit)).all()
            resources = invoice_resources(session, context, found)
    rows = [dict(one) if as_json else _row(one) for one in resources]
    show_rows(rows, as_json=as_json, empty="There is no such invoice.")


@app.command(epilog=examples("betalbar invoices show acme-2026-000123"))
def show(reference: Reference, msn: Msn = "", as_json: AsJson = False) -> None:
    """Show one invoice, and why it is where it is: each step, its cause, its time.

    Everything that is stored about it, signed, is at GET /v1/invoices/REFERENCE/evidence.
    """
    with opened() as context, context.database.snapshot() as session:
        invoice = find_invoice(session, msn or context.settings.msn, reference)
        (resource,) = invoice_resources(session, context, [invoice])
        history = _history(session, invoice)
    if as_json:
        show_json({**resource, "transitions": history})
    else:
        _show_one(resource, history)


app.command("import", epilog=epilog())(import_)


def _in_business_time(context: Context) -> Context:
    """Follow the built-in sandbox's clock where it runs; without it, today is today."""
    try:
        return with_business_time(context)
    except UpstreamTimeout:
        return context


def _currency(context: Context, msn: str) -> str:
    with context.database.snapshot() as session:
        unit = session.get(SalesUnit, msn)
    if unit is None:
        raise NotFound(f"there is no sales unit {msn}")
    return unit.currency


def _awaited(context: Context, msn: str, reference: str, wait_s: float) -> InvoiceResource:
    """Return the invoice once nothing is under way, or when the time is up."""
    until = time.monotonic() + wait_s
    while True:
        with context.database.snapshot() as session:
            invoice = find_invoice(session, msn, reference)
            if time.monotonic() >= until or not is_under_way(session, invoice):
                return invoice_resources(session, context, [invoice])[0]
        time.sleep(_LOOK_S)


def _history(session: Session, invoice: Invoice) -> list[dict[str, Any]]:
    steps = sa.select(Transition).where(col(Transition.invoice_id) == invoice.id)
    return [
        transition_resource(r) for r in session.scalars(steps.order_by(col(Transition.sequence)))
    ]


def _show_sent(resource: InvoiceResource, *, is_asked: bool) -> None:
    print(f"{resource['reference']}: {resource['state']}, {_money(resource['amount'])}")
    print(f"  page  {resource['pageUrl']}")
    if resource["problem"]:
        print(f"  Vipps refused it: {resource['problem'].get('detail') or resource['problem']}")
    elif is_asked and resource["state"] == State.CREATED:
        print("  Vipps does not have it yet: is `betalbar serve` or `betalbar worker` running?")
    elif not is_asked and Console().is_terminal:
        segno.make(resource["pageUrl"], error="l").terminal(compact=True)


def _show_one(resource: InvoiceResource, history: list[dict[str, Any]]) -> None:
    amounts = resource["aggregate"]
    lines = {
        "state": resource["state"],
        "amount": _money(resource["amount"]),
        "captured": _money(amounts["capturedAmount"]),
        "refunded": _money(amounts["refundedAmount"]),
        "payable until": resource["payableUntil"],
        "payments": ", ".join(f"{p['reference']} {p['state']}" for p in resource["payments"]),
        "problem": resource["problem"] and resource["problem"]["detail"],
        "possible now": ", ".join(resource["availableActions"]),
        "page": resource["pageUrl"],
    }
    print(resource["reference"])
    print("\n".join(f"  {name:14}{value}" for name, value in lines.items() if value))
    print()
    names = ("sequence", "from", "to", "trigger", "source", "occurredAt", "actor", "reason")
    show_rows([{n: step[n] for n in names} for step in history], as_json=False, empty="")


def _row(resource: InvoiceResource) -> dict[str, Any]:
    return {
        "reference": resource["reference"],
        "state": resource["state"],
        "amount": _money(resource["amount"]),
        "captured": _money(resource["aggregate"]["capturedAmount"]),
        "description": resource["description"],
        "createdAt": resource["createdAt"],
    }


def _money(amount: Money) -> str:
    whole, part = divmod(amount["value"], 100)
    return f"{amount['currency']} {whole}.{part:02}"

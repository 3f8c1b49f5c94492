"""`betalbar reconcile`: what Vipps says of every payment, read now."""

import asyncio
import logging
from dataclasses import asdict
from random import SystemRandom
from typing import Annotated

import typer

from service.cli.business_time import with_business_time
from service.cli.output import AsJson, opened, progress, show_json
from service.commands.reconciling import Chosen, Report, choose
from service.commands.reconciling import reconcile as read_all
from service.context import Context
from service.errors import NotFound, Recovering
from service.logs import configure_logs
from service.store.recovery import RECOVERING
from service.vipps import VippsClient, new_http


def reconcile(
    msn: Annotated[str, typer.Option(help="One sales unit's only; without, every one's.")] = "",
    reference: Annotated[
        str, typer.Option(help="One invoice's payments only, whatever their state.")
    ] = "",
    is_all: Annotated[
        bool, typer.Option("--all", help="Every payment there ever was, also those long settled.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read at Vipps, now, every payment that may still change, and bring each invoice there.

    Those are the live ones, those with money still reserved, and those paid within 14 days. A read
    takes the same path as a webhook and has the same effects; `serve` makes them by itself in the
    course of a day. Says what was healed, which payments' sums differ from Vipps's, and which could
    not be read: then it ends with 1. Works beside a running service; what is recovering is left to
    that one.
    """
    with opened() as real:
        _require_recovered(real, msn)
        context = with_business_time(real)
        _log_only_what_fails(context)
        chosen = choose(context, msn=msn, reference=reference, is_all=is_all)
        if reference and not chosen:
            raise NotFound(f"there is no payment of an invoice {reference}")
        report = asyncio.run(_read_at_vipps(context, chosen))
    if as_json:
        show_json(_as_json(report))
    else:
        print("\n".join(_lines(report)))
    if report.unread:
        raise typer.Exit(1)


def _require_recovered(context: Context, msn: str) -> None:
    """Check that no such sales unit is recovering: the service reads these, in its own order.

    Raises: Recovering."""
    with context.database.snapshot() as session:
        recovering = set(session.scalars(RECOVERING))
    if recovering and msn in ("", *recovering):
        raise Recovering


def _log_only_what_fails(context: Context) -> None:
    """Keep standard output for the report: the worker says much of what goes well."""
    configure_logs(context.settings.log)
    logging.getLogger("service").setLevel(logging.WARNING)


async def _read_at_vipps(context: Context, chosen: list[Chosen]) -> Report:
    """Read these payments, with a bar that shows how far it is."""
    with progress() as bar:
        task = bar.add_task("reading at Vipps", total=len(chosen))
        async with new_http() as http:
            client = VippsClient(context.settings.upstream_url, http)
            return await read_all(
                context,
                client,
                chosen,
                dice=SystemRandom(),
                on_progress=lambda done: bar.advance(task, done),
            )


def _as_json(report: Report) -> dict[str, object]:
    healed = [
        {
            "salesUnit": one.msn,
            "reference": one.reference,
            "from": one.from_state,
            "to": one.to_state,
            "trigger": one.trigger,
            "payment": one.payment_reference,
        }
        for one in report.healed
    ]
    rest = {name: value for name, value in asdict(report).items() if name != "healed"}
    return {**rest, "healed": healed}


def _lines(report: Report) -> list[str]:
    lines = [
        f"{one.reference}: {one.from_state} -> {one.to_state} ({one.trigger})"
        for one in report.healed
    ]
    lines += [f"{name}: Vipps's sums are not those of its event log" for name in report.drifting]
    lines += [f"{name}: could not be read" for name in report.unread]
    done = report.read - len(report.unread)
    return [*lines, f"Payments read: {done} of {report.read}. Healed: {len(report.healed)}."]

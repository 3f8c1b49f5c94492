"""`betalbar webhooks doctor`: why webhooks do not come, or are not believed."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import httpx
import orjson
import sqlalchemy as sa
import typer
from rich.console import Console
from sqlmodel import Session, col

from service.cli.findings import (
    Finding,
    compare_clocks,
    differences,
    next_step,
    show_findings,
)
from service.cli.output import AsJson, Msn, opened, show_json
from service.context import Context
from service.errors import ServiceError
from service.inbox.refusals import recent_refusals
from service.inbox.registering import Standing, active, compare, webhook_url
from service.settings import is_loopback
from service.store.tables import Registration, StoredVippsEvent
from service.vipps import VippsClient, new_http, reason_of
from webhooks.meanings import meaning_of
from webhooks.vipps import authority_and_path, sign

SHOWN_MAX = 10

# An event of no payment: stored as `ignored`, and nothing follows from it.
PROBE = orjson.dumps({"eventType": "betalbar.doctor.v1"})


def doctor(msn: Msn = "", as_json: AsJson = False) -> None:
    """Find out why webhooks do not come, or are refused; change nothing.

    Looks at the address, both clocks, the registrations here and at Vipps, when a webhook was last
    proven, and the last refused ones with what would have made them match: another host or path, an
    old or a decoded secret, a clock. Then it posts a request to the registered address, signed with
    each secret as Vipps would; the running service keeps it as an event that is ignored.
    Ends with 1 where something is not well.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        findings = asyncio.run(_examine(context, unit))
        with context.database.snapshot() as session:
            refused = [_refusal(row) for row in recent_refusals(session, unit)[:SHOWN_MAX]]
    if as_json:
        show_json({"findings": [asdict(one) for one in findings], "refused": refused})
    else:
        _show(findings, refused)
    if not all(one.is_well for one in findings):
        raise typer.Exit(1)


async def _examine(context: Context, msn: str) -> list[Finding]:
    findings = [_address(context, msn)]
    async with new_http() as http:
        client = VippsClient(context.settings.upstream_url, http)
        findings.append(await compare_clocks(context, http))
        try:
            findings += _standing(await compare(context, client, msn))
        except ServiceError as error:
            findings.append(Finding("registrations", False, str(error)))
        for one, secret in _secrets(context, msn):
            findings.append(await _probe(context, http, one, secret))
    with context.database.snapshot() as session:
        findings.append(_last_proven(session, msn))
    return findings


def _address(context: Context, msn: str) -> Finding:
    url = webhook_url(context, msn)
    is_reachable = url.startswith("https://") and not is_loopback(url)
    if is_reachable or not context.settings.is_vipps_real:
        return Finding("address", True, url)
    return Finding("address", False, f"{url}: Vipps reaches only public https addresses")


def _standing(standing: Standing) -> list[Finding]:
    """Return what is well and what is not of the registrations here and at Vipps."""
    count = len(standing.here) + len(standing.replaced)
    at_vipps = f"{count} of ours at Vipps, {len(standing.replaced)} of them being replaced"
    advice = "" if standing.here else f"betalbar webhooks register --msn {standing.msn}"
    found = Finding("registrations", bool(standing.here), at_vipps, advice)
    return [found, *differences(standing)]


def _secrets(context: Context, msn: str) -> list[tuple[Registration, str]]:
    with context.database.snapshot() as session:
        rows = active(session, msn)
    place = "registration:{}:secret".format
    return [(row, context.vault.open(row.secret, place=place(row.id)).decode()) for row in rows]


async def _probe(
    context: Context, http: httpx.AsyncClient, one: Registration, secret: str
) -> Finding:
    """Post to the registered address what Vipps could have sent."""
    host, path = authority_and_path(one.url)
    at = context.clock.now()
    signed = sign(method="POST", path_and_query=path, host=host, body=PROBE, secret=secret, at=at)
    name = f"probe {one.vipps_id or 'of the settings'}"
    try:
        answer = await http.post(one.url, content=PROBE, headers=signed)
    except httpx.HTTPError as error:
        return Finding(name, False, f"{one.url} can't be reached: {reason_of(error)}")
    return Finding(name, answer.status_code == 200, f"{one.url} answers {answer.status_code}")


def _last_proven(session: Session, msn: str) -> Finding:
    last = sa.select(sa.func.max(col(StoredVippsEvent.received_at))).where(
        col(StoredVippsEvent.msn) == msn,
        col(StoredVippsEvent.source) == "webhook",
        col(StoredVippsEvent.reference).is_not(None),
    )
    at: datetime | None = session.execute(last).scalar()
    return Finding("last proven webhook", True, f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "none yet")


def _refusal(row: Any) -> dict[str, Any]:
    meanings = [meaning_of(cause) for cause in row.diagnosis]
    return {"at": row.at, "reason": row.reason, "causes": row.diagnosis, "meanings": meanings}


def _show(findings: Sequence[Finding], refused: Sequence[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    show_findings(console, findings)
    if step := next_step(findings):
        console.print(f"\nNext: {step}", soft_wrap=True, markup=False)
    for row in refused:
        console.print(f"\nrefused {row['at']:%Y-%m-%d %H:%M:%S} UTC ({row['reason']})")
        for cause, meaning in zip(row["causes"], row["meanings"], strict=True):
            console.print(f"    {cause}: {meaning}", soft_wrap=True, markup=False)

"""`betalbar webhooks`: our registrations at Vipps."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import typer
from sqlmodel import Session, col

from service.cli.output import AsJson, Msn, opened, show_json, show_rows
from service.commands.claim import open_keys
from service.context import Context
from service.errors import Conflict, NotFound, UpstreamRejected, UpstreamTimeout
from service.inbox.registering import register as register_at_vipps
from service.store.tables import Registration, SalesUnit
from service.vipps import VippsClient, VippsKeys, new_http

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Registrations at Vipps: where it reports to, and how it signs.",
)


@app.command()
def register(msn: Msn = "", as_json: AsJson = False) -> None:
    """Have Vipps report a sales unit's payments to us, and keep the secret it signs with.

    The address is BETALBAR_PUBLIC_URL and /webhooks/vipps/MSN. A registration of that address
    which Vipps still has is kept, so that doing it again changes nothing.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        registration, is_new = asyncio.run(_register(context, unit))
    if as_json:
        show_json({"id": registration.vipps_id, "url": registration.url, "isNew": is_new})
    else:
        print(f"{registration.url} {'is registered now' if is_new else 'was registered already'}.")


@app.command("list")
def list_(msn: Msn = "", as_json: AsJson = False) -> None:
    """Show the registrations that Vipps has beside those whose secret we have.

    One that is `at Vipps` without a secret is signed with one that we don't know: its webhooks
    are refused. One that we have and Vipps has not was deleted there: register again.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        with context.database.snapshot() as session:
            keys, ours = _keys(session, context, unit), _ours(session, unit)
        theirs = asyncio.run(_listed(context, keys))
    show_rows(_beside(ours, theirs), as_json=as_json, empty=f"Sales unit {unit} has none.")


async def _register(context: Context, msn: str) -> tuple[Registration, bool]:
    async with new_http() as http:
        client = VippsClient(context.settings.upstream_url, http)
        return await register_at_vipps(context, client, msn)


async def _listed(context: Context, keys: VippsKeys) -> list[Mapping[str, Any]]:
    async with new_http() as http:
        answer = await VippsClient(context.settings.upstream_url, http).list_webhooks(keys)
    if answer.status is None:
        raise UpstreamTimeout
    hooks = answer.body.get("webhooks")
    if not answer.is_success or not isinstance(hooks, list):
        raise UpstreamRejected(answer.status, dict(answer.body))
    return [hook for hook in hooks if isinstance(hook, dict)]


def _keys(session: Session, context: Context, msn: str) -> VippsKeys:
    unit = session.get(SalesUnit, msn)
    if unit is None:
        raise NotFound(f"there is no sales unit {msn}")
    if unit.vipps_keys is None:
        raise Conflict("keys_missing", f"sales unit {msn} has no keys for Vipps")
    return open_keys(context.vault, msn, unit.vipps_keys)


def _ours(session: Session, msn: str) -> Sequence[Registration]:
    active = sa.select(Registration).where(
        col(Registration.msn) == msn, col(Registration.retired_at).is_(None)
    )
    return session.scalars(active.order_by(col(Registration.id))).all()


def _beside(
    ours: Sequence[Registration], theirs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Pair both lists by Vipps's id; a secret from the settings has none, so by its address."""
    rows = []
    unpaired = {str(hook.get("id")): hook for hook in theirs}
    for one in ours:
        same = [i for i, h in unpaired.items() if i == one.vipps_id or _is_by_url(one, h)]
        paired = [unpaired.pop(i) for i in same[:1]]
        rows.append(_row(one.url, one.vipps_id or same[0] if same else None, one.made_by, paired))
    rows += [_row(hook.get("url"), i, None, [hook]) for i, hook in unpaired.items()]
    return rows


def _is_by_url(one: Registration, hook: Mapping[str, Any]) -> bool:
    return one.vipps_id is None and hook.get("url") == one.url


def _row(
    url: Any, vipps_id: str | None, made_by: str | None, paired: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "url": url,
        "vippsId": vipps_id,
        "atVipps": "yes" if paired else "no",
        "secret": f"kept, from {made_by}" if made_by else "unknown",
    }

"""`betalbar webhooks`: our registrations at Vipps."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import typer
from sqlmodel import Session

from service.cli.output import AsJson, Msn, examples, opened, show_json, show_rows
from service.cli.webhooks_doctor import doctor
from service.commands.claim import open_keys
from service.context import Context
from service.errors import Conflict, NotFound, UpstreamRejected, UpstreamTimeout
from service.inbox import registering
from service.inbox.registering import Standing, Synced, active
from service.store.tables import Registration, SalesUnit
from service.vipps import VippsClient, VippsKeys, new_http

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Registrations at Vipps: where it reports to, and how it signs.",
)


@app.command(epilog=examples("betalbar webhooks register"))
def register(msn: Msn = "", as_json: AsJson = False) -> None:
    """Have Vipps report a sales unit's payments to us, and keep the secret it signs with.

    The address is BETALBAR_PUBLIC_URL and /webhooks/vipps/MSN. A registration of that address
    which Vipps still has is kept, so that doing it again changes nothing.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        registration, is_new = _at_vipps(context, unit, registering.register)
    if as_json:
        show_json({"id": registration.vipps_id, "url": registration.url, "isNew": is_new})
    else:
        print(f"{registration.url} {'is registered now' if is_new else 'was registered already'}.")


@app.command("list", epilog=examples("betalbar webhooks list --msn 123456"))
def list_(msn: Msn = "", as_json: AsJson = False) -> None:
    """Show the registrations that Vipps has beside those whose secret we have.

    One that is `at Vipps` without a secret is signed with one that we don't know: its webhooks
    are refused. One that we have and Vipps has not was deleted there: `betalbar webhooks sync`.
    One with `deleteAfter` was replaced by `rotate`.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        with context.database.snapshot() as session:
            keys, ours = _keys(session, context, unit), active(session, unit)
        theirs = asyncio.run(_listed(context, keys))
    show_rows(_beside(ours, theirs), as_json=as_json, empty=f"Sales unit {unit} has none.")


@app.command(epilog=examples("betalbar webhooks sync", "betalbar webhooks sync --delete"))
def sync(
    msn: Msn = "",
    is_deleting: Annotated[
        bool, typer.Option("--delete", help="Also delete at Vipps what is named as not ours.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring what is registered at Vipps up to date with what we know.

    A registration of ours that Vipps has deleted, or that stands at an address which
    BETALBAR_PUBLIC_URL no longer names, is registered anew. Those at the old address, and those at
    ours whose secret nobody kept, are told; --delete ends them at Vipps. What `rotate` replaced is
    deleted once its overlap is over. A running service does all this too, without --delete.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        synced = _at_vipps(context, unit, registering.sync)
        deleted = _at_vipps(context, unit, registering.delete_due)
        deleted += _delete_strays(context, synced) if is_deleting else 0
    if as_json:
        show_json(_synced_json(synced, deleted))
    else:
        print("\n".join(_synced_lines(synced, deleted)))


@app.command(epilog=examples("betalbar webhooks rotate --overlap-seconds 3600"))
def rotate(
    msn: Msn = "",
    overlap_seconds: Annotated[
        int,
        typer.Option(min=0, max=604_800, help="How long the old secret is good beside the new."),
    ] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Renew the secret that Vipps signs with; nothing is lost on the way.

    Vipps can't change a secret, so this registers the address once more and keeps both: each event
    comes twice for a while, and counts once. When the overlap is over a running service deletes
    the old registration at Vipps; without one, `betalbar webhooks sync` does.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        made, until, deleted = _at_vipps(context, unit, _rotator(overlap_seconds))
    if as_json:
        show_json({"id": made.vipps_id, "url": made.url, "deleteAfter": until, "deleted": deleted})
    elif deleted:
        print(f"{made.url} has a new secret, and the old one is deleted at Vipps.")
    else:
        print(f"{made.url} has a new secret; the old one is good until {until:%Y-%m-%d %H:%M} UTC.")


app.command(epilog=examples("betalbar webhooks doctor"))(doctor)


def _at_vipps(
    context: Context, msn: str, act: Callable[[Context, VippsClient, str], Awaitable[T]]
) -> T:
    """Do something at Vipps for one sales unit."""

    async def run() -> T:
        async with new_http() as http:
            return await act(context, VippsClient(context.settings.upstream_url, http), msn)

    return asyncio.run(run())


def _rotator(overlap_s: int) -> Callable[[Context, VippsClient, str], Awaitable[Any]]:
    async def rotate_then_delete(context: Context, client: VippsClient, msn: str) -> Any:
        made, _ = await registering.rotate(context, client, msn, overlap_s=overlap_s)
        until = made.created_at + timedelta(seconds=overlap_s)
        return made, until, await registering.delete_due(context, client, msn)

    return rotate_then_delete


def _delete_strays(context: Context, synced: Synced) -> int:
    async def delete(context: Context, client: VippsClient, _msn: str) -> int:
        return await registering.delete_strays(context, client, synced.standing)

    return _at_vipps(context, synced.standing.msn, delete)


def _synced_json(synced: Synced, deleted: int) -> dict[str, Any]:
    standing = synced.standing
    return {
        "registered": synced.made and {"id": synced.made.vipps_id, "url": synced.made.url},
        "deletedAtVipps": [one.vipps_id for one in standing.gone],
        "elsewhere": [{"id": one.vipps_id, "url": one.url} for one in standing.elsewhere],
        "unknown": list(standing.unknown),
        "deleted": deleted,
    }


def _synced_lines(synced: Synced, deleted: int) -> list[str]:
    standing = synced.standing
    lines = [f"Vipps had deleted {one.vipps_id}." for one in standing.gone]
    lines += [f"{one.vipps_id} stands at {one.url}." for one in standing.elsewhere]
    lines += [
        f"{vipps_id} is at our address; nobody kept its secret." for vipps_id in standing.unknown
    ]
    if synced.made:
        lines.append(f"{synced.made.url} is registered now.")
    if deleted:
        lines.append(f"Deleted at Vipps: {deleted}.")
    elif standing.elsewhere or standing.unknown:
        lines.append("`betalbar webhooks sync --delete` deletes them at Vipps.")
    return lines or [_nothing(standing)]


def _nothing(standing: Standing) -> str:
    if standing.here:
        return "Nothing differs."
    return f"Sales unit {standing.msn} has no registration of ours; run webhooks register."


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


def _beside(
    ours: Sequence[Registration], theirs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Pair both lists by Vipps's id; a secret from the settings has none, so by its address."""
    rows = []
    unpaired = {str(hook.get("id")): hook for hook in theirs}
    for one in ours:
        same = [i for i, h in unpaired.items() if i == one.vipps_id or _is_by_url(one, h)]
        paired = [unpaired.pop(i) for i in same[:1]]
        vipps_id = one.vipps_id or (same[0] if same else None)
        rows.append(_row(one.url, vipps_id, one, paired))
    rows += [_row(hook.get("url"), i, None, [hook]) for i, hook in unpaired.items()]
    return rows


def _is_by_url(one: Registration, hook: Mapping[str, Any]) -> bool:
    return one.vipps_id is None and hook.get("url") == one.url


def _row(
    url: Any, vipps_id: str | None, ours: Registration | None, paired: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "url": url,
        "vippsId": vipps_id,
        "atVipps": "yes" if paired else "no",
        "secret": f"kept, from {ours.made_by}" if ours else "unknown",
        "deleteAfter": ours.delete_after if ours else None,
    }

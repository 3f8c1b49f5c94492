"""Our webhook addresses at Vipps: registered, brought up to date, their secrets renewed.

Vipps gives a secret once, with the registration, and can't change it: a new secret is a new
registration. While two stand beside each other both deliver everything, and both are accepted.
Source: facts, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from anyio import to_thread
from sqlmodel import Session, col

from service.commands.claim import open_keys
from service.context import Context
from service.errors import Conflict, NotFound, UpstreamRejected, UpstreamTimeout
from service.ids import new_id
from service.store.tables import Registration, SalesUnit
from service.vipps import Answer, VippsClient, VippsKeys
from statemachine import VippsEventName

# All of a payment's events; what is not registered never comes.
EVENT_TYPES = tuple(f"epayments.payment.{name.lower()}.v1" for name in VippsEventName)

# What Vipps sent a moment before its registration was deleted is still on its way.
ON_ITS_WAY = timedelta(seconds=60)
# A deletion that failed, or whose process died, is tried again after this.
DELETE_AGAIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a sales unit is registered, here and at Vipps, compared."""

    msn: str
    keys: VippsKeys = field(repr=False)
    here: tuple[Registration, ...]  # at our address, Vipps has it, nothing replaces it
    replaced: tuple[Registration, ...]  # the same, but to be deleted
    elsewhere: tuple[Registration, ...]  # Vipps has it, at an address that is no longer ours
    gone: tuple[Registration, ...]  # Vipps has it no more
    unknown: tuple[str, ...]  # Vipps has it at our address, and we have no secret of it


@dataclass(frozen=True, slots=True)
class Synced:
    """What was found to differ, and the registration that was made for it."""

    standing: Standing
    made: Registration | None


def webhook_url(context: Context, msn: str) -> str:
    """Return the address that Vipps posts a sales unit's events to."""
    return f"{context.settings.base_url}/webhooks/vipps/{msn}"


async def compare(context: Context, client: VippsClient, msn: str) -> Standing:
    """Return what is registered here beside what Vipps lists; change nothing.

    Raises: NotFound, Conflict, UpstreamRejected, UpstreamTimeout."""
    keys, ours = await to_thread.run_sync(_known, context, msn)
    listed = await client.list_webhooks(keys)
    _require(listed)
    hooks = listed.body.get("webhooks")
    at_vipps = [h for h in hooks if isinstance(h, dict)] if isinstance(hooks, list) else []
    return _sort_out(msn, keys, ours, at_vipps=at_vipps, url=webhook_url(context, msn))


async def register(context: Context, client: VippsClient, msn: str) -> tuple[Registration, bool]:
    """Register the sales unit's address, unless it is registered; tell whether it is new.

    A registration whose secret we have and that Vipps still lists is kept.
    Raises: as `compare`."""
    standing = await compare(context, client, msn)
    if standing.here:
        return standing.here[-1], False
    return await _make(context, client, standing), True


async def sync(context: Context, client: VippsClient, msn: str) -> Synced:
    """Have what `register` made stand at Vipps, at our address of now; tell what differed.

    One that Vipps deleted, or that stands at another address only, is registered anew. What
    was never registered stays so, and nothing is deleted at Vipps. Raises: as `compare`."""
    standing = await compare(context, client, msn)
    # Noted before anything else: should Vipps refuse, it is seen until it is mended.
    await to_thread.run_sync(_note_missing, context, standing.gone)
    made = None
    if (standing.gone or standing.elsewhere) and not standing.here:
        made = await _make(context, client, standing)
    await to_thread.run_sync(_retire, context, standing.gone)
    return Synced(standing, made)


async def rotate(
    context: Context, client: VippsClient, msn: str, *, overlap_s: int
) -> tuple[Registration, Sequence[Registration]]:
    """Register anew beside what stands there; return the new one and those it replaces.

    Both secrets are accepted until `overlap_s` from now; then `delete_due` ends the old ones.
    Raises: as `compare`; NotFound too where `register` has made nothing that stands."""
    standing = await compare(context, client, msn)
    if not standing.here:
        raise NotFound(f"sales unit {msn} has no registration of ours; run webhooks register")
    until = context.clock.now() + timedelta(seconds=overlap_s)
    made = await _make(context, client, standing, until=until)
    return made, standing.here


async def delete_due(context: Context, client: VippsClient, msn: str) -> int:
    """Delete at Vipps what was replaced and is due by now; return how many there were.

    None is deleted unless Vipps lists another one of ours at our address. What can't be deleted
    now is due again later. Raises: as `compare`."""
    due = await to_thread.run_sync(_claim_due, context, msn)
    if not due:
        return 0
    standing = await compare(context, client, msn)
    if not standing.here:
        return 0
    return await _delete(context, client, standing.keys, due)


async def delete_strays(context: Context, client: VippsClient, standing: Standing) -> int:
    """Delete at Vipps what stands elsewhere, or here unknown to us; return how many there were.

    Raises: as `compare`."""
    count = await _delete(context, client, standing.keys, standing.elsewhere)
    for vipps_id in standing.unknown:
        _require_gone(await client.delete_webhook(standing.keys, vipps_id))
    return count + len(standing.unknown)


def _sort_out(
    msn: str,
    keys: VippsKeys,
    ours: Sequence[Registration],
    *,
    at_vipps: Sequence[Mapping[str, object]],
    url: str,
) -> Standing:
    listed = {str(hook.get("id")): hook.get("url") for hook in at_vipps}
    made = [one for one in ours if one.made_by == "register"]
    standing = [one for one in made if one.vipps_id in listed]
    here = [one for one in standing if one.url == url]
    unknown = [i for i, at in listed.items() if at == url and i not in {o.vipps_id for o in ours}]
    # A secret that was brought along has no id: the first at its address is taken for it.
    brought = [one for one in ours if one.made_by == "setting" and one.url == url]
    return Standing(
        msn=msn,
        keys=keys,
        here=tuple(one for one in here if one.delete_after is None),
        replaced=tuple(one for one in here if one.delete_after is not None),
        elsewhere=tuple(one for one in standing if one.url != url),
        gone=tuple(one for one in made if one.vipps_id not in listed),
        unknown=tuple(unknown[len(brought) :]),
    )


def _known(context: Context, msn: str) -> tuple[VippsKeys, list[Registration]]:
    with context.database.snapshot() as session:
        unit = session.get(SalesUnit, msn)
        if unit is None:
            raise NotFound(f"there is no sales unit {msn}")
        if unit.vipps_keys is None:
            raise Conflict("keys_missing", f"sales unit {msn} has no keys for Vipps")
        return open_keys(context.vault, msn, unit.vipps_keys), active(session, msn)


def active(session: Session, msn: str) -> list[Registration]:
    """Return a sales unit's registrations that are not retired, oldest first."""
    chosen = sa.select(Registration).where(
        col(Registration.msn) == msn, col(Registration.retired_at).is_(None)
    )
    return list(session.scalars(chosen.order_by(col(Registration.created_at))))


async def _make(
    context: Context, client: VippsClient, standing: Standing, *, until: datetime | None = None
) -> Registration:
    """Register; with `until`, what stands there is replaced from then on, by the same commit."""
    url = webhook_url(context, standing.msn)
    made = await client.register_webhook(standing.keys, url, EVENT_TYPES)
    _require(made)
    old = standing.here if until else ()
    return await to_thread.run_sync(_keep, context, standing.msn, made.body, old, until)


def _keep(
    context: Context,
    msn: str,
    body: Mapping[str, object],
    old: Sequence[Registration],
    until: datetime | None,
) -> Registration:
    registration_id = new_id("reg")
    place = f"registration:{registration_id}:secret"
    registration = Registration(
        id=registration_id,
        msn=msn,
        url=webhook_url(context, msn),
        vipps_id=str(body.get("id")),
        secret=context.vault.seal(str(body.get("secret")).encode(), place=place),
        made_by="register",
        created_at=context.clock.now(),
    )
    with context.database.transaction() as session:
        session.add(registration)
        session.execute(_on(old).values(delete_after=until))
    return registration


def _note_missing(context: Context, gone: Sequence[Registration]) -> None:
    if gone:
        with context.database.transaction() as session:
            is_news = col(Registration.missing_since).is_(None)
            now = context.clock.now()
            session.execute(_on(gone).where(is_news).values(missing_since=now))


def _retire(context: Context, gone: Sequence[Registration]) -> None:
    if gone:
        with context.database.transaction() as session:
            until = context.clock.now() + ON_ITS_WAY
            session.execute(_on(gone).values(retired_at=until))


def _claim_due(context: Context, msn: str) -> list[Registration]:
    """Take what is due to be deleted: of many processes, one gets each."""
    now = context.clock.now()
    with context.database.transaction() as session:
        claimed = session.execute(
            sa.update(Registration)
            .where(
                col(Registration.msn) == msn,
                col(Registration.retired_at).is_(None),
                col(Registration.delete_after) <= now,
            )
            .values(delete_after=now + DELETE_AGAIN)
            .returning(col(Registration.id))
            .execution_options(synchronize_session=False)
        )
        ids = list(claimed.scalars())
        return [one for one in active(session, msn) if one.id in ids]


async def _delete(
    context: Context, client: VippsClient, keys: VippsKeys, ended: Sequence[Registration]
) -> int:
    for one in ended:
        _require_gone(await client.delete_webhook(keys, one.vipps_id or ""))
        await to_thread.run_sync(_retire, context, [one])
    return len(ended)


def _on(registrations: Sequence[Registration]) -> sa.Update:
    named = col(Registration.id).in_([one.id for one in registrations])
    # The objects in hand are what was found, and stay so.
    return sa.update(Registration).where(named).execution_options(synchronize_session=False)


def _require(answer: Answer) -> None:
    if answer.status is None:
        raise UpstreamTimeout
    if not answer.is_success:
        raise UpstreamRejected(answer.status, dict(answer.body))


def _require_gone(answer: Answer) -> None:
    """Take a 404 for done: whoever tried before us did not live to note it."""
    if answer.status != 404:
        _require(answer)

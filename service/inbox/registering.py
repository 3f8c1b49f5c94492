"""Registering our webhook address at Vipps, and keeping the secret that it gives once."""

from collections.abc import Mapping

import sqlalchemy as sa
from anyio import to_thread
from sqlmodel import Session, col

from service.commands.claim import open_keys
from service.context import Context
from service.errors import Conflict, NotFound, UpstreamRejected, UpstreamTimeout
from service.ids import new_id
from service.store.tables import Registration, SalesUnit
from service.vipps import VippsClient, VippsKeys
from statemachine import VippsEventName

# All of a payment's events; what is not registered never comes.
EVENT_TYPES = tuple(f"epayments.payment.{name.lower()}.v1" for name in VippsEventName)


def webhook_url(context: Context, msn: str) -> str:
    """Return the address that Vipps posts a sales unit's events to."""
    return f"{context.settings.base_url}/webhooks/vipps/{msn}"


async def register(context: Context, client: VippsClient, msn: str) -> tuple[Registration, bool]:
    """Register the sales unit's address, unless it is registered; tell whether it is new.

    A registration whose secret we have and that Vipps still lists is kept.
    Raises: NotFound, Conflict, UpstreamRejected, UpstreamTimeout."""
    keys, ours = await to_thread.run_sync(_ours, context, msn)
    listed = await client.list_webhooks(keys)
    _require(listed.status, listed.body)
    at_vipps = listed.body.get("webhooks")
    ids = (
        {hook.get("id") for hook in at_vipps if isinstance(hook, dict)}
        if isinstance(at_vipps, list)
        else set()
    )
    for one in ours:
        if one.vipps_id in ids:
            return one, False
    made = await client.register_webhook(keys, webhook_url(context, msn), EVENT_TYPES)
    _require(made.status, made.body)
    return await to_thread.run_sync(_keep, context, msn, made.body), True


def _ours(context: Context, msn: str) -> tuple[VippsKeys, list[Registration]]:
    with context.database.snapshot() as session:
        unit = session.get(SalesUnit, msn)
        if unit is None:
            raise NotFound(f"there is no sales unit {msn}")
        if unit.vipps_keys is None:
            raise Conflict("keys_missing", f"sales unit {msn} has no keys for Vipps")
        keys = open_keys(context.vault, msn, unit.vipps_keys)
        return keys, _made_by_register(session, msn, webhook_url(context, msn))


def _made_by_register(session: Session, msn: str, url: str) -> list[Registration]:
    active = sa.select(Registration).where(
        col(Registration.msn) == msn,
        col(Registration.url) == url,
        col(Registration.made_by) == "register",
        col(Registration.retired_at).is_(None),
    )
    return list(session.scalars(active))


def _keep(context: Context, msn: str, body: Mapping[str, object]) -> Registration:
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
    return registration


def _require(status: int | None, body: Mapping[str, object]) -> None:
    if status is None:
        raise UpstreamTimeout
    if not 200 <= status < 300:
        raise UpstreamRejected(status, dict(body))

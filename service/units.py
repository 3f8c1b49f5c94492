"""Sales units: the first one from the settings, more by `betalbar sales-units add`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import Conflict
from service.ids import new_id
from service.kinds import Scope
from service.settings import LIFETIME_S, Settings
from service.store.statements import insert_or_leave
from service.store.tables import ApiKey, BrokerPosition, Fanout, Feed, Registration, SalesUnit
from service.vault import Vault


@dataclass(frozen=True, slots=True)
class UnitValues:
    """What a sales unit is: identity, policy, and its keys for Vipps where it has some."""

    msn: str
    name: str
    organisation_number: str
    contact_url: str
    terms_of_sale_url: str
    privacy_policy_url: str
    currency: str
    soft_dismiss_after_s: int = 600
    max_payment_lifetime_s: int = 0  # 0: what Vipps allows for the currency's country
    push_again_after_s: int = 172_800
    max_pushes: int = 3
    quiet_hours: str = "21:00-08:00"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    subscription_key: str = field(default="", repr=False)


def first_unit_values(settings: Settings) -> UnitValues:
    """Return the first sales unit as the settings describe it.

    A sandbox takes any keys, so that a developer needs none."""
    stand_in = "" if settings.is_vipps_real else "sandbox"
    return UnitValues(
        msn=settings.msn,
        name=settings.merchant_name,
        organisation_number=settings.organisation_number,
        contact_url=settings.contact_url,
        terms_of_sale_url=settings.terms_url,
        privacy_policy_url=settings.privacy_url,
        currency=settings.currency,
        soft_dismiss_after_s=settings.soft_dismiss_after_s,
        max_payment_lifetime_s=settings.payment_lifetime_s,
        push_again_after_s=settings.push_again_after_s,
        max_pushes=settings.max_pushes,
        quiet_hours=settings.quiet_hours,
        client_id=settings.vipps_client_id or stand_in,
        client_secret=settings.vipps_client_secret or stand_in,
        subscription_key=settings.vipps_subscription_key or stand_in,
    )


def ensure_first_unit(session: Session, settings: Settings, vault: Vault, *, now: datetime) -> None:
    """Bring the first sales unit, its API key and its webhook secret to what the settings say.

    Done at every start; nothing happens where no MSN is set."""
    if not settings.msn:
        return
    _save(session, vault, first_unit_values(settings), now=now)
    api_key = settings.api_key
    if settings.has_built_in_sandbox:
        api_key = api_key or vault.sandbox_api_key(settings.msn)
    if api_key:
        _ensure_key(session, settings.msn, api_key, now)
    if settings.vipps_webhook_secret:
        _ensure_secret(session, settings, vault, now)


def add_unit(session: Session, vault: Vault, values: UnitValues, *, now: datetime) -> None:
    """Store a new sales unit. Raises: Conflict, where its MSN is known already."""
    if session.get(SalesUnit, values.msn) is not None:
        raise Conflict("sales_unit_exists", f"sales unit {values.msn} exists already")
    _save(session, vault, values, now=now)


def list_units(session: Session) -> Sequence[SalesUnit]:
    """Return every sales unit, by MSN."""
    return session.scalars(sa.select(SalesUnit).order_by(col(SalesUnit.msn))).all()


def _save(session: Session, vault: Vault, values: UnitValues, *, now: datetime) -> None:
    unit = session.get(SalesUnit, values.msn)
    row = {
        "name": values.name,
        "organisation_number": values.organisation_number,
        "contact_url": values.contact_url,
        "terms_of_sale_url": values.terms_of_sale_url,
        "privacy_policy_url": values.privacy_policy_url,
        "currency": values.currency,
        "soft_dismiss_after_s": values.soft_dismiss_after_s,
        "max_payment_lifetime_s": values.max_payment_lifetime_s or LIFETIME_S[values.currency],
        "push_again_after_s": values.push_again_after_s,
        "max_pushes": values.max_pushes,
        "quiet_hours": values.quiet_hours,
        "vipps_keys": _sealed_keys(vault, values),
    }
    if unit is None:
        insert_or_leave(session, SalesUnit, {"msn": values.msn, "created_at": now, **row})
    else:
        unit.sqlmodel_update(row)
        session.add(unit)
        session.flush()
    insert_or_leave(session, Feed, {"msn": values.msn, "position": 0})
    insert_or_leave(session, Fanout, {"msn": values.msn, "position": 0})
    insert_or_leave(session, BrokerPosition, {"msn": values.msn, "position": 0, "failures": 0})


def _sealed_keys(vault: Vault, values: UnitValues) -> bytes | None:
    if not values.client_id:
        return None
    keys = {
        "clientId": values.client_id,
        "clientSecret": values.client_secret,
        "subscriptionKey": values.subscription_key,
    }
    return vault.seal(orjson.dumps(keys), place=f"sales_unit:{values.msn}:vipps_keys")


def _ensure_key(session: Session, msn: str, api_key: str, now: datetime) -> None:
    row = {
        "id": new_id("key"),
        "msn": msn,
        "key_hash": hashlib.sha256(api_key.encode()).digest(),
        "name": "from the settings",
        "scopes": list(Scope),
        "created_at": now,
    }
    insert_or_leave(session, ApiKey, row)


def _ensure_secret(session: Session, settings: Settings, vault: Vault, now: datetime) -> None:
    """Make the settings' secret the only one that came from the settings."""
    url = f"{settings.base_url}/webhooks/vipps/{settings.msn}"
    known = session.scalars(
        sa.select(Registration).where(
            col(Registration.msn) == settings.msn,
            col(Registration.made_by) == "setting",
            col(Registration.retired_at).is_(None),
        )
    ).all()
    for one in known:
        secret = vault.open(one.secret, place=f"registration:{one.id}:secret").decode()
        if (one.url, secret) == (url, settings.vipps_webhook_secret):
            return
        one.retired_at = now
        session.add(one)
    registration_id = new_id("reg")
    place = f"registration:{registration_id}:secret"
    session.add(
        Registration(
            id=registration_id,
            msn=settings.msn,
            url=url,
            secret=vault.seal(settings.vipps_webhook_secret.encode(), place=place),
            made_by="setting",
            created_at=now,
        )
    )

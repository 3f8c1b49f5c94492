"""`betalbar doctor --bundle`: one file to show to who helps; no secret in it, and nobody's data.

What goes in is chosen field by field: no text that a person, Vipps or a subscriber wrote."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import sqlalchemy as sa
from sqlmodel import Session, SQLModel, col

from service.cli.findings import Finding
from service.context import Context
from service.metrics.figures import figures
from service.settings import Settings
from service.store.inserts import table_of
from service.store.tables import (
    Attempt,
    CommandAttempt,
    RefusedWebhook,
    Registration,
    Subscription,
)

# Enough to see a pattern.
_ERRORS_MAX = 50
_LIBRARIES = ("sqlalchemy", "starlette", "uvicorn", "httpx", "aiohttp", "psycopg", "cryptography")


def write_bundle(path: Path, findings: Sequence[Finding], context: Context | None) -> None:
    """Write what is known as JSON, readable by its owner alone; less without a database."""
    shown: dict[str, Any] = {"versions": _versions(), "findings": [_finding(f) for f in findings]}
    if context is not None:
        shown["settings"] = _settings(context.settings)
        with context.database.snapshot() as session:
            shown |= _stored(session, context)
    body = orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)


def _versions() -> Mapping[str, str]:
    own = {"betalbar": version("betalbar"), "python": platform.python_version()}
    return {**own, "system": platform.system(), **{name: version(name) for name in _LIBRARIES}}


def _finding(found: Finding) -> Mapping[str, Any]:
    """Leave out the detail, in which an address or the developer's own API key may stand."""
    return {"check": found.check, "is_well": found.is_well, "advice": found.advice}


def _settings(settings: Settings) -> Mapping[str, str]:
    """Return each setting; of what may hold a secret only whether it is set, of URLs the host."""
    shown = {}
    for name, field in Settings.model_fields.items():
        value = str(getattr(settings, name))
        if not field.repr or name == "broker_credentials":
            value = "set" if value else ""
        elif name.endswith("_url") and value:
            value = urlsplit(value).hostname or ""
        shown[f"BETALBAR_{name.upper()}"] = value
    return shown


def _stored(session: Session, context: Context) -> Mapping[str, Any]:
    has_broker = bool(context.settings.broker_url)
    return {
        "schema": session.execute(sa.text("SELECT version_num FROM alembic_version")).scalar(),
        "figures": asdict(figures(session, now=context.clock.now(), has_broker=has_broker)),
        "registrations": _rows(
            session,
            _select(Registration, "msn", "made_by", "created_at", "missing_since", "retired_at"),
        ),
        "subscriptions": _rows(
            session,
            _select(Subscription, "id", "msn", "status", "reason"),
        ),
        "refused_webhooks": _rows(
            session,
            _select(RefusedWebhook, "at", "msn", "reason").order_by(col(RefusedWebhook.id).desc()),
        ),
        "vipps_errors": _rows(session, _vipps_errors()),
        "delivery_errors": _rows(session, _delivery_errors()),
    }


def _vipps_errors() -> sa.Select[Any]:
    tried = CommandAttempt
    shown = _select(tried, "started_at", "kind", "status", "code")
    is_wrong = sa.or_(col(tried.status).is_(None), col(tried.status) >= 400)
    newest = col(tried.command_id).desc()
    return shown.where(col(tried.latency_ms).is_not(None), is_wrong).order_by(newest)


def _delivery_errors() -> sa.Select[Any]:
    shown = _select(Attempt, "at", "status", "error")
    is_wrong = sa.or_(col(Attempt.status).is_(None), col(Attempt.status) >= 300)
    return shown.where(is_wrong).order_by(col(Attempt.at).desc())


def _select(model: type[SQLModel], *names: str) -> sa.Select[Any]:
    columns = table_of(model).c
    return sa.select(*(columns[name] for name in names))


def _rows(session: Session, wanted: sa.Select[Any]) -> list[dict[str, Any]]:
    found = session.execute(wanted.limit(_ERRORS_MAX))
    return [dict(row._mapping) for row in found]

"""Requests for payment that must not be sent any more as they are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.kinds import CommandKind
from service.vipps.bodies import expires_too_soon
from statemachine import State


def is_outdated(row: sa.Row[Any], body: Mapping[str, object], now: datetime) -> bool:
    """Tell whether a request's time has passed, or nobody wants it any more.

    It waited: for a Vipps that was away, for keys that a person mended. Sent all the same, it would
    ask a customer for what was withdrawn, paid, or asked for anew. `now` is business time."""
    if row.kind != CommandKind.CREATE_PAYMENT:
        return False
    is_wanted = (
        row.closing is None
        and row.replacement_flow is None
        and State(row.invoice_state).is_payable
        and row.payable_until > now
    )
    return not is_wanted or _is_too_late(row, body, now)


def _is_too_late(row: sa.Row[Any], body: Mapping[str, object], now: datetime) -> bool:
    """Tell whether Vipps would refuse the body's end, or has ended what came of it without one.

    A payment without `expiresAt` that was made unheard is over after ten minutes; sent again, the
    same key would only be answered with that dead payment."""
    return expires_too_soon(body, now) if "expiresAt" in body else bool(row.ends_at <= now)

"""Payments that Vipps reports of and nobody here knows: others', or of invoices that were lost.

A restored database has never heard of the invoices that were made after its backup. What Vipps
says of them is kept as `unmatched`, beside what it says of other shops on the same sales unit.
Which is which the payment itself tells: it names the invoice that it was made for.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from anyio import to_thread

from service.context import Context
from service.ids import first_id, named_id
from service.store.inserts import table_of
from service.store.tables import Payment, StoredVippsEvent
from service.vault import Vault
from service.vipps import VippsClient, VippsKeys
from service.vipps.adoption import is_of
from service.vipps.reading import PaymentSnapshot, UnreadableAnswer, read_payment

# Merchants notice sooner, and to look further back would read years of other shops' events.
LOOKED_BACK = timedelta(days=30)
# Vipps is asked about the newest of them, one call each.
ASKED_MAX = 30
# An invoice's later payments have its reference with a number behind it.
_LATER = re.compile(r"(.+)-[0-9]+")


@dataclass(frozen=True, slots=True)
class Unknown:
    """What Vipps reported of payments that are not here."""

    lost: tuple[PaymentSnapshot, ...]  # of our own invoices, which this database has lost
    others: int  # another shop's, or of which Vipps says nothing
    unasked: int  # too many to ask about each


async def find_lost(context: Context, client: VippsClient, keys: VippsKeys) -> Unknown:
    """Ask Vipps whose the payments are of which it reported lately and nobody here knows."""
    names = await to_thread.run_sync(_unmatched, context, keys.msn)
    asked = names[:ASKED_MAX]
    found = await asyncio.gather(*(_ask(context, client, keys, name) for name in asked))
    lost = tuple(one for one in found if one is not None and _is_ours(context.vault, keys.msn, one))
    return Unknown(lost, len(asked) - len(lost), len(names) - len(asked))


def _unmatched(context: Context, msn: str) -> Sequence[str]:
    """Return the references of payments that are not here, those reported of last first."""
    event, payment = table_of(StoredVippsEvent).c, table_of(Payment).c
    is_here = sa.exists().where(payment.msn == event.msn, payment.reference == event.reference)
    since = first_id("vev", context.clock.now() - LOOKED_BACK)
    newest = sa.func.max(event.id)
    unmatched = sa.select(event.reference).where(
        event.msn == msn, event.outcome == "unmatched", event.id >= since, ~is_here
    )
    with context.database.snapshot() as session:
        return session.scalars(unmatched.group_by(event.reference).order_by(newest.desc())).all()


async def _ask(
    context: Context, client: VippsClient, keys: VippsKeys, reference: str
) -> PaymentSnapshot | None:
    answer = await client.get_payment(keys, reference)
    try:
        there = read_payment(answer.body, context.settings.upstream_url)
    except UnreadableAnswer:
        return None
    return there if answer.is_success else None


def _is_ours(vault: Vault, msn: str, there: PaymentSnapshot) -> bool:
    """Tell whether a payment was made by this service, for the invoice of its name."""
    later = _LATER.fullmatch(there.reference)
    names = [there.reference, *(later.groups() if later else ())]
    return any(is_of(there, named_id("inv", vault.invoice_name(msn, name))) for name in names)

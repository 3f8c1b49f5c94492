"""Sending one event again to everybody who subscribes to it: the same id, the same bytes."""

import sqlalchemy as sa
from sqlmodel import Session, col

from service.console.gate import Visit
from service.errors import Conflict, NotFound
from service.ledger.finding import find_invoice
from service.outbox.again import Wanted, send_again
from service.outbox.event_types import matches
from service.staff.signing_in import note
from service.store.tables import Event, Subscription, SubscriptionStatus


def resend(visit: Visit) -> int:
    """Have an invoice's event sent again; return to how many. Raises: NotFound, Conflict."""
    context, event_id = visit.context, visit.form.get("event", "")
    with context.database.transaction() as session:
        invoice = find_invoice(session, visit.unit.msn, visit.parts["reference"])
        event = session.get(Event, event_id)
        if event is None or event.invoice_id != invoice.id:
            raise NotFound("there is no such event")
        receivers = _receivers(session, event)
        if not receivers:
            raise Conflict("conflict", "nobody subscribes to it, or who does is disabled")
        wanted = [Wanted(event.id, invoice.id, event.position)]
        for one in receivers:
            send_again(session, one.id, wanted, now=visit.now)
        who, msn = visit.who.person.id, visit.unit.msn
        note(session, who, "event.resent", now=visit.now, msn=msn, subject=event.id)
    context.wake.deliveries.set()
    return len(receivers)


def _receivers(session: Session, event: Event) -> list[Subscription]:
    living = sa.select(Subscription).where(
        col(Subscription.msn) == event.msn,
        col(Subscription.deleted_at).is_(None),
        col(Subscription.status) != SubscriptionStatus.DISABLED,
    )
    found = session.scalars(living.order_by(col(Subscription.id)))
    return [one for one in found if matches(one.event_types, event.type)]

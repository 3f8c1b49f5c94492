"""What is no longer kept is said to be so, and breaks no page."""

import sqlalchemy as sa
from sqlmodel import col

from service.keeping.pieces import note_gone
from service.store.tables import Event, StoredVippsEvent
from tests.builders import MSN, NOW, ONLY_SQLITE
from tests.service.console.conftest import Desk
from tests.service.console.test_overview import send

pytestmark = ONLY_SQLITE


def test_pages_say_what_is_no_longer_kept(desk: Desk) -> None:
    """An old invoice's way is shown with its facts' hashes; the feed's end says where it begins."""
    send(desk, "acme-0001", "CREATED")
    with desk.context.database.transaction() as session:
        session.execute(sa.update(StoredVippsEvent).values(raw=b"", headers=None))
        session.execute(sa.delete(Event).where(col(Event.position) == 1))
        note_gone(session, MSN, position=1, told_at=NOW)
        (body_hash,) = session.scalars(sa.select(col(StoredVippsEvent.raw_hash))).all()
    desk.sign_in()

    feed, invoice = (desk.http.get(f"/console/{page}") for page in ("feed", "invoices/acme-0001"))

    assert feed.text.count("<details") == 1
    assert "11:00:00 is no longer kept." in feed.text
    assert f"Its SHA-256 is {body_hash.hex()}" in invoice.text
    assert invoice.text.count("What was told of it is no longer kept.") == 1

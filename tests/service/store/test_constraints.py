"""Each constraint refuses what it is there to refuse, whatever the code above does."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from service.store.db import Database
from tests.builders import REFERENCE, VippsPayment, a_desk
from tests.conftest import KINDS, fresh_database
from tests.service.inbox.posting import register

# There are two invoices with a payment each; the first one is authorized.
_WRONG = {
    "ck_invoice_state_in_the_table": "UPDATE invoice SET state = 'paid'",
    "ck_invoice_flow_known": "UPDATE invoice SET flow = 'QR'",
    "ck_invoice_capture_known": "UPDATE invoice SET capture = 'never'",
    "ck_invoice_amount_positive": "UPDATE invoice SET amount_minor = 0",
    "ck_invoice_created_first": "UPDATE invoice SET sequence = 0",
    "ck_invoice_money_adds_up": "UPDATE invoice SET captured_minor = authorized_minor + 1",
    "uq_invoice_msn_reference": "UPDATE invoice SET reference = 'same-2026-1'",
    "uq_invoice_page_lookup": "UPDATE invoice SET page_lookup = creation_hash",
    "fk_invoice_msn_sales_unit": "UPDATE invoice SET msn = '9999'",
    "uq_payment_msn_reference": "UPDATE payment SET reference = 'same-2026-1'",
    "uq_payment_invoice_id_attempt": (
        "UPDATE payment SET state = 'refused', invoice_id = (SELECT MIN(id) FROM invoice)"
    ),
    "uq_payment_one_live": (
        "UPDATE payment SET state = 'created', attempt = length(reference),"
        " invoice_id = (SELECT MIN(id) FROM invoice)"
    ),
    "ck_payment_state_known": "UPDATE payment SET state = 'paid'",
    "ck_payment_next_flow_known": "UPDATE payment SET replacement_flow = 'QR'",
    "pk_transition": "UPDATE transition SET sequence = 2 WHERE sequence > 1",
    "ck_transition_first_is_create": (
        "UPDATE transition SET from_state = 'created' WHERE sequence = 1"
    ),
    "ck_transition_to_in_the_table": "UPDATE transition SET to_state = 'paid'",
    "ck_transition_source_known": "UPDATE transition SET source = 'rumour'",
    "uq_vipps_event_applied": "UPDATE vipps_event SET name = 'CREATED', psp_reference = 'same'",
    "ck_vipps_event_outcome_known": "UPDATE vipps_event SET outcome = 'lost'",
    "uq_event_msn_position": "UPDATE event SET position = 1",
    "uq_event_transition": (
        "UPDATE event SET sequence = 1, is_transition = true,"
        " invoice_id = (SELECT MIN(id) FROM invoice)"
    ),
    "uq_command_idempotency_key": "UPDATE command SET idempotency_key = 'same'",
    "uq_command_payment_id_number": (
        "UPDATE command SET payment_id = (SELECT MIN(id) FROM payment), number = 1"
    ),
    "uq_command_one_read": "UPDATE command SET kind = 'read_payment', status = 'waiting'",
    "ck_command_kind_known": "UPDATE command SET kind = 'steal'",
    "ck_command_status_known": "UPDATE command SET status = 'lost'",
    "ck_sales_unit_currency_of_a_market": "UPDATE sales_unit SET currency = 'USD'",
    "uq_customer_phone": (
        "UPDATE customer SET phone_lookup = (SELECT creation_hash FROM invoice LIMIT 1)"
    ),
    "uq_registration_vipps_id": "UPDATE registration SET vipps_id = 'same'",
    "ck_registration_maker_known": "UPDATE registration SET made_by = 'somebody'",
}


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """Fill one database of each kind: what is refused leaves it as it was."""
    with fresh_database(request, tmp_path_factory.mktemp("constraints")) as url:
        database = Database(url)
        _fill(database)
        yield database
        database.dispose()


def _fill(database: Database) -> None:
    desk = a_desk(database)
    desk.create()
    desk.create(reference=f"{REFERENCE}45", phone_number="4799999999")
    vipps = VippsPayment()
    desk.report(vipps.happens("CREATED"), vipps.happens("AUTHORIZED"))
    register(desk.context)
    register(desk.context, "another")


@pytest.mark.parametrize("name", _WRONG)
def test_constraint_refuses_what_must_not_be(filled: Database, name: str) -> None:
    """Should the code ever be wrong, the database says no."""
    with pytest.raises(exc.IntegrityError) as refused, filled.transaction() as session:
        session.execute(sa.text(_WRONG[name]))

    if not filled.is_sqlite:
        assert getattr(refused.value.orig, "diag").constraint_name == name  # noqa: B009

"""The first schema: what `service.store.tables` declared at 0.1.0."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The first schema."""
    op.create_table(
        "act",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_act")),
    )
    with op.batch_alter_table("act", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_act_invoice_id"), ["invoice_id"], unique=False)

    op.create_table(
        "data_key",
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("purpose", name=op.f("pk_data_key")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=True),
        sa.Column("is_transition", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("msn", "position", name=op.f("uq_event_msn_position")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(
            "uq_event_transition",
            ["invoice_id", "sequence"],
            unique=True,
            sqlite_where=sa.text("is_transition"),
            postgresql_where=sa.text("is_transition"),
        )

    op.create_table(
        "reference_claim",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("msn", "reference", name=op.f("pk_reference_claim")),
    )
    op.create_table(
        "sales_unit",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("organisation_number", sa.String(), nullable=False),
        sa.Column("contact_url", sa.String(), nullable=False),
        sa.Column("terms_of_sale_url", sa.String(), nullable=False),
        sa.Column("privacy_policy_url", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("soft_dismiss_after_s", sa.Integer(), nullable=False),
        sa.Column("max_payment_lifetime_s", sa.Integer(), nullable=False),
        sa.Column("push_again_after_s", sa.Integer(), nullable=False),
        sa.Column("max_pushes", sa.Integer(), nullable=False),
        sa.Column("quiet_hours", sa.String(), nullable=False),
        sa.Column("vipps_keys", sa.LargeBinary(), nullable=True),
        sa.Column("held_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_because", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "currency IN ('NOK', 'DKK', 'EUR')", name=op.f("ck_sales_unit_currency_of_a_market")
        ),
        sa.PrimaryKeyConstraint("msn", name=op.f("pk_sales_unit")),
    )
    op.create_table(
        "stored_answer",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("busy_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("msn", "route", "key", name=op.f("pk_stored_answer")),
    )
    op.create_table(
        "vipps_event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("psp_reference", sa.String(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("success", sa.Boolean(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("payment_id", sa.String(), nullable=True),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("raw_hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('applied', 'early', 'duplicate', 'stale', 'unsuccessful', 'refused', 'unmatched', 'malformed', 'ignored')",
            name=op.f("ck_vipps_event_outcome_known"),
        ),
        sa.CheckConstraint(
            "source IN ('webhook', 'poll')", name=op.f("ck_vipps_event_source_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vipps_event")),
    )
    with op.batch_alter_table("vipps_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_vipps_event_early",
            ["payment_id"],
            unique=False,
            sqlite_where=sa.text("outcome = 'early'"),
            postgresql_where=sa.text("outcome = 'early'"),
        )
        batch_op.create_index("ix_vipps_event_invoice_id", ["invoice_id"], unique=False)
        batch_op.create_index(
            "ix_vipps_event_key", ["msn", "reference", "name", "psp_reference"], unique=False
        )
        batch_op.create_index(
            "uq_vipps_event_applied",
            ["msn", "reference", "name", "psp_reference"],
            unique=True,
            sqlite_where=sa.text("outcome = 'applied'"),
            postgresql_where=sa.text("outcome = 'applied'"),
        )

    op.create_table(
        "api_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["msn"], ["sales_unit.msn"], name=op.f("fk_api_key_msn_sales_unit")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_key_key_hash")),
    )
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_key_msn"), ["msn"], unique=False)

    op.create_table(
        "customer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("phone_lookup", sa.LargeBinary(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("personal", sa.LargeBinary(), nullable=True),
        sa.Column("consent", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["msn"], ["sales_unit.msn"], name=op.f("fk_customer_msn_sales_unit")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
    )
    with op.batch_alter_table("customer", schema=None) as batch_op:
        batch_op.create_index(
            "uq_customer_phone",
            ["msn", "phone_lookup"],
            unique=True,
            sqlite_where=sa.text("phone_lookup IS NOT NULL"),
            postgresql_where=sa.text("phone_lookup IS NOT NULL"),
        )

    op.create_table(
        "fanout",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["msn"], ["sales_unit.msn"], name=op.f("fk_fanout_msn_sales_unit")),
        sa.PrimaryKeyConstraint("msn", name=op.f("pk_fanout")),
    )
    op.create_table(
        "feed",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["msn"], ["sales_unit.msn"], name=op.f("fk_feed_msn_sales_unit")),
        sa.PrimaryKeyConstraint("msn", name=op.f("pk_feed")),
    )
    op.create_table(
        "registration",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("vipps_id", sa.String(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "made_by IN ('register', 'setting')", name=op.f("ck_registration_maker_known")
        ),
        sa.ForeignKeyConstraint(
            ["msn"], ["sales_unit.msn"], name=op.f("fk_registration_msn_sales_unit")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registration")),
    )
    with op.batch_alter_table("registration", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_registration_msn"), ["msn"], unique=False)
        batch_op.create_index(
            "uq_registration_vipps_id",
            ["msn", "vipps_id"],
            unique=True,
            sqlite_where=sa.text("vipps_id IS NOT NULL"),
            postgresql_where=sa.text("vipps_id IS NOT NULL"),
        )

    op.create_table(
        "subscription",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("url", sa.LargeBinary(), nullable=False),
        sa.Column("event_types", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.Column("is_in_order", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("from_position", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('unverified', 'healthy', 'disabled')",
            name=op.f("ck_subscription_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["msn"], ["sales_unit.msn"], name=op.f("fk_subscription_msn_sales_unit")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
    )
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subscription_msn"), ["msn"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'delivered', 'failed')", name=op.f("ck_delivery_status_known")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_delivery_subscription_id_subscription"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "event_id", "subscription_id", name=op.f("uq_delivery_event_id_subscription_id")
        ),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_due",
            ["next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("status = 'pending'"),
            postgresql_where=sa.text("status = 'pending'"),
        )
        batch_op.create_index(
            "ix_delivery_line",
            ["subscription_id", "line", "position"],
            unique=False,
            sqlite_where=sa.text("status = 'pending'"),
            postgresql_where=sa.text("status = 'pending'"),
        )
        batch_op.create_index("ix_delivery_newest", ["subscription_id", "id"], unique=False)

    op.create_table(
        "invoice",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("capture", sa.String(), nullable=False),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("payable_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("creation_hash", sa.LargeBinary(), nullable=False),
        sa.Column("page_lookup", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("authorized_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_minor", sa.BigInteger(), nullable=False),
        sa.Column("authorized_by", sa.String(), nullable=True),
        sa.Column("capture_guaranteed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("automatic_capture_off", sa.Boolean(), nullable=False),
        sa.Column("closing", sa.String(), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("paid_elsewhere", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "capture IN ('manual', 'automatic')", name=op.f("ck_invoice_capture_known")
        ),
        sa.CheckConstraint(
            "flow IN ('PUSH_MESSAGE', 'WEB_REDIRECT')", name=op.f("ck_invoice_flow_known")
        ),
        sa.CheckConstraint(
            "state IN ('created', 'pushed', 'soft_dismissed', 'authorized', 'captured', 'refunded', 'cancelled', 'aborted', 'expired', 'terminated', 'failed')",
            name=op.f("ck_invoice_state_in_the_table"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_invoice_amount_positive")),
        sa.CheckConstraint(
            "refunded_minor >= 0 AND refunded_minor <= captured_minor AND (captured_minor + cancelled_minor <= authorized_minor OR (authorized_minor = 0 AND captured_minor = 0))",
            name=op.f("ck_invoice_money_adds_up"),
        ),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_invoice_created_first")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_invoice_customer_id_customer")
        ),
        sa.ForeignKeyConstraint(
            ["msn"], ["sales_unit.msn"], name=op.f("fk_invoice_msn_sales_unit")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("msn", "reference", name=op.f("uq_invoice_msn_reference")),
        sa.UniqueConstraint("page_lookup", name=op.f("uq_invoice_page_lookup")),
    )
    with op.batch_alter_table("invoice", schema=None) as batch_op:
        batch_op.create_index("ix_invoice_newest", ["msn", "id"], unique=False)
        batch_op.create_index("ix_invoice_state", ["msn", "state", "id"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_attempt_delivery_id_delivery")
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_attempt")),
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("user_flow", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("has_pushed", sa.Boolean(), nullable=False),
        sa.Column("replacement_flow", sa.String(), nullable=True),
        sa.Column("psp_reference", sa.String(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("redirect_url", sa.LargeBinary(), nullable=True),
        sa.Column("authorized_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_minor", sa.BigInteger(), nullable=False),
        sa.Column("drifting_reads", sa.Integer(), nullable=False),
        sa.Column("command_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "replacement_flow IN ('PUSH_MESSAGE', 'WEB_REDIRECT')",
            name=op.f("ck_payment_next_flow_known"),
        ),
        sa.CheckConstraint(
            "state IN ('requested', 'created', 'authorized', 'aborted', 'expired', 'terminated', 'refused')",
            name=op.f("ck_payment_state_known"),
        ),
        sa.CheckConstraint(
            "user_flow IN ('PUSH_MESSAGE', 'WEB_REDIRECT')", name=op.f("ck_payment_flow_known")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_payment_invoice_id_invoice")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("invoice_id", "attempt", name=op.f("uq_payment_invoice_id_attempt")),
        sa.UniqueConstraint("msn", "reference", name=op.f("uq_payment_msn_reference")),
    )
    with op.batch_alter_table("payment", schema=None) as batch_op:
        batch_op.create_index(
            "uq_payment_one_live",
            ["invoice_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('requested', 'created')"),
            postgresql_where=sa.text("state IN ('requested', 'created')"),
        )

    op.create_table(
        "transition",
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=True),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("evidence_id", sa.String(), nullable=False),
        sa.Column("evidence_hash", sa.LargeBinary(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("payment_reference", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "source IN ('webhook', 'poll', 'response', 'customer', 'inference', 'clock', 'api', 'operator')",
            name=op.f("ck_transition_source_known"),
        ),
        sa.CheckConstraint(
            "to_state IN ('created', 'pushed', 'soft_dismissed', 'authorized', 'captured', 'refunded', 'cancelled', 'aborted', 'expired', 'terminated', 'failed')",
            name=op.f("ck_transition_to_in_the_table"),
        ),
        sa.CheckConstraint(
            "trigger IN ('create', 'push', 'soft_dismiss', 'authorize', 'abort', 'expire', 'terminate', 'fail', 'capture', 'cancel', 'refund', 'reopen')",
            name=op.f("ck_transition_trigger_in_the_table"),
        ),
        sa.CheckConstraint(
            "(sequence = 1) = (from_state IS NULL)", name=op.f("ck_transition_first_is_create")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_transition_invoice_id_invoice")
        ),
        sa.PrimaryKeyConstraint("invoice_id", "sequence", name=op.f("pk_transition")),
    )
    with op.batch_alter_table("transition", schema=None) as batch_op:
        batch_op.create_index("ix_transition_evidence_id", ["evidence_id"], unique=False)

    op.create_table(
        "command",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("is_serial", sa.Boolean(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("act_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('attach_category', 'create_payment', 'cancel_payment', 'capture', 'refund', 'read_payment')",
            name=op.f("ck_command_kind_known"),
        ),
        sa.CheckConstraint(
            "status IN ('waiting', 'running', 'done', 'failed', 'dropped')",
            name=op.f("ck_command_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_command_invoice_id_invoice")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_command_payment_id_payment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_command")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_command_idempotency_key")),
        sa.UniqueConstraint("payment_id", "number", name=op.f("uq_command_payment_id_number")),
    )
    with op.batch_alter_table("command", schema=None) as batch_op:
        batch_op.create_index(
            "ix_command_due",
            ["next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('waiting', 'running')"),
            postgresql_where=sa.text("status IN ('waiting', 'running')"),
        )
        batch_op.create_index("ix_command_invoice_id", ["invoice_id"], unique=False)
        batch_op.create_index(
            "ix_command_line",
            ["payment_id", "number"],
            unique=False,
            sqlite_where=sa.text("status IN ('waiting', 'running')"),
            postgresql_where=sa.text("status IN ('waiting', 'running')"),
        )
        batch_op.create_index(
            "uq_command_one_read",
            ["payment_id"],
            unique=True,
            sqlite_where=sa.text("kind = 'read_payment' AND status = 'waiting'"),
            postgresql_where=sa.text("kind = 'read_payment' AND status = 'waiting'"),
        )

    op.create_table(
        "command_attempt",
        sa.Column("command_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("trace_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["command_id"], ["command.id"], name=op.f("fk_command_attempt_command_id_command")
        ),
        sa.PrimaryKeyConstraint("command_id", "number", name=op.f("pk_command_attempt")),
    )
    with op.batch_alter_table("command_attempt", schema=None) as batch_op:
        batch_op.create_index(
            "ix_command_attempt_rate", ["payment_id", "kind", "started_at"], unique=False
        )

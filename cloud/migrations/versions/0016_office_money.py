"""The office's money: withdrawals, grants, shifts, receipts, rules, and months that are closed.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
NEW = (
    "closed_balances",
    "money_rules",
    "period_closings",
    "shifts",
    "grants",
    "receipts",
    "withdrawals",
    "withdrawal_parts",
)


def upgrade() -> None:
    _create_tables()
    for table in NEW:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.add_column("channel_refunds", sa.Column("payment_fen", sa.BigInteger(), nullable=True))
    op.execute("UPDATE channel_refunds SET payment_fen = amount_fen")
    op.alter_column("channel_refunds", "payment_fen", nullable=False)
    op.drop_constraint(op.f("ck_channel_refunds_positive"), "channel_refunds", type_="check")
    op.create_check_constraint(
        op.f("ck_channel_refunds_positive"),
        "channel_refunds",
        "amount_fen > 0 AND amount_fen <= payment_fen",
    )
    op.drop_constraint(
        op.f("uq_channel_refunds_channel_transaction_id"), "channel_refunds", type_="unique"
    )
    op.create_index(
        "ix_channel_refunds_payment", "channel_refunds", ["channel", "transaction_id"], unique=False
    )
    op.add_column("organizations", sa.Column("closed_through", sa.Date(), nullable=True))
    op.add_column(
        "purses", sa.Column("debits", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column(
        "topups", sa.Column("fee_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("topups", sa.Column("shift_id", sa.Uuid(), nullable=True))
    op.add_column("topups", sa.Column("voucher", sa.Text(), nullable=True))
    op.add_column("topups", sa.Column("remark", sa.Text(), nullable=True))
    op.create_index(
        "ix_topups_organization", "topups", ["organization_id", "created_at"], unique=False
    )
    op.create_index(
        "ix_topups_shift",
        "topups",
        ["shift_id"],
        unique=False,
        postgresql_where=sa.text("shift_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("fk_topups_organization_id_shift_id"),
        "topups",
        "shifts",
        ["organization_id", "shift_id"],
        ["organization_id", "id"],
    )
    op.add_column("transfers", sa.Column("carried_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_transfers_at", "transfers", ["at"], unique=False, postgresql_using="brin")
    op.create_index(
        "ix_transfers_carried",
        "transfers",
        ["organization_id", "carried_at"],
        unique=False,
        postgresql_where=sa.text("carried_at IS NOT NULL"),
    )
    op.create_check_constraint(
        op.f("ck_topups_fee"), "topups", "fee_fen >= 0 AND fee_fen < amount_fen"
    )


def _create_tables() -> None:
    op.create_table(
        "closed_balances",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("balance_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_closed_balances_organization_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "month", "book", name=op.f("pk_closed_balances")
        ),
    )
    op.create_table(
        "money_rules",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("fee_basis_points", sa.Integer(), nullable=False),
        sa.Column("is_fee_refunded", sa.Boolean(), nullable=False),
        sa.Column("alone_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_money_rules_organization_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_money_rules")),
    )
    op.create_table(
        "period_closings",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("closed_by", sa.Uuid(), nullable=False),
        sa.Column("reopen_asked_by", sa.Uuid(), nullable=True),
        sa.Column("reopened_by", sa.Uuid(), nullable=True),
        sa.Column("reopened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.CheckConstraint("extract(day FROM month) = 1", name=op.f("ck_period_closings_month")),
        sa.CheckConstraint(
            "reopened_by <> reopen_asked_by", name=op.f("ck_period_closings_two_people")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "closed_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_period_closings_organization_id_closed_by"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "reopen_asked_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_period_closings_organization_id_reopen_asked_by"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "reopened_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_period_closings_organization_id_reopened_by"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_period_closings_organization_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_period_closings")),
        sa.UniqueConstraint(
            "organization_id", "id", name=op.f("uq_period_closings_organization_id_id")
        ),
    )
    op.create_index(
        "uq_period_closings_month",
        "period_closings",
        ["organization_id", "month"],
        unique=True,
        postgresql_where=sa.text("reopened_at IS NULL"),
    )
    op.create_table(
        "shifts",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("float_fen", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expected_fen", sa.BigInteger(), nullable=True),
        sa.Column("counted_fen", sa.BigInteger(), nullable=True),
        sa.Column("handed_to", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (counted_fen IS NULL)", name=op.f("ck_shifts_counted")
        ),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (expected_fen IS NULL)", name=op.f("ck_shifts_expected")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_shifts_organization_id_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_shifts_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shifts")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_shifts_organization_id_id")),
    )
    op.create_index(
        "uq_shifts_open",
        "shifts",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "grants",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Uuid(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_grants_positive")),
        sa.ForeignKeyConstraint(
            ["organization_id", "given_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_grants_organization_id_given_by"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_grants_organization_id_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_grants_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_grants_transfer_id")),
    )
    op.create_index("ix_grants_purse", "grants", ["purse_id", "created_at"], unique=False)
    op.create_table(
        "receipts",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topup_id", sa.Uuid(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "topup_id"],
            ["topups.organization_id", "topups.id"],
            name=op.f("fk_receipts_organization_id_topup_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_receipts_organization_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "number", name=op.f("pk_receipts")),
        sa.UniqueConstraint(
            "organization_id", "topup_id", name=op.f("uq_receipts_organization_id_topup_id")
        ),
    )
    op.create_table(
        "withdrawals",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("how", sa.Text(), nullable=True),
        sa.Column("topup_id", sa.Uuid(), nullable=True),
        sa.Column("to_purse_id", sa.Uuid(), nullable=True),
        sa.Column("is_unread_too", sa.Boolean(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("down_seq", sa.BigInteger(), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("left_fen", sa.BigInteger(), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(number IS NULL) = (sent_at IS NULL)", name=op.f("ck_withdrawals_sent")
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_withdrawals_positive")),
        sa.CheckConstraint(
            "booked_at IS NULL OR refused_at IS NULL", name=op.f("ck_withdrawals_answered")
        ),
        sa.CheckConstraint("fee_fen >= 0", name=op.f("ck_withdrawals_fee")),
        sa.ForeignKeyConstraint(
            ["organization_id", "asked_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_withdrawals_organization_id_asked_by"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_withdrawals_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_withdrawals_organization_id_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "to_purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_withdrawals_organization_id_to_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "topup_id"],
            ["topups.organization_id", "topups.id"],
            name=op.f("fk_withdrawals_organization_id_topup_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_withdrawals_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawals")),
        sa.UniqueConstraint(
            "organization_id", "id", name=op.f("uq_withdrawals_organization_id_id")
        ),
        sa.UniqueConstraint("purse_id", "number", name=op.f("uq_withdrawals_purse_id_number")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_withdrawals_transfer_id")),
    )
    op.create_index(
        "ix_withdrawals_open",
        "withdrawals",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL AND refused_at IS NULL"),
    )
    op.create_index("ix_withdrawals_purse", "withdrawals", ["purse_id", "created_at"], unique=False)
    op.create_table(
        "withdrawal_parts",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("topup_id", sa.Uuid(), nullable=True),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("paid_by", sa.Uuid(), nullable=True),
        sa.Column("shift_id", sa.Uuid(), nullable=True),
        sa.Column("voucher", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "amount_fen > 0 AND fee_fen >= 0", name=op.f("ck_withdrawal_parts_positive")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "paid_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_withdrawal_parts_organization_id_paid_by"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "shift_id"],
            ["shifts.organization_id", "shifts.id"],
            name=op.f("fk_withdrawal_parts_organization_id_shift_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "topup_id"],
            ["topups.organization_id", "topups.id"],
            name=op.f("fk_withdrawal_parts_organization_id_topup_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "withdrawal_id"],
            ["withdrawals.organization_id", "withdrawals.id"],
            name=op.f("fk_withdrawal_parts_organization_id_withdrawal_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_withdrawal_parts_organization_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawal_parts")),
    )
    op.create_index("ix_withdrawal_parts_topup", "withdrawal_parts", ["topup_id"], unique=False)
    op.create_index(
        "ix_withdrawal_parts_withdrawal", "withdrawal_parts", ["withdrawal_id"], unique=False
    )


def downgrade() -> None:
    for name in ("ix_transfers_carried", "ix_transfers_at"):
        op.drop_index(name, table_name="transfers")
    op.drop_column("transfers", "carried_at")
    op.drop_constraint(op.f("fk_topups_organization_id_shift_id"), "topups", type_="foreignkey")
    for name in ("ix_topups_shift", "ix_topups_organization"):
        op.drop_index(name, table_name="topups")
    op.drop_constraint(op.f("ck_topups_fee"), "topups", type_="check")
    for name in ("fee_fen", "shift_id", "voucher", "remark"):
        op.drop_column("topups", name)
    op.drop_column("purses", "debits")
    op.drop_column("organizations", "closed_through")
    op.drop_index("ix_channel_refunds_payment", table_name="channel_refunds")
    op.drop_constraint(op.f("ck_channel_refunds_positive"), "channel_refunds", type_="check")
    op.create_check_constraint(
        op.f("ck_channel_refunds_positive"), "channel_refunds", "amount_fen > 0"
    )
    op.drop_column("channel_refunds", "payment_fen")
    op.create_unique_constraint(
        op.f("uq_channel_refunds_channel_transaction_id"),
        "channel_refunds",
        ["channel", "transaction_id"],
    )
    for table in reversed(NEW):
        op.drop_table(table)

"""The office's money: what is taken out of purses and paid out, gifts, shifts, receipts, rules, closed months."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable


class Withdrawal(Identified, table=True):
    """支取: money that is to leave a purse, for a refund, a reversal, an adjustment or another purse.

    Its state is the dates it has reached. It is sent once nobody else has to approve it: from then on the rest of
    its transfer (at is sent_at), its number among those of the purse and the entry of the gateway's log are known.
    The gateway has booked or refused it, or there is no gateway. One that was cancelled and booked all the same is
    undone. A refund is done when all of its parts are.
    """

    __tablename__ = "withdrawals"
    __table_args__ = (
        referable(),
        belongs_to("purses", "purse_id"),
        belongs_to("purses", "to_purse_id"),
        belongs_to("gateways", "gateway_id"),
        belongs_to("topups", "topup_id"),
        belongs_to("users", "asked_by"),
        belongs_to("shifts", "shift_id"),
        CheckConstraint("amount_fen > 0", name="positive"),
        CheckConstraint("fee_fen >= 0", name="fee"),
        CheckConstraint("(number IS NULL) = (sent_at IS NULL)", name="sent"),
        CheckConstraint("booked_at IS NULL OR refused_at IS NULL", name="answered"),
        UniqueConstraint("purse_id", "number"),
        Index("ix_withdrawals_purse", "purse_id", "created_at"),
        Index("ix_withdrawals_shift", "shift_id", postgresql_where=text("shift_id IS NOT NULL")),
        Index(
            "ix_withdrawals_open",
            "created_at",
            postgresql_where=text("done_at IS NULL AND refused_at IS NULL"),
        ),
    )

    kind: str = Field(sa_type=Text)  # a services.money.withdrawals.Kind
    purse_id: UUID
    amount_fen: int = Field(sa_type=BigInteger)
    fee_fen: int = Field(sa_type=BigInteger)  # of the service fee, goes back beside it
    why: str = Field(sa_type=Text)
    customer: str | None = Field(default=None, sa_type=Text)  # who ordered it, and how
    asked_by: UUID
    how: str | None = Field(default=None, sa_type=Text)  # a services.money.refunds.How
    topup_id: UUID | None = None  # what is reversed, or refunded alone
    to_purse_id: UUID | None = None
    is_unread_too: bool
    transfer_id: UUID = Field(unique=True)
    credit: str = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)
    cause: str = Field(sa_type=Text)
    sent_at: datetime | None = Field(default=None, sa_type=Utc)
    number: int | None = None
    gateway_id: UUID | None = None
    down_seq: int | None = Field(default=None, sa_type=BigInteger)
    cancelled_at: datetime | None = Field(default=None, sa_type=Utc)
    booked_at: datetime | None = Field(default=None, sa_type=Utc)
    refused_at: datetime | None = Field(default=None, sa_type=Utc)
    refusal: str | None = Field(default=None, sa_type=Text)  # a prepaid.wire.uplog.Refusal
    left_fen: int | None = Field(default=None, sa_type=BigInteger)  # what the gateway then held
    undone_at: datetime | None = Field(default=None, sa_type=Utc)
    done_at: datetime | None = Field(default=None, sa_type=Utc)
    shift_id: UUID | None = None  # out of whose drawer a reversal was given back; None: of none yet
    balance_after_fen: int | None = Field(default=None, sa_type=BigInteger)  # when it was booked


class WithdrawalPart(Identified, table=True):
    """What of a refund goes back of one top-up (None: of none, as an opening balance), and by which way.

    A part that goes through a payment channel is the ChannelRefund with the same id.
    """

    __tablename__ = "withdrawal_parts"
    __table_args__ = (
        belongs_to("withdrawals", "withdrawal_id"),
        belongs_to("topups", "topup_id"),
        belongs_to("users", "paid_by"),
        belongs_to("shifts", "shift_id"),
        CheckConstraint("amount_fen > 0 AND fee_fen >= 0", name="positive"),
        Index("ix_withdrawal_parts_withdrawal", "withdrawal_id"),
        Index("ix_withdrawal_parts_topup", "topup_id"),
    )

    withdrawal_id: UUID
    topup_id: UUID | None = None
    way: str = Field(sa_type=Text)  # a channel's name, cash, or bank
    amount_fen: int = Field(sa_type=BigInteger)  # out of the purse
    fee_fen: int = Field(sa_type=BigInteger)  # of the service fee
    paid_by: UUID | None = None
    shift_id: UUID | None = None
    voucher: str | None = Field(default=None, sa_type=Text)
    done_at: datetime | None = Field(default=None, sa_type=Utc)


class Grant(Identified, table=True):
    """Credit that nobody paid for: a subsidy or gift 补助、赠送, or an adjustment 补正 in the customer's favour."""

    __tablename__ = "grants"
    __table_args__ = (
        belongs_to("purses", "purse_id"),
        belongs_to("users", "given_by"),
        CheckConstraint("amount_fen > 0", name="positive"),
        Index("ix_grants_purse", "purse_id", "created_at"),
    )

    purse_id: UUID
    kind: str = Field(sa_type=Text)  # a services.money.grants.Kind
    amount_fen: int = Field(sa_type=BigInteger)
    why: str = Field(sa_type=Text)
    given_by: UUID
    transfer_id: UUID = Field(unique=True)
    balance_after_fen: int | None = Field(default=None, sa_type=BigInteger)


class LostTransfer(Identified, table=True):
    """What a gateway has booked and the database had not, after it was put back to a backup: a credit of a purse, or
    what was taken out of one. id is its transfer's.

    It waits for a person until its transfer is booked here, by whomever, or settled_at says that it need not be. The
    purse may be one that the database does not know any more: then points are those that it paid for at the gateway.
    number is that of the last credit which the purse had there.
    """

    __tablename__ = "lost_transfers"
    __table_args__ = (
        belongs_to("gateways", "gateway_id"),
        belongs_to("users", "settled_by"),
        CheckConstraint("amount_fen > 0", name="positive"),
        CheckConstraint("(settled_at IS NULL) = (settled_by IS NULL)", name="settled"),
        Index("ix_lost_transfers_organization", "organization_id", "created_at"),
        Index("ix_lost_transfers_purse", "purse_id"),
    )

    gateway_id: UUID
    purse_id: UUID
    debit: str = Field(sa_type=Text)
    amount_fen: int = Field(sa_type=BigInteger)
    reason: str = Field(sa_type=Text)
    cause: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=Utc)
    settled_at: datetime | None = Field(default=None, sa_type=Utc)
    settled_by: UUID | None = None
    note: str | None = Field(default=None, sa_type=Text)
    credit: str = Field(sa_type=Text)
    number: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    points: list[str] = Field(
        default_factory=list, sa_type=JSONB, sa_column_kwargs={"server_default": text("'[]'")}
    )


class Shift(Identified, table=True):
    """收费员班次: a cashier's drawer from opening to closing; of each cashier at most one is open."""

    __tablename__ = "shifts"
    __table_args__ = (
        referable(),
        belongs_to("users", "user_id"),
        CheckConstraint("(closed_at IS NULL) = (counted_fen IS NULL)", name="counted"),
        CheckConstraint("(closed_at IS NULL) = (expected_fen IS NULL)", name="expected"),
        Index("uq_shifts_open", "user_id", unique=True, postgresql_where=text("closed_at IS NULL")),
    )

    user_id: UUID
    float_fen: int = Field(sa_type=BigInteger)  # 备用金: in the drawer at the beginning
    closed_at: datetime | None = Field(default=None, sa_type=Utc)
    expected_fen: int | None = Field(default=None, sa_type=BigInteger)
    counted_fen: int | None = Field(default=None, sa_type=BigInteger)
    handed_to: str = Field(default="", sa_type=Text)
    note: str = Field(default="", sa_type=Text)


class Receipt(Owned, table=True):
    """收据: the number a top-up's receipt has, given once and in a row without gaps; copies counts the prints."""

    __tablename__ = "receipts"
    __table_args__ = (
        belongs_to("topups", "topup_id"),
        UniqueConstraint("organization_id", "topup_id"),
    )

    organization_id: UUID = Field(foreign_key="organizations.id", primary_key=True)
    number: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    topup_id: UUID
    issued_at: datetime = Field(sa_type=Utc)
    copies: int


class MoneyRules(Owned, table=True):
    """收费规则 of an organization: the service fee in hundredths of a percent, and what needs a second person."""

    __tablename__ = "money_rules"

    organization_id: UUID = Field(foreign_key="organizations.id", primary_key=True)
    fee_basis_points: int  # of what is paid
    is_fee_refunded: bool
    alone_fen: int = Field(sa_type=BigInteger)  # a refund above it needs a second person


class PeriodClosing(Identified, table=True):
    """结账: a month whose books were closed, and, if they were, by whom and why they were opened again."""

    __tablename__ = "period_closings"
    __table_args__ = (
        referable(),
        belongs_to("users", "closed_by"),
        belongs_to("users", "reopen_asked_by"),
        belongs_to("users", "reopened_by"),
        CheckConstraint("reopened_by <> reopen_asked_by", name="two_people"),
        CheckConstraint("extract(day FROM month) = 1", name="month"),
        Index(
            "uq_period_closings_month",
            "organization_id",
            "month",
            unique=True,
            postgresql_where=text("reopened_at IS NULL"),
        ),
    )

    month: dt.date  # its first day
    closed_by: UUID
    reopen_asked_by: UUID | None = None
    reopened_by: UUID | None = None
    reopened_at: datetime | None = Field(default=None, sa_type=Utc)
    why: str | None = Field(default=None, sa_type=Text)  # it was opened again


class ClosedBalance(Owned, table=True):
    """What a book held at the end of a closed month, credits less debits: where later sums begin."""

    __tablename__ = "closed_balances"

    organization_id: UUID = Field(foreign_key="organizations.id", primary_key=True)
    month: dt.date = Field(primary_key=True)
    book: str = Field(primary_key=True, sa_type=Text)
    balance_fen: int = Field(sa_type=BigInteger)

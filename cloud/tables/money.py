"""Money: purses, the transfers between books, what they add up to, and top-ups on their way. All in fen 分."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable, written_at


class Purse(Identified, table=True):
    """钱包: an account's prepaid money for one purpose. gateway_id is where it is charged, once it has a point;
    credits counts what it was credited, each of which has a number (Credit); debits counts the withdrawals that were
    sent. An account has one for each purpose and gateway.

    given_up_at: its gateway does not come back, so what leaves it is booked here. moves_to: the customer has gone to
    a room at another gateway, and what is left in it follows to that purse, as moved_by has asked.
    """

    __tablename__ = "purses"
    __table_args__ = (
        referable(),
        belongs_to("accounts", "account_id"),
        belongs_to("gateways", "gateway_id"),
        Index(
            "uq_purses_purpose",
            "account_id",
            "purpose",
            "gateway_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
        belongs_to("purses", "moves_to"),
        belongs_to("users", "moved_by"),
        CheckConstraint("(moves_to IS NULL) = (moved_by IS NULL)", name="moved"),
        Index(
            "ix_purses_moving",
            "organization_id",
            postgresql_where=text("moves_to IS NOT NULL AND ended_at IS NULL"),
        ),
    )

    account_id: UUID
    purpose: str = Field(sa_type=Text)  # a prepaid.purse.Purpose
    gateway_id: UUID | None = None
    credits: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    ended_at: datetime | None = Field(default=None, sa_type=Utc)  # it pays for nothing any more
    debits: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    given_up_at: datetime | None = Field(default=None, sa_type=Utc)
    moves_to: UUID | None = None
    moved_by: UUID | None = None


class Credit(Owned, table=True):
    """A purse's credits in the order in which they go down to its gateway, by number.

    Written by services.credits alone, in the transaction that credits.
    """

    __tablename__ = "credits"
    __table_args__ = (belongs_to("purses", "purse_id"),)

    purse_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    transfer_id: UUID = Field(unique=True)


class UnknownCode(Owned, table=True):
    """A code 离线充值码 that a gateway took for a credit that we know otherwise, or not at all, until it is settled.

    down_seq is the entry of our log for gateway_id by which it is voided, None while nobody has done that. Settled:
    the gateway no longer has what the code gave.
    """

    __tablename__ = "unknown_codes"
    __table_args__ = (
        belongs_to("purses", "purse_id"),
        belongs_to("gateways", "gateway_id"),
        Index(
            "ix_unknown_codes_gateway", "gateway_id", postgresql_where=text("settled_at IS NULL")
        ),
    )

    purse_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    gateway_id: UUID
    amount_fen: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_type=Utc)  # typed, by the gateway's clock
    down_seq: int | None = Field(default=None, sa_type=BigInteger)
    settled_at: datetime | None = Field(default=None, sa_type=Utc)


class EmergencyCredit(Identified, table=True):
    """应急额度 that was taken for a purse, by whom, and when it was paid back; at most one at a time is not.

    down_seq is the entry of our log for gateway_id that said so, None where it was taken at the gateway.
    """

    __tablename__ = "emergency_credits"
    __table_args__ = (
        belongs_to("purses", "purse_id"),
        belongs_to("gateways", "gateway_id"),
        Index(
            "uq_emergency_credits_purse",
            "purse_id",
            unique=True,
            postgresql_where=text("repaid_at IS NULL"),
        ),
    )

    purse_id: UUID
    gateway_id: UUID
    taken_at: datetime = Field(sa_type=Utc)
    by: str = Field(sa_type=Text)  # a services.emergency.By
    down_seq: int | None = Field(default=None, sa_type=BigInteger)
    repaid_at: datetime | None = Field(default=None, sa_type=Utc)


class Transfer(Owned, table=True):
    """凭证. Written by services.ledger.post alone; never changed or deleted (a trigger refuses it)."""

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="positive"),
        Index("ix_transfers_at", "at", postgresql_using="brin"),
        Index(
            "ix_transfers_carried",
            "organization_id",
            "carried_at",
            postgresql_where=text("carried_at IS NOT NULL"),
        ),
        Index("ix_transfers_debit_at", "debit", "at"),
    )

    id: UUID = Field(primary_key=True)
    debit: str = Field(sa_type=Text)
    credit: str = Field(sa_type=Text, index=True)
    amount_fen: int = Field(sa_type=BigInteger)
    reason: str = Field(sa_type=Text)
    cause: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=Utc)
    posted_at: datetime = written_at()
    # 补记: its month was closed when it came, so it is booked then; None: it is booked at its own time.
    carried_at: datetime | None = Field(default=None, sa_type=Utc)


class Balance(Owned, table=True):
    """What a purse's transfers add up to. Written by services.ledger.post alone."""

    __tablename__ = "balances"
    __table_args__ = (belongs_to("purses", "purse_id"),)

    purse_id: UUID = Field(primary_key=True)
    balance_fen: int = Field(sa_type=BigInteger)


class DailyCharge(Owned, table=True):
    """What a purse was charged on a day (UTC), so that a rate needs no scan. Written by ledger.post alone."""

    __tablename__ = "daily_charges"
    __table_args__ = (belongs_to("purses", "purse_id"),)

    purse_id: UUID = Field(primary_key=True)
    day: dt.date = Field(primary_key=True)
    charged_fen: int = Field(sa_type=BigInteger)


class TopUp(Identified, table=True):
    """充值. Its state is the dates it has reached: paid, credited, delivered, armed or restored."""

    __tablename__ = "topups"
    __table_args__ = (
        referable(),
        belongs_to("purses", "purse_id"),
        belongs_to("gateways", "gateway_id"),
        belongs_to("users", "taken_by"),
        UniqueConstraint("organization_id", "idempotency_key"),
        UniqueConstraint("channel", "transaction_id"),
        CheckConstraint("amount_fen > 0", name="positive"),
        Index("ix_topups_purse", "purse_id", "created_at"),
        Index("ix_topups_unpaid", "created_at", postgresql_where=text("credited_at IS NULL")),
        Index(
            "ix_topups_undelivered",
            "gateway_id",
            "down_seq",
            postgresql_where=text("delivered_at IS NULL"),
        ),
        Index("ix_topups_unrestored", "purse_id", postgresql_where=text("restored_at IS NULL")),
        UniqueConstraint("purse_id", "credit_number"),
        belongs_to("topups", "twin_of"),
        Index("ix_topups_twin_of", "twin_of", postgresql_where=text("twin_of IS NOT NULL")),
        belongs_to("shifts", "shift_id"),
        CheckConstraint("fee_fen >= 0 AND fee_fen < amount_fen", name="fee"),
        Index("ix_topups_shift", "shift_id", postgresql_where=text("shift_id IS NOT NULL")),
        Index("ix_topups_organization", "organization_id", "created_at"),
        Index(
            "ix_topups_credited", "credited_at", postgresql_where=text("credited_at IS NOT NULL")
        ),
    )

    purse_id: UUID
    amount_fen: int = Field(sa_type=BigInteger)  # what is paid
    # 服务费, of it: the purse is credited the rest.
    fee_fen: int = Field(
        default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")}
    )
    channel: str = Field(sa_type=Text)  # wechat, alipay, sandbox; cash, pos, bank
    way: str | None = Field(default=None, sa_type=Text)  # a channels.Way; None: at the counter
    twin_of: UUID | None = None  # the first order for this money; this one is another way to pay it
    idempotency_key: UUID
    out_trade_no: str = Field(sa_type=Text, unique=True)  # our number at the channel
    transaction_id: str | None = Field(default=None, sa_type=Text)  # the channel's number
    pay_url: str | None = Field(default=None, sa_type=Text)
    expires_at: datetime | None = Field(default=None, sa_type=Utc)
    asked_at: datetime | None = Field(default=None, sa_type=Utc)  # the sweep asked the channel
    closed_at: datetime | None = Field(default=None, sa_type=Utc)  # nobody can pay it any more
    # The channel said that money of it went back before it was credited: then it is not.
    refunded_at: datetime | None = Field(default=None, sa_type=Utc)
    taken_by: UUID | None = None  # who took the money at the counter,
    shift_id: UUID | None = None  # in this shift,
    voucher: str | None = Field(default=None, sa_type=Text)  # by this slip of the POS or the bank
    remark: str | None = Field(default=None, sa_type=Text)
    paid_at: datetime | None = Field(default=None, sa_type=Utc)  # 已支付, by the channel's clock
    credited_at: datetime | None = Field(default=None, sa_type=Utc)  # 已入账
    gateway_id: UUID | None = None  # where the credit was sent,
    down_seq: int | None = Field(default=None, sa_type=BigInteger)  # as this entry of its down-log
    credit_number: int | None = None  # among the credits of its purse
    code_issued_at: datetime | None = Field(default=None, sa_type=Utc)  # 离线充值码 first shown,
    code_entered_at: datetime | None = Field(default=None, sa_type=Utc)  # and typed at the gateway
    delivered_at: datetime | None = Field(
        default=None, sa_type=Utc
    )  # 已下发, by the log or by its code
    armed_at: datetime | None = Field(default=None, sa_type=Utc)  # 允许合闸
    restored_at: datetime | None = Field(default=None, sa_type=Utc)  # 已送电
    # 充值后余额, as it was known when it was credited; what gateways tell later does not change it.
    balance_after_fen: int | None = Field(default=None, sa_type=BigInteger)


class RefusedNotice(Identified, table=True):
    """A notice that the channel signed and that we did not book, for a person to look at."""

    __tablename__ = "refused_notices"
    __table_args__ = (
        belongs_to("topups", "topup_id"),
        UniqueConstraint("topup_id", "transaction_id", "amount_fen"),
    )

    topup_id: UUID
    transaction_id: str = Field(sa_type=Text)
    amount_fen: int = Field(sa_type=BigInteger)
    reason: str = Field(sa_type=Text)


class ChannelRefund(Identified, table=True):
    """渠道退款: a payment too many, or a part of one (tables.WithdrawalPart with this id), on its way back to whoever
    paid. Its state is the dates it has reached."""

    __tablename__ = "channel_refunds"
    __table_args__ = (
        belongs_to("topups", "topup_id"),
        Index("ix_channel_refunds_payment", "channel", "transaction_id"),
        CheckConstraint("amount_fen > 0 AND amount_fen <= payment_fen", name="positive"),
        Index(
            "ix_channel_refunds_open",
            "created_at",
            postgresql_where=text("done_at IS NULL AND failed_at IS NULL"),
        ),
    )

    topup_id: UUID
    channel: str = Field(sa_type=Text)
    out_trade_no: str = Field(sa_type=Text)
    transaction_id: str = Field(sa_type=Text)
    out_refund_no: str = Field(sa_type=Text, unique=True)  # our number at the channel
    amount_fen: int = Field(sa_type=BigInteger)
    payment_fen: int = Field(sa_type=BigInteger)  # what was paid in all
    paid_at: datetime = Field(sa_type=Utc)
    said: str | None = Field(default=None, sa_type=Text)  # the channel's last word
    asked_at: datetime | None = Field(default=None, sa_type=Utc)  # 已申请退款
    accepted_at: datetime | None = Field(default=None, sa_type=Utc)  # 已受理
    done_at: datetime | None = Field(default=None, sa_type=Utc)  # 已退回
    failed_at: datetime | None = Field(
        default=None, sa_type=Utc
    )  # the channel cannot: a person must

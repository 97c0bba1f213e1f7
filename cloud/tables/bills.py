"""What payment channels say of each day, beside what we have booked 对账."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from cloud.tables.base import Identified, Owned, Utc, belongs_to


class BillDay(Owned, table=True):
    """An organization's part in a channel's bill 渠道账单 of a day (Beijing's), as compared last.

    paid and refunded are the bill's; booked is what our books have of the same day.
    """

    __tablename__ = "bill_days"

    organization_id: UUID = Field(foreign_key="organizations.id", primary_key=True)
    channel: str = Field(sa_type=Text, primary_key=True)
    day: dt.date = Field(primary_key=True)
    compared_at: datetime = Field(sa_type=Utc)
    payments: int
    paid_fen: int = Field(sa_type=BigInteger)
    refunds: int
    refunded_fen: int = Field(sa_type=BigInteger)
    fee_milli_fen: int = Field(sa_type=BigInteger)  # what the channel keeps, to 0.00001 yuan
    booked_fen: int = Field(sa_type=BigInteger)
    given_back_fen: int = Field(sa_type=BigInteger)


class BillDifference(Identified, table=True):
    """差错: something on which a channel's bill, our books and a gateway do not agree, until it is gone or settled.

    kind is a services.reconciliation.Kind. gone_at: a later comparison no longer found it; settled_at: a person
    dealt with it, and note says how.
    """

    __tablename__ = "bill_differences"
    __table_args__ = (
        belongs_to("users", "settled_by"),
        UniqueConstraint("channel", "day", "kind", "number"),
        Index(
            "ix_bill_differences_open",
            "organization_id",
            "day",
            postgresql_where=text("gone_at IS NULL AND settled_at IS NULL"),
        ),
    )

    channel: str = Field(sa_type=Text)
    day: dt.date
    kind: str = Field(sa_type=Text)
    number: str = Field(sa_type=Text)  # of the payment at the channel, or our number of the refund
    out_trade_no: str = Field(sa_type=Text)
    transaction_id: str = Field(sa_type=Text)
    out_refund_no: str | None = Field(default=None, sa_type=Text)
    ours_fen: int | None = Field(default=None, sa_type=BigInteger)
    theirs_fen: int | None = Field(default=None, sa_type=BigInteger)
    gone_at: datetime | None = Field(default=None, sa_type=Utc)
    settled_at: datetime | None = Field(default=None, sa_type=Utc)
    settled_by: UUID | None = None
    note: str | None = Field(default=None, sa_type=Text)

"""Gateways with their two logs, service points, and what the meters said beside their registers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    LargeBinary,
    Numeric,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable, written_at


class Gateway(Identified, table=True):
    """网关, its cursor in our log and ours in its log.

    up_log is the gateway's store that we follow, up_seq the last entry applied, up_hash its hash (None from
    a gateway of version 0.1.0). down_log names our log for
    this gateway, down_seq its last entry, down_acked the gateway's cursor in it; down_sent_seq and
    down_sent_at say what a worker last sent, so that others need not. up_fault and down_fault say what is
    wrong with the log it sends and with its cursor in ours, as long as it is. credential_no is that of the
    credentials it last spoke by; keys_told (base64) and keys_number say which of our keys it was told last.
    """

    __tablename__ = "gateways"
    __table_args__ = (
        referable(),
        belongs_to("sites", "site_id"),
        belongs_to("users", "revoked_by"),
        Index("ix_gateways_behind", "down_sent_at", postgresql_where=text("down_acked < down_seq")),
    )

    site_id: UUID
    gateway_no: str = Field(sa_type=Text, unique=True)
    up_log: UUID | None = None
    up_seq: int = Field(default=0, sa_type=BigInteger)
    up_hash: str | None = Field(default=None, sa_type=Text)
    down_log: UUID
    down_seq: int = Field(default=0, sa_type=BigInteger)
    down_acked: int = Field(default=0, sa_type=BigInteger)
    down_sent_seq: int = Field(default=0, sa_type=BigInteger)
    down_sent_at: datetime | None = Field(default=None, sa_type=Utc)
    heard_at: datetime | None = Field(default=None, sa_type=Utc)
    silent_since: datetime | None = Field(default=None, sa_type=Utc)  # told to people, once
    up_fault: str | None = Field(default=None, sa_type=Text)
    down_fault: str | None = Field(default=None, sa_type=Text)
    revoked_at: datetime | None = Field(default=None, sa_type=Utc)
    revoked_by: UUID | None = None
    place: str = Field(default="", sa_type=Text)  # where it hangs, for people
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    credential_no: int | None = Field(default=None, sa_type=BigInteger)
    keys_number: int = Field(default=0, sa_type=BigInteger)
    keys_told: list[str] = Field(default_factory=list, sa_type=JSONB)
    follow_from: int | None = Field(default=None, sa_type=BigInteger)


class EnrolmentToken(Owned, table=True):
    """注册码: lets one machine be enrolled as the gateway. Of its secret only the SHA-256 is kept.

    ended_at is when a newer one was issued or the gateway revoked; used_by_key is the machine's public key.
    """

    __tablename__ = "enrolment_tokens"
    __table_args__ = (
        referable(),
        belongs_to("gateways", "gateway_id"),
        belongs_to("users", "issued_by"),
        CheckConstraint("(used_at IS NULL) = (used_by_key IS NULL)", name="used"),
        Index("ix_enrolment_tokens_gateway", "gateway_id", "issued_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs={"default": uuid4})
    gateway_id: UUID
    secret_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    issued_by: UUID
    issued_at: datetime = Field(sa_type=Utc)
    expires_at: datetime = Field(sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    used_at: datetime | None = Field(default=None, sa_type=Utc)
    used_by_key: str | None = Field(default=None, sa_type=Text)


class GatewayCredential(Owned, table=True):
    """凭据: by which a gateway's machine, known by its public key, uses the broker. Of the password only the
    bcrypt hash is kept, as the broker checks it. token_id is None if the gateway renewed them by itself."""

    __tablename__ = "gateway_credentials"
    __table_args__ = (
        belongs_to("gateways", "gateway_id"),
        belongs_to("enrolment_tokens", "token_id"),
    )

    gateway_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    public_key: str = Field(sa_type=Text)
    password_hash: str = Field(sa_type=Text)
    token_id: UUID | None = None
    issued_at: datetime = Field(sa_type=Utc)
    expires_at: datetime = Field(sa_type=Utc)
    first_used_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)


class UpHash(Owned, table=True):
    """The hashes of a run of entries that were applied of the log that we follow; of the last ones only.

    seq is the number of the run's last entry, hashes the 32 bytes of each, in their order.
    """

    __tablename__ = "up_hashes"
    __table_args__ = (belongs_to("gateways", "gateway_id"),)

    gateway_id: UUID = Field(primary_key=True)
    seq: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    hashes: bytes = Field(sa_type=LargeBinary)


class GatewayLog(Owned, table=True):
    """A store of a gateway that we followed until another took over from it: how far, and since when."""

    __tablename__ = "gateway_logs"
    __table_args__ = (belongs_to("gateways", "gateway_id"),)

    gateway_id: UUID = Field(primary_key=True)
    log: UUID = Field(primary_key=True)
    up_seq: int = Field(sa_type=BigInteger)
    up_hash: str | None = Field(default=None, sa_type=Text)
    replaced_by: UUID
    replaced_at: datetime = Field(sa_type=Utc)


class GatewayAlarm(Owned, table=True):
    """A trouble of a gateway itself (prepaid.wire.uplog.Trouble) began, or ended."""

    __tablename__ = "gateway_alarms"
    __table_args__ = (belongs_to("gateways", "gateway_id"),)

    gateway_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    is_over: bool = Field(primary_key=True, sa_type=Boolean)
    text: str = Field(sa_type=Text)


class FieldWork(Identified, table=True):
    """What a technician did at a gateway (prepaid.wire.uplog.Work, or "link"), by whom; at is by the gateway's clock.

    Of a link that was taken over, meter is what was found and instead_of what was entered before (prepaid.point's
    Meter as JSON).
    """

    __tablename__ = "field_work"
    __table_args__ = (
        belongs_to("gateways", "gateway_id"),
        belongs_to("points", "point_id"),
        Index("ix_field_work_point", "point_id", "at"),
    )

    gateway_id: UUID
    point_id: UUID | None = None
    at: datetime = Field(sa_type=Utc)
    work: str = Field(sa_type=Text)
    is_over: bool = Field(sa_type=Boolean)
    by: str = Field(sa_type=Text)
    text: str = Field(sa_type=Text)
    meter: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    instead_of: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))


class DownEntry(Owned, table=True):
    """An entry of our log for a gateway, as written; it is signed when it is sent."""

    __tablename__ = "down_entries"
    __table_args__ = (belongs_to("gateways", "gateway_id"),)

    gateway_id: UUID = Field(primary_key=True)
    seq: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    body: str = Field(sa_type=Text)
    created_at: datetime = written_at()


class Rejected(Identified, table=True):
    """An entry of a gateway's log that could not be applied, and why. The cursor moved past it."""

    __tablename__ = "rejected"
    __table_args__ = (
        belongs_to("gateways", "gateway_id"),
        UniqueConstraint("gateway_id", "log", "seq"),
    )

    gateway_id: UUID
    log: UUID
    seq: int = Field(sa_type=BigInteger)
    body: str = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)


class TariffDocument(Identified, table=True):
    """价格方案: a published document, never edited."""

    __tablename__ = "tariffs"
    __table_args__ = (referable(), UniqueConstraint("organization_id", "code"))

    code: str = Field(sa_type=Text)
    commodity: str = Field(sa_type=Text)
    unit: str = Field(sa_type=Text)
    document: dict[str, Any] = Field(sa_type=JSONB)


class ServicePoint(Identified, table=True):
    """用能点: what is supplied and metered. meter and policy are prepaid.point's Meter and Policy as JSON.

    purse_id is None while nobody pays 空置; since when, and who did before, is in tenures.
    """

    __tablename__ = "points"
    __table_args__ = (
        referable(),
        belongs_to("rooms", "room_id"),
        belongs_to("gateways", "gateway_id"),
        belongs_to("purses", "purse_id"),
        belongs_to("tariffs", "tariff_id"),
        Index(
            "ix_points_meter_no",
            "organization_id",
            "meter_no",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_points_address",
            "gateway_id",
            "line",
            "address",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_points_room", "room_id"),
        Index("ix_points_purse", "purse_id"),
    )

    room_id: UUID
    gateway_id: UUID
    purse_id: UUID | None = None
    tariff_id: UUID
    name: str = Field(sa_type=Text)
    commodity: str = Field(sa_type=Text)
    meter_no: str = Field(sa_type=Text)
    line: str = Field(sa_type=Text)
    address: str = Field(sa_type=Text)
    meter: dict[str, Any] = Field(sa_type=JSONB)
    policy: dict[str, Any] = Field(sa_type=JSONB)
    persons: int | None = None  # 人口, as the gateway was told
    households: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    ended_at: datetime | None = Field(default=None, sa_type=Utc)  # its meter was taken away


class PointState(Owned, table=True):
    """What the gateway last said of a service point. position is prepaid.rating's Position as JSON, place where its
    reading was read (Meter.place), null where that was not told."""

    __tablename__ = "point_states"
    __table_args__ = (belongs_to("points", "point_id"),)

    point_id: UUID = Field(primary_key=True)
    total: Decimal | None = Field(default=None, sa_type=Numeric)
    read_at: datetime | None = Field(default=None, sa_type=Utc)
    first_read_at: datetime | None = Field(default=None, sa_type=Utc)
    position: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    place: list[str] | None = Field(default=None, sa_type=JSONB)
    supply: str | None = Field(default=None, sa_type=Text)
    wanted: str | None = Field(default=None, sa_type=Text)
    why: str | None = Field(default=None, sa_type=Text)
    supply_at: datetime | None = Field(default=None, sa_type=Utc)
    commanded_at: datetime | None = Field(default=None, sa_type=Utc)
    silent_since: datetime | None = Field(default=None, sa_type=Utc)  # 失联
    held_since: datetime | None = Field(default=None, sa_type=Utc)  # 读数存疑
    bands: dict[str, Any] | None = Field(
        default=None, sa_type=JSONB
    )  # 分时示数, of the last reading
    measured: dict[str, Any] | None = Field(
        default=None, sa_type=JSONB
    )  # prepaid.momentary's Momentary
    taps_closed_at: datetime | None = Field(default=None, sa_type=Utc)  # the customer last said so


class Override(Identified, table=True):
    """What an operator has pinned a service point's supply to: OFF 强制拉闸 or ON 保电, and until when.

    Kept for good: it is ended (ended_at, ended_by), or its time passes, but it is never changed or deleted (a
    trigger refuses it). down_seq is the entry of our log for gateway_id that said the last of it.
    """

    __tablename__ = "overrides"
    __table_args__ = (
        belongs_to("points", "point_id"),
        belongs_to("gateways", "gateway_id"),
        belongs_to("users", "pinned_by"),
        belongs_to("users", "ended_by"),
        CheckConstraint("supply IN ('on', 'off')", name="pins"),
        CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended"),
        Index("ix_overrides_point", "point_id", "created_at"),
    )

    point_id: UUID
    supply: str = Field(sa_type=Text)
    until: datetime = Field(sa_type=Utc)
    why: str = Field(sa_type=Text)
    pinned_by: UUID
    gateway_id: UUID
    down_seq: int = Field(sa_type=BigInteger)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_by: UUID | None = None


class Measurement(Owned, table=True):
    """瞬时量: what a meter measured at an instant: values by prepaid.momentary.Measurand, as texts.

    Nothing refers to a row, and its time is in the key: so the table can be partitioned by it.
    """

    __tablename__ = "measurements"
    __table_args__ = (belongs_to("points", "point_id"),)

    point_id: UUID = Field(primary_key=True)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    meter_no: str = Field(sa_type=Text)
    measured: dict[str, Any] = Field(sa_type=JSONB)
    is_battery_low: bool | None = Field(default=None, sa_type=Boolean)
    is_valve_abnormal: bool | None = Field(default=None, sa_type=Boolean)


class Evidence(Owned, table=True):
    """判据: what speaks for or against a reading, as prepaid.register.evidence.Evidence has it.

    moved is in the register's unit, before the multiplier; against is what it was measured against.
    """

    __tablename__ = "evidence"
    __table_args__ = (belongs_to("points", "point_id"),)

    point_id: UUID = Field(primary_key=True)
    at: datetime = Field(primary_key=True, sa_type=Utc)  # of the reading
    kind: str = Field(primary_key=True, sa_type=Text)
    confidence: str = Field(sa_type=Text)
    effect: str = Field(sa_type=Text)
    moved: Decimal | None = Field(default=None, sa_type=Numeric)
    against: Decimal | None = Field(default=None, sa_type=Numeric)
    text: str = Field(sa_type=Text)


class Alarm(Owned, table=True):
    """Something a person should know of began, or ended."""

    __tablename__ = "alarms"
    __table_args__ = (belongs_to("points", "point_id"),)

    point_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    is_over: bool = Field(primary_key=True, sa_type=Boolean)
    text: str = Field(sa_type=Text)


class TroubleAcknowledgement(Owned, table=True):
    """告警确认: a gateway's trouble that began at `at`, seen to by somebody. One that comes again is another."""

    __tablename__ = "trouble_acknowledgements"
    __table_args__ = (belongs_to("gateways", "gateway_id"), belongs_to("users", "acknowledged_by"))

    gateway_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    why: str = Field(sa_type=Text)
    acknowledged_by: UUID
    acknowledged_at: datetime = Field(sa_type=Utc)


class AlarmAcknowledgement(Owned, table=True):
    """告警确认: an alarm that began at `at` which somebody has seen to. One that comes again is another alarm."""

    __tablename__ = "alarm_acknowledgements"
    __table_args__ = (belongs_to("points", "point_id"), belongs_to("users", "acknowledged_by"))

    point_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    why: str = Field(sa_type=Text)
    acknowledged_by: UUID
    acknowledged_at: datetime = Field(sa_type=Utc)

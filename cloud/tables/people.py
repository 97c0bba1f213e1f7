"""Staff: who they are, what they may, where they are signed in; what was asked of a second person; the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable


class User(Identified, table=True):
    """A member of staff who signs in. The login is unique over all organizations.

    roles are permissions.Role. Who is not is_everywhere sees the sites and buildings of user_sites and
    user_buildings. Without password_hash the one-time link (of which link_hash is the SHA-256) is the only way
    in. totp_sealed is the second factor's secret, sealed; it is asked for from totp_since on, and
    totp_last_step is the last step whose code was used. recovery_hashes are of the codes that are left.
    """

    __tablename__ = "users"
    __table_args__ = (
        referable(),
        belongs_to("users", "ended_by"),
        CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended"),
        CheckConstraint("(link_hash IS NULL) = (link_until IS NULL)", name="link"),
        CheckConstraint("totp_since IS NULL OR totp_sealed IS NOT NULL", name="totp"),
    )

    login: str = Field(sa_type=Text, unique=True)
    name: str = Field(sa_type=Text)
    password_hash: str | None = Field(default=None, sa_type=Text)  # argon2id
    roles: list[str] = Field(default_factory=list, sa_type=JSONB)
    is_everywhere: bool = False
    most_topup_fen: int | None = Field(default=None, sa_type=BigInteger)  # at the counter, at once
    most_a_day_fen: int | None = Field(default=None, sa_type=BigInteger)
    link_hash: bytes | None = Field(default=None, sa_type=LargeBinary, unique=True)
    link_until: datetime | None = Field(default=None, sa_type=Utc)
    totp_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    totp_since: datetime | None = Field(default=None, sa_type=Utc)
    totp_last_step: int = Field(default=0, sa_type=BigInteger)
    recovery_hashes: list[str] = Field(default_factory=list, sa_type=JSONB)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_by: UUID | None = None


class UserSite(Owned, table=True):
    """A site whose every building a user sees."""

    __tablename__ = "user_sites"
    __table_args__ = (belongs_to("users", "user_id"), belongs_to("sites", "site_id"))

    user_id: UUID = Field(primary_key=True)
    site_id: UUID = Field(primary_key=True)


class UserBuilding(Owned, table=True):
    """A building that a user sees."""

    __tablename__ = "user_buildings"
    __table_args__ = (belongs_to("users", "user_id"), belongs_to("buildings", "building_id"))

    user_id: UUID = Field(primary_key=True)
    building_id: UUID = Field(primary_key=True)


class SignIn(Identified, table=True):
    """A browser that is signed in from verified_at on, when the second factor was given too. Only the hash of
    its token is kept. address and agent are the browser's own, seen_at is to the minute."""

    __tablename__ = "sign_ins"
    __table_args__ = (
        belongs_to("users", "user_id"),
        Index("ix_sign_ins_user", "user_id"),
    )

    user_id: UUID
    token_hash: bytes = Field(unique=True)  # SHA-256
    expires_at: datetime = Field(sa_type=Utc)
    verified_at: datetime | None = Field(default=None, sa_type=Utc)
    seen_at: datetime | None = Field(default=None, sa_type=Utc)
    address: str = Field(default="", sa_type=Text)
    agent: str = Field(default="", sa_type=Text)


class LoginFailure(SQLModel, table=True):
    """Wrong passwords since the last right one: for a login, known or not, by an address or a known browser;
    for an address alone (login is empty); for a login by all strangers together (who is empty)."""

    __tablename__ = "login_failures"

    login: str = Field(sa_type=Text, primary_key=True)
    who: str = Field(sa_type=Text, primary_key=True)
    failures: int
    last_at: datetime = Field(sa_type=Utc, index=True)


class Approval(Identified, table=True):
    """审批: what one member of staff has proposed and another decides on. Its state is the dates it has reached.

    kind and detail are those of services.approved; site_id is where it belongs, None: to all sites.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        referable(),
        belongs_to("users", "proposed_by"),
        belongs_to("users", "decided_by"),
        belongs_to("sites", "site_id"),
        CheckConstraint("decided_by <> proposed_by", name="two_people"),
        CheckConstraint(
            "(decided_by IS NULL) = (approved_at IS NULL AND refused_at IS NULL)", name="decided"
        ),
        CheckConstraint("num_nonnulls(approved_at, refused_at, withdrawn_at) <= 1", name="once"),
        Index("ix_approvals_organization", "organization_id", "created_at"),
        Index(
            "uq_approvals_open",
            "organization_id",
            "kind",
            "subject",
            unique=True,
            postgresql_where=text(
                "approved_at IS NULL AND refused_at IS NULL AND withdrawn_at IS NULL"
            ),
        ),
    )

    kind: str = Field(sa_type=Text)
    subject: UUID
    site_id: UUID | None = None
    detail: dict[str, Any] = Field(sa_type=JSONB)
    why: str = Field(sa_type=Text)
    proposed_by: UUID
    decided_by: UUID | None = None
    decided_why: str | None = Field(default=None, sa_type=Text)
    approved_at: datetime | None = Field(default=None, sa_type=Utc)
    refused_at: datetime | None = Field(default=None, sa_type=Utc)
    withdrawn_at: datetime | None = Field(default=None, sa_type=Utc)


class AuditEntry(Owned, table=True):
    """审计记录. Written by services.audit.record alone; never changed or deleted (a trigger refuses it).

    Numbered from 1 in each organization; hash is over all the rest and the hash before. user_name is as it was
    then; user_id is None where the program did it by itself.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        belongs_to("users", "user_id"),
        Index("ix_audit_entries_subject", "organization_id", "subject_id"),
        Index("ix_audit_entries_at", "organization_id", "at"),
    )

    organization_id: UUID = Field(foreign_key="organizations.id", primary_key=True)
    number: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    at: datetime = Field(sa_type=Utc)
    user_id: UUID | None = None
    user_name: str = Field(sa_type=Text)
    act: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)  # what kind of thing
    subject_id: str = Field(sa_type=Text)
    before: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    after: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    hash: bytes = Field(sa_type=LargeBinary)


class AuditHead(Owned, table=True):
    """How far an organization's audit log has come. Locked by whoever writes on.

    verified_number and verified_hash are its head when all of it was last found whole; broken_since and fault say
    since when it is not, and what was found first.
    """

    __tablename__ = "audit_heads"

    organization_id: UUID = Field(foreign_key="organizations.id", primary_key=True)
    number: int = Field(sa_type=BigInteger)
    hash: bytes = Field(sa_type=LargeBinary)
    verified_at: datetime | None = Field(default=None, sa_type=Utc)
    verified_number: int | None = Field(default=None, sa_type=BigInteger)
    verified_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    broken_since: datetime | None = Field(default=None, sa_type=Utc)
    fault: str | None = Field(default=None, sa_type=Text)

"""What every table has in common: an owner, UTC times, and names of constraints that migrations can rely on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import DateTime, Dialect, ForeignKeyConstraint, MetaData, UniqueConstraint
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

metadata: MetaData = SQLModel.metadata
metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Utc(TypeDecorator[datetime]):
    """timestamp with time zone. Refuses a time without a zone, gives times in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a time zone: {value}")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None


def utc_now() -> datetime:
    return datetime.now(UTC)


def written_at() -> Any:
    """The time a row was written."""
    return Field(default_factory=utc_now, sa_type=Utc, sa_column_kwargs={"default": utc_now})


class Owned(SQLModel):
    """A row of one organization 物业公司; row-level security goes by organization_id."""

    organization_id: UUID = Field(foreign_key="organizations.id")


class Identified(Owned):
    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs={"default": uuid4})
    created_at: datetime = written_at()


def referable() -> UniqueConstraint:
    """Lets rows of the same organization, and no other, refer to this table: see belongs_to."""
    return UniqueConstraint("organization_id", "id")


def belongs_to(table: str, column: str, **options: Any) -> ForeignKeyConstraint:
    """A foreign key that holds only within one organization."""
    return ForeignKeyConstraint(
        ["organization_id", column], [f"{table}.organization_id", f"{table}.id"], **options
    )

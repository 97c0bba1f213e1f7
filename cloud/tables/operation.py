"""How the installation itself is doing: what ran by the clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from cloud.tables.base import Utc, written_at


class JobRun(SQLModel, table=True):
    """One run of a job of cloud.jobs, for one organization, or (organization_id None) for all of them.

    A run that a person asked for is there before it starts. result is {"sentence", "values"}, None where
    there was nothing to do; error says why it failed. Only the system sees this table.
    """

    __tablename__ = "job_runs"
    __table_args__ = (
        Index("ix_job_runs_job", "job", "organization_id", "started_at"),
        Index("ix_job_runs_waiting", "created_at", postgresql_where=text("started_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs={"default": uuid4})
    created_at: datetime = written_at()
    job: str = Field(sa_type=Text)
    organization_id: UUID | None = Field(default=None, foreign_key="organizations.id")
    requested_by: UUID | None = Field(default=None, foreign_key="users.id")
    started_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    result: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    error: str | None = Field(default=None, sa_type=Text)

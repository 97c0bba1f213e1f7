"""Lists that go on behind a row, the newest first: by when a row was made, and its id where two were at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, true, tuple_
from sqlmodel import col


def follows(table: Any, after: UUID | None) -> ColumnElement[bool]:
    """Of a table with created_at and id what comes behind the row `after`, nothing if there is none; all for None."""
    if after is None:
        return true()
    last = (
        select(col(table.created_at), col(table.id)).where(col(table.id) == after).correlate(None)
    )
    return tuple_(col(table.created_at), col(table.id)) < last.scalar_subquery()

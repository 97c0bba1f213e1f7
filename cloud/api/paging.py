"""Long lists come in pages: what an answer gives as `next` is given as `after` for what follows, null at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")

_AFTER = "`next` of the page before; without it the first page."
After = Annotated[UUID | None, Query(description=_AFTER)]
AfterNumber = Annotated[int | None, Query(description=_AFTER, ge=1, lt=2**62)]
Most = Annotated[int, Query(description="So many on a page at most.", ge=1, le=500)]


def cut(
    found: Sequence[Item], most: int, cursor: Callable[[Item], Cursor]
) -> tuple[list[Item], Cursor | None]:
    """The page of a list that was read to one more than most, and the cursor of its last if more follow."""
    page = list(found[:most])
    return page, cursor(page[-1]) if len(found) > most else None

"""What every reading of the books takes: from when until when."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from datetime import date as Date
from typing import Annotated

from fastapi import Depends, Query

from cloud.errors import CloudError
from cloud.services.ledger import BOOKS_ZONE

MOST_DAYS = 400


class BadDays(CloudError):
    status = 422
    field = "until"
    sentence = "Ask for 1 to {most} days, the first not after the last."


def span(
    since: Annotated[Date, Query(description="The first day.", ge=Date(2000, 1, 1))],
    until: Annotated[Date, Query(description="The last day.", le=Date(2999, 12, 30))],
) -> tuple[datetime, datetime]:
    """The instants at which the days, of China's time, begin and are over. Raises BadDays."""
    if not since <= until < since + timedelta(days=MOST_DAYS):
        raise BadDays(most=MOST_DAYS)
    return _midnight(since), _midnight(until + timedelta(days=1))


def _midnight(day: Date) -> datetime:
    return datetime.combine(day, time(), BOOKS_ZONE).astimezone(UTC)


Span = Annotated[tuple[datetime, datetime], Depends(span)]

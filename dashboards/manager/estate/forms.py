"""What the forms of these pages send, as the services take it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from starlette.datastructures import UploadFile

from cloud.errors import CloudError
from cloud.services.devices.photos import MOST_BYTES, Picture
from dashboards import page


class NoNumber(CloudError):
    status = 422
    sentence = "“{text}” is no number."


class NoTime(CloudError):
    status = 422
    sentence = "“{text}” is no date and time."


class NoFile(CloudError):
    status = 422
    field = "file"
    sentence = "Choose a file first."


def number(text: str, *, field: str | None = None) -> Decimal:
    """Raises NoNumber."""
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        raise NoNumber(field=field, text=text[:40]) from None
    if not found.is_finite():
        raise NoNumber(field=field, text=text[:40])
    return found


def whole(text: str, *, field: str | None = None) -> int:
    """0 where nothing is typed. Raises NoNumber."""
    found = number(text or "0", field=field)
    if found != found.to_integral_value() or abs(found) > 10**6:
        raise NoNumber(field=field, text=text[:40])
    return int(found)


def instant(text: str, *, field: str | None = None) -> datetime:
    """What a field of date and time says, in the site's zone. Raises NoTime."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise NoTime(field=field, text=text[:40]) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(page.TIMEZONE))
    return at.astimezone(UTC)


def day(text: str, *, field: str | None = None) -> date | None:
    """Raises NoTime."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NoTime(field=field, text=text[:40]) from None


def pictures(**files: UploadFile | None) -> list[Picture]:
    """Those that were chosen, by what they show. One that is too large is read no further than that."""
    return [
        Picture(of, file.file.read(MOST_BYTES + 1))
        for of, file in files.items()
        if file is not None and file.filename
    ]


def content(file: UploadFile | None, *, most: int) -> bytes:
    """Raises NoFile."""
    if file is None or not file.filename:
        raise NoFile
    return file.file.read(most + 1)

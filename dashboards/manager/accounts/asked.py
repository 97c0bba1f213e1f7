"""What these pages ask of a request: who may, what was typed, and what every page of staff shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from sqlmodel import Session
from starlette.datastructures import FormData

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.said import Said
from cloud.services.accounts import photos
from cloud.services.accounts.tenures import Typed
from dashboards import errors
from dashboards.manager.typed import Form, text, texts, upload
from dashboards.mistake import Mistake
from prepaid.money import Money

SeeAccounts = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ACCOUNTS))]
OpenAccounts = Annotated[SignedIn, Depends(web.allowed(Permission.OPEN_ACCOUNTS))]
CloseAccounts = Annotated[SignedIn, Depends(web.allowed(Permission.CLOSE_ACCOUNTS))]
RenewLinks = Annotated[SignedIn, Depends(web.allowed(Permission.RENEW_LINKS))]

__all__ = ["Form", "text", "texts"]


class BadField(CloudError):
    status = 422
    sentence = "{what} cannot be “{typed}”: {reason}."

    def __init__(self, *, field: str, what: Said | str, typed: str, reason: Said) -> None:
        super().__init__(field=field, what=what, typed=typed[:40], reason=reason)


# The forms' names for the fields of services.
NAMES = {
    "name": "holder",
    "room_ids": "room",
    "persons": "persons-0",
    "from_room": "from",
    "to_room": "to",
}


def mistake(
    request: Request,
    error: CloudError | None,
    typed: Mapping[str, str] | None = None,
    *,
    form: str = "",
) -> Mistake:
    """What the page of an account tells of an error; that of a meter stands at its register."""
    names = dict(NAMES)
    if error is not None and error.field is not None:
        of, _, id = error.field.partition(".")
        match of:
            case "points":
                names[error.field] = f"total-{id}"
            case "money":
                names[error.field] = f"topup-{id}"
    return errors.mistake(request, error, typed, form=form, names=names)


def money(form: Mapping[str, Any], name: str, what: Said) -> Money:
    """Nothing where nothing was typed. Raises BadField."""
    typed = text(form, name).removeprefix("¥").replace(",", "")
    if not typed:
        return Money(0)
    try:
        fen = Decimal(typed) * 100
    except InvalidOperation:
        raise BadField(
            field=name, what=what, typed=typed, reason=Said("type an amount in yuan, as 12.50")
        ) from None
    if not fen.is_finite() or fen != fen.to_integral_value() or abs(fen) >= 10**12:
        raise BadField(
            field=name, what=what, typed=typed, reason=Said("type an amount in yuan, as 12.50")
        )
    return Money(int(fen))


def day(form: Mapping[str, Any], name: str, what: Said) -> dt.date | None:
    """None where nothing was typed. Raises BadField."""
    typed = text(form, name)
    if not typed:
        return None
    try:
        return dt.date.fromisoformat(typed)
    except ValueError:
        raise BadField(
            field=name, what=what, typed=typed, reason=Said("type a day, as 2026-03-01")
        ) from None


def register(
    session: Session,
    by: SignedIn,
    form: FormData,
    point_id: UUID,
    what: str,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> Typed | None:
    """The register typed for a point, its photo kept; None where nothing was. Raises BadField or NoPhoto."""
    typed = text(form, f"total-{point_id}")
    if not typed:
        return None
    try:
        total = Decimal(typed)
    except InvalidOperation:
        raise BadField(
            field=f"total-{point_id}",
            what=what,
            typed=typed,
            reason=Said("type what the register shows"),
        ) from None
    if not total.is_finite() or total < 0:
        raise BadField(
            field=f"total-{point_id}",
            what=what,
            typed=typed,
            reason=Said("type what the register shows"),
        )
    at = now
    if given := text(form, f"read-{point_id}"):
        try:
            at = min(datetime.fromisoformat(given).replace(tzinfo=zone), now)
        except ValueError:
            raise BadField(
                field=f"read-{point_id}",
                what=what,
                typed=given,
                reason=Said("type a day and a time"),
            ) from None
    kept = text(form, f"photo-kept-{point_id}")
    photo = UUID(kept) if kept else None
    chosen = upload(form, f"photo-{point_id}")
    if chosen is not None:
        content = chosen.file.read(photos.MOST_BYTES + 1)
        try:
            photo = photos.keep(session, by, content, now=now)
        except photos.NoPhoto:
            raise photos.NoPhoto(field=f"photo-{point_id}") from None
    return Typed(total, at, photo)

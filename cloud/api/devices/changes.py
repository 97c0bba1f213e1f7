"""/api/points/{id}/meter, transformers, take-down, photos, disputes: what is done to a mounted meter. For staff."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, UploadFile
from pydantic import AwareDatetime, BaseModel, Field
from sqlmodel import Session

from cloud.api.devices.shapes import (
    ChangeMeters,
    DecideReadings,
    Device,
    Event,
    Exchange,
    Multiplier,
    Total,
    Why,
    event,
)
from cloud.auth import SignedIn
from cloud.services import scopes
from cloud.services.accounts import photos
from cloud.services.devices import changes, examinations
from cloud.services.devices.photos import Picture
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api/points")


class Kept(BaseModel):
    id: UUID


class MeterChange(Exchange):
    meter: Device


class TransformerChange(Exchange):
    multiplier: Multiplier


class TakeDown(BaseModel):
    closing: Total
    at: AwareDatetime
    rounds: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    closing_photo_id: UUID | None = None
    why: Why


class Dispute(BaseModel):
    photo_id: UUID | None = None
    why: Why


class Settlement(BaseModel):
    """upheld: the reading was wrong, as the customer said. Money that is owed back is another step."""

    upheld: bool
    why: Why


@router.post("/{point_id}/photos", status_code=201)
def keep_photo(point_id: UUID, photo: UploadFile, user: ChangeMeters, session: UserSession) -> Kept:
    """Keeps a photo of the point's register, JPEG or PNG of at most 4 MB, to be named in what is then done."""
    scopes.check_point(session, user, point_id)
    content = photo.file.read(photos.MOST_BYTES + 1)
    return Kept(id=photos.keep(session, user, content, now=utc_now()))


@router.post("/{point_id}/meter", status_code=201)
def change_meter(
    point_id: UUID, given: MeterChange, user: ChangeMeters, session: UserSession
) -> Event:
    """换表: another meter measures the point. Charged up to the closing register, and on from the opening one."""
    return event(
        changes.change_meter(
            session,
            point_id,
            given.meter.value(),
            given.registers(),
            model=given.meter.model,
            why=given.why,
            pictures=_pictures(session, user, given),
            by=user,
            now=utc_now(),
        )
    )


@router.post("/{point_id}/transformers", status_code=201)
def change_transformers(
    point_id: UUID, given: TransformerChange, user: ChangeMeters, session: UserSession
) -> Event:
    """换互感器: what the same meter counts is multiplied otherwise from these registers on."""
    return event(
        changes.change_transformers(
            session,
            point_id,
            multiplier=given.multiplier,
            settings={},
            registers=given.registers(),
            why=given.why,
            pictures=_pictures(session, user, given),
            by=user,
            now=utc_now(),
        )
    )


@router.post("/{point_id}/take-down", status_code=201)
def take_down(point_id: UUID, given: TakeDown, user: ChangeMeters, session: UserSession) -> Event:
    """拆表: the service point ends, charged up to the closing register."""
    return event(
        changes.take_down(
            session,
            point_id,
            closing=given.closing,
            at=given.at,
            rounds=given.rounds,
            why=given.why,
            pictures=_kept(session, user, closing=given.closing_photo_id),
            by=user,
            now=utc_now(),
        )
    )


@router.post("/{point_id}/disputes", status_code=201)
def dispute(point_id: UUID, given: Dispute, user: DecideReadings, session: UserSession) -> Event:
    """争议: the customer does not believe the last reading. Charging goes on until a person decides."""
    return event(
        examinations.dispute_last(
            session,
            point_id,
            why=given.why,
            pictures=_kept(session, user, other=given.photo_id),
            by=user,
            now=utc_now(),
        )
    )


@router.post("/disputes/{event_id}/settle")
def settle_dispute(
    event_id: UUID, given: Settlement, user: DecideReadings, session: UserSession
) -> Event:
    """Decides a dispute."""
    return event(
        examinations.settle_dispute(
            session, event_id, upheld=given.upheld, why=given.why, by=user, now=utc_now()
        )
    )


def _pictures(session: Session, user: SignedIn, given: Exchange) -> list[Picture]:
    return _kept(session, user, closing=given.closing_photo_id, opening=given.opening_photo_id)


def _kept(session: Session, user: SignedIn, **ids: UUID | None) -> list[Picture]:
    """Those that were kept before, by what they show. Raises photos.NoSuchPhoto."""
    found = {of: photos.one(session, user, id) for of, id in ids.items() if id is not None}
    return [Picture(of, photo.content, photo.id) for of, photo in found.items()]

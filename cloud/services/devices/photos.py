"""Photographs of registers, kept as they were sent: only pictures, only so large, and never anything that runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import or_, select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import scopes

MOST_BYTES = 4 * 1024 * 1024
MOST_OF_EVENT = 6


class NoPicture(CloudError):
    status = 422
    field = "photo"
    sentence = "The file is no photograph. Take one as JPEG or PNG."


class PictureTooLarge(CloudError):
    status = 413
    field = "photo"
    sentence = "The photograph is larger than {megabytes} MB. Take it with a lower resolution."


class TooManyPictures(CloudError):
    status = 422
    field = "photo"
    sentence = "At most {most} photographs can be kept with this."


class NoSuchPhoto(CloudError):
    status = 404
    sentence = "There is no such photograph."


@dataclass(frozen=True, slots=True)
class Picture:
    """A photograph. of says of what it is: closing, opening or other; id is that of one that is kept already."""

    of: str
    content: bytes
    id: UUID | None = None


def media_type(content: bytes) -> str:
    """What the picture is by its first bytes, whatever its name says.

    Raises NoPicture or PictureTooLarge.
    """
    if len(content) > MOST_BYTES:
        raise PictureTooLarge(megabytes=MOST_BYTES // 1024 // 1024)
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    raise NoPicture


def keep(
    session: Session, event: tables.DeviceEvent, pictures: Iterable[Picture], *, by: SignedIn
) -> None:
    """Keeps the pictures of an event. Raises NoPicture, PictureTooLarge or TooManyPictures."""
    given = list(pictures)
    if len(given) > MOST_OF_EVENT:
        raise TooManyPictures(most=MOST_OF_EVENT)
    for picture in given:
        session.add(
            tables.EventPhoto(
                organization_id=event.organization_id,
                event_id=event.id,
                photo_id=picture.id or _photo(session, event, picture, by),
                of=picture.of,
            )
        )
    session.flush()


def _photo(session: Session, event: tables.DeviceEvent, picture: Picture, by: SignedIn) -> UUID:
    photo = tables.Photo(
        organization_id=event.organization_id,
        media_type=media_type(picture.content),
        content=picture.content,
        taken_by=by.user_id,
    )
    session.add(photo)
    session.flush()
    return photo.id


def of_events(session: Session, event_ids: Iterable[UUID]) -> dict[UUID, list[tables.EventPhoto]]:
    """The pictures of each event, without what is on them."""
    row = tables.EventPhoto
    found: dict[UUID, list[tables.EventPhoto]] = {}
    for each in session.execute(
        select(row).where(col(row.event_id).in_(list(event_ids)))
    ).scalars():
        found.setdefault(each.event_id, []).append(each)
    return found


def one(session: Session, by: SignedIn, photo_id: UUID) -> tables.Photo:
    """The photograph of an event at a point, a meter or a gateway that the user sees. Raises NoSuchPhoto."""
    event, shown = tables.DeviceEvent, tables.EventPhoto
    found: tables.Photo | None = session.execute(
        select(tables.Photo)
        .join(shown, col(shown.photo_id) == col(tables.Photo.id))
        .join(event, col(event.id) == col(shown.event_id))
        .outerjoin(tables.ServicePoint, col(tables.ServicePoint.id) == col(event.point_id))
        .where(
            col(tables.Photo.id) == photo_id,
            or_(scopes.points_of(by), col(event.point_id).is_(None)),
        )
    ).scalar_one_or_none()
    if found is None or found.organization_id != by.organization_id:
        raise NoSuchPhoto
    return found

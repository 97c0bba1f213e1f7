"""Photos 照片 of meters: what a person read off, for whoever doubts it later."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit

MOST_BYTES = 4 * 1024 * 1024
_KINDS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


class NoPhoto(CloudError):
    status = 422
    sentence = "A photo is a JPEG or PNG file of at most 4 MB."


class NoSuchPhoto(CloudError):
    status = 404
    sentence = "There is no such photo."


def keep(session: Session, by: SignedIn, content: bytes, *, now: datetime) -> UUID:
    """The photo, kept for good. Raises NoPhoto: what it is, its first bytes say, not its name."""
    kind = next((kind for head, kind in _KINDS.items() if content.startswith(head)), None)
    if kind is None or len(content) > MOST_BYTES:
        raise NoPhoto
    photo = tables.Photo(
        organization_id=by.organization_id,
        created_at=now,
        media_type=kind,
        content=content,
        taken_by=by.user_id,
    )
    session.add(photo)
    session.flush()
    audit.record(session, by, "photo.kept", of="photo", id=photo.id, now=now)
    return photo.id


def one(session: Session, by: SignedIn, photo_id: UUID) -> tables.Photo:
    """Raises NoSuchPhoto."""
    photo = session.get(tables.Photo, photo_id)
    if photo is None or photo.organization_id != by.organization_id:
        raise NoSuchPhoto
    return photo

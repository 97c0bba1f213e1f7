"""The folder of scheduled backups: what is in it, and how many are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cloud.backups import sealed, taking
from cloud.backups.sealed import BadBackup
from cloud.backups.taking import Made
from cloud.settings import Settings

SUFFIX = ".backup"


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup in the folder; secrets counts the files of settings and secrets in it."""

    name: str
    made_at: datetime
    size: int
    rows: int
    secrets: int
    is_sealed: bool
    version: str


def back_up(settings: Settings, *, now: datetime) -> tuple[Made, int] | None:
    """Writes today's backup and deletes all but the newest backup_keep; what was written, and how many were deleted.

    With a backup_passphrase it is sealed, and settings and secrets are in it. None where no folder is set.

    Raises CannotStart, psycopg.OperationalError or OSError, as taking.take.
    """
    folder = settings.backup_folder
    if folder is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sealed_by = settings.backup_passphrase
    made = taking.take(
        settings.database_url,
        folder / f"wattwell-{now:%Y%m%dT%H%M%SZ}{SUFFIX}",
        settings_file=settings.settings_file if sealed_by is not None else None,
        passphrase=sealed_by,
        now=now,
    )
    sealed.check(made.path)
    old = sorted(folder.glob(f"wattwell-*{SUFFIX}"), reverse=True)[settings.backup_keep :]
    for path in old:
        path.unlink()
    for path in folder.glob(f"wattwell-*{SUFFIX}.part"):  # of a run that was interrupted
        path.unlink()
    return made, len(old)


def kept(folder: Path) -> list[Kept]:
    """The newest first; a file that is none is left out."""
    return sorted(_kept(folder), key=lambda one: one.made_at, reverse=True)


def _kept(folder: Path) -> Iterator[Kept]:
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            header = sealed.read_header(path)
            size = path.stat().st_size
        except (BadBackup, OSError):
            continue
        yield Kept(
            path.name,
            datetime.fromisoformat(header["made_at"]),
            size,
            header["rows"],
            header["secrets"],
            "sealed" in header,
            header["version"],
        )

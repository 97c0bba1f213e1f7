"""Files that only their owner may read: secrets, and what guards them."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, content: str | bytes) -> None:
    """Writes all of it or nothing, on disk when this returns, with mode 0600.

    A crash leaves the old file or the new one. Raises OSError; the file that was there is then as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)  # of a crash; opened anew, so that it is ours and empty
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name too
    finally:
        os.close(folder)

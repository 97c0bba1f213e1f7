"""A whole installation, running."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattwell.installation import Installation
from wattwell.programs import Programs
from wattwell.story import Story
from wattwell.supervise import free_port


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that every user may enter: as root, PostgreSQL runs as another."""
    path = Path(tempfile.mkdtemp(prefix="wattwell-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def programs(folder: Path) -> Iterator[Programs]:
    installation = Installation(folder)
    running = Programs(installation, web_port=free_port())
    try:
        running.start()
        yield running
    finally:
        running.stop()
        installation.release()


@pytest.fixture
def story(programs: Programs) -> Iterator[Story]:
    onlooker = Story(programs)
    yield onlooker
    onlooker.close()

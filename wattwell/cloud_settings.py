"""The cloud's settings for a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cloud.settings import Settings


def cloud_settings(path: Path) -> Settings:
    """The settings, or the end of the program with a sentence for each that is wrong."""
    from cloud.settings import BadSettings, Settings

    try:
        return Settings.load(path)
    except BadSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None

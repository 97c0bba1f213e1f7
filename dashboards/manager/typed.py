"""What somebody typed into a form of staff: its texts by name, as they were sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

MOST_FILE_BYTES = (
    4 * 1024 * 1024 + 1
)  # a little more than a photo may have, so that too large ones are told


async def form_of(request: Request) -> FormData:
    return await request.form(max_files=60, max_fields=2_000, max_part_size=MOST_FILE_BYTES)


Form = Annotated[FormData, Depends(form_of)]


def text(form: Mapping[str, Any], name: str) -> str:
    """Without the white space around it; "" where nothing was sent."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def texts(form: FormData) -> dict[str, str]:
    """Everything that was typed, but for files: to be shown again beside what is wrong."""
    return {name: value for name, value in form.items() if isinstance(value, str)}


def upload(form: FormData, name: str) -> UploadFile | None:
    """The file that was chosen, if one was."""
    value = form.get(name)
    return value if isinstance(value, UploadFile) and value.filename else None

"""The outcome of a form: on to another page, or its own once more with what was refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud.errors import CloudError
from dashboards import errors
from dashboards.mistake import Mistake


def outcome(
    request: Request,
    session: Session,
    do: Callable[[], str | None],
    again: Callable[[Mistake], Response],
    *,
    to: str = "",
    form: str = "",
    typed: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Response:
    """To the address that do gives, or to. What it refuses changes nothing, and again shows the page of the form.

    form, typed and names are as in errors.mistake: which form it was, what was typed, what it calls the fields.
    """
    try:
        with session.begin_nested():
            to = do() or to
    except CloudError as error:
        return again(errors.mistake(request, error, typed, form=form, names=names))
    return RedirectResponse(to, status_code=303)

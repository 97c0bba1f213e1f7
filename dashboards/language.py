"""Choosing the language of the pages."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.responses import RedirectResponse, Response

from dashboards.words import COOKIE, LANGUAGES

router = APIRouter(include_in_schema=False)
YEAR_S = 365 * 24 * 3600


@router.post("/language")
def choose(language: Annotated[str, Form()] = "", back: Annotated[str, Form()] = "/") -> Response:
    """Keeps the language in a cookie and goes back to the page; an unknown language changes nothing."""
    reply = RedirectResponse(back if is_our_path(back) else "/", status_code=303)
    if language in LANGUAGES:
        reply.set_cookie(COOKIE, language, max_age=YEAR_S, httponly=True, samesite="lax", path="/")
    return reply


def is_our_path(path: str) -> bool:
    """Whether a path leads to a page of ours and not, dressed up as one, to somebody else's."""
    return re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", path) is not None

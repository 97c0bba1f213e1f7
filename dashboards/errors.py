"""A refusal as a page in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from cloud.auth import SecondFactorNeeded
from cloud.errors import CloudError, NoSuchLink, NotSignedIn, TooManyAttempts
from dashboards import page, sentences
from dashboards.fault_words import Fault
from dashboards.mistake import Mistake
from dashboards.words import CATALOGUES, N_, language_of

TITLES = {
    401: N_("Please sign in"),
    403: N_("Not done"),
    404: N_("Nothing here"),
    409: N_("Not done"),
    422: N_("Not done"),
    429: N_("Too many attempts"),
    500: N_("Something went wrong"),
    503: N_("Not available just now"),
}
LINK = N_("This link does not work")


def sentence(request: Request, error: CloudError) -> str:
    """What the error says, in the language the request asks for."""
    return sentence_in(language_of(request), error)


def sentence_in(language: str, error: CloudError) -> str:
    if isinstance(error, TooManyAttempts):
        return _wait(language, int(str(error.values["seconds"])))
    return sentences.filled(language, error.sentence, error.values)


def mistake(
    request: Request,
    error: CloudError | None,
    typed: Mapping[str, str] | None = None,
    *,
    form: str = "",
    names: Mapping[str, str] | None = None,
) -> Mistake:
    """What the page of a form tells of an error; nothing of None. typed is what was sent, form which of the page's
    forms it was; names has the form's names for the fields of services, where they differ."""
    if error is None:
        return Mistake()
    at = (names or {}).get(error.field or "", error.field)
    return Mistake(sentence(request, error), at, form, typed or {}, error.status)


def _wait(language: str, seconds: int) -> str:
    """One second is not "1 seconds"."""
    ngettext = CATALOGUES[language].ngettext
    text = ngettext(
        "Too many wrong tries. Try again in %(num)s second.",
        "Too many wrong tries. Try again in %(num)s seconds.",
        seconds,
    )
    return text % {"num": seconds}


def response(request: Request, error: CloudError, faults: Sequence[Fault] = ()) -> Response:
    """The page for an error: logging in where that is what is missing, else what happened and a way on.

    faults are what is wrong with single fields.
    """
    if "text/event-stream" in request.headers.get("accept", ""):
        return PlainTextResponse(sentence(request, error), status_code=error.status)
    if isinstance(error, NotSignedIn):
        return RedirectResponse("/login", status_code=303)
    if isinstance(error, SecondFactorNeeded) and request.method == "GET":
        return RedirectResponse("/me", status_code=303)
    if isinstance(error, NoSuchLink):
        title = page.say(request)(LINK)
        return page.render(
            request,
            "tenant/error.html",
            status=error.status,
            title=title,
            sentence=sentence(request, error),
            faults=(),
            back=None,
        )
    return _page(request, error.status, sentence(request, error), faults)


def _page(request: Request, status: int, text: str, faults: Sequence[Fault]) -> Response:
    title = page.say(request)(TITLES.get(status, N_("That did not work")))
    values: dict[str, Any] = {"status": status, "title": title, "sentence": text, "faults": faults}
    parts = request.url.path.split("/")
    if len(parts) > 2 and parts[1] == "t":
        return page.render(request, "tenant/error.html", back=f"/t/{parts[2]}", **values)
    return page.render(request, "manager/error.html", back="/rooms", **values)

"""A refusal as a page in the reader's language."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from cloud.errors import CloudError, NoSuchLink, NotSignedIn, TooManyAttempts
from dashboards import page
from dashboards.words import CATALOGUES, N_, language_of

TITLES = {
    401: N_("Please sign in"),
    403: N_("Not done"),
    404: N_("Nothing here"),
    409: N_("Not done"),
    429: N_("Too many attempts"),
    503: N_("Not available just now"),
}
LINK = N_("This link does not work")
NOT_FOUND = N_("There is no page at this address.")


def sentence(request: Request, error: CloudError) -> str:
    """What the error says, in the language the request asks for."""
    if isinstance(error, TooManyAttempts):
        return _wait(request, int(error.values["seconds"]))
    return page.say(request)(error.sentence).format_map(error.values)


def _wait(request: Request, seconds: int) -> str:
    """One second is not "1 seconds"."""
    ngettext = CATALOGUES[language_of(request)].ngettext
    text = ngettext(
        "Too many wrong passwords for this name. Try again in %(num)s second.",
        "Too many wrong passwords for this name. Try again in %(num)s seconds.",
        seconds,
    )
    return text % {"num": seconds}


def response(request: Request, error: CloudError) -> Response:
    """The page for an error: logging in where that is what is missing, else what happened and a way on."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return PlainTextResponse(sentence(request, error), status_code=error.status)
    if isinstance(error, NotSignedIn):
        return RedirectResponse("/login", status_code=303)
    if isinstance(error, NoSuchLink):
        title = page.say(request)(LINK)
        return page.render(
            request,
            "tenant/error.html",
            status=error.status,
            title=title,
            sentence=sentence(request, error),
            back=None,
        )
    return _page(request, error.status, sentence(request, error))


def not_found(request: Request) -> Response:
    """The page for an address that is not ours."""
    return _page(request, 404, page.say(request)(NOT_FOUND))


def _page(request: Request, status: int, text: str) -> Response:
    title = page.say(request)(TITLES.get(status, N_("That did not work")))
    parts = request.url.path.split("/")
    if len(parts) > 2 and parts[1] == "t":
        back = f"/t/{parts[2]}"
        return page.render(
            request, "tenant/error.html", status=status, title=title, sentence=text, back=back
        )
    return page.render(
        request, "manager/error.html", status=status, title=title, sentence=text, back="/rooms"
    )

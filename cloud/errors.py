"""Errors for people: each has an HTTP status and one sentence that says what happened and what to do."""

from __future__ import annotations

from typing import ClassVar

from cloud.said import Said, kept


class CloudError(Exception):
    """A request that cannot be served.

    sentence is English with {names}; values fill them. A page translates sentence first, then fills it. Names and
    numbers are filled in as they are, words as cloud.said.Said, so that they are translated too. field is what of
    the request it is about, by the name that the request has for it; where that is not always the same, it is
    given. A value `seconds` says when to come again. proof is the cloud's seal on it, for a gateway that is not to
    believe whoever answers.
    """

    status: ClassVar[int] = 400
    sentence: ClassVar[str]
    field: str | None = None
    proof: str | None = None

    def __init__(self, *, field: str | None = None, **values: object) -> None:
        if field is not None:
            self.field = field
        self.values = kept(values)
        super().__init__(self.sentence.format_map(self.values))

    @property
    def said(self) -> Said:
        """The sentence with its values, to be told later."""
        return Said(self.sentence, **self.values)

    @property
    def code(self) -> str:
        """The error's name, for programs."""
        return type(self).__name__


class BadInput(CloudError):
    status = 422
    sentence = "Something in this request is not as it should be, so nothing was done."


class BadJson(CloudError):
    status = 400
    sentence = "The body of this request cannot be read as JSON in UTF-8, so nothing was done."


class NotJson(CloudError):
    status = 415
    sentence = "This address takes JSON: send it with the content type application/json."


class TooLong(CloudError):
    status = 413
    sentence = "This request is too long: at most {most} bytes are taken here. Nothing was done."


class Unkeepable(CloudError):
    status = 422
    sentence = (
        "A number in this request is too large, or a text holds a character that cannot be kept."
        " Nothing was done."
    )


class NoSuchPage(CloudError):
    status = 404
    sentence = "There is no page at this address."


class NoSuchMethod(CloudError):
    status = 405
    sentence = "This address does not take {method}."


class OurFault(CloudError):
    status = 500
    sentence = (
        "Something went wrong on our side, and it is in the log. Nothing was changed."
        " Try again, or tell whoever runs this installation."
    )


class DatabaseAway(CloudError):
    status = 503
    sentence = "The database does not answer. Nothing was changed; try again in a moment."


class NotSignedIn(CloudError):
    status = 401
    sentence = "Please sign in."


class TooManyAttempts(CloudError):
    status = 429
    sentence = "Too many wrong tries. Try again in {seconds} seconds."


class ForeignOrigin(CloudError):
    status = 403
    sentence = "This request did not come from our own page, so nothing was done. Open the page again and repeat it."


class NoSuchLink(CloudError):
    status = 404
    sentence = "This link is not valid. Ask the property office for a new one."


class CannotStart(SystemExit):
    """The program ends with status 1 and this sentence on its error output."""


def first_line(error: BaseException) -> str:
    """An error's first line: what other programs' errors say beyond it is not for a log."""
    return str(error).strip().split("\n")[0] or type(error).__name__

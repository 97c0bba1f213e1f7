"""Errors for people: each has an HTTP status and one sentence that says what happened and what to do."""

from __future__ import annotations

from typing import ClassVar


class CloudError(Exception):
    """A request that cannot be served.

    sentence is English with {names}; values fill them. A page translates sentence first, then fills it.
    """

    status: ClassVar[int] = 400
    sentence: ClassVar[str]

    def __init__(self, **values: object) -> None:
        self.values = {name: str(value) for name, value in values.items()}
        super().__init__(self.sentence.format_map(self.values))

    @property
    def code(self) -> str:
        """The error's name, for programs."""
        return type(self).__name__


class DatabaseAway(CloudError):
    status = 503
    sentence = "The database does not answer. Nothing was changed; try again in a moment."


class NotSignedIn(CloudError):
    status = 401
    sentence = "Please sign in."


class TooManyAttempts(CloudError):
    status = 429
    sentence = "Too many wrong passwords for this name. Try again in {seconds} seconds."


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

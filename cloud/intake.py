"""What is looked at of a request before anything else is: how long it is, and whether its texts can be kept."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.errors import BadInput, CloudError, TooLong

LONGEST = 1024 * 1024  # bytes of JSON or of a form
LONGEST_UPLOAD = 16 * 1024 * 1024  # of a form with files

_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# What may stand for NUL or half a surrogate pair; a body without it need not be read twice.
_SUSPECT = re.compile(rb"\x00|\\u0000|\\u[dD][89a-fA-F]|%00")
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")

Refuse = Callable[[Request, Exception], Awaitable[Response]]


class BadCharacter(BadInput):
    """A text holds NUL or half a surrogate pair, which no UTF-8 text and no database keeps. at: which."""

    sentence = "A text in this request holds a character that cannot be kept, so nothing was done."

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at


class Intake:
    """Refuses a request that is too long, or that holds a text which cannot be kept, and then reads no more of it.

    A body is taken in whole before the application sees it, but for a form with files, which is counted as
    it comes. refuse answers with TooLong or BadCharacter.
    """

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check_address(scope)
            taken = await _taken(scope, receive)
        except CloudError as error:
            refusal = await self._refuse(Request(scope), error)
            await refusal(scope, receive, send)
            return
        await self._app(scope, taken, send)


def _check_address(scope: Scope) -> None:
    if _UNKEEPABLE.search(scope["path"]):
        raise BadCharacter("path")
    if _SUSPECT.search(scope["query_string"]):
        _check_pairs(scope["query_string"])


async def _taken(scope: Scope, receive: Receive) -> Receive:
    """Gives the body again to the application. Raises TooLong or BadCharacter."""
    if scope["method"] not in _UNSAFE:
        return receive
    headers = Headers(scope=scope)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    most = LONGEST_UPLOAD if kind == "multipart/form-data" else LONGEST
    said = headers.get("content-length", "")
    if said.isdigit() and int(said[:20]) > most:
        raise TooLong(most=most)
    if most == LONGEST_UPLOAD:
        return _counted(receive, most)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return _given(message)
        body += message.get("body", b"")
        if len(body) > most:
            raise TooLong(most=most)
        if not message.get("more_body", False):
            break
    if _SUSPECT.search(body):
        _check_body(kind, bytes(body))
    return _given({"type": "http.request", "body": bytes(body), "more_body": False}, receive)


def _given(first: Message, then: Receive | None = None) -> Receive:
    is_given = False

    async def give() -> Message:
        nonlocal is_given
        if is_given and then is not None:
            return await then()
        is_given = True
        return first

    return give


def _counted(receive: Receive, most: int) -> Receive:
    came = 0

    async def count() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > most:
            raise TooLong(most=most)
        return message

    return count


def _check_body(kind: str, body: bytes) -> None:
    if kind == "application/x-www-form-urlencoded":
        _check_pairs(body)
        return
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return  # whoever reads it says what it is
    for at, text in _texts(value):
        if _UNKEEPABLE.search(text):
            raise BadCharacter(at)


def _check_pairs(encoded: bytes) -> None:
    for name, value in parse_qsl(encoded.decode("latin-1"), keep_blank_values=True):
        if _UNKEEPABLE.search(name + value):
            raise BadCharacter(_UNKEEPABLE.sub("�", name))


def _texts(value: object, at: str = "") -> Iterator[tuple[str, str]]:
    """Each text in JSON, with where it stands: points.0.name; the names of an object stand where it does."""
    match value:
        case str():
            yield at, value
        case list():
            for index, item in enumerate(value):
                yield from _texts(item, _below(at, str(index)))
        case dict():
            for name, item in value.items():
                yield at, name
                yield from _texts(item, _below(at, _UNKEEPABLE.sub("�", name)))


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name

"""How a request is refused: programs get {code, message, fields} as JSON, people a page, each in their language."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from cloud.db import is_unkeepable
from cloud.errors import (
    BadInput,
    BadJson,
    CloudError,
    DatabaseAway,
    NoSuchMethod,
    NoSuchPage,
    NotJson,
    OurFault,
    Unkeepable,
    first_line,
)
from cloud.intake import BadCharacter
from dashboards import errors, fault_words, words
from dashboards.fault_words import Fault

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Every error of the application's is answered from here on."""
    app.add_exception_handler(CloudError, refused)
    app.add_exception_handler(RequestValidationError, _bad_input)
    app.add_exception_handler(DataError, _unkeepable)
    app.add_exception_handler(OperationalError, _database_away)
    app.add_exception_handler(PoolTimeout, _database_away)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _our_fault)


async def refused(request: Request, error: Exception) -> Response:
    """The answer to an error whose sentence is for the asker."""
    assert isinstance(error, CloudError)
    language = _language(request)
    found: Sequence[Fault] = ()
    if isinstance(error, BadCharacter):
        found = [fault_words.unkeepable(language, error.at)]
    elif error.field is not None:
        found = [Fault(error.field, errors.sentence_in(language, error))]
    return _answer(request, error, found)


async def _bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        return _answer(request, BadJson())
    if _is_json_wanted(found) and not _is_json(request):
        return _answer(request, NotJson())
    return _answer(request, BadInput(), fault_words.faults(_language(request), found))


async def _unkeepable(request: Request, error: Exception) -> Response:
    """The database's own refusal of a value. A field should have been checked before: the log says where."""
    assert isinstance(error, DataError)
    if not is_unkeepable(error):
        return await _our_fault(request, error)
    log.warning(
        "%s %s: the database refused a value: %s",
        request.method,
        route(request),
        first_line(error.orig or error),
    )
    return _answer(request, Unkeepable())


async def _database_away(request: Request, error: Exception) -> Response:
    log.error(
        "%s %s: the database does not answer: %s",
        request.method,
        route(request),
        first_line(error),
    )
    return _answer(request, DatabaseAway())


async def _http(request: Request, error: Exception) -> Response:
    """An address or method that we do not have, or a body that could not be read."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, CloudError):  # of what read the body: see cloud.intake
        return await refused(request, error.__cause__)
    if request.url.path.startswith("/static/"):
        return PlainTextResponse(error.detail, error.status_code, headers=error.headers)
    match error.status_code:
        case 404:
            said: CloudError = NoSuchPage()
        case 405:
            said = NoSuchMethod(method=request.method)
        case _:
            said = BadJson() if _is_api(request) else BadInput()
    answer = _answer(request, said)
    answer.headers.update(error.headers or {})
    return answer


async def _our_fault(request: Request, error: Exception) -> Response:
    """A mistake of the program's. Whoever serves it writes the error to the log."""
    return _answer(request, OurFault())


def _answer(request: Request, error: CloudError, found: Sequence[Fault] = ()) -> Response:
    headers = {"Retry-After": str(error.values["seconds"])} if "seconds" in error.values else {}
    if not _is_api(request):
        answer = errors.response(request, error, found)
        answer.headers.update(headers)
        return answer
    said: dict[str, object] = {
        "code": error.code,
        "message": errors.sentence_in(_language(request), error),
        "fields": [{"field": fault.field, "message": fault.message} for fault in found],
    }
    if error.proof is not None:
        said["proof"] = error.proof
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(said, error.status, headers=headers)


def route(request: Request) -> str:
    """The address as its template: in a tenant's, the token stands for a password."""
    return str(getattr(request.scope.get("route"), "path", "an unknown address"))


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _language(request: Request) -> str:
    """As on the pages; English for a program that says nothing of a language."""
    if _is_api(request) and "accept-language" not in request.headers:
        return words.chosen(request) or "en"
    return words.language_of(request)


def _is_json_wanted(found: Sequence[Any]) -> bool:
    return any(
        fault["loc"] == ("body",)
        and fault["type"] in ("model_attributes_type", "dict_type", "list_type", "model_type")
        for fault in found
    )


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")

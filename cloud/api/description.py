"""The description of the API for programs, by OpenAPI 3.1: what each address takes and gives, and how it refuses."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from cloud.api import examples
from cloud.permissions import ALLOWED, Permission
from cloud.services.integration.outbox import Event
from cloud.web import COOKIE

TITLE = "Wattwell"
ABOUT = """\
Prepaid electricity and water: the estate with its devices, accounts and balances, top-ups, the books, supply by hand.

Money is in whole fen 分, times are of UTC with their zone, ids are UUIDs. What is posted with an `idempotency_key`
is done once, however often it is sent. A request that is refused has changed nothing. Long lists come in pages: give
the `next` of one as `after` for what follows, until it is null.
"""

TAGS: Mapping[str, str] = {
    "rooms": "Rooms 房间 with their supplies: balance, supply and why, last reading.",
    "alarms": "Alarms 告警 of service points and gateways that are on, and who has seen to them.",
    "accounts": "Accounts 户: from opening to closing.",
    "drafts": "Openings 开户 that are prepared, and opened one by one or many at once.",
    "sites": "Sites 项目 with their buildings.",
    "buildings": "Buildings and their rooms, made one by one or by rule.",
    "meters": "Meters 表计, their models and calibrations.",
    "vacant": "Rooms that nobody pays for, and what they used.",
    "photos": "Photos of meters that were read by hand.",
    "points": "Service points 用能点: added, their meters changed; supply pinned by hand, taps confirmed closed.",
    "purses": "Purses 钱包: statements, emergency credit.",
    "topups": "Top-ups 充值: cash taken at the counter, how far each has come, offline codes.",
    "withdrawals": "Refunds 退费 and what else leaves a purse, and how far each has come.",
    "shifts": "Shifts 收费员班次 of cashiers.",
    "books": "The books: trial balance 试算平衡 and journal of transfers 凭证.",
    "approvals": "Approvals 审批: what waits for a second person.",
    "users": "Staff: roles, scope, limits; invited by a link that sets the password once.",
    "roles": "Roles 角色, and what each may do.",
    "audit": "The audit log 审计日志.",
    "gateways": "Gateways 网关 with their lines; brakes released; what gateways ask for by themselves.",
    "enrol": "What a gateway asks for once, with its token.",
    "channels": "What payment channels call.",
    "health": "Whether the program works.",
}
"""The nouns that addresses begin with, as chapters."""

_REFUSALS: Mapping[int, tuple[str, str, str]] = {
    400: ("The body is no JSON.", "BadJson", "The body of this request cannot be read as JSON."),
    401: ("No key, or one that is unknown, revoked or expired.", "NotSignedIn", "Please sign in."),
    403: (
        "The roles do not allow it.",
        "NotAllowed",
        "This is not among what your roles allow.",
    ),
    404: (
        "It does not exist, or is not yours to see.",
        "NoSuchRoom",
        "There is no such room.",
    ),
    409: (
        "It cannot be done as things are now.",
        "PinnedMeanwhile",
        "Somebody has changed this meanwhile, so nothing was done.",
    ),
    410: ("It was good once, and is no longer.", "TokenOver", "This token has expired."),
    413: ("The body is too long.", "TooLong", "This request is too long."),
    415: ("The body is not sent as JSON.", "NotJson", "This address takes JSON."),
    422: (
        "A field is not as it should be; fields names it.",
        "BadInput",
        "Something in this request is not as it should be, so nothing was done.",
    ),
    429: (
        "Too many requests; Retry-After says in how many seconds to ask again.",
        "TooManyOfKey",
        "This key may ask 600 times a minute. Try again in 12 seconds.",
    ),
    503: (
        "The database or another program does not answer; nothing was changed.",
        "DatabaseAway",
        "The database does not answer. Nothing was changed; try again in a moment.",
    ),
}

_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why a request was refused. Programs go by code; the rest is for people, in the language"
    " of Accept-Language (zh or en).",
    "required": ["code", "message", "fields"],
    "properties": {
        "code": {"type": "string", "description": "The error's name."},
        "message": {"type": "string", "description": "What happened and what to do."},
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "description": "As points.0.name."},
                    "message": {"type": "string", "description": "What it must be."},
                },
            },
        },
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of every address below /api, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _described(app)
    return app.openapi_schema


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=TITLE, version=app.version, description=ABOUT, routes=app.routes, summary=None
    )
    found["paths"] = {
        path: said for path, said in found["paths"].items() if path.startswith("/api/")
    }
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Error"] = _ERROR
    found["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key 接口密钥, which an administrator makes on the page API keys.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "The session of somebody who is signed in, for our own pages. What changes"
            " something must come from them (Origin).",
        },
    }
    tags: set[str] = set()
    for route in routes(app.routes):
        if route.path_format not in found["paths"]:  # a page, or whether the program lives
            continue
        for method in sorted(route.methods or ()):
            operation = found["paths"][route.path_format][method.lower()]
            tags.add(_complete(operation, route, method, schemas))
    found["tags"] = [
        {"name": tag, "description": TAGS.get(tag, "")} for tag in sorted(tags, key=_place)
    ]
    found["webhooks"] = {event.value: _webhook(event) for event in Event}
    return found


def routes(of: Iterable[object]) -> Iterator[APIRoute]:
    """Every route of an application, also of the routers that it includes."""
    for route in of:
        if isinstance(route, APIRoute):
            yield route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from routes(included.routes)


def permission_of(route: APIRoute) -> Permission | None:
    """What the route needs (cloud.web.allowed); None where it is open, or asks otherwise."""
    found = list(route.dependant.dependencies)
    for dependency in found:
        permission = getattr(dependency.call, "permission", None)
        if isinstance(permission, Permission):
            return permission
        found += dependency.dependencies
    return None


def _place(tag: str) -> tuple[int, str]:
    known = list(TAGS)
    return (known.index(tag) if tag in known else len(known), tag)


def _complete(
    operation: dict[str, Any], route: APIRoute, method: str, schemas: Mapping[str, Any]
) -> str:
    """Fills in what FastAPI does not know; the tag."""
    tag = route.path.split("/")[2]
    permission = permission_of(route)
    operation["tags"] = [tag]
    operation["operationId"] = f"{tag}_{route.name}"
    operation["summary"], operation["description"] = _texts(route, permission)
    operation["security"] = [{"key": []}, {"session": []}] if permission else []
    for parameter in operation.get("parameters", ()):
        parameter["example"] = examples.example(
            parameter.get("schema", {}), schemas, parameter["name"]
        )
    for content in _contents(operation):
        if "schema" in content and "example" not in content:
            content["example"] = examples.example(content["schema"], schemas, tag)
    for status in sorted(_refusals(operation, route, method, permission)):
        operation["responses"][str(status)] = _refusal(status)
    return tag


def _texts(route: APIRoute, permission: Permission | None) -> tuple[str, str]:
    """The first sentence of what the handler says of itself, and all that is for those who call it."""
    said = inspect.getdoc(route.endpoint) or ""
    paragraphs = [
        " ".join(each.split())
        for each in said.split("\n\n")
        if not each.startswith(("Raises", "Needs a "))
    ]
    text = " ".join(paragraphs).partition(" Raises ")[0]
    if permission is not None:
        roles = ", ".join(role.value for role, may in ALLOWED.items() if permission in may)
        text += f"\n\nNeeds the permission `{permission}`, which have: {roles}."
    summary = paragraphs[0].partition(". ")[0].partition("; ")[0].rstrip(".") if said else ""
    return summary, text


def _contents(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    bodies = [operation.get("requestBody", {})]
    bodies += [said for status, said in operation["responses"].items() if status.startswith("2")]
    for body in bodies:
        for kind, content in body.get("content", {}).items():
            if kind == "application/json":
                yield content


def _refusals(
    operation: Mapping[str, Any], route: APIRoute, method: str, permission: Permission | None
) -> set[int]:
    """How it may refuse: what comes before any handler; and what handlers of its kind say no with."""
    found = {503}
    if permission is not None:
        found |= {401, 403, 429}
    if route.dependant.path_params or operation.get("parameters"):
        found |= {404, 422}
    if method != "GET":
        found |= {403, 404, 409, 413, 422}
    if "requestBody" in operation:
        found |= {400, 415}
    if permission is None and method != "GET":  # gateways and channels, who sign what they send
        found |= {400, 401, 410, 429}
    return found


def _refusal(status: int) -> dict[str, Any]:
    about, code, message = _REFUSALS[status]
    said = {"code": code, "message": message, "fields": []}
    refusal: dict[str, Any] = {
        "description": about,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": said,
            }
        },
    }
    if status == 429:
        refusal["headers"] = {
            "Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}
        }
    return refusal


def _webhook(event: Event) -> dict[str, Any]:
    """An event as its receiver is sent it (OpenAPI 3.1, webhooks)."""
    data = examples.EVENTS[event]
    said = {"type": event.value, "timestamp": examples.AT, "data": data}
    schema = {
        "type": "object",
        "required": list(said),
        "properties": {
            "type": {"const": event.value},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"type": "object", "required": list(data)},
        },
    }
    return {
        "post": {
            "operationId": event.value.replace(".", "_"),
            "summary": examples.ABOUT_EVENTS[event],
            "description": "Signed by Standard Webhooks 1.0.0: webhook-id, webhook-timestamp,"
            " webhook-signature. The id stays the same however often it is sent.",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "example": said}},
            },
            "responses": {
                "2XX": {"description": "Taken. Anything else is sent again later."},
                "410": {"description": "Nothing more is wanted: the webhook ends."},
            },
        }
    }

"""The page that describes the API: what stands in /api/openapi.json, to be read. It loads nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from cloud.services.integration.deliveries import MOST_ATTEMPTS, PAUSES
from dashboards import page

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: str
    is_needed: bool
    about: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One address and method. body and answer are examples as JSON, "" where there is none."""

    id: str
    method: str
    path: str
    summary: str
    paragraphs: tuple[str, ...]
    is_open: bool
    parameters: tuple[Field, ...]
    fields: tuple[Field, ...]
    body: str
    answer: str
    refusals: tuple[tuple[str, str], ...]


@router.get("/api/docs")
def reference(request: Request) -> Response:
    said = request.app.openapi()
    chapters = [
        (tag["name"], tag["description"], _operations(said, tag["name"])) for tag in said["tags"]
    ]
    return page.render(
        request,
        "manager/integration/reference.html",
        about=said["info"]["description"].strip().split("\n\n"),
        chapters=chapters,
        events=[_event(name, event["post"]) for name, event in said["webhooks"].items()],
        attempts=MOST_ATTEMPTS,
        days=sum(PAUSES, start=PAUSES[0] * 0).days,
        cloud=request.app.state.settings.public_url,
        at="/api/docs",
    )


def _operations(said: Mapping[str, Any], tag: str) -> list[Operation]:
    return [
        _operation(said, path, method, each)
        for path, methods in said["paths"].items()
        for method, each in methods.items()
        if tag in each["tags"]
    ]


def _operation(
    said: Mapping[str, Any], path: str, method: str, each: Mapping[str, Any]
) -> Operation:
    schemas = said["components"]["schemas"]
    body = _json(each.get("requestBody", {}))
    answers = [one for status, one in each["responses"].items() if status.startswith("2")]
    answer = _json(answers[0]) if answers else {}
    return Operation(
        id=each["operationId"],
        method=method.upper(),
        path=path,
        summary=each["summary"],
        paragraphs=tuple(each["description"].split("\n\n")),
        is_open=not each["security"],
        parameters=tuple(
            Field(
                one["name"],
                _kind(one["schema"], schemas),
                one.get("required", False),
                one.get("description", ""),
            )
            for one in each.get("parameters", ())
        ),
        fields=_fields(body.get("schema", {}), schemas),
        body=_pretty(body),
        answer=_pretty(answer),
        refusals=tuple(
            (status, one["description"])
            for status, one in each["responses"].items()
            if not status.startswith("2")
        ),
    )


def _event(name: str, event: Mapping[str, Any]) -> tuple[str, str, str]:
    return name, event["summary"], _pretty(_json(event["requestBody"]))


def _json(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = body.get("content", {}).get("application/json", {})
    return found


def _pretty(content: Mapping[str, Any]) -> str:
    if content.get("example") is None:
        return ""
    return json.dumps(content["example"], ensure_ascii=False, indent=2)


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> tuple[Field, ...]:
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    needed = schema.get("required", ())
    return tuple(
        Field(name, _kind(each, schemas), name in needed, each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    )


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """A schema in a word or two: uuid, integer, on | off, null."""
    if "$ref" in schema:
        return _kind(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return ", ".join(_kind(each, schemas) for each in schema[key])
    if schema.get("type") == "array":
        return f"[{_kind(schema.get('items', {}), schemas)}]"
    return str(schema.get("format") or schema.get("const") or schema.get("type", ""))

"""The description of the API: whole, true of its examples, and kept to whatever it is sent."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from contextlib import suppress

import hypothesis
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from cloud import auth
from cloud.api.description import TAGS, routes
from cloud.services.integration.outbox import Event
from cloud.tables import utc_now
from cloud.web import COOKIE

pytestmark = pytest.mark.processes

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
IS_WHOLE = "WATTWELL_API_EXAMPLES" in os.environ  # `make fuzz-api`
EXAMPLES = int(os.environ.get("WATTWELL_API_EXAMPLES", "3"))  # of each operation and kind
KINDS = list(GenerationMode)


@pytest.fixture(scope="module")
def said(office):
    return office.web.get("/api/openapi.json").json()


def operations(said):
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_says_what_it_does_who_may_and_how_it_refuses(said):
    assert said["info"]["title"] == "Wattwell"
    assert set(said["components"]["securitySchemes"]) == {"key", "session"}
    known = {tag["name"] for tag in said["tags"]}
    lacking = [
        name
        for name, operation in operations(said)
        if not operation["summary"]
        or not operation["description"]
        or not set(operation["tags"]) <= known & set(TAGS)
        or "503" not in operation["responses"]
        or (operation["security"] and "401" not in operation["responses"])
        or ("requestBody" in operation and "422" not in operation["responses"])
    ]
    assert lacking == [], "a handler needs a docstring, its noun a chapter in TAGS"


def test_every_json_body_has_an_example_that_its_schema_takes(said):
    """All of them in one schema, which is then read once."""
    schemas, given = {}, {}
    for name, operation in operations(said):
        bodies = {"body": operation.get("requestBody", {}), **operation["responses"]}
        for of, body in bodies.items():
            content = body.get("content", {}).get("application/json", {})
            if content.get("schema"):
                schemas[f"{name} {of}"], given[f"{name} {of}"] = (
                    content["schema"],
                    content["example"],
                )
        for each in operation.get("parameters", ()):
            schemas[f"{name} {each['name']}"], given[f"{name} {each['name']}"] = (
                each["schema"],
                each["example"],
            )
    for event in Event:
        sent = said["webhooks"][event]["post"]["requestBody"]["content"]["application/json"]
        schemas[event], given[event] = sent["schema"], sent["example"]
    assert len(given) > 200
    whole = {"type": "object", "properties": schemas, "required": list(schemas)}
    jsonschema_rs.validate(whole | {"components": said["components"]}, given)


def test_every_handler_of_the_api_is_described(office, said):
    described = {name for name, _ in operations(said)}
    for route in routes(office.web.app.routes):
        if route.path_format in said["paths"]:
            assert inspect.getdoc(route.endpoint), route.path
            assert f"{min(route.methods)} {route.path_format}" in described


def test_the_page_shows_each_operation_and_event_and_loads_nothing_from_elsewhere(office, said):
    page = office.web.get("/api/docs", headers={"Accept-Language": "zh"})
    assert page.status_code == 200
    for name, _ in operations(said):
        assert f"<code>{name.partition(' ')[2]}</code>" in page.text
    for event in Event:
        assert f"<code>{event}</code>" in page.text
    assert "http://" not in page.text.replace("http://cloud.test", "")
    assert "https://" not in page.text


@pytest.fixture(scope="module")
def api(office):
    return schemathesis.openapi.from_asgi("/api/openapi.json", office.web.app)


@pytest.fixture(scope="module")
def signed_in(office):
    """What an administrator's own page sends."""
    with office.database.system() as session:
        token = auth.login(session, "home", "correct horse", now=utc_now())
    return {"Cookie": f"{COOKIE}={token}", "Origin": "http://cloud.test"}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_sent_nothing_breaks_and_every_answer_is_a_described_one(api, signed_in, kind):
    """Operations are sent what their schema allows, or what it does not; the same each time. In `make test` each is
    sent one of the two, turn by turn, in `make fuzz-api` both."""
    asked: Counter[str] = Counter()
    for number, found in enumerate(api.get_all_operations()):
        operation = found.ok()
        if not IS_WHOLE and KINDS[number % len(KINDS)] is not kind:
            continue

        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=kind))
        def ask(case):
            answer = case.call(headers=signed_in)
            case.validate_response(answer, checks=CHECKS)
            asked[f"{answer.status_code // 100}xx"] += 1

        with suppress(
            hypothesis.errors.Unsatisfiable
        ):  # nothing can be wrong where nothing is given
            ask()
    assert asked["4xx"] + asked["2xx"] >= 40
    assert asked["2xx" if kind is GenerationMode.POSITIVE else "4xx"] > 5

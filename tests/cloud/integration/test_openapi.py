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
EXAMPLES = int(
    os.environ.get("WATTWELL_API_EXAMPLES", "5")
)  # of each operation and kind; `make fuzz-api`


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
    count = 0
    for name, operation in operations(said):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            content = body.get("content", {}).get("application/json", {})
            if content.get("schema"):
                schema = content["schema"] | {"components": said["components"]}
                jsonschema_rs.validate(schema, content["example"])
                count += 1
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"] | {"components": said["components"]}
            jsonschema_rs.validate(schema, parameter["example"])
        assert count, name
    for event in Event:
        sent = said["webhooks"][event]["post"]["requestBody"]["content"]["application/json"]
        jsonschema_rs.validate(sent["schema"], sent["example"])


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


@pytest.mark.parametrize("kind", list(GenerationMode))
def test_whatever_is_sent_nothing_breaks_and_every_answer_is_a_described_one(api, signed_in, kind):
    """Each operation is sent what its schema allows, or what it does not; the same each time."""
    asked: Counter[str] = Counter()
    for found in api.get_all_operations():
        operation = found.ok()

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

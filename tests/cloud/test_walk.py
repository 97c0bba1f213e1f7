"""Every route and every table, walked as another organization and as each role: nothing is found that is not theirs.

A new route is walked by itself. One with a parameter that the walk cannot fill fails it: add the parameter to
TABLES or OTHERS below.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy import text

from cloud import auth
from cloud.api import examples
from cloud.api.description import permission_of, routes
from cloud.permissions import ALLOWED, Permission, Role
from cloud.tables import SignIn, User, metadata, utc_now
from cloud.web import COOKIE
from tests.cloud.conftest import Estate, build_estate
from tests.cloud.test_db import FILL, SHARED, SYSTEM_ONLY

pytestmark = pytest.mark.processes

TABLES = {"key": "api_keys", "delivery": "webhook_deliveries", "run": "job_runs"}
"""The table of a parameter x_id, where it is not called xs."""
OTHERS = {
    "act": "close",
    "batch": str(UUID(int=1)),
    "channel": "sandbox",
    "fen": "5000",
    "kind": "refund",
    "name": "send-events",
    "number": "1",
    "provider": "wechat",
    "secret": "no-secret",
    "since": "2026-01-01",
    "token": "no-token",
    "until": "2026-01-31",
}
"""What is given for parameters that are no ids."""
OF_ESTATE = {"kind": "room", "id": "rooms"}
"""Of /estate/{kind}/{id}: the kind, and the table of the id."""
SIGNED = (
    "/api/channels/",
    "/api/enrol",
    "/api/gateways/challenge",
    "/api/gateways/renew",
    "/api/notices/",
)
"""Asked by programs that sign what they send: nobody's organization is in it."""
LEADS_AWAY = {303, 307}
REFUSED = {400, 403, 404, 409, 410, 413, 415, 422, 429}
HEADERS = {"Origin": "http://cloud.test", "Accept-Language": "en"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a route takes: as far as can be told without knowing the route."""

    method: str
    path: str
    values: dict[str, str]  # of the path's parameters
    query: dict[str, str]
    json: object
    form: dict[str, str] | None


def _flat(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _flat(each)


class Walker:
    """Fills the parameters of routes with the rows of one organization."""

    def __init__(self, office, whose: Estate) -> None:
        self._office = office
        self._schemas = office.web.app.openapi()["components"]["schemas"]
        self._described = office.web.app.openapi()["paths"]
        with office.database.organization(whose.organization_id) as session:
            self.ids = {
                name: session.execute(text(f"SELECT id FROM {name} LIMIT 1")).scalar()
                for name, table in metadata.tables.items()
                if "id" in table.columns and name not in SYSTEM_ONLY
            }

    def requests(self, route: APIRoute) -> Iterator[Asked]:
        dependants = list(_flat(route.dependant))
        body_params = [one for each in dependants for one in each.body_params]
        path_params = {one.alias for each in dependants for one in each.path_params}
        values = {name: self._value(route, name) for name in path_params}
        query = {
            one.alias: self._value(route, one.alias)
            for each in dependants
            for one in each.query_params
            if one.field_info.is_required() or one.alias.endswith("_id")
        }
        for method in sorted((route.methods or set()) - {"HEAD"}):
            body, form = None, None
            if body_params:
                model = body_params[0].field_info.annotation
                if isinstance(model, type) and issubclass(model, BaseModel):
                    body = self._json(route, method)
                else:
                    form = {
                        one.alias: self._value(route, one.alias, form=True) for one in body_params
                    }
            path = route.path_format.format(**values)
            yield Asked(method, path, values, query, body, form)

    def _value(self, route: APIRoute, name: str, *, form: bool = False) -> str:
        if name == "id" or name.endswith("_id") or (not form and f"{name}s" in self.ids):
            found = self._tables(route, name)
            if len(found) == 1:
                return str(self.ids[found[0]])
        if name == "kind" and "/estate/{kind}" in route.path:
            return OF_ESTATE["kind"]
        if name in OTHERS:
            return OTHERS[name]
        if form:
            return str(self.ids["purses"]) if "purse" in name else "1"
        raise AssertionError(f"the walk cannot fill {{{name}}} of {route.path}: see TABLES, OTHERS")

    def _tables(self, route: APIRoute, name: str) -> list[str]:
        """The table whose rows a parameter names: x_id those of xs, or of some_xs; id those the path is of."""
        if name == "id" and "/estate/{kind}" in route.path:
            return [OF_ESTATE["id"]]
        if name == "id":
            last = route.path.partition("/{id")[0].rpartition("/")[2]
            return [last.replace("-", "_")] if last.replace("-", "_") in self.ids else []
        kind = name.removesuffix("_id")
        if kind in TABLES:
            return [TABLES[kind]]
        if f"{kind}s" in self.ids:
            return [f"{kind}s"]
        if f"{kind.rpartition('_')[2]}s" in self.ids:  # to_purse_id
            return [f"{kind.rpartition('_')[2]}s"]
        return [table for table in self.ids if table.endswith(f"_{kind}s")]

    def _json(self, route: APIRoute, method: str) -> object:
        operation = self._described[route.path_format][method.lower()]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        said = examples.example(schema, self._schemas)
        return {
            name: self._value(route, name) if name.endswith("_id") and value is not None else value
            for name, value in said.items()
        }


@pytest.fixture(scope="module")
def theirs(office) -> Estate:
    """A second organization, with a row in every table, as the first then has too."""
    other = build_estate(office.database, "stranger")
    for each in (office.home, other):
        with office.database.system() as session:
            for statement in FILL:
                values = {
                    "organization": each.organization_id,
                    "user": each.user_id,
                    "point": each.electricity,
                    "purse": each.electricity_purse,
                    "gateway": each.gateway_id,
                }
                session.execute(text(statement), values)
    return other


@pytest.fixture(scope="module")
def everything(office, theirs):
    return [
        route
        for route in routes(office.web.app.routes)
        if not route.path.startswith((*SIGNED, "/static/"))
    ]


@pytest.fixture(scope="module")
def walker(office, theirs):
    """Asks for what is the stranger's."""
    return Walker(office, theirs)


def sign_in(office, user_id: UUID, organization_id: UUID) -> None:
    """The browser is this user's; anew each time, as a route may sign out."""
    token = secrets.token_urlsafe(8)
    now = utc_now()
    with office.database.system() as session:
        session.add(
            SignIn(
                organization_id=organization_id,
                user_id=user_id,
                token_hash=hashlib.sha256(token.encode()).digest(),
                expires_at=now + timedelta(hours=1),
                verified_at=now,
            )
        )
    office.web.cookies.clear()
    office.web.cookies.set(COOKIE, token)


def ask(office, asked: Asked):
    return office.web.request(
        asked.method,
        asked.path,
        params=asked.query,
        json=asked.json if asked.json is not None else None,
        data=asked.form,
        headers=HEADERS,
    )


def is_stream(route: APIRoute) -> bool:
    return route.path.endswith("/stream")


_KEPT = " UNION ALL ".join(
    f"SELECT '{name}', count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text)))"
    f" FROM {name} t WHERE {SHARED.get(name, 'organization_id')} = :whose"
    for name in sorted(set(metadata.tables) - SYSTEM_ONLY)
)


def kept(office, whose: Estate) -> dict[str, object]:
    """A print of all rows of an organization, by table."""
    with office.database.system() as session:
        rows = session.execute(text(_KEPT), {"whose": whose.organization_id})
        return {name: (count, digest) for name, count, digest in rows}


@pytest.fixture(scope="module")
def marks(office, theirs) -> set[str]:
    """What in an answer would be the stranger's: ids of rows, names."""
    found = {"stranger"}
    with office.database.organization(theirs.organization_id) as session:
        for name, table in metadata.tables.items():
            if "id" in table.columns and name not in SYSTEM_ONLY:
                ids = session.execute(text(f"SELECT id FROM {name}")).scalars()
                found |= {str(each) for each in ids if isinstance(each, UUID)}
    return found


def test_no_route_shows_or_changes_what_is_another_organizations(
    office, theirs, everything, walker, marks
):
    """An administrator of one organization asks for the rows of the other, by every route that there is."""
    before = kept(office, theirs)
    walked = 0
    for route in everything:
        if permission_of(route) is None:
            continue
        for asked in walker.requests(route):
            if is_stream(route) and not asked.values:
                continue  # of one's own organization, without end: see test_app
            sign_in(office, office.home.user_id, office.home.organization_id)
            answer = ask(office, asked)
            where = f"{asked.method} {asked.path}: {answer.status_code}"
            told = answer.text + answer.headers.get("location", "")
            sent = {*asked.values.values(), *asked.query.values(), *(asked.form or {}).values()}
            sent |= {str(each) for each in (asked.json or {}).values()} if asked.json else set()
            shown = {mark for mark in marks - sent if mark in told}
            assert shown == set(), where
            if asked.values.keys() & {name for name in asked.values if name.endswith("_id")}:
                assert answer.status_code in REFUSED | LEADS_AWAY, where
            if asked.method != "GET":
                assert kept(office, theirs) == before, where
            walked += 1
    assert kept(office, theirs) == before
    assert walked > 40


def test_no_tenant_sees_or_changes_what_is_another_accounts(
    office, theirs, everything, walker, marks
):
    token = auth.tenant_token(office.settings, office.home.account_id)
    office.web.cookies.clear()
    before = kept(office, theirs)
    walked = 0
    for route in everything:
        if not route.path.startswith("/t/"):
            continue
        for asked in walker.requests(route):
            if is_stream(route) and len(asked.values) == 1:
                continue
            path = asked.path.replace("/t/no-token", f"/t/{token}")
            mine = Asked(asked.method, path, asked.values, asked.query, asked.json, asked.form)
            answer = ask(office, mine)
            told = answer.text + answer.headers.get("location", "")
            sent = {*asked.values.values(), *asked.query.values(), *(asked.form or {}).values()}
            assert {mark for mark in marks - sent if mark in told} == set(), route.path
            assert kept(office, theirs) == before, route.path
            walked += 1
    assert walked > 5


def test_each_role_is_refused_what_it_may_not_and_nobody_gets_in_without_signing_in(
    office, theirs, everything
):
    home = office.home
    own = Walker(office, home)
    users = {}
    with office.database.system() as session:
        for role in Role:
            user = User(
                organization_id=home.organization_id,
                login=f"as-{role}-{uuid4().hex}",
                name=role,
                roles=[role.value],
                is_everywhere=True,
            )
            session.add(user)
            session.flush()
            users[role] = user.id
    staff = [(route, permission) for route in everything if (permission := permission_of(route))]
    # Each route by one role that may not, and each role once for each permission that it lacks.
    asked_for: set[tuple[Role, Permission]] = set()
    walked: set[str] = set()
    for role, user_id in users.items():
        sign_in(office, user_id, home.organization_id)
        for route, permission in staff:
            is_new = (role, permission) not in asked_for or route.path not in walked
            if permission not in ALLOWED[role] and is_new:
                asked_for.add((role, permission))
                walked.add(route.path)
                for asked in own.requests(route):
                    answer = ask(office, asked)
                    assert answer.status_code == 403, f"{role}: {asked.method} {asked.path}"
    office.web.cookies.clear()
    for route, _ in staff:
        for asked in own.requests(route):
            answer = ask(office, asked)
            is_out = answer.status_code == 401 or (
                answer.status_code == 303 and answer.headers["location"] == "/login"
            )
            assert is_out, f"{asked.method} {asked.path}: {answer.status_code}"
    assert {permission for _, permission in staff} >= {Permission.SEE_ROOMS, Permission.INTEGRATE}


def test_row_level_security_is_forced_on_every_table_of_the_database(office):
    """By the catalogue, so also for tables that the code does not name."""
    with office.database.system() as session:
        lax = session.execute(
            text(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
                " AND c.relname <> 'alembic_version'"
                " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
            )
        ).scalars()
        assert list(lax) == []
        unruled = session.execute(
            text(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relrowsecurity"
                " AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)"
            )
        ).scalars()
        assert list(unruled) == []
        owner = session.execute(
            text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        ).scalar_one()
        assert not owner

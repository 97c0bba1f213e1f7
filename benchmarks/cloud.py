"""A cloud's database for the figures of the cloud: PostgreSQL as installations run it, and an estate in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from sqlmodel import Session

from cloud import tables
from cloud.db import Database, migrate
from cloud.services import estate, topups
from prepaid.money import Money
from prepaid.point import Meter, Policy
from simulators.world.company import Company
from wattwell import supervise
from wattwell.postgres import Postgres

GATEWAY_NO = "GW-BENCH"
FEN = 5000
TARIFF = {
    "code": "power",
    "commodity": "electricity",
    "unit": "kWh",
    "currency": "CNY",
    "timezone": "Asia/Shanghai",
    "versions": [
        {
            "effective_from": "2026-01-01T00:00:00+08:00",
            "components": [{"item": "energy", "kind": "rate", "price": "0.5283"}],
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Cloud:
    """database is the cloud's own (dsn), raw a superuser's connection to the same, whom nothing checks.

    Points, each with its purse, are dealt to the gateways in turn.
    """

    dsn: str
    database: Database
    raw: psycopg.Connection[tuple[object, ...]]
    organization_id: UUID
    site: tables.Site
    points: tuple[UUID, ...]
    purses: tuple[UUID, ...]
    accounts: tuple[UUID, ...]


@contextmanager
def opened(points: int, *, gateway_nos: Sequence[str] = (GATEWAY_NO,)) -> Iterator[Cloud]:
    """A fresh server with these gateways and so many points, a purse each, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with Postgres(Path(folder) / "postgres", port=supervise.free_port()) as postgres:
            migrate(postgres.dsn())
            database = Database(postgres.dsn())
            raw = psycopg.connect(postgres.admin_dsn.rpartition("/")[0] + "/wattwell")
            with database.system() as session:
                made = _estate(session, points, gateway_nos)
            raw.execute("ANALYZE")  # as the server does by itself within minutes
            raw.commit()
            yield Cloud(postgres.dsn(), database, raw, *made)
            raw.close()
            database.close()


def _estate(
    session: Session, count: int, gateway_nos: Sequence[str]
) -> tuple[UUID, tables.Site, tuple[UUID, ...], tuple[UUID, ...], tuple[UUID, ...]]:
    organization = estate.add_organization(session, "bench")
    site = estate.add_site(session, organization.id, "site")
    building = estate.add_building(session, site, "building")
    gateways = [estate.add_gateway(session, site, gateway_no) for gateway_no in gateway_nos]
    estate.publish_tariff(session, organization.id, TARIFF)
    points, purses, accounts = [], [], []
    for number in range(count):
        room = estate.add_room(session, building, f"{number:05}", number // 10 + 1)
        account = estate.open_account(session, room, "holder")
        purse = estate.add_purse(session, account, "electricity")
        name = f"{number:012}"
        meter = Meter(name, "dlt645-2007", "L1", name, 6, Decimal("0.01"), Decimal(60))
        point = estate.add_point(
            session,
            room=room,
            gateway=gateways[number % len(gateways)],
            purse=purse,
            name=name,
            commodity="electricity",
            meter=meter,
            tariff_code="power",
            policy=Policy(),
        )
        points.append(point.id)
        purses.append(purse.id)
        accounts.append(account.id)
    return organization.id, site, tuple(points), tuple(purses), tuple(accounts)


def order(cloud: Cloud, number: int) -> tables.TopUp:
    """A top-up of FEN for one purse after the other, ordered and not yet paid."""
    which = number % len(cloud.purses)
    return topups.create(
        cloud.database,
        Company(lambda: datetime.now(UTC)),
        organization_id=cloud.organization_id,
        account_id=cloud.accounts[which],
        purse_id=cloud.purses[which],
        amount=Money(FEN),
        idempotency_key=uuid4(),
        page_url="http://127.0.0.1/t",
    )

"""A migrated database and a small estate: one room with electricity and water on one gateway."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient

from cloud import tables
from cloud.app import create_app
from cloud.channels import (
    ChannelAway,
    ChannelRefused,
    Order,
    Payer,
    Payment,
    Refund,
    Refunded,
    RefundState,
    Way,
)
from cloud.db import Database
from cloud.services import estate, topups
from cloud.settings import Settings
from prepaid.money import Money
from prepaid.point import Meter, Policy
from tests.databases import Databases
from wattwell.postgres import Postgres

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def flat(code: str, commodity: str, unit: str, price: str) -> dict[str, object]:
    component = {"item": commodity, "kind": "rate", "price": price}
    return {
        "code": code,
        "commodity": commodity,
        "unit": unit,
        "currency": "CNY",
        "timezone": "Asia/Shanghai",
        "versions": [{"effective_from": "2026-01-01T00:00:00+08:00", "components": [component]}],
    }


def meter(meter_no: str, address: str) -> Meter:
    return Meter(meter_no, "dlt645-2007", "L1", address, 6, Decimal("0.01"), Decimal(60))


@dataclass(frozen=True, slots=True)
class Estate:
    """The ids of one organization's rows."""

    organization_id: UUID
    user_id: UUID
    site_id: UUID
    room_id: UUID
    account_id: UUID
    gateway_id: UUID
    gateway_no: str
    down_log: UUID
    electricity_purse: UUID
    water_purse: UUID
    electricity: UUID
    water: UUID


def build_estate(database: Database, name: str) -> Estate:
    with database.system() as session:
        organization = estate.add_organization(session, name)
        organization_id = organization.id
        user = estate.add_user(session, organization_id, name, "correct horse", name)
        site = estate.add_site(session, organization_id, name)
        building = estate.add_building(session, site, "A")
        room = estate.add_room(session, building, "0301", 3)
        gateway = estate.add_gateway(session, site, f"GW-{name}")
        estate.publish_tariff(session, organization_id, flat("power", "electricity", "kWh", "0.50"))
        estate.publish_tariff(session, organization_id, flat("water", "cold_water", "m3", "3"))
        account = estate.open_account(session, room, "张三")
        power = estate.add_purse(session, account, "electricity")
        water = estate.add_purse(session, account, "water")
        points = [
            estate.add_point(
                session,
                room=room,
                gateway=gateway,
                purse=purse,
                name=f"0301 {word}",
                commodity=commodity,
                meter=meter(f"{name}-{word}", address),
                tariff_code=tariff,
                policy=Policy(),
            )
            for purse, word, commodity, address, tariff in (
                (power, "电", "electricity", "000000000301", "power"),
                (water, "水", "cold_water", "000000000302", "water"),
            )
        ]
        return Estate(
            organization_id=organization_id,
            user_id=user.id,
            site_id=site.id,
            room_id=room.id,
            account_id=account.id,
            gateway_id=gateway.id,
            gateway_no=gateway.gateway_no,
            down_log=gateway.down_log,
            electricity_purse=power.id,
            water_purse=water.id,
            electricity=points[0].id,
            water=points[1].id,
        )


def enrol(database: Database, organization_id: UUID, gateway_id: UUID) -> None:
    """The gateway has credentials, and so the key of offline codes."""
    with database.system() as session:
        session.add(
            tables.GatewayCredential(
                organization_id=organization_id,
                gateway_id=gateway_id,
                number=1,
                public_key="k",
                password_hash="h",
                issued_at=NOON,
                expires_at=NOON + timedelta(days=365),
            )
        )


@dataclass(frozen=True, slots=True)
class Built:
    """A migrated database that holds the estate `home`, to be copied."""

    name: str
    home: Estate


@pytest.fixture(scope="session")
def built(postgres: Postgres, databases: Databases, migrated: str) -> Built:
    name = "built"
    databases.copy(migrated, name)
    database = Database(postgres.dsn(name), connections=1)
    home = build_estate(database, "home")
    database.close()
    return Built(name, home)


@pytest.fixture
def url(databases: Databases, built: Built) -> Iterator[str]:
    """A database with the estate `home`, as the cloud's own role sees it."""
    with databases.lend(built.name) as url:
        yield url


@pytest.fixture
def all_seeing(postgres: Postgres, url: str) -> str:
    """The same database, as a superuser sees it: row-level security does not bind."""
    return postgres.admin_dsn.rpartition("/")[0] + "/" + url.rpartition("/")[2]


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def home(built: Built) -> Estate:
    """The estate that every test's database holds."""
    return built.home


@pytest.fixture
def build(database: Database) -> Callable[[str], Estate]:
    """Builds the estate of another organization, its names made from the given one."""
    return lambda name: build_estate(database, name)


class FakeChannel:
    """A channel that keeps its orders in memory, and can be away."""

    name = "sandbox"
    ways = frozenset(Way)
    acknowledged = ("text/plain", "taken")

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.meanwhile = meanwhile  # what happens while it is asked
        self.is_away = False
        self.asked: list[str] = []
        self.orders: dict[str, Money] = {}
        self.paid: dict[str, Payment] = {}
        self.closed: list[str] = []
        self.has_seen_orders = True  # else closing one changes nothing yet
        self.refunds: dict[str, Refund] = {}
        self.refunds_are = RefundState.DONE  # from the first question on

    def order(
        self,
        *,
        out_trade_no: str,
        amount: Money,
        description: str,
        return_url: str,
        way: Way,
        payer: Payer,
    ) -> Order:
        self.meanwhile()
        if self.is_away:
            raise ChannelAway
        if self.orders.setdefault(out_trade_no, amount) != amount:
            raise ChannelRefused(reason="another amount")
        return Order(f"http://pay.test/pay/{out_trade_no}", NOON + timedelta(hours=2))

    def payment(self, out_trade_no: str) -> Payment | None:
        self.meanwhile()
        self.asked.append(out_trade_no)
        if self.is_away:
            raise ChannelAway
        return self.paid.get(out_trade_no)

    def close(self, out_trade_no: str) -> bool:
        if out_trade_no in self.paid:
            raise ChannelRefused(reason="it is paid")
        self.closed.append(out_trade_no)
        return self.has_seen_orders

    def refund(self, refund: Refund) -> Refunded:
        if self.is_away:
            raise ChannelAway
        self.refunds[refund.out_refund_no] = refund
        return Refunded(
            refund.out_refund_no,
            refund.payment.out_trade_no,
            refund.payment.transaction_id,
            refund.amount,
            self.refunds_are,
            self.refunds_are.value.upper(),
            NOON,
        )

    def read_notice(self, headers: object, body: bytes, *, now: datetime) -> Payment:
        raise AssertionError("no notice is read in this test")


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def order(database: Database, channel: FakeChannel, home: Estate) -> Callable[..., Payment]:
    """Orders a top-up for the electricity purse; the payment that would pay it."""

    def order(yuan: str, key: UUID | None = None) -> Payment:
        topup = topups.create(
            database,
            channel,
            organization_id=home.organization_id,
            account_id=home.account_id,
            purse_id=home.electricity_purse,
            amount=Money.yuan(yuan),
            idempotency_key=key or uuid.uuid4(),
            page_url="http://cloud.test/t/x/topups",
        )
        return Payment(topup.out_trade_no, f"T{topup.out_trade_no[:20]}", Money.yuan(yuan), NOON)

    return order


def text_of(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.private_bytes_raw()).decode()


@dataclass(frozen=True, slots=True)
class Keys:
    cloud: Ed25519PrivateKey
    merchant: Ed25519PrivateKey
    channel: Ed25519PrivateKey


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(*(Ed25519PrivateKey.generate() for _ in range(3)))


@pytest.fixture
def settings_file(tmp_path: Path, keys: Keys) -> Path:
    """A whole cloud.toml with its secrets, for a database and a broker that are not there."""
    return write_settings(tmp_path, keys)


def write_settings(folder: Path, keys: Keys) -> Path:
    secrets = folder / "secrets"
    secrets.mkdir()
    for name, value in {
        "database_url": "postgresql://wattwell:x@127.0.0.1:1/wattwell",
        "nats_url": "nats://cloud:x@127.0.0.1:1",
        "session_secret": "s" * 43,
        "code_secret": "c" * 43,
        "signing_key": text_of(keys.cloud),
        "sandbox_merchant_key": text_of(keys.merchant),
    }.items():
        (secrets / name).write_text(value)
    path = folder / "cloud.toml"
    public = base64.b64encode(keys.channel.public_key().public_bytes_raw()).decode()
    path.write_text(
        'listen = "127.0.0.1:8080"\n'
        'public_url = "http://cloud.test"\n'
        'sandbox_url = "http://127.0.0.1:1"\n'
        'brokers = ["mqtt://127.0.0.1:1"]\n'
        f'sandbox_channel_key = "{public}"\n'
    )
    return path


@pytest.fixture
def settings(settings_file: Path, url: str) -> Settings:
    (settings_file.parent / "secrets" / "database_url").write_text(url)
    return Settings.load(settings_file)


@dataclass(frozen=True, slots=True)
class Office:
    """An installation that the tests of a module share, as they leave it as it was: the estate `home` in a
    database, and a client of its web program."""

    home: Estate
    database: Database
    settings: Settings
    web: TestClient


@pytest.fixture(scope="module")
def office(
    databases: Databases, built: Built, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    path = write_settings(tmp_path_factory.mktemp("office"), keys)
    with databases.lend(built.name) as url:
        (path.parent / "secrets" / "database_url").write_text(url)
        settings = Settings.load(path)
        database = Database(url, connections=4)
        with TestClient(create_app(settings), follow_redirects=False) as web:
            yield Office(built.home, database, settings, web)
        database.close()


@pytest.fixture
def web(settings: Settings, home: Estate) -> Iterator[TestClient]:
    """A client of the web program, which serves the estate `home`."""
    with TestClient(create_app(settings), follow_redirects=False) as client:
        yield client

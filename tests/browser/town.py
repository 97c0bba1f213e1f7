"""A small town for the page tests: the cloud's web program, the sandbox channel, and a gateway played by the test."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from sqlmodel import select

from cloud import auth, tables
from cloud.app import create_app
from cloud.db import Database
from cloud.services import estate, topups, uplog
from cloud.settings import Settings
from cloud.tables import TopUp
from prepaid import ledger
from prepaid.ledger import Reason, Transfer
from prepaid.money import Money
from prepaid.point import Meter, Policy
from prepaid.rating import Position, Running
from prepaid.reading import Reading, Supply
from prepaid.supply import Why
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import Charged, Read, SupplyChanged, Up, write_up
from simulators import channel
from tests.serving import listening, serve, url_of

LOGIN, PASSWORD = "manager", "correct horse battery"


@dataclass(frozen=True, slots=True)
class House:
    """A room of the town with an account, an electricity and a water point."""

    name: str
    room_id: UUID
    account_id: UUID
    url: str
    power: UUID
    water: UUID
    power_purse: UUID
    water_purse: UUID


@dataclass(slots=True)
class Town:
    url: str
    settings: Settings
    app: FastAPI
    database: Database
    organization_id: UUID
    building: tables.Building
    gateway: tables.Gateway
    log: UUID = field(default_factory=uuid4)
    seq: int = 0
    houses: int = 0

    def house(self, holder: str = "张三", policy: Policy | None = None) -> House:
        """Another room: its electricity is cut, its water on with ¥36.20 (3620 fen)."""
        self.houses += 1
        name = f"{self.houses // 4 + 1:02}{self.houses % 4 + 1:02}"
        with self.database.organization(self.organization_id) as session:
            room = estate.add_room(session, self.building, name, self.houses // 4 + 1)
            account = estate.open_account(session, room, holder)
            made: dict[str, tuple[UUID, UUID]] = {}
            for number, (commodity, purpose, word) in enumerate(
                (("electricity", "electricity", "电"), ("cold_water", "water", "水"))
            ):
                purse = estate.add_purse(session, account, purpose)  # type: ignore[arg-type]
                meter_no = f"{self.houses:010}{number:02}"
                point = estate.add_point(
                    session,
                    room=room,
                    gateway=session.get_one(tables.Gateway, self.gateway.id),
                    purse=purse,
                    name=f"{name} {word}",
                    commodity=commodity,
                    meter=Meter(
                        meter_no, "dlt645-2007", "L1", meter_no, 6, Decimal("0.01"), Decimal(60)
                    ),
                    tariff_code=purpose,
                    policy=policy or Policy(),
                )
                made[commodity] = (point.id, purse.id)
        house = House(
            name=name,
            room_id=room.id,
            account_id=account.id,
            url=f"{self.url}/t/{auth.tenant_token(self.settings, account.id)}",
            power=made["electricity"][0],
            power_purse=made["electricity"][1],
            water=made["cold_water"][0],
            water_purse=made["cold_water"][1],
        )
        self.say(
            reading(house.power, "1234.56"),
            reading(house.water, "45.60"),
            supply(house.power, Supply.OFF, wanted=Supply.OFF, why=Why.NO_CREDIT),
            supply(house.water, Supply.ON, wanted=Supply.ON, why=Why.CREDIT),
        )
        return house

    def say(self, *messages: Up, delivered: bool = False) -> None:
        """The gateway sends messages; delivered: it has also taken all that the cloud sent it."""
        entries = []
        for message in messages:
            self.seq += 1
            entries.append(Entry(self.log, self.seq, write_up(message)))
        with self.database.system() as session:
            gateway = uplog.gateway_of(session, self.gateway.gateway_no)
            assert gateway is not None
            has = Cursor(gateway.down_log, gateway.down_seq) if delivered else None
            uplog.receive(session, gateway, Envelope(tuple(entries), has), now=datetime.now(UTC))

    def pay_cash(self, house: House, yuan: str) -> UUID:
        """Cash for a house's electricity, taken at the counter; the top-up."""
        with self.database.organization(self.organization_id) as session:
            user = session.exec(select(tables.User)).first()
            assert user is not None
            return topups.record_cash(
                session,
                purse_id=house.power_purse,
                amount=Money.yuan(yuan),
                by=auth.SignedIn(user.id, self.organization_id, user.login, user.name),
                idempotency_key=uuid4(),
            ).id

    def gateway_was_enrolled(self) -> None:
        """So that it can check codes."""
        with self.database.system() as session:
            session.add(
                tables.GatewayCredential(
                    organization_id=self.organization_id,
                    gateway_id=self.gateway.id,
                    number=1,
                    public_key="k",
                    password_hash="h",
                    issued_at=datetime.now(UTC),
                    expires_at=datetime.now(UTC) + timedelta(days=365),
                )
            )

    def gateway_was_heard(self, ago: timedelta) -> None:
        with self.database.system() as session:
            session.get_one(tables.Gateway, self.gateway.id).heard_at = datetime.now(UTC) - ago

    def was_credited_earlier(self, house: House, *, by: timedelta) -> None:
        """Time passes for the top-ups of a house's electricity that have been credited."""
        with self.database.system() as session:
            topups = session.exec(select(TopUp).where(TopUp.purse_id == house.power_purse))
            for topup in topups:
                assert topup.credited_at is not None
                topup.credited_at -= by
                session.add(topup)


def reading(point: UUID, total: str) -> Read:
    return Read(point, _reading(total))


def supply(point: UUID, seen: Supply, *, wanted: Supply, why: Why) -> SupplyChanged:
    return SupplyChanged(point, datetime.now(UTC), seen, wanted, why, None)


def charge(point: UUID, purse: UUID, yuan: str, total: str) -> Charged:
    now = datetime.now(UTC)
    amount = Money.yuan(yuan)
    position = Position(
        _reading(total),
        (Running("energy", amount.in_yuan(), amount),),
        counted=(),
        fees_until=now,
        opened_at=now,
        number=1,
    )
    moved = Transfer(
        ledger.prepaid(purse), ledger.income("energy"), amount, Reason.CHARGE, str(uuid4()), now
    )
    return Charged(point, position, (moved,))


def _reading(total: str) -> Reading:
    return Reading("meter", datetime.now(UTC), Decimal(total), None)


@contextmanager
def open_town(
    database_url: str, folder: Path, further: Mapping[str, object] | None = None
) -> Iterator[Town]:
    """The town's programs on free ports of 127.0.0.1, until the block ends, with a database that is migrated and
    empty. further: settings beside the usual."""
    database = Database(database_url)
    merchant, payer = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    cloud_socket, channel_socket = listening(), listening()
    url, channel_url = url_of(cloud_socket), url_of(channel_socket)
    settings = Settings(
        database_url=database_url,
        nats_url="nats://cloud:x@127.0.0.1:1",
        listen=url.removeprefix("http://"),
        public_url=url,
        session_secret="s" * 43,
        code_secret="c" * 43,
        brokers=("mqtt://127.0.0.1:1",),
        signing_key=Ed25519PrivateKey.generate(),
        sandbox_url=channel_url,
        sandbox_merchant_key=merchant,
        sandbox_channel_key=payer.public_key(),
    ).model_copy(update=dict(further or {}))
    company = channel.create_app(_channel(folder, channel_url, payer, merchant))
    app = create_app(settings)
    with serve(company, channel_socket), serve(app, cloud_socket):
        yield _built(Town, url, settings, app, database)
        app.state.events.close()
    database.close()


def _built(
    town: type[Town], url: str, settings: Settings, app: FastAPI, database: Database
) -> Town:
    with database.system() as session:
        organization = estate.add_organization(session, "阳光物业")
        estate.add_user(session, organization.id, LOGIN, PASSWORD, "王经理")
        site = estate.add_site(session, organization.id, "阳光公寓")
        building = estate.add_building(session, site, "1 号楼")
        gateway = estate.add_gateway(session, site, "GW-TOWN")
        for code, commodity, unit in (
            ("electricity", "electricity", "kWh"),
            ("water", "cold_water", "m3"),
        ):
            estate.publish_tariff(session, organization.id, _flat(code, commodity, unit))
    return town(url, settings, app, database, organization.id, building, gateway)


def _flat(code: str, commodity: str, unit: str) -> dict[str, object]:
    component = {"item": "energy", "kind": "rate", "price": "0.50"}
    return {
        "code": code,
        "commodity": commodity,
        "unit": unit,
        "currency": "CNY",
        "timezone": "Asia/Shanghai",
        "versions": [{"effective_from": "2026-01-01T00:00:00+08:00", "components": [component]}],
    }


def _channel(
    folder: Path, url: str, key: Ed25519PrivateKey, merchant: Ed25519PrivateKey
) -> channel.Settings:
    (folder / "signing_key").write_text(base64.b64encode(key.private_bytes_raw()).decode())
    public = base64.b64encode(merchant.public_key().public_bytes_raw()).decode()
    path = folder / "channel.toml"
    path.write_text(
        f'listen = "{url.removeprefix("http://")}"\npublic_url = "{url}"\n'
        'database = "channel.sqlite"\nsigning_key_file = "signing_key"\n'
        f'[merchant]\nname = "wattwell"\ntitle = "阳光物业"\npublic_key = "{public}"\n'
    )
    return channel.Settings.load(path)

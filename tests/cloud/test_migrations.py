"""What is kept as JSON is brought to the shape that this version's programs read."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from pydantic import TypeAdapter
from sqlalchemy import Connection, create_engine, text

from cloud.db import connect_args, migrate
from prepaid.money import Money
from prepaid.point import Policy
from prepaid.rating import Position
from prepaid.wire.downlog import Credited, PointSet, read_down

pytestmark = pytest.mark.processes

POSITION = {
    "reading": {"meter_no": "M1", "at": "2026-11-21T10:00:00Z", "total": "102.50", "supply": "on"},
    "running": [{"item": "energy", "usage": "2.50", "cost": "1.2500", "posted": {"fen": 125}}],
    "opened_at": "2026-11-21T09:00:00Z",
    "number": 3,
}
POLICY = {
    "alarm_at": {"fen": 200},
    "cut_at": {"fen": 0},
    "restore": "direct",
    "is_protected": False,
}
METER = {
    "meter_no": "M1",
    "protocol": "dlt645-2007",
    "line": "L1",
    "address": "1",
    "digits": 6,
    "step": "0.01",
    "max_per_hour": "60",
}


def upgrade(connection: Connection, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", "cloud:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)


FILL = (
    "SELECT set_config('wattwell.system', 'on', true)",
    "INSERT INTO organizations VALUES (:id, 'o', now())",
    "INSERT INTO sites VALUES (:id, :id, now(), 's', 'Asia/Shanghai')",
    "INSERT INTO buildings VALUES (:id, :id, now(), :id, 'b')",
    "INSERT INTO rooms VALUES (:id, :id, now(), :id, 'r', 1)",
    "INSERT INTO accounts VALUES (:id, :id, now(), 'h')",
    "INSERT INTO gateways (organization_id, id, created_at, site_id, gateway_no, password_hash, down_log,"
    " up_seq, down_seq, down_acked, down_sent_seq) VALUES (:id, :id, now(), :id, 'G', 'x', :id, 0, 1, 0, 0)",
    "INSERT INTO tariffs VALUES (:id, :id, now(), 't', 'electricity', 'kWh', '{}')",
    "INSERT INTO purses (organization_id, id, created_at, account_id, purpose)"
    " VALUES (:id, :id, now(), :id, 'electricity')",
    "INSERT INTO points (organization_id, id, created_at, room_id, gateway_id, purse_id, tariff_id, name,"
    " commodity, meter_no, line, address, meter, policy) VALUES (:id, :id, now(), :id, :id, :id, :id, 'p',"
    " 'electricity', 'M1', 'L1', '1', CAST(:meter AS jsonb), CAST(:policy AS jsonb))",
    "INSERT INTO point_states (organization_id, point_id, position)"
    " VALUES (:id, :id, CAST(:position AS jsonb))",
    "INSERT INTO down_entries VALUES (:id, :id, 1, :body, now())",
)


def test_positions_policies_and_points_to_be_sent_again_can_be_read_after_an_upgrade(database_url):
    id = uuid4()
    point = {"id": str(id), "name": "p", "meter": METER, "tariff": "t", "purse": str(id)}
    body = json.dumps({"point": {**point, "policy": POLICY}, "kind": "point-set"})
    engine = create_engine("postgresql+psycopg://", connect_args=connect_args(database_url))
    with engine.begin() as connection:
        upgrade(connection, "0002")
        for statement in FILL:
            names = ("id", "meter", "policy", "position", "body")
            texts = (id, *map(json.dumps, (METER, POLICY, POSITION)), body)
            given = dict(zip(names, texts, strict=True))
            used = {name: value for name, value in given.items() if f":{name}" in statement}
            connection.execute(text(statement), used)

    migrate(database_url)

    with engine.begin() as connection:
        connection.execute(text(FILL[0]))
        position = connection.execute(text("SELECT position FROM point_states")).scalar_one()
        policy = connection.execute(text("SELECT policy FROM points")).scalar_one()
        sent = connection.execute(text("SELECT body FROM down_entries")).scalar_one()
    engine.dispose()
    read = TypeAdapter(Position).validate_python(position)
    assert (read.number, read.running[0].posted, read.counted) == (3, Money(125), ())
    assert read.fees_until == read.reading.at
    # The first alarm came at 2.00: the final one cannot come at 3.00 before it.
    assert TypeAdapter(Policy).validate_python(policy).final_alarm_at == Money.yuan("2.00")
    message = read_down(sent)
    assert isinstance(message, PointSet)
    assert message.point.policy.final_alarm_at == Money.yuan("2.00")


CREDITS_0006 = (
    "UPDATE gateways SET down_seq = 4",
    "UPDATE purses SET gateway_id = :id",
    "INSERT INTO purses (organization_id, id, created_at, account_id, purpose)"
    " VALUES (:id, :other, now(), :id, 'water')",
    # Booked in the order 1, 2, 3, of which 2 was paid first but sent second; 4 is of a purse without gateway.
    *(
        "INSERT INTO transfers VALUES (:id, gen_random_uuid(), 'Assets:Clearing:cash',"
        f" 'Liabilities:Prepaid:' || {purse}, {n}00, 'top-up', 'cash:{n}', now(),"
        f" now() + interval '{n} seconds')"
        for n, purse in ((1, ":id"), (2, ":id"), (3, ":id"), (4, ":other"))
    ),
    "INSERT INTO transfers VALUES (:id, gen_random_uuid(), 'Liabilities:Prepaid:' || :id, 'Income:energy', 5,"
    " 'charge', 'c', now(), now())",
    *(
        "INSERT INTO down_entries VALUES (:id, :id, "
        f'{seq}, \'{{"kind": "credited", "transfer": {{"reason": "top-up", "cause": "cash:{n}",'
        f' "amount": {{"fen": {n}00}}, "debit": "Assets:Clearing:cash", "at": "2026-03-02T12:00:00Z",'
        ' "credit": "Liabilities:Prepaid:\' || :id || \'"}}\', now())'
        for seq, n in ((2, 2), (3, 1), (4, 3))
    ),
    *(
        "INSERT INTO topups (organization_id, id, created_at, purse_id, amount_fen, channel, idempotency_key,"
        f" out_trade_no, transaction_id) VALUES (:id, gen_random_uuid(), now(), {purse}, {n}00, 'cash',"
        f" gen_random_uuid(), 'o{n}', '{n}')"
        for n, purse in ((1, ":id"), (2, ":id"), (3, ":id"), (4, ":other"))
    ),
)


def test_what_was_credited_before_is_numbered_in_the_order_in_which_it_went_down(database_url):
    id, other = uuid4(), uuid4()
    engine = create_engine("postgresql+psycopg://", connect_args=connect_args(database_url))
    with engine.begin() as connection:
        upgrade(connection, "0006")
        for statement in (*FILL[:9], *CREDITS_0006):
            written = statement.replace(":other", f"'{other}'").replace(":id", f"'{id}'")
            connection.exec_driver_sql(written)

    migrate(database_url)

    with engine.begin() as connection:
        connection.execute(text(FILL[0]))
        numbers = connection.execute(
            text(
                "SELECT u.transaction_id, u.credit_number, c.number FROM topups u"
                " JOIN transfers t ON t.cause = 'cash:' || u.transaction_id"
                " JOIN credits c ON c.transfer_id = t.id ORDER BY u.transaction_id"
            )
        ).all()
        counted = connection.execute(text("SELECT credits FROM purses ORDER BY purpose")).scalars()
        assert list(counted) == [3, 1]
        bodies = connection.execute(
            text("SELECT body FROM down_entries WHERE seq > 1 ORDER BY seq")
        ).scalars()
        messages = [read_down(body) for body in bodies]
    engine.dispose()
    assert [tuple(row) for row in numbers] == [("1", 2, 2), ("2", 1, 1), ("3", 3, 3), ("4", 1, 1)]
    assert [m.number for m in messages if isinstance(m, Credited)] == [1, 2, 3]

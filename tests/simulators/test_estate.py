"""The demonstration building does what the story needs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from simulators import estate
from simulators.building import Building, load

YUAN_PER_KWH = Decimal("0.56")
PORTS = {"L2": 4001, "L3": 4002}


def seconds_until_zero(plan: estate.ElectricityPlan, *, draw_w: int) -> Decimal:
    kwh_per_s = Decimal(draw_w) / 1000 / 3600 * estate.TIME_SCALE
    return plan.balance.in_yuan() / (kwh_per_s * YUAN_PER_KWH)


def test_the_estate_is_twelve_rooms_on_four_floors():
    assert [room.name for room in estate.ROOMS] == [
        f"{floor}0{door}" for floor in (1, 2, 3, 4) for door in (1, 2, 3)
    ]
    assert {room.floor: room.electricity.line for room in estate.ROOMS} == {
        1: "L1",
        2: "L1",
        3: "L2",
        4: "L2",
    }
    assert sum(room.water is not None for room in estate.ROOMS) >= 6


def test_room_101_runs_to_zero_within_25_to_40_seconds():
    plan = estate.ROOMS[0].electricity

    # 3.50 / 0.56 = 6.25 kWh; at 3.2 kW × 240 29.3 s, at 2.6 kW × 240 36.1 s
    assert seconds_until_zero(plan, draw_w=plan.base_w + plan.varying_w) > 25
    assert seconds_until_zero(plan, draw_w=plan.base_w) < 40


def test_every_other_room_has_light_for_minutes_or_hours():
    lasting = [
        seconds_until_zero(room.electricity, draw_w=room.electricity.base_w)
        for room in estate.ROOMS[1:]
    ]

    assert min(lasting) > 180
    assert max(lasting) > 3 * 3600


def test_the_building_has_every_meter_of_the_estate(tmp_path):
    path = tmp_path / "building.toml"
    path.write_text(estate.building_config(tmp_path, PORTS))

    config = load(path)

    plans = [room.electricity for room in estate.ROOMS]
    pipes = [room.water for room in estate.ROOMS if room.water is not None]
    assert {meter.address for meter in config.meter} == {p.address for p in [*plans, *pipes]}
    assert {line.name: (line.baud, line.tcp) for line in config.line} == {
        "L1": (2400, None),
        "L2": (2400, 4001),
        "L3": (2400, 4002),
    }


def test_a_gateway_finds_each_line_where_the_building_serves_it(tmp_path):
    path = tmp_path / "building.toml"
    path.write_text(estate.building_config(tmp_path, PORTS))

    ports = estate.gateway_ports(tmp_path, PORTS)

    (serial,) = (line.pty for line in load(path).line if line.pty is not None)
    assert ports == {
        "L1": f"serial:{serial},2400,8N1",
        "L2": "tcp:127.0.0.1:4001",
        "L3": "tcp:127.0.0.1:4002",
    }


@pytest.mark.parametrize("room", estate.ROOMS, ids=lambda room: room.name)
def test_no_register_runs_faster_than_its_service_point_allows(room, tmp_path, clock):
    path = tmp_path / "building.toml"
    path.write_text(estate.building_config(tmp_path, PORTS))
    building = Building(load(path), tmp_path, clock)
    before = {meter.address: meter.register.total for meter in building.meters.values()}

    clock.pass_s(600)
    building.save()

    moved = {
        meter.address: Decimal(meter.register.total - before[meter.address]) / 3_600_000_000_000
        for meter in building.meters.values()
    }
    for plan in (room.electricity, room.water):
        if plan is not None:
            # In ten minutes a sixth of an hour's most; twice the use must fit, for jitter between reads.
            assert 0 < 2 * moved[plan.address] < estate.point_meter(plan).max_per_hour / 6
    building.close()

"""The demonstration building: twelve rooms on four floors, who lives there, their meters and balances.

Physics run TIME_SCALE times faster than the clock, so that an evening passes in minutes: at 0.56 yuan a
kWh, room 101 draws 2.6 to 3.2 kW and its 3.50 yuan last about half a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from prepaid import point
from prepaid.money import Money
from simulators.physics import MAINS_V

TIME_SCALE = 240  # a day in six minutes
RESIDENT_PRESSES_AFTER_S = 4
TIMEZONE = "Asia/Shanghai"
BAUD = 2400
SERIAL_LINE = "L1"
TCP_LINES = ("L2", "L3")

PASSWORD_LEVEL = 2
PASSWORD = "000000"  # as these meters leave the factory
OPERATOR = "00000001"
BREAKER_A = 40  # nothing more can pass an electricity meter
MOST_L_PER_H = 600  # with every tap open


@dataclass(frozen=True, slots=True)
class ElectricityPlan:
    """An electricity meter: base_w and varying_w make its load, balance is its purse at the start."""

    line: str
    address: str
    opening: Decimal
    base_w: int
    varying_w: int
    balance: Money


@dataclass(frozen=True, slots=True)
class WaterPlan:
    """A valve-controlled cold water meter: base_l_per_h and varying_l_per_h make its flow."""

    line: str
    address: str
    opening: Decimal
    base_l_per_h: int
    varying_l_per_h: int
    balance: Money
    battery_low: bool = False


@dataclass(frozen=True, slots=True)
class RoomPlan:
    name: str
    floor: int
    holder: str
    electricity: ElectricityPlan
    water: WaterPlan | None


def _room(
    name: str, holder: str, electricity: ElectricityPlan, water: WaterPlan | None = None
) -> RoomPlan:
    return RoomPlan(name, int(name[0]), holder, electricity, water)


def _power(
    line: str, address: str, opening: str, base_w: int, varying_w: int, balance: str
) -> ElectricityPlan:
    return ElectricityPlan(line, address, Decimal(opening), base_w, varying_w, Money.yuan(balance))


def _water(
    address: str, opening: str, base: int, varying: int, balance: str, *, battery_low: bool = False
) -> WaterPlan:
    return WaterPlan(
        "L3", address, Decimal(opening), base, varying, Money.yuan(balance), battery_low
    )


ROOMS: tuple[RoomPlan, ...] = (
    _room(
        "101",
        "陈建国",
        _power("L1", "202310450101", "4823.61", 2600, 600, "3.50"),
        _water("78330023100101", "312.47", 12, 18, "64.00"),
    ),
    _room(
        "102",
        "林晓梅",
        _power("L1", "202310450102", "3170.08", 1000, 400, "38.60"),
        _water("78330023100102", "208.91", 55, 25, "1.80"),
    ),
    _room(
        "103",
        "王志强",
        _power("L1", "202310450103", "6092.75", 380, 160, "126.40"),
        _water("78330023100103", "455.30", 8, 14, "42.50"),
    ),
    _room(
        "201",
        "黄丽华",
        _power("L1", "202310450201", "2751.94", 800, 200, "8.20"),
        _water("78330023100201", "190.06", 15, 20, "27.30"),
    ),
    _room(
        "202",
        "吴伟",
        _power("L1", "202310450202", "9918.37", 1700, 600, "61.75"),
        _water("78330023100202", "601.72", 20, 25, "88.00", battery_low=True),
    ),
    _room(
        "203",
        "赵敏",
        _power("L1", "202310450203", "1204.50", 220, 160, "210.00"),
    ),
    _room(
        "301",
        "周文斌",
        _power("L2", "202310450301", "7346.12", 1300, 600, "24.30"),
        _water("78330023100301", "377.85", 18, 24, "15.60"),
    ),
    _room(
        "302",
        "李秀英",
        _power("L2", "202310450302", "5580.29", 550, 300, "88.15"),
        _water("78330023100302", "266.14", 10, 12, "120.00"),
    ),
    _room(
        "303",
        "张海涛",
        _power("L2", "202310450303", "842.66", 40, 40, "45.00"),
    ),
    _room(
        "401",
        "刘洋",
        _power("L2", "202310450401", "4107.83", 900, 400, "152.90"),
        _water("78330023100401", "143.59", 14, 22, "36.80"),
    ),
    _room(
        "402",
        "杨静",
        _power("L2", "202310450402", "3365.47", 450, 200, "17.45"),
    ),
    _room(
        "403",
        "孙鹏",
        _power("L2", "202310450403", "8029.95", 2000, 800, "320.00"),
    ),
)


def point_meter(plan: ElectricityPlan | WaterPlan) -> point.Meter:
    """The meter as a service point has it. max_per_hour is what can pass it in an hour of the clock."""
    match plan:
        case ElectricityPlan():
            most = Decimal(MAINS_V * BREAKER_A * TIME_SCALE) / 1000
            settings = {
                "level": str(PASSWORD_LEVEL),
                "password": PASSWORD,
                "operator": OPERATOR,
            }
            protocol = "dlt645-2007"
        case WaterPlan():
            most = Decimal(MOST_L_PER_H * TIME_SCALE) / 1000
            settings = {"meter_type": "10"}
            protocol = "cjt188-2004"
    return point.Meter(
        meter_no=plan.address,
        protocol=protocol,
        line=plan.line,
        address=plan.address,
        digits=6,
        step=Decimal("0.01"),
        max_per_hour=most,
        settings=settings,
    )


def gateway_ports(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """By line, the port that a gateway opens. folder holds building.toml; ports are those of TCP_LINES.

    A pseudo-terminal knows no parity, so L1 is opened as 8N1; its timing is that of 8E1.
    """
    serial = {SERIAL_LINE: f"serial:{folder.resolve() / SERIAL_LINE}.tty,{BAUD},8N1"}
    return serial | {name: f"tcp:127.0.0.1:{ports[name]}" for name in TCP_LINES}


def building_config(folder: Path, ports: Mapping[str, int]) -> str:
    """The text of a building.toml whose L1 is served under folder; ports are those of TCP_LINES."""
    head = [
        "# The demonstration building; what each name means stands in docs/bench.md.",
        "seed = 20231045",
        f"time_scale = {TIME_SCALE}",
        f"resident_presses_after_s = {RESIDENT_PRESSES_AFTER_S}",
        f'timezone = "{TIMEZONE}"',
        'state = "state"',
    ]
    serial = _table(
        "line", name=SERIAL_LINE, pty=str(folder.resolve() / f"{SERIAL_LINE}.tty"), **_WIRE
    )
    over_tcp = [_table("line", name=name, tcp=ports[name], **_WIRE) for name in TCP_LINES]
    meters = []
    for room in ROOMS:
        seed = int(room.name)
        meters.append(_electricity_table(room, room.electricity, seed))
        if room.water is not None:
            meters.append(_water_table(room, room.water, seed))
    return "\n".join(["\n".join(head) + "\n", serial, *over_tcp, *meters])


_WIRE: dict[str, object] = {"baud": BAUD, "delay_ms": [20, 60]}


def _electricity_table(room: RoomPlan, plan: ElectricityPlan, seed: int) -> str:
    return _table(
        "meter",
        room=room.name,
        protocol="dlt645-2007",
        line=plan.line,
        address=plan.address,
        opening=str(plan.opening),
        base_w=plan.base_w,
        varying_w=plan.varying_w,
        seed=seed,
        passwords={str(PASSWORD_LEVEL): PASSWORD},
    )


def _water_table(room: RoomPlan, plan: WaterPlan, seed: int) -> str:
    return _table(
        "meter",
        room=room.name,
        protocol="cjt188-2004",
        line=plan.line,
        address=plan.address,
        opening=str(plan.opening),
        base_l_per_h=plan.base_l_per_h,
        varying_l_per_h=plan.varying_l_per_h,
        seed=seed,
        valve_travel_ms=3000,
        battery_low=plan.battery_low,
    )


def _table(kind: str, /, **values: object) -> str:
    return "\n".join([f"[[{kind}]]", *(f"{key} = {_toml(v)}" for key, v in values.items()), ""])


def _toml(value: object) -> str:
    """A TOML value of the few kinds above; none of our texts needs an escape."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict():
            return "{ " + ", ".join(f'"{k}" = {_toml(v)}' for k, v in value.items()) + " }"
        case list():
            return "[" + ", ".join(_toml(v) for v in value) + "]"
        case int():
            return str(value)
        case _:
            raise TypeError(f"{value!r} has no form here")

"""meters.toml: what is on a bench, checked whole. Every mistake is told at once, with its place.

The demonstration's building.toml has the same shape.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from protocols.modbus import profile as profiles
from protocols.modbus.profile import Register, Type
from simulators.faults import NAMES, Faults
from simulators.parameters import from_hex

_STRICT = ConfigDict(extra="forbid")


class BadConfig(Exception):
    """A meters.toml or a state that cannot be used. The text names the file and what to mend."""


Often = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[int, Field(ge=0, le=60_000)]
Seconds = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]
Amount = Annotated[
    Decimal, Field(ge=0, lt=1_000_000, decimal_places=2, allow_inf_nan=False, strict=False)
]
Price = Annotated[
    Decimal, Field(ge=0, lt=10_000, decimal_places=4, allow_inf_nan=False, strict=False)
]
Port = Annotated[int, Field(ge=0, le=65535)]
Tariff = Annotated[int, Field(ge=1, le=63)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Whole = Annotated[int, Field(ge=0)]
Day = Annotated[int, Field(ge=0, le=28)]


@checked(frozen=True, slots=True, config=_STRICT)
class FaultsConfig:
    """How often each fault happens; see `simulators.faults.Faults`."""

    silence: Often = 0.0
    noise: Often = 0.0
    truncation: Often = 0.0
    echo: Often = 0.0
    late: Often = 0.0
    babbling: Often = 0.0
    two_on_one_address: Often = 0.0
    stuck_relay: Often = 0.0
    half_open_valve: Often = 0.0
    wrong_password: Often = 0.0
    reset_register: Often = 0.0
    rollover: Often = 0.0
    stuck_register: Often = 0.0
    open_tap: Often = 0.0

    def faults(self) -> Faults:
        return Faults(**asdict(self))


@checked(frozen=True, slots=True, config=_STRICT)
class LineConfig:
    """One line: pty is the path of its device, tcp its port on 127.0.0.1 as of a serial server; modbus_tcp
    the port of a Modbus TCP gateway, which has no baud. One of the three."""

    name: Name
    pty: Path | None = None
    tcp: Port | None = None
    modbus_tcp: Port | None = None
    baud: Literal[600, 1200, 2400, 4800, 9600, 19200] = 2400
    delay_ms: tuple[Milliseconds, Milliseconds] = (20, 60)
    faults: FaultsConfig = field(default_factory=FaultsConfig)


@checked(frozen=True, slots=True, config=_STRICT)
class HappeningConfig:
    """after_s seconds of the bench's clock from its first start; lasts_s is nothing for the button."""

    what: Literal["power-off", "cover-open", "terminal-cover-open", "programming-key", "button"]
    after_s: Seconds
    lasts_s: Seconds = 0


@checked(frozen=True, slots=True, config=_STRICT)
class PurseConfig:
    """What a prepaid electricity meter starts with: yuan, or kWh where it sells energy.

    Below alarm_1 it warns; below alarm_2 it trips once and may be closed with the button; when balance
    and overdraft are used up it trips for good. prices are of the tariffs 1, 2, ... in yuan for 1 kWh.
    """

    sells: Literal["money", "energy"]
    balance: Amount
    alarm_1: Amount = Decimal(0)
    alarm_2: Amount = Decimal(0)
    overdraft: Amount = Decimal(0)
    hoarding: Amount = Decimal(0)
    close_permit: Amount = Decimal(0)
    prices: tuple[Price, ...] = ()
    account_open: bool = True


Drift = Annotated[float, Field(ge=-86_400, le=86_400)]


@checked(frozen=True, slots=True, config=_STRICT)
class ElectricityConfig:
    """base_w and varying_w make the load; passwords are 6 digits by permission level.

    periods is the tariff by the time of day from which it holds. parameters are by identifier, as
    printed (highest digit first). The clock is clock_error_s ahead at the start and gains drift_s_per_day.
    """

    protocol: Literal["dlt645-2007", "dlt645-1997"]
    line: str
    address: Annotated[str, Field(pattern=r"^\d{12}$")]
    room: Name = "-"
    opening: Amount = Decimal(0)
    base_w: Whole = 500
    varying_w: Whole = 1000
    seed: int = 1
    passwords: dict[
        Annotated[str, Field(pattern=r"^\d$")], Annotated[str, Field(pattern=r"^\d{6}$")]
    ] = field(default_factory=lambda: {"2": "000000", "4": "000000"})
    phases: Literal[1, 3] = 1
    tariffs: Tariff = 4
    periods: dict[TimeOfDay, Tariff] = field(default_factory=lambda: {"00:00": 1})
    relay_travel_ms: Annotated[int, Field(ge=0, le=120_000)] = 0
    answers_with_word: bool = False
    programming_key: bool = False
    lockout_after: Whole = 0
    purse: PurseConfig | None = None
    parameters: dict[
        Annotated[str, Field(pattern=r"^04[0-9A-F]{6}$")],
        Annotated[str, Field(pattern=r"^([0-9A-F]{2})+$")],
    ] = field(default_factory=dict)
    clock_error_s: Annotated[int, Field(ge=-86_400_000, le=86_400_000)] = 0
    drift_s_per_day: Drift = 0.0
    battery_days: Whole | None = None
    happens: tuple[HappeningConfig, ...] = ()
    faults: FaultsConfig = field(default_factory=FaultsConfig)
    faults_after_s: Seconds = 0


@checked(frozen=True, slots=True, config=_STRICT)
class WaterPurseConfig:
    """A prepaid water meter: up to three prices in yuan for 1 m3, and the whole m3 at which the second and
    third begin."""

    balance: Amount
    prices: Annotated[tuple[Amount, ...], Field(min_length=1, max_length=3)]
    steps_m3: Annotated[tuple[Whole, ...], Field(max_length=2)] = ()


@checked(frozen=True, slots=True, config=_STRICT)
class WaterConfig:
    """base_l_per_h and varying_l_per_h make the flow; the valve takes valve_travel_ms. type is T of
    CJ/T 188 in hexadecimal: water 10 to 19, gas 30."""

    protocol: Literal["cjt188-2004"]
    line: str
    address: Annotated[str, Field(pattern=r"^\d{14}$")]
    room: Name = "-"
    type: Annotated[str, Field(pattern=r"^(1\d|30)$")] = "10"
    opening: Amount = Decimal(0)
    base_l_per_h: Whole = 10
    varying_l_per_h: Whole = 20
    seed: int = 1
    valve_travel_ms: Annotated[int, Field(ge=0, le=120_000)] = 15_000
    battery_low: bool = False
    battery_days: Whole | None = None
    settlement_day: Annotated[int, Field(ge=1, le=28)] = 1
    exercise_day: Day = 0
    purse: WaterPurseConfig | None = None
    clock_error_s: Annotated[int, Field(ge=-86_400_000, le=86_400_000)] = 0
    drift_s_per_day: Drift = 0.0
    faults: FaultsConfig = field(default_factory=FaultsConfig)
    faults_after_s: Seconds = 0


@checked(frozen=True, slots=True, config=_STRICT)
class ModbusConfig:
    """A meter whose registers a profile of protocols/modbus/profiles lays out. base and varying are watts,
    or litres an hour of a water meter; values are what stands in registers instead of what is measured for them.
    periods is the rate number by the time of day from which it holds; with fills_gaps it answers 0 for addresses
    between those of the profile."""

    protocol: Literal["modbus-rtu", "modbus-tcp"]
    line: str
    address: Annotated[str, Field(pattern=r"^\d{1,3}$")]
    profile: str
    room: Name = "-"
    opening: Amount = Decimal(0)
    base: Whole = 500
    varying: Whole = 1000
    seed: int = 1
    travel_ms: Annotated[int, Field(ge=0, le=120_000)] = 0
    battery_days: Whole | None = None
    values: dict[str, int] = field(default_factory=dict)
    periods: dict[TimeOfDay, Tariff] = field(default_factory=dict)
    fills_gaps: bool = False
    faults: FaultsConfig = field(default_factory=FaultsConfig)
    faults_after_s: Seconds = 0


AnyMeterConfig = ElectricityConfig | WaterConfig | ModbusConfig
MeterConfig = Annotated[AnyMeterConfig, Field(discriminator="protocol")]


@checked(frozen=True, slots=True, config=_STRICT)
class Config:
    """meters.toml, checked whole. Paths in it are relative to its folder.

    time_scale seconds of physics (consumption, drift, battery) pass in one second; state is the file that
    keeps the meters when the program ends, left out where they begin anew each time;
    resident_presses_after_s is how long after allow-close somebody presses the button, left out where
    nobody does.
    """

    line: tuple[LineConfig, ...]
    meter: tuple[AnyMeterConfig, ...]
    seed: int = 1
    time_scale: Annotated[int, Field(ge=1, le=86_400)] = 1
    timezone: str = "Asia/Shanghai"
    state: Path | None = None
    resident_presses_after_s: Annotated[int, Field(ge=0)] | None = None


_LINE = TypeAdapter(LineConfig)
_METER: TypeAdapter[AnyMeterConfig] = TypeAdapter(MeterConfig)
_WHOLE = TypeAdapter(Config)

FORMS = {
    "address": "12 digits for DL/T 645, 14 for CJ/T 188, a unit from 1 to 247 for Modbus, in quotes",
    "opening": "an amount in quotes with two decimals, below 1000000",
    "baud": "600, 1200, 2400, 4800, 9600 or 19200",
    "delay_ms": "the least and the most response delay, as [20, 60]",
    "passwords": '6 digits by permission level, as { "2" = "000000" }',
    "parameters": 'digits by identifier, highest first, as { "04000103" = "15" }',
    "periods": 'tariff by time, as { "00:00" = 2, "08:00" = 1 }',
    "faults": f"how often from 0 to 1, of {', '.join(NAMES)}",
    "time_scale": "a whole number from 1 to 86400",
}
"""What a key must be, where the checker's own words do not say it."""


WORDS = {
    "unexpected_keyword_argument": "there is no such key",
    "missing": "is missing",
    "missing_argument": "is missing",
    "dataclass_type": "a table is wanted, as [[line]] or [[meter]] begin one",
    "model_attributes_type": "a table is wanted, as [[line]] or [[meter]] begin one",
}
"""What the checker says in words of Python."""


def load(path: Path) -> Config:
    """Raises BadConfig with one line for each thing to mend."""
    try:
        text = path.read_text()
        entries = tomllib.loads(text)
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not TOML: {error}") from error
    config, faults = _checked(entries, text)
    if config is None or faults:
        raise BadConfig("\n".join(f"{path}{fault}" for fault in dict.fromkeys(faults)))
    return config


def _checked(entries: dict[str, Any], text: str) -> tuple[Config | None, list[str]]:
    """The whole, if it has a form; and what is wrong, each with its place in the file."""
    faults: list[str] = []
    kept: dict[str, list[Any]] = {"line": [], "meter": []}
    adapters: tuple[tuple[str, TypeAdapter[Any]], ...] = (("line", _LINE), ("meter", _METER))
    for kind, adapter in adapters:
        rows = entries.pop(kind, [])
        if not isinstance(rows, list) or not rows:
            faults.append(f": there must be a [[{kind}]] at least")
            continue
        for row, number in zip(rows, _headers(text, kind, len(rows)), strict=True):
            called = _name(row)
            try:
                kept[kind].append((adapter.validate_python(row), f"{number}: {kind} {called}"))
            except ValidationError as error:
                faults += [f"{number}: {kind} {called}: {one}" for one in _told(error)]
    names = [row.get("name") for row in _rows(text, "line")]
    try:
        head = _WHOLE.validate_python({**entries, "line": (), "meter": ()})
    except ValidationError as error:
        return None, [*(f": {one}" for one in _told(error)), *faults, *_contradictions(kept, names)]
    try:
        ZoneInfo(head.timezone)
    except (ValueError, OSError, KeyError):
        faults.append(f": timezone: there is no {head.timezone}")
    faults += _contradictions(kept, names)
    lines, meters = (tuple(one for one, _ in kept[kind]) for kind in ("line", "meter"))
    config = Config(
        line=lines,
        meter=meters,
        seed=head.seed,
        time_scale=head.time_scale,
        timezone=head.timezone,
        state=head.state,
        resident_presses_after_s=head.resident_presses_after_s,
    )
    return config, faults


def _rows(text: str, kind: str) -> list[dict[str, Any]]:
    rows = tomllib.loads(text).get(kind, [])
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _headers(text: str, kind: str, count: int) -> list[str]:
    """Where each [[kind]] stands, as ":12"; nothing where they are written otherwise."""
    found = [
        f":{number}"
        for number, line in enumerate(text.splitlines(), start=1)
        if line.partition("#")[0].strip() == f"[[{kind}]]"
    ]
    return found if len(found) == count else [""] * count


def _name(row: object) -> str:
    if not isinstance(row, Mapping):
        return "?"
    return str(row.get("name") or row.get("address") or "without address")


def _told(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        places = [str(part) for part in fault["loc"] if part not in PROTOCOLS]
        form = next((FORMS[place] for place in places if place in FORMS), None)
        said = WORDS.get(fault["type"], fault["msg"])
        said = said if form is None else f"{said} (it is {form})"
        if fault["type"] == "union_tag_invalid":
            said = f"must be one of {', '.join(PROTOCOLS)}"
            places = ["protocol"]
        if fault["type"] == "union_tag_not_found":
            said, places = f"is missing: one of {', '.join(PROTOCOLS)}", ["protocol"]
        yield f"{'.'.join(places)}: {said}" if places else said


PROTOCOLS = ("dlt645-2007", "dlt645-1997", "cjt188-2004", "modbus-rtu", "modbus-tcp")


def _contradictions(kept: Mapping[str, list[Any]], names: list[object]) -> list[str]:
    faults = []
    lines: dict[str, LineConfig] = {}
    for line, at in kept["line"]:
        if sum(one is not None for one in (line.pty, line.tcp, line.modbus_tcp)) != 1:
            faults.append(f"{at}: give it either pty or tcp, or modbus_tcp")
        if line.delay_ms[0] > line.delay_ms[1]:
            faults.append(f"{at}: delay_ms is the least and the most, in this order")
        if names.count(line.name) > 1:
            faults.append(f"{at}: there are two of this name")
        if line.modbus_tcp is not None:
            for name in ("noise", "echo", "babbling"):
                if getattr(line.faults, name):
                    faults.append(
                        f"{at}: faults.{name}: a connection has none; only a line of wire"
                    )
        lines[line.name] = line
    keys = [key(meter) for meter, _ in kept["meter"]]
    for meter, at in kept["meter"]:
        if meter.line not in names:
            faults.append(f"{at}: there is no line {meter.line}")
        elif meter.line in lines:
            is_tcp = lines[meter.line].modbus_tcp is not None
            if is_tcp != (meter.protocol == "modbus-tcp"):
                faults.append(f"{at}: line {meter.line} is {'' if is_tcp else 'not '}Modbus TCP")
        if keys.count(key(meter)) > 1:
            faults.append(
                f"{at}: there are two of this address; faults = {{ two_on_one_address = 1 }} makes a second"
            )
        faults += [f"{at}: {fault}" for fault in _of_meter(meter)]
    return faults


def key(meter: AnyMeterConfig) -> str:
    """What a meter is kept under: units of Modbus are told apart on their line alone."""
    if isinstance(meter, ModbusConfig):
        return f"{meter.protocol}:{meter.line}:{int(meter.address)}"
    return f"{meter.protocol}:{meter.address}"


def _of_meter(meter: AnyMeterConfig) -> Iterator[str]:
    if meter.faults.reset_register and not meter.faults_after_s:
        yield "faults.reset_register: say when with faults_after_s"
    match meter:
        case ElectricityConfig():
            yield from _of_electricity(meter)
        case WaterConfig():
            steps = meter.purse.steps_m3 if meter.purse else ()
            if meter.purse and len(steps) != len(meter.purse.prices) - 1:
                yield "purse.steps_m3: one less than prices"
            if list(steps) != sorted(set(steps)):
                yield "purse.steps_m3: rising"
        case ModbusConfig():
            yield from _of_modbus(meter)


def _of_electricity(meter: ElectricityConfig) -> Iterator[str]:
    for time, tariff in meter.periods.items():
        if tariff > meter.tariffs:
            yield f"periods.{time}: there are {meter.tariffs} tariffs"
    if len(meter.periods) > 14 or "00:00" not in meter.periods:
        yield "periods: from 00:00 on, 14 at most"
    if meter.purse is not None and len(meter.purse.prices) > meter.tariffs:
        yield f"purse.prices: there are {meter.tariffs} tariffs"
    for name in meter.parameters:
        try:
            from_hex(int(name, 16), meter.parameters[name])
        except ValueError as error:
            yield f"parameters.{name}: {error}"


def _of_modbus(meter: ModbusConfig) -> Iterator[str]:
    if not 1 <= int(meter.address) <= 247:
        yield "address: a unit from 1 to 247"
    if meter.profile not in profiles.names():
        yield f"profile: there is no {meter.profile}; there are {', '.join(profiles.names())}"
        return
    rates = len(profiles.load(meter.profile).bands)
    for time, rate in meter.periods.items():
        if rate > rates:
            yield f"periods.{time}: {meter.profile} counts under {rates} rate numbers"
    if meter.periods and "00:00" not in meter.periods:
        yield "periods: from 00:00 on"
    known = profiles.load(meter.profile).registers
    for name, value in meter.values.items():
        if name not in known:
            yield f"values.{name}: {meter.profile} has no such register"
        elif not _fits(known[name], value):
            yield f"values.{name}: {value} does not fit into a register of {known[name].type.value}"


def _fits(register: Register, value: int) -> bool:
    raw, bits = value / register.scale, 16 * register.count
    match register.type:
        case Type.FLOAT32:
            return abs(value) <= 1 << 24  # whole numbers up to there are exact
        case Type.BCD:
            return 0 <= raw < Decimal(1).scaleb(4 * register.count)
        case Type.S16 | Type.S32:
            return -(1 << bits - 1) <= raw < 1 << bits - 1
        case _:
            return 0 <= raw < 1 << bits

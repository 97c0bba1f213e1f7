"""A register profile in its TOML file: parsed and checked."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Final, Literal, TypeVar

from protocols.modbus import frame as frames
from protocols.modbus import master
from protocols.modbus.layout import (
    Command,
    Condition,
    Example,
    Flow,
    Kind,
    Order,
    Profile,
    Rate,
    Ratio,
    RatioRule,
    Register,
    Serial,
    Switch,
    Type,
)

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


class BadProfile(ValueError):
    """A profile that cannot be used; the message names the file and the key to mend."""


def parse(text: str, *, name: str) -> Profile:
    """The profile in a TOML text. Raises BadProfile, which names the file and the key."""
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadProfile(f"{name}.toml: {error}") from error
    top = _Entries(f"{name}.toml", "", entries)
    rows = [_register(row) for row in top.tables("registers")]
    registers = {row.name: row for row in rows}
    if len(registers) != len(rows):
        raise top.bad("registers", "has a name twice")
    ratio = top.table("ratio")
    profile = Profile(
        name=name,
        vendor=top.take("vendor", str),
        model=top.take("model", str),
        kind=top.choice("kind", Kind),
        phases=top.take("phases", int),
        is_prepaid=top.take("prepaid", bool),
        energy=top.many("energy", str),
        bands=tuple(_rate(row) for row in top.tables("bands")),
        largest_read=top.take("largest_read", int, master.MOST_REGISTERS_READ),
        even_reads=top.take("even_reads", bool, False),
        blocks=tuple(_block(top, block) for block in top.take("blocks", list, [])),
        write_functions=top.many("write_functions", int),
        is_battery_low=_conditions(top, "is_battery_low"),
        ratio_rule=ratio.choice("rule", RatioRule),
        ratio_note=ratio.take("note", str, ""),
        pt=ratio.take("pt", str, None),
        ct=ratio.take("ct", str, None),
        serial=_serial(top.table("serial")),
        switch=_switch(top.table("switch")) if "switch" in entries else None,
        registers=registers,
        sources=top.take("sources", dict),
        notes=top.many("notes", str, ()),
        unknown=top.many("unknown", str, ()),
        examples=tuple(_example(row) for row in top.tables("examples")),
    )
    ratio.finish()
    top.finish()
    _check_names(top, profile)
    return profile


def _check_names(top: "_Entries", profile: Profile) -> None:
    """Every register and source that is named must be there."""
    known = profile.registers
    if not profile.energy:
        raise top.bad("energy", "is empty")
    used = [("energy", name) for name in profile.energy]
    used += [("bands", rate.register) for rate in profile.bands]
    used += [("ratio", name) for name in (profile.pt, profile.ct) if name is not None]
    for register in known.values():
        for other in (register.point, register.prefix):
            if other is not None:
                used.append((f"registers.{register.name}", other))
        for source in register.sources:
            if source not in profile.sources:
                raise top.bad(f"registers.{register.name}", f"names the source {source!r}")
    used += [("is_battery_low", condition.register) for condition in profile.is_battery_low]
    if (switch := profile.switch) is not None:
        for condition in (*switch.is_on, *switch.is_off, *switch.is_abnormal):
            used.append(("switch", condition.register))
        used += [("switch", flow.register) for flow in switch.flows]
    for example in profile.examples:
        used += [("examples", name) for name in example.values]
    for key, name in used:
        if name not in known:
            raise top.bad(key, f"names the register {name!r}, which is not there")


SIZES = {
    Type.U16: 1,
    Type.S16: 1,
    Type.BITS16: 1,
    Type.U32: 2,
    Type.S32: 2,
    Type.FLOAT32: 2,
}


def _register(row: "_Entries") -> Register:
    type_ = row.choice("type", Type)
    register = Register(
        name=row.take("name", str),
        function=row.take("function", int, frames.READ_HOLDING),
        address=row.take("address", int),
        count=row.take("count", int, SIZES.get(type_)),
        type=type_,
        order=row.choice("order", Order, Order.ABCD),
        scale=row.decimal("scale", "1"),
        unit=row.take("unit", str, ""),
        access=row.take("access", str, "r"),
        times=row.many("times", str, ()),
        point=row.take("point", str, None),
        prefix=row.take("prefix", str, None),
        confidence=row.confidence(),
        sources=row.many("sources", str),
        note=row.take("note", str, ""),
    )
    row.finish()
    if register.count != SIZES.get(type_, register.count) or not 1 <= register.count <= 125:
        raise row.bad("count", f"does not fit {type_.value}")
    if not 0 <= register.address <= 0x10000 - register.count:
        raise row.bad("address", "is not within 0 to 65535")
    if register.function not in (frames.READ_HOLDING, frames.READ_INPUT):
        raise row.bad("function", "must be 3 or 4")
    if register.access not in ("r", "w", "rw"):
        raise row.bad("access", "must be r, w or rw")
    if not set(register.times) <= {"pt", "ct"}:
        raise row.bad("times", 'may hold "pt" and "ct"')
    return register


def _rate(row: "_Entries") -> Rate:
    rate = Rate(register=row.take("register", str), band=row.take("band", str, None))
    row.finish()
    return rate


def _block(top: "_Entries", block: object) -> tuple[int, int]:
    match block:
        case [int(start), int(count)]:
            return start, count
    raise top.bad("blocks", "must be pairs [address, count]")


def _serial(table: "_Entries") -> Serial:
    serial = Serial(
        baud=table.take("baud", int),
        bauds=table.many("bauds", int),
        parity=table.take("parity", str),
        stop_bits=table.take("stop_bits", int),
        unit=table.take("unit", int),
        note=table.take("note", str, ""),
    )
    table.finish()
    if serial.baud not in serial.bauds:
        raise table.bad("bauds", "must hold the default")
    if serial.parity not in ("N", "E", "O"):
        raise table.bad("parity", "must be N, E or O")
    return serial


def _switch(table: "_Entries") -> Switch:
    switch = Switch(
        on=_command(table, "on"),
        off=_command(table, "off"),
        automatic=_command(table, "automatic"),
        is_on=_conditions(table, "is_on"),
        is_off=_conditions(table, "is_off"),
        is_measured=table.take("measured", bool),
        is_abnormal=_conditions(table, "is_abnormal"),
        flows=tuple(_flow(row) for row in table.tables("flows")),
        note=table.take("note", str, ""),
    )
    table.finish()
    return switch


def _flow(row: "_Entries") -> Flow:
    flow = Flow(register=row.take("register", str), most=row.decimal("most", "0"))
    row.finish()
    return flow


def _command(table: "_Entries", key: str) -> Command | None:
    if key not in table:
        return None
    row = table.table(key)
    frame = row.take("frame", str, None)
    command = Command(
        function=row.take("function", int),
        address=row.take("address", int),
        values=tuple(_word(row, value) for value in row.take("values", list)),
        frame=None if frame is None else row.hex("frame", frame),
        confidence=row.confidence(),
    )
    row.finish()
    if command.function not in (frames.WRITE_REGISTER, frames.WRITE_REGISTERS):
        raise row.bad("function", "must be 6 or 16")
    return command


def _word(row: "_Entries", value: object) -> int | Literal["key"]:
    match value:
        case "key":
            return "key"
        case int(word) if 0 <= word <= 0xFFFF:
            return word
    raise row.bad("values", 'must be words or "key"')


def _conditions(table: "_Entries", key: str) -> tuple[Condition, ...]:
    found = []
    for row in table.tables(key):
        condition = Condition(
            register=row.take("register", str),
            mask=row.take("mask", int, 0xFFFF),
            value=row.take("value", int),
        )
        row.finish()
        found.append(condition)
    return tuple(found)


def _example(row: "_Entries") -> Example:
    example = Example(
        what=row.take("what", str),
        request=row.hex("request", row.take("request", str)),
        reply=row.hex("reply", row.take("reply", str)),
        ratio=Ratio(row.decimal("pt", "1"), row.decimal("ct", "1")),
        values=row.take("values", dict),
        origin=row.take("origin", str),
    )
    row.finish()
    return example


_REQUIRED: Final = object()


class _Entries:
    """A table of the file: each key is taken once, with its type; what is left over is a mistake."""

    def __init__(self, file: str, path: str, entries: Mapping[str, object]) -> None:
        self._file = file
        self._path = path
        self._left = dict(entries)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def bad(self, key: str, what: str) -> BadProfile:
        return BadProfile(f"{self._file}: {self._path}{key} {what}")

    def take(self, key: str, type_: type[T], default: object = _REQUIRED) -> T:
        value = self._left.pop(key, default)
        if value is _REQUIRED:
            raise self.bad(key, "is missing")
        if value is default:
            return value  # type: ignore[return-value]
        if not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
            raise self.bad(key, f"must be {type_.__name__}")
        return value

    def many(self, key: str, type_: type[T], default: object = _REQUIRED) -> tuple[T, ...]:
        values = tuple(self.take(key, list, default))
        if not all(isinstance(value, type_) for value in values):
            raise self.bad(key, f"must be a list of {type_.__name__}")
        return values

    def decimal(self, key: str, default: str) -> Decimal:
        text = self.take(key, str, default)
        try:
            return Decimal(text)
        except ArithmeticError:
            raise self.bad(key, "must be a decimal in quotes") from None

    def choice(self, key: str, kind: type[E], default: E | None = None) -> E:
        if default is not None and key not in self._left:
            return default
        text = self.take(key, str)
        try:
            return kind(text)
        except ValueError:
            allowed = ", ".join(str(one.value) for one in kind)
            raise self.bad(key, f"must be one of {allowed}") from None

    def confidence(self) -> str:
        text = self.take("confidence", str)
        if text not in ("2+", "1", "inferred"):
            raise self.bad("confidence", "must be 2+, 1 or inferred")
        return text

    def hex(self, key: str, text: str) -> bytes:
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise self.bad(key, "must be bytes in hexadecimal") from None

    def table(self, key: str) -> "_Entries":
        return _Entries(self._file, f"{self._path}{key}.", self.take(key, dict))

    def tables(self, key: str) -> "list[_Entries]":
        rows = self.take(key, list, [])
        if not all(isinstance(row, dict) for row in rows):
            raise self.bad(key, "must be a list of tables")
        return [
            _Entries(self._file, f"{self._path}{key}[{at}].", row) for at, row in enumerate(rows)
        ]

    def finish(self) -> None:
        for key in self._left:
            raise self.bad(key, "is not known")

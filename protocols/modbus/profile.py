"""Register profiles 寄存器档案: what the registers of a real meter mean, as data.

A profile is a TOML file in `protocols/modbus/profiles/`; its comments and notes say what is
confirmed and what inferred. Addresses are those on the wire, from 0.

Values are exact: an integer times a decimal scale. A 32-bit float is taken as the shortest
decimal that has the same 32 bits. It is good for seven digits: a meter that cuts where it should
round sends 0.54499996 for the 0.545 it shows.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from importlib import resources
from struct import pack, unpack
from typing import Final, Literal, TypeAlias, TypeVar

from protocols.exchange import Exchange, Refused, Unexpected
from protocols.modbus import frame as frames
from protocols.modbus import master
from protocols.modbus.frame import Frame

__all__ = [
    "DIRECT",
    "BadProfile",
    "Profile",
    "Ratio",
    "Read",
    "Supply",
    "decode",
    "load",
    "names",
    "parse",
    "plan",
    "read_energy",
    "read_ratio",
    "read_supply",
    "read_values",
    "release",
    "switch",
]

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

Value: TypeAlias = Decimal | str | None
Words: TypeAlias = Mapping[tuple[int, int], int]
"""Registers as read: (function 3 or 4, address) to 0..65535."""

GAP_WORTH_BRIDGING: Final = 10
"""Registers. A second read costs 13 bytes of frame and two silences, together as much line time as
ten registers; what the meter takes to answer comes on top."""


class BadProfile(ValueError):
    """A profile that cannot be used; the message names the file and the key to mend."""


class Supply(Enum):
    """What the meter's relay or valve does for the customer."""

    ON = "on"
    OFF = "off"


class Kind(Enum):
    ELECTRICITY = "electricity"
    DIRECT_CURRENT = "direct-current"
    WATER = "water"


class RatioRule(Enum):
    """Who multiplies by the ratios of the instrument transformers 互感器变比.

    UNCLEAR: the sources contradict each other. Set CT 2 on the bench, compare with the pulses,
    and use either the ratio or DIRECT.
    """

    DIRECT = "direct"
    PRIMARY = "primary"
    SECONDARY = "secondary"
    UNCLEAR = "unclear"


class Type(Enum):
    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    FLOAT32 = "float32"
    BITS16 = "bits16"
    BCD = "bcd"
    BYTES = "bytes"


class Order(Enum):
    """How the four bytes of a 32-bit value lie in two registers; ABCD is high first."""

    ABCD = "ABCD"
    BADC = "BADC"
    CDAB = "CDAB"
    DCBA = "DCBA"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Voltage (PT) and current (CT) ratio, 1 where connected directly."""

    pt: Decimal
    ct: Decimal


DIRECT: Final = Ratio(Decimal(1), Decimal(1))


@dataclass(frozen=True, slots=True)
class Register:
    """One value in one or more registers.

    value = raw × scale, × PT and CT where `times` names them; × 10^(p − 3) with p read from the
    register `point`; × 1000 where the register `prefix` reads 1. `confidence` is "2+" for two
    independent sources or more, "1" for one, "inferred" for none.
    """

    name: str
    function: int
    address: int
    count: int
    type: Type
    order: Order
    scale: Decimal
    unit: str
    access: str
    times: tuple[str, ...]
    point: str | None
    prefix: str | None
    confidence: str
    sources: tuple[str, ...]
    note: str

    @property
    def keys(self) -> tuple[tuple[int, int], ...]:
        """Where its words stand in `Words`."""
        return tuple((self.function, self.address + at) for at in range(self.count))


@dataclass(frozen=True, slots=True)
class Condition:
    """register & mask == value."""

    register: str
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Flow:
    """What flows through the relay or valve: more than `most`, in the register's unit and without the
    ratios, proves that it is open to the customer."""

    register: str
    most: Decimal


@dataclass(frozen=True, slots=True)
class Command:
    """What is written to move the relay or valve. "key" stands for the Fineco key word."""

    function: int
    address: int
    values: tuple[int | Literal["key"], ...]
    frame: bytes | None
    confidence: str


@dataclass(frozen=True, slots=True)
class Switch:
    """The relay or valve. Without conditions the meter cannot say how it stands.

    `is_measured` is whether it reports the contact itself; else it repeats the order, and only
    a current or flow of zero proves it: `flows` are those.
    """

    on: Command | None
    off: Command | None
    automatic: Command | None
    is_on: tuple[Condition, ...]
    is_off: tuple[Condition, ...]
    is_measured: bool
    flows: tuple[Flow, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Serial:
    """The line as the meter leaves the factory."""

    baud: int
    bauds: tuple[int, ...]
    parity: str
    stop_bits: int
    unit: int
    note: str


@dataclass(frozen=True, slots=True)
class Example:
    """A request to unit 1, its reply and what it means. `origin` is "constructed" from the table,
    or "printed" in a document."""

    what: str
    request: bytes
    reply: bytes
    ratio: Ratio
    values: Mapping[str, str]
    origin: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One model of meter. `energy` names the registers to charge by, first choice first."""

    name: str
    vendor: str
    model: str
    kind: Kind
    phases: int
    is_prepaid: bool
    energy: tuple[str, ...]
    largest_read: int
    even_reads: bool
    blocks: tuple[tuple[int, int], ...]
    write_functions: tuple[int, ...]
    ratio_rule: RatioRule
    ratio_note: str
    pt: str | None
    ct: str | None
    serial: Serial
    switch: Switch | None
    registers: Mapping[str, Register]
    sources: Mapping[str, str]
    notes: tuple[str, ...]
    unknown: tuple[str, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One request: function 3 or 4."""

    function: int
    address: int
    count: int


def names() -> tuple[str, ...]:
    """All profiles, sorted."""
    files = resources.files("protocols.modbus.profiles").iterdir()
    return tuple(sorted(file.name[:-5] for file in files if file.name.endswith(".toml")))


@cache
def load(name: str) -> Profile:
    """The profile of that name, for example "acrel_ddsy1352".

    Raises ValueError if there is none, and BadProfile if its file is wrong.
    """
    if name not in names():
        raise ValueError(f"no register profile {name!r}")
    file = resources.files("protocols.modbus.profiles") / f"{name}.toml"
    return parse(file.read_text("utf-8"), name=name)


def plan(profile: Profile, wanted: Collection[str]) -> tuple[Read, ...]:
    """The reads that fetch the wanted registers and those they depend on, in order of address.

    Neighbours are read together, also over a gap that is cheaper to read than to ask around,
    where the gap is registers of the profile or lies in one of its blocks: a meter may refuse a
    read that touches an address it does not know. Values are never cut in two.

    Raises ValueError for a name that is not in the profile or cannot be read.
    """
    reads: list[Read] = []
    for register in sorted(_with_needed(profile, wanted), key=lambda r: (r.function, r.address)):
        last = reads[-1] if reads else None
        merged = last and _merged(profile, last, register)
        if merged:
            reads[-1] = merged
        else:
            reads.append(_rounded(profile, register.function, register.address, register.count))
    return tuple(reads)


def decode(profile: Profile, words: Words, ratio: Ratio) -> dict[str, Value]:
    """The value of every register whose words are there.

    Numbers are Decimals; BCD is its digits, bits and bytes are hexadecimal. None is what cannot
    be read: a float that is no number, digits that are not, or a value whose decimal point or
    prefix is not among the words.
    """
    return {
        register.name: _value(profile, register, words, ratio)
        for register in profile.registers.values()
        if all(key in words for key in register.keys)
    }


def read_values(
    unit: int, profile: Profile, wanted: Collection[str], ratio: Ratio
) -> Exchange[Frame, dict[str, Value]]:
    """The wanted registers by name, as `decode` gives them.

    Raises ValueError as `plan`, and what `master` raises.
    """
    words = yield from _fetch(unit, profile, wanted)
    values = decode(profile, words, ratio)
    return {name: values[name] for name in wanted}


def read_energy(unit: int, profile: Profile, ratio: Ratio) -> Exchange[Frame, Decimal]:
    """The cumulative total that is charged by: kWh, or m3 of a water meter.

    Where generations of a model keep it in different places, the first that is neither refused
    nor zero nor no number.

    Raises Unexpected if no place has a number, Refused if the last of them is refused and none
    has one.
    """
    zero: Decimal | None = None
    refused: Refused | None = None
    for name in profile.energy:
        try:
            values = yield from read_values(unit, profile, [name], ratio)
        except Refused as error:
            refused = error
            continue
        value = values[name]
        if isinstance(value, Decimal):
            if value:
                return value
            zero = value
    if zero is not None:
        return zero
    if refused is not None:
        raise refused
    raise Unexpected("the meter gives no total")


def read_ratio(unit: int, profile: Profile) -> Exchange[Frame, Ratio]:
    """The ratios that are set in the meter and must be multiplied with.

    DIRECT, without asking, where nothing is to be multiplied. Raises ValueError where that is
    unclear or the place of the ratios is not known: then a person decides.
    """
    match profile.ratio_rule:
        case RatioRule.DIRECT | RatioRule.PRIMARY:
            return DIRECT
        case RatioRule.UNCLEAR:
            raise ValueError(f"{profile.name}: try on the bench whether to multiply by the ratios")
    if profile.pt is None or profile.ct is None:
        raise ValueError(f"{profile.name}: where the meter keeps its ratios is not known")
    values = yield from read_values(unit, profile, [profile.pt, profile.ct], DIRECT)
    pt, ct = values[profile.pt], values[profile.ct]
    if not isinstance(pt, Decimal) or not isinstance(ct, Decimal) or pt <= 0 or ct <= 0:
        raise Unexpected(f"ratios PT {pt} and CT {ct}")
    return Ratio(pt, ct)


def read_supply(unit: int, profile: Profile) -> Exchange[Frame, Supply | None]:
    """How the meter says its relay or valve stands; None, perhaps without asking, where it cannot.

    What still flows contradicts an OFF: then the contact is stuck, and the supply is ON. Otherwise see
    `Switch.is_measured` for what it is worth.
    """
    switch = profile.switch
    if switch is None or not switch.is_on:
        return None
    wanted = {condition.register for condition in (*switch.is_on, *switch.is_off)}
    words = yield from _fetch(unit, profile, wanted)
    if _all_hold(profile, switch.is_on, words):
        return Supply.ON
    if not _all_hold(profile, switch.is_off, words):
        return None
    return Supply.ON if (yield from _does_flow(unit, profile, switch.flows)) else Supply.OFF


def switch(unit: int, profile: Profile, supply: Supply) -> Exchange[Frame, None]:
    """Tell the relay or valve to let the supply on or off. The reply says only that the order was
    taken: read the supply, and the current or flow, after it.

    Raises ValueError if no command is known for this model.
    """
    known = profile.switch
    command = None
    if known is not None:
        command = known.on if supply is Supply.ON else known.off
    yield from _give(unit, profile, command)


def release(unit: int, profile: Profile) -> Exchange[Frame, None]:
    """Leave the relay to the meter's own rules again.

    Raises ValueError if no command is known for this model.
    """
    known = profile.switch
    yield from _give(unit, profile, known.automatic if known else None)


def _give(unit: int, profile: Profile, command: Command | None) -> Exchange[Frame, None]:
    if command is None:
        raise ValueError(f"{profile.name}: no such command is known")
    values = []
    for value in command.values:
        values.append((yield from _fineco_key(unit, profile)) if value == "key" else value)
    if command.function == frames.WRITE_REGISTER:
        yield from master.write_single_register(unit, address=command.address, value=values[0])
    else:
        yield from master.write_registers(unit, address=command.address, values=values)


def _fineco_key(unit: int, profile: Profile) -> Exchange[Frame, int]:
    """The word that must stand before a relay state, made of the meter's serial number."""
    words = yield from _fetch(unit, profile, ["serial_number"])
    high, low = (words[key] for key in profile.registers["serial_number"].keys)
    serial = high << 16 | low
    return (serial >> 24) + (serial >> 8) & 0x1234


def _fetch(unit: int, profile: Profile, wanted: Collection[str]) -> Exchange[Frame, Words]:
    words: dict[tuple[int, int], int] = {}
    for read in plan(profile, wanted):
        ask = master.read_holding if read.function == frames.READ_HOLDING else master.read_input
        values = yield from ask(unit, address=read.address, count=read.count)
        words |= {(read.function, read.address + at): v for at, v in enumerate(values)}
    return words


def _does_flow(unit: int, profile: Profile, flows: Collection[Flow]) -> Exchange[Frame, bool]:
    values = yield from read_values(unit, profile, [flow.register for flow in flows], DIRECT)
    return any(
        isinstance(value := values[flow.register], Decimal) and abs(value) > flow.most
        for flow in flows
    )


def _all_hold(profile: Profile, conditions: Collection[Condition], words: Words) -> bool:
    return all(
        words[profile.registers[condition.register].keys[0]] & condition.mask == condition.value
        for condition in conditions
    )


def _with_needed(profile: Profile, wanted: Collection[str]) -> list[Register]:
    needed: dict[str, Register] = {}
    for name in wanted:
        register = profile.registers.get(name)
        if register is None:
            raise ValueError(f"{profile.name} has no register {name!r}")
        if register.access == "w":
            raise ValueError(f"{profile.name}: {name} cannot be read")
        needed[name] = register
        for other in (register.point, register.prefix):
            if other is not None:
                needed[other] = profile.registers[other]
    return list(needed.values())


def _rounded(profile: Profile, function: int, start: int, count: int) -> Read:
    if profile.even_reads:
        count += start & 1
        start -= start & 1
        count += count & 1
    return Read(function, start, count)


def _merged(profile: Profile, last: Read, register: Register) -> Read | None:
    """One read for both, or None where two are better."""
    if register.function != last.function:
        return None
    gap = range(last.address + last.count, register.address)
    if len(gap) > GAP_WORTH_BRIDGING or not all(
        _is_documented(profile, last.function, address) for address in gap
    ):
        return None
    end = max(last.address + last.count, register.address + register.count)
    read = _rounded(profile, last.function, last.address, end - last.address)
    return read if read.count <= profile.largest_read else None


def _is_documented(profile: Profile, function: int, address: int) -> bool:
    in_block = any(start <= address < start + count for start, count in profile.blocks)
    return in_block or any(
        (function, address) in register.keys
        for register in profile.registers.values()
        if register.access != "w"
    )


def _value(profile: Profile, register: Register, words: Words, ratio: Ratio) -> Value:
    data = pack(f">{register.count}H", *(words[key] for key in register.keys))
    match register.type:
        case Type.BYTES | Type.BITS16:
            return data.hex().upper()
        case Type.BCD:
            return data.hex() if data.hex().isdecimal() else None
    raw = _number(register, data)
    factor = _factor(profile, register, words)
    if raw is None or factor is None:
        return None
    value = raw * register.scale * factor
    if "pt" in register.times:
        value *= ratio.pt
    if "ct" in register.times:
        value *= ratio.ct
    return value


def _number(register: Register, data: bytes) -> Decimal | None:
    if len(data) == 4:
        data = bytes(data["ABCD".index(letter)] for letter in register.order.value)
    match register.type:
        case Type.FLOAT32:
            return float32(data)
        case Type.S16 | Type.S32:
            return Decimal(int.from_bytes(data, "big", signed=True))
        case _:
            return Decimal(int.from_bytes(data, "big"))


def _factor(profile: Profile, register: Register, words: Words) -> Decimal | None:
    factor = Decimal(1)
    if register.point is not None:
        point = _plain(profile, register.point, words)
        if point is None or not 0 <= point <= 9:
            return None
        factor = Decimal(10) ** (int(point) - 3)
    if register.prefix is not None:
        prefix = _plain(profile, register.prefix, words)
        if prefix not in (0, 1):
            return None
        factor *= 1000 if prefix else 1
    return factor


def _plain(profile: Profile, name: str, words: Words) -> Decimal | None:
    register = profile.registers[name]
    if not all(key in words for key in register.keys):
        return None
    value = _value(profile, register, words, DIRECT)
    return value if isinstance(value, Decimal) else None


def float32(data: bytes) -> Decimal | None:
    """The shortest decimal that has these 32 bits, high byte first; None for NaN and infinity."""
    (number,) = unpack(">f", data)
    if number != number or number in (float("inf"), float("-inf")):
        return None
    for digits in range(6, 10):
        text = f"{number:.{digits}g}"
        try:
            if pack(">f", float(text)) == data:
                break
        except OverflowError:
            continue
    return Decimal(f"{Decimal(text):f}") + 0


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
        largest_read=top.take("largest_read", int, master.MOST_REGISTERS_READ),
        even_reads=top.take("even_reads", bool, False),
        blocks=tuple(_block(top, block) for block in top.take("blocks", list, [])),
        write_functions=top.many("write_functions", int),
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
    used += [("ratio", name) for name in (profile.pt, profile.ct) if name is not None]
    for register in known.values():
        for other in (register.point, register.prefix):
            if other is not None:
                used.append((f"registers.{register.name}", other))
        for source in register.sources:
            if source not in profile.sources:
                raise top.bad(f"registers.{register.name}", f"names the source {source!r}")
    if profile.switch is not None:
        for condition in (*profile.switch.is_on, *profile.switch.is_off):
            used.append(("switch", condition.register))
        used += [("switch", flow.register) for flow in profile.switch.flows]
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

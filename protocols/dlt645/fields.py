"""How one field of an item is written: the number formats of DL/T 645, both editions."""

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from protocols import bcd
from protocols.exchange import Unexpected
from protocols.record import setters


@dataclass(frozen=True, slots=True, init=False)
class Value:
    """One decoded field. `value` is None where the meter filled it with FF: it has no such value.

    Numbers are Decimal; times are text as "2026-06-15 18:30:00", words and opaque bytes are
    hexadecimal text, highest byte first. `unit` is empty where there is none.
    """

    name: str
    value: Decimal | str | None
    unit: str

    def __init__(self, name: str, value: Decimal | str | None, unit: str = "") -> None:
        _set_name(self, name)
        _set_value(self, value)
        _set_unit(self, unit)


_set_name, _set_value, _set_unit = setters(Value)


class BadValue(Unexpected):
    """A good frame with a value that cannot be read. Keep the frame, reject the value.

    `kind` is non_bcd, or length where the data does not have the length of its item.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Kind(Enum):
    """What the bytes of a field are."""

    NUMBER = "packed BCD with a fixed point"
    BINARY = "an unsigned binary number"
    WORD = "bits, as hexadecimal text"
    DIGITS = "a string of digits: a number that is not counted with"
    TEXT = "ASCII, the last character first, padded with NUL"
    TIME = "digits of date and time, in the order of `layout`"
    BYTES = "opaque bytes, as hexadecimal text"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, how many bytes it takes and how they are read."""

    name: str
    size: int
    kind: Kind = Kind.NUMBER
    decimals: int = 0
    unit: str = ""
    signed: bool = False
    layout: str = ""
    exponent: str = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exponent", f"E-{self.decimals}")


def number(
    name: str, size: int, decimals: int = 0, unit: str = "", *, signed: bool = False
) -> Field:
    """A field of packed BCD, two digits a byte, `decimals` of them after the point."""
    return Field(name, size, Kind.NUMBER, decimals, unit, signed)


def word(name: str, size: int, unit: str = "") -> Field:
    """A field of bits."""
    return Field(name, size, Kind.WORD, unit=unit)


def time(name: str, layout: str) -> Field:
    """A field of date and time; `layout` is the standard's own notation, as "YYMMDDhhmm"."""
    return Field(name, len(layout) // 2, Kind.TIME, layout=layout)


def digits(name: str, size: int) -> Field:
    """A field that is a string of digits, as an address."""
    return Field(name, size, Kind.DIGITS)


def text(name: str, size: int) -> Field:
    """A field of ASCII characters."""
    return Field(name, size, Kind.TEXT)


@dataclass(frozen=True, slots=True)
class Item:
    """What an identifier stands for: its fields in order, low byte first each.

    `step` is 0 where the data has all fields, or the number of fields after which the data of
    a block may end: a meter with four tariffs sends fewer than the 64 there could be.
    Where `backwards`, the fields of a group are the parts of one number as it is printed
    (YYMMDDWW), so that on the line the last one comes first.
    """

    fields: tuple[Field, ...]
    step: int = 0
    writable: bool = False
    backwards: bool = False

    @property
    def size(self) -> int:
        """Bytes of all fields together."""
        return sum(field.size for field in self.fields)


def decode_fields(item: Item, data: bytes) -> list[Value]:
    """The values of an item's data.

    A field of nothing but FF is None. Raises BadValue if a number is not BCD or the data does not end with a group.
    """
    fields = item.fields
    if len(fields) == 1 and len(data) == fields[0].size:
        return [decode_field(fields[0], data)]
    lengths = _lengths(item)
    if len(data) not in lengths:
        raise BadValue("length", f"{len(data)} bytes where the item has {item.size}")
    fields = fields[: lengths[len(data)]]
    if not item.backwards:
        return _decode_run(fields, data)
    values: list[Value] = []
    group = item.step or len(fields)
    at = 0
    for first in range(0, len(fields), group):
        run = fields[first : first + group][::-1]
        size = sum(field.size for field in run)
        values += _decode_run(run, data[at : at + size])[::-1]
        at += size
    return values


def _decode_run(fields: tuple[Field, ...], data: bytes) -> list[Value]:
    values = []
    at = 0
    for field in fields:
        values.append(decode_field(field, data[at : at + field.size]))
        at += field.size
    return values


def _lengths(item: Item) -> dict[int, int]:
    """How many fields data of each allowed length holds."""
    total = 0
    lengths = {}
    for count, field in enumerate(item.fields, start=1):
        total += field.size
        if count == len(item.fields) or (item.step and count % item.step == 0):
            lengths[total] = count
    return lengths


_NUMBER = Kind.NUMBER  # looked up once: an Enum takes its time to find a member


def decode_field(field: Field, data: bytes) -> Value:
    """The value of one field. Raises BadValue if it is not BCD where it must be."""
    if field.kind is _NUMBER:
        # As `bcd.decode`, which does the rest. Nine in ten values come this way.
        text = data[::-1].hex()
        if text.isdecimal() and (text[0] < "8" or not field.signed):
            return Value(field.name, Decimal(text + field.exponent), field.unit)
    try:
        return Value(field.name, _value(field, data), field.unit)
    except ValueError as error:
        if data.count(0xFF) == len(data):
            return Value(field.name, None, field.unit)
        raise BadValue("non_bcd", f"{field.name}: {error}") from error


def _value(field: Field, data: bytes) -> Decimal | str:
    match field.kind:
        case Kind.NUMBER:
            return bcd.decode(data, decimals=field.decimals, signed=field.signed)
        case Kind.WORD | Kind.BYTES:
            return data[::-1].hex().upper()
        case Kind.BINARY:
            return Decimal(int.from_bytes(data, "little"))
        case Kind.TEXT:
            return data[::-1].rstrip(b"\0").lstrip(b"\0").decode("ascii", "replace")
        case Kind.DIGITS:
            return bcd.digits(data)
        case Kind.TIME:
            return _time(bcd.digits(data), field.layout)


def _time(shown: str, layout: str) -> str:
    """ "260615183000" by "YYMMDDhhmmss" is "2026-06-15 18:30:00"."""
    parts = {layout[at : at + 2]: shown[at : at + 2] for at in range(0, len(layout), 2)}
    if "YY" in parts:
        parts["YY"] = "20" + parts["YY"]
    date = "-".join(parts[key] for key in ("YY", "MM", "DD") if key in parts)
    clock = ":".join(parts[key] for key in ("hh", "mm", "ss") if key in parts)
    return f"{date} {clock}".strip()

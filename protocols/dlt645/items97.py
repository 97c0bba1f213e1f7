"""The data identifiers 数据标识 of DL/T 645-1997, as data: two bytes DI1 DI0, here one number.

Forward active energy is 0x9010. An F in the last digit asks for the block of total and tariffs.
"""

from functools import lru_cache

from protocols.dlt645.fields import (
    BadValue,
    Field,
    Item,
    Value,
    decode_fields,
    digits,
    number,
    time,
    word,
)
from protocols.dlt645.items import NoSuchItem

__all__ = ["BadValue", "NoSuchItem", "decode_item", "decode_set", "find", "is_set", "members"]


def decode_item(di: int, data: bytes) -> list[Value]:
    """The values under an identifier; `data` is what follows the identifier in the reply.

    A block may end with AA, or not: both kinds of meter exist. Raises NoSuchItem if the table
    does not know the identifier, BadValue if the data does not have the item's length or a
    number is not BCD.
    """
    item = find(di)
    if item is None:
        raise NoSuchItem(f"{di:04X}")
    if item.step and len(data) % item.fields[0].size == 1 and data[-1] == 0xAA:
        data = data[:-1]
    return decode_fields(item, data)


def is_set(di: int) -> bool:
    """Whether the identifier asks for a set 数据集: an F in DI1L or DI0H of energies, demands and
    their times (90FF: forward and reverse active energy with all tariffs)."""
    return di >> 12 in (0x9, 0xA, 0xB) and bool(_blocks(di))


def decode_set(di: int, data: bytes) -> list[Value]:
    """The values of a set. Each of its blocks ends with AA; nothing before an AA is an empty block.

    Blocks that a meter leaves out at the end are missing. Raises NoSuchItem if the identifier is
    no set, BadValue if the blocks do not fit or a number is not BCD.
    """
    blocks = _blocks(di)
    if not blocks:
        raise NoSuchItem(f"{di:04X}")
    # AA is not a digit, so it can only end a block.
    parts = data.removesuffix(b"\xaa").split(b"\xaa")
    if len(parts) > len(blocks):
        raise BadValue("length", f"{len(parts)} blocks in a set of {len(blocks)}")
    values: list[Value] = []
    for block, part in zip(blocks, parts, strict=False):
        if part:
            values += decode_item(block, part)
    return values


def members(di: int) -> list[int]:
    """What a set or block is made of: the blocks of a set, total and 14 tariffs of a block, whatever a
    meter has; none where `di` is neither."""
    if is_set(di):
        return _blocks(di)
    item = find(di)
    return [(di & 0xFFF0) + t for t in range(TARIFFS + 1)] if item is not None and item.step else []


def _blocks(di: int) -> list[int]:
    """The identifiers of a set, months first, then kinds, then directions; none if it is no set."""
    low, high = di >> 8 & 0xF, di >> 4 & 0xF
    if low != 0xF and high != 0xF:
        return []
    lows = [m << 2 | k for m in MONTHS for k in (0, 1)] if low == 0xF else [low]
    highs = range(1, 7) if high == 0xF else [high]
    found = [(di & 0xF00F) | one << 8 | other << 4 for one in lows for other in highs]
    return [one for one in found if find(one) is not None]


@lru_cache(maxsize=512)
def find(di: int) -> Item | None:
    """What the identifier stands for, or None."""
    if di in SINGLE:
        return SINGLE[di]
    match di >> 12:
        case 0x9 | 0xA | 0xB:
            return _register(di)
        case 0xC:
            return _table_entry(di)
    return None


TARIFFS = 14
MONTHS = {0: "", 1: "last month ", 2: "month before last "}
DIRECTIONS = {
    # DI1L bits 1-0, DI0H: the text numbers the quadrants I, IV, II, III
    (0, 1): "forward active",
    (0, 2): "reverse active",
    (1, 1): "forward reactive",
    (1, 2): "reverse reactive",
    (1, 3): "Q1 reactive",
    (1, 4): "Q4 reactive",
    (1, 5): "Q2 reactive",
    (1, 6): "Q3 reactive",
}


def _register(di: int) -> Item | None:
    """Energy 9, maximum demand A and its time B: DI1L is month and kind, DI0 direction, tariff."""
    month, kind = di >> 10 & 3, di >> 8 & 3
    direction = DIRECTIONS.get((kind, di >> 4 & 0xF))
    tariff = di & 0xF
    if month not in MONTHS or direction is None:
        return None
    fields = []
    for t in range(TARIFFS + 1) if tariff == 0xF else [tariff]:
        label = f"{MONTHS[month]}{direction} {{}} {f'tariff {t}' if t else 'total'}"
        fields.append(_register_field(di >> 12, label, "kvar" if kind else "kW"))
    return Item(tuple(fields), step=int(tariff == 0xF))


def _register_field(di1h: int, label: str, unit: str) -> Field:
    match di1h:
        case 0x9:
            return number(label.format("energy"), 4, 2, f"{unit}h")
        case 0xA:
            return number(label.format("max demand"), 3, 4, unit)
    return time(label.format("max demand time"), "MMDDhhmm")


def _table_entry(di: int) -> Item | None:
    """Year zones C32p, day tables C33p to C3Ap, holidays C41n."""
    row, at = di >> 4 & 0xFF, di & 0xF
    if di >> 8 == 0xC3 and at and 0x2 <= row & 0xF <= 0xA:
        table = (row & 0xF) - 2
        if table == 0:
            fields = (time(f"year zone {at} start", "MMDD"), number("day table", 1))
        else:
            fields = (time(f"day table {table} period {at}", "hhmm"), number("tariff", 1))
        return Item(fields, writable=True, backwards=True)
    if row == 0x41 and 1 <= at <= 0xD:
        holiday = (time(f"holiday {at}", "MMDD"), number("day table", 1))
        return Item(holiday, writable=True, backwards=True)
    return None


def _phased(
    first: int, name: str, size: int, decimals: int, unit: str, *, signed: bool = False
) -> list[tuple[int, Item]]:
    """Total, A, B and C under four identifiers from `first` on."""
    return [
        (first + at, Item((number(f"{name} {part}", size, decimals, unit, signed=signed),)))
        for at, part in enumerate(("total", "A", "B", "C"))
    ]


def _phased_times(first: int, name: str) -> list[tuple[int, Item]]:
    return [
        (first + at, Item((time(f"{name} {part}", "MMDDhhmm"),)))
        for at, part in enumerate(("total", "A", "B", "C"))
    ]


def _writable(di: int, *fields: Field) -> tuple[int, Item]:
    return di, Item(fields, writable=True, backwards=True)


def _readable(di: int, *fields: Field) -> tuple[int, Item]:
    return di, Item(fields)


SINGLE: dict[int, Item] = dict(
    [
        _readable(0xB210, time("last programming", "MMDDhhmm")),
        _readable(0xB211, time("last demand reset", "MMDDhhmm")),
        _readable(0xB212, number("programming count", 2, 0, "times")),
        _readable(0xB213, number("demand reset count", 2, 0, "times")),
        _readable(0xB214, number("battery working time", 3, 0, "min")),
        *_phased(0xB310, "phase break count", 2, 0, "times"),
        *_phased(0xB320, "phase break time", 3, 0, "min"),
        *_phased_times(0xB330, "last phase break start"),
        *_phased_times(0xB340, "last phase break end"),
        # Voltage has no decimals here, current two: the edition of 2007 differs.
        *_phased(0xB610, "voltage", 2, 0, "V")[1:],
        *_phased(0xB620, "current", 2, 2, "A")[1:],
        # The text knows no sign; some meters set the top bit where power flows back.
        *_phased(0xB630, "active power", 3, 4, "kW", signed=True),
        _writable(0xB634, number("forward active power limit", 2, 2, "kW")),
        _writable(0xB635, number("reverse active power limit", 2, 2, "kW")),
        *_phased(0xB640, "reactive power", 2, 2, "kvar", signed=True),
        *_phased(0xB650, "power factor", 2, 3, ""),
        _writable(0xC010, time("date", "YYMMDD"), number("weekday", 1)),
        _writable(0xC011, time("time", "hhmmss")),
        _writable(0xC020, word("meter status", 1, "hex word")),
        _writable(0xC021, word("grid status", 1, "hex word")),
        _writable(0xC022, word("weekly rest word", 1, "hex word")),
        _writable(0xC030, number("meter constant active", 3, 0, "imp/kWh")),
        _writable(0xC031, number("meter constant reactive", 3, 0, "imp/kvarh")),
        _writable(0xC032, digits("meter number", 6)),
        _writable(0xC033, digits("user number", 6)),
        _writable(0xC034, digits("device code", 6)),
        _writable(0xC111, number("max demand period", 1, 0, "min")),
        _writable(0xC112, number("sliding time", 1, 0, "min")),
        _writable(0xC113, number("cycle display time", 1, 0, "s")),
        _writable(0xC114, number("pause display time", 1, 0, "s")),
        _writable(0xC115, number("energy decimals", 1)),
        _writable(0xC116, number("power decimals", 1)),
        _writable(0xC117, time("automatic reading day", "DDhh")),
        _writable(0xC118, number("load representative day", 1)),
        _writable(0xC119, number("base reading active", 4, 1, "kWh")),
        _writable(0xC11A, number("base reading reactive", 4, 1, "kvarh")),
        _writable(0xC211, number("pulse width", 2, 0, "ms")),
        _writable(0xC310, number("number of year zones", 1)),
        _writable(0xC311, number("number of day tables", 1)),
        _writable(0xC312, number("number of day periods", 1)),
        _writable(0xC313, number("number of tariffs", 1)),
        _writable(0xC314, number("number of holidays", 1)),
        _writable(0xC41E, number("rest day table", 1)),
        _writable(0xC510, time("load record start", "MMDDhhmm")),
        _writable(0xC511, number("load record interval", 2, 0, "min")),
    ]
)

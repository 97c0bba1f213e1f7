"""The data identifiers 数据标识 of DL/T 645-2007 and of its later filings, as data.

An identifier is four bytes DI3 DI2 DI1 DI0, here one number: forward active energy 正向有功总电能
is 0x00010000. FF in one byte asks for a block: all tariffs, all phases, all settlement days.
"""

from functools import lru_cache

from protocols.dlt645 import events
from protocols.dlt645.fields import (
    BadValue,
    Field,
    Item,
    Kind,
    Value,
    decode_fields,
    digits,
    number,
    text,
    time,
    word,
)

__all__ = ["BadValue", "Item", "NoSuchItem", "Value", "decode_item", "find", "members"]


class NoSuchItem(LookupError):
    """The identifier is not in the table. The bytes may still mean something to their vendor."""


def decode_item(di: int, data: bytes) -> list[Value]:
    """The values under an identifier; `data` is what follows the identifier in the reply.

    Raises NoSuchItem if the table does not know the identifier, BadValue if the data does not
    have the item's length or a number is not BCD.
    """
    item = find(di)
    if item is None:
        raise NoSuchItem(f"{di:08X}")
    return decode_fields(item, data)


@lru_cache(maxsize=1024)
def find(di: int) -> Item | None:
    """What the identifier stands for, or None."""
    if di in SINGLE:
        return SINGLE[di]
    di3, di2, di1, di0 = di.to_bytes(4, "big")
    match di3:
        case 0x00:
            return _energy(di2, di1, di0)
        case 0x01:
            return _demand(di2, di1, di0)
        case 0x02:
            return _variable(di2, di1, di0)
        case 0x03:
            return events.find(di2, di1, di0)
        case 0x04:
            return _parameter(di2, di1, di0)
        case 0x05:
            return _freeze(di2, di1, di0)
        case _ if 0x10 <= di3 <= 0x1F:
            return events.find_single(di3, di2, di1, di0)
    return None


def members(di: int) -> list[int]:
    """The identifiers that a block stands for, in its order; none where `di` is no block.

    A block of tariffs has all 63 there could be, whatever a meter has.
    """
    block = find(di)
    if block is None or not (block.step or di in SINGLE):
        return []
    wanted = {field.name for field in block.fields}
    for shift in (0, 8, 16):
        if di >> shift & 0xFF == 0xFF:
            alone = ((di & ~(0xFF << shift)) | value << shift for value in range(0xFF))
            return [one for one in alone if _is_part(find(one), wanted)]
    return []


def _is_part(item: Item | None, wanted: set[str]) -> bool:
    return item is not None and not item.step and item.fields[0].name in wanted


TARIFFS = 63
SETTLEMENT_DAYS = 12
DIRECTIONS = (
    ("forward active", "kW"),
    ("reverse active", "kW"),
    ("combined reactive 1", "kvar"),
    ("combined reactive 2", "kvar"),
    ("Q1 reactive", "kvar"),
    ("Q2 reactive", "kvar"),
    ("Q3 reactive", "kvar"),
    ("Q4 reactive", "kvar"),
    ("forward apparent", "kVA"),
    ("reverse apparent", "kVA"),
)
PHASE_BLOCKS = {"A": 0x15, "B": 0x29, "C": 0x3D}
LOSS_BLOCKS = {"": 0x80, "phase A ": 0x94, "phase B ": 0xA8, "phase C ": 0xBC}
LOSSES = (
    "associated",
    "fundamental forward",
    "fundamental reverse",
    "harmonic forward",
    "harmonic reverse",
    "copper loss",
    "iron loss",
)


def _quantities(suffix: str) -> dict[int, tuple[str, str, bool, bool]]:
    """DI2 of energies or demands: name, unit of power, whether signed, whether it has tariffs."""
    table = {}
    for at, (direction, unit) in enumerate(DIRECTIONS):
        signed = direction.startswith("combined")
        table[0x01 + at] = (f"{direction} {suffix}", unit, signed, True)
        for phase, first in PHASE_BLOCKS.items():
            table[first + at] = (f"phase {phase} {direction} {suffix}", unit, signed, False)
    return table


ENERGIES = {
    0x00: ("combined active energy", "kW", True, True),
    **_quantities("energy"),
    **{
        first + at: (f"{prefix}{loss} energy", "kW", False, False)
        for prefix, first in LOSS_BLOCKS.items()
        for at, loss in enumerate(LOSSES)
    },
}
DEMANDS = _quantities("max demand")


def _energy(di2: int, di1: int, di0: int) -> Item | None:
    if di2 not in ENERGIES:
        return None
    name, unit, signed, has_tariffs = ENERGIES[di2]
    fields = tuple(
        number(label, 4, 2, f"{unit}h", signed=signed)
        for label in _labels(name, di1, di0, has_tariffs)
    )
    return Item(fields, step=int(0xFF in (di1, di0))) if fields else None


def _demand(di2: int, di1: int, di0: int) -> Item | None:
    if di2 not in DEMANDS:
        return None
    name, unit, signed, has_tariffs = DEMANDS[di2]
    fields: list[Field] = []
    for label in _labels(name, di1, di0, has_tariffs):
        fields += [number(label, 3, 4, unit, signed=signed), time("occurred", "YYMMDDhhmm")]
    return Item(tuple(fields), step=2 * (0xFF in (di1, di0))) if fields else None


def _labels(name: str, tariff: int, day: int, has_tariffs: bool) -> list[str]:
    """The names of the values at one tariff byte and one settlement day byte; FF is all."""
    if tariff == day == 0xFF or (tariff not in (0, 0xFF) and not has_tariffs):
        return []
    tariffs = range(TARIFFS + 1) if tariff == 0xFF else [tariff]
    days = range(SETTLEMENT_DAYS + 1) if day == 0xFF else [day]
    if max(tariffs) > TARIFFS or max(days) > SETTLEMENT_DAYS:
        return []
    named = name if not has_tariffs else None
    return [
        (named or f"{name} {'total' if t == 0 else f'tariff {t}'}")
        + (f" settlement {d}" if d else "")
        for d in days
        for t in tariffs
    ]


PHASES = {1: "A", 2: "B", 3: "C"}
PHASED = {
    # DI2: name, bytes, decimals, unit, signed, whether there is a total
    0x01: ("voltage", 2, 1, "V", False, False),
    0x02: ("current", 3, 3, "A", True, False),
    0x03: ("active power", 3, 4, "kW", True, True),
    0x04: ("reactive power", 3, 4, "kvar", True, True),
    0x05: ("apparent power", 3, 4, "kVA", True, True),
    0x06: ("power factor", 2, 3, "", True, True),
    0x07: ("phase angle", 2, 1, "deg", False, False),
    0x08: ("voltage THD", 2, 2, "%", False, False),
    0x09: ("current THD", 2, 2, "%", False, False),
}
HARMONICS = {0x0A: "voltage harmonic", 0x0B: "current harmonic"}
HIGHEST_HARMONIC = 21


def _variable(di2: int, di1: int, di0: int) -> Item | None:
    if di2 in PHASED and di0 == 0:
        name, size, decimals, unit, signed, has_total = PHASED[di2]
        parts = {0: "total", **PHASES} if has_total else PHASES
        wanted = list(parts) if di1 == 0xFF else [di1] if di1 in parts else []
        fields = tuple(
            number(f"{name} {parts[part]}", size, decimals, unit, signed=signed) for part in wanted
        )
        return Item(fields, step=int(di1 == 0xFF)) if fields else None
    if di2 in HARMONICS and di1 in PHASES and (1 <= di0 <= HIGHEST_HARMONIC or di0 == 0xFF):
        orders = range(1, HIGHEST_HARMONIC + 1) if di0 == 0xFF else [di0]
        name = f"{HARMONICS[di2]} {PHASES[di1]}"
        fields = tuple(number(f"{name} {order}", 2, 2, "%") for order in orders)
        return Item(fields, step=int(di0 == 0xFF))
    return None


def _parameter(di2: int, di1: int, di0: int) -> Item | None:
    everything = di0 == 0xFF
    fields: tuple[Field, ...] = ()
    match di2, di1:
        case ((0x01 | 0x02), 0x00):
            return _time_table("" if di2 == 0x01 else "stand-by ", di0)
        case 0x03, 0x00 if 1 <= di0 <= 0xFE:
            holiday = (time(f"holiday {di0}", "YYMMDD"), number("day table", 1))
            return Item(holiday, writable=True, backwards=True)
        case 0x04, (0x01 | 0x02) if 1 <= di0 <= 0xFE:
            name = f"{'automatic' if di1 == 0x01 else 'key'} display item {di0}"
            return Item((word(name, 4), number("part", 1)), step=1, writable=True)
        case 0x05, (0x01 | 0x02) if 1 <= di0 <= TARIFFS or everything:
            tariffs = range(1, TARIFFS + 1) if everything else [di0]
            name = ("" if di1 == 0x01 else "stand-by ") + "tariff price"
            fields = tuple(number(f"{name} {t}", 4, 4, "CNY/kWh") for t in tariffs)
        case 0x06, (0x04 | 0x05) if everything:
            return Item(_step_table("" if di1 == 0x04 else "stand-by "), writable=True)
        case 0x06, (0x00 | 0x01 | 0x02 | 0x03) if di0:
            steps = range(1, 0xFF) if everything else [di0]
            is_price = bool(di1 & 1)
            name = ("" if di1 < 2 else "stand-by ") + ("step price" if is_price else "step limit")
            decimals, unit = (4, "CNY/kWh") if is_price else (2, "kWh")
            fields = tuple(number(f"{name} {step}", 4, decimals, unit) for step in steps)
    return Item(fields, step=int(everything), writable=True) if fields else None


YEAR_ZONES = 14
DAY_PERIODS = 14
DAY_TABLES = 8


def _time_table(prefix: str, table: int) -> Item | None:
    """Table 0 says when in the year which day table begins; 1..8 which tariff when in the day."""
    if table > DAY_TABLES:
        return None
    fields: list[Field] = []
    for n in range(1, (DAY_PERIODS if table else YEAR_ZONES) + 1):
        if table:
            name = f"{prefix}day table {table} period {n}"
            fields += [time(f"{name} start", "hhmm"), number(f"{name} tariff", 1)]
        else:
            name = f"{prefix}year zone {n}"
            fields += [time(f"{name} start", "MMDD"), number(f"{name} day table", 1)]
    return Item(tuple(fields), step=2, writable=True, backwards=True)


def _step_table(prefix: str) -> tuple[Field, ...]:
    """A whole step table 阶梯表 of the 2013 meters: 64 bytes."""
    return (
        *(number(f"{prefix}step limit {n}", 4, 2, "kWh") for n in range(1, 7)),
        *(number(f"{prefix}step price {n}", 4, 4, "CNY/kWh") for n in range(1, 8)),
        *(time(f"{prefix}yearly settlement {n}", "MMDDhh") for n in range(1, 5)),
    )


HOURLY_FREEZE = 0x04


def _freeze(di2: int, di1: int, di0: int) -> Item | None:
    if di2 > 0x07 or not 1 <= di0 <= 0xFE:
        return None
    if di1 == 0x00:
        return Item((time("freeze time", "YYMMDDhhmm"),))
    if 0x01 <= di1 <= 0x08:
        return _energy(di1, 0xFF, 0)
    if di1 in (0x09, 0x0A):
        return _demand(di1 - 0x08, 0xFF, 0)
    if di1 == 0xFF and di2 == HOURLY_FREEZE:
        # Whole records of the other kinds depend on a mode word: see `freeze`.
        totals = [_energy(energy, 0, 0) for energy in (0x01, 0x02)]
        fields = [field for item in totals if item is not None for field in item.fields]
        return Item((time("freeze time", "YYMMDDhhmm"), *fields))
    if di1 == 0x10:
        active, reactive = _variable(0x03, 0xFF, 0), _variable(0x04, 0xFF, 0)
        assert active is not None
        assert reactive is not None
        return Item(active.fields + reactive.fields)
    return None


def _status_words() -> dict[int, Item]:
    words = tuple(word(f"status word {n}", 2, "hex word") for n in range(1, 8))
    single = {0x04000500 + n: Item((words[n - 1],)) for n in range(1, 8)}
    return {**single, 0x040005FF: Item(words)}


def _writable(di: int, *fields: Field) -> tuple[int, Item]:
    return di, Item(fields, writable=True, backwards=True)


def _readable(di: int, *fields: Field) -> tuple[int, Item]:
    return di, Item(fields)


DATE = (time("date", "YYMMDD"), number("weekday", 1, 0, "0=Sunday"))

SINGLE: dict[int, Item] = dict(
    [
        # Energy of the settlement period, and what is left of a prepaid meter's purse
        _readable(0x000B0000, number("energy of this settlement period", 4, 2, "kWh")),
        _readable(0x000B0001, number("energy of the last settlement period", 4, 2, "kWh")),
        _readable(0x00900100, number("remaining energy", 4, 2, "kWh")),
        _readable(0x00900101, number("overdraft energy", 4, 2, "kWh")),
        _readable(0x00900200, number("remaining amount", 4, 2, "CNY")),
        _readable(0x00900201, number("overdraft amount", 4, 2, "CNY")),
        # Variables without a phase
        _readable(0x02800001, number("neutral current", 3, 3, "A", signed=True)),
        _readable(0x02800002, number("grid frequency", 2, 2, "Hz")),
        _readable(0x02800003, number("average active power", 3, 4, "kW", signed=True)),
        _readable(0x02800004, number("active demand", 3, 4, "kW", signed=True)),
        _readable(0x02800005, number("reactive demand", 3, 4, "kvar", signed=True)),
        _readable(0x02800006, number("apparent demand", 3, 4, "kVA", signed=True)),
        _readable(0x02800007, number("temperature", 2, 1, "degC", signed=True)),
        _readable(0x02800008, number("clock battery voltage", 2, 2, "V")),
        _readable(0x02800009, number("outage-reading battery voltage", 2, 2, "V")),
        _readable(0x0280000A, number("battery working time", 4, 0, "min")),
        _readable(0x0280000B, number("current step price", 4, 4, "CNY/kWh")),
        _readable(0x02800020, number("current price", 4, 4, "CNY/kWh")),
        _readable(0x02800021, number("current tariff price", 4, 4, "CNY/kWh")),
        _readable(0x02800022, number("remaining authentication time", 2, 0, "min")),
        _readable(0x02800023, number("remaining infrared authentication time", 1, 0, "min")),
        # Clock and demand parameters
        _writable(0x04000101, *DATE),
        _writable(0x04000102, time("time", "hhmmss")),
        _writable(0x0400010C, *DATE, time("time", "hhmmss")),
        _writable(0x04000103, number("max demand period", 1, 0, "min")),
        _writable(0x04000104, number("sliding time", 1, 0, "min")),
        _writable(0x04000105, number("pulse width", 2, 0, "ms")),
        _writable(0x04000106, time("year zone set switch time", "YYMMDDhhmm")),
        _writable(0x04000107, time("day period set switch time", "YYMMDDhhmm")),
        _writable(0x04000108, time("tariff price set switch time", "YYMMDDhhmm")),
        _writable(0x04000109, time("step set switch time", "YYMMDDhhmm")),
        _writable(0x04000201, number("number of year zones", 1)),
        _writable(0x04000202, number("number of day tables", 1)),
        _writable(0x04000203, number("number of day periods", 1)),
        _writable(0x04000204, number("number of tariffs", 1)),
        _writable(0x04000205, number("number of holidays", 2)),
        _writable(0x04000206, number("harmonic order", 1)),
        _writable(0x04000207, number("number of steps", 1)),
        _writable(0x04000208, number("number of keys", 1)),
        # Display
        _writable(0x04000301, number("screens in automatic display", 1)),
        _writable(0x04000302, number("time per screen", 1, 0, "s")),
        _writable(0x04000303, number("energy decimals", 1)),
        _writable(0x04000304, number("power decimals", 1)),
        _writable(0x04000305, number("screens on key", 1)),
        _writable(0x04000306, number("CT ratio", 3)),
        _writable(0x04000307, number("PT ratio", 3)),
        _writable(0x04000308, number("full display time", 1, 0, "s")),
        # Identity
        _writable(0x04000401, digits("communication address", 6)),
        _writable(0x04000402, digits("meter number", 6)),
        _writable(0x04000403, text("asset code", 32)),
        _readable(0x04000404, text("rated voltage", 6)),
        _readable(0x04000405, text("rated current", 6)),
        _readable(0x04000406, text("maximum current", 6)),
        _readable(0x04000407, text("active accuracy class", 4)),
        _readable(0x04000408, text("reactive accuracy class", 4)),
        _readable(0x04000409, number("active constant", 3, 0, "imp/kWh")),
        _readable(0x0400040A, number("reactive constant", 3, 0, "imp/kvarh")),
        _readable(0x0400040B, text("meter model", 10)),
        _readable(0x0400040C, text("production date", 10)),
        _readable(0x0400040D, text("protocol version", 16)),
        _writable(0x0400040E, digits("customer number", 6)),
        _writable(0x0400040F, Field("location", 11, Kind.BYTES)),
        _readable(0x04000508, word("key state", 4)),
        # Features and modes
        _writable(0x04000601, word("combined active feature", 1)),
        _writable(0x04000602, word("combined reactive 1 feature", 1)),
        _writable(0x04000603, word("combined reactive 2 feature", 1)),
        _writable(0x04000701, word("modulated infrared baud feature", 1)),
        _writable(0x04000702, word("contact optical baud feature", 1)),
        _writable(0x04000703, word("port 1 baud feature", 1)),
        _writable(0x04000704, word("port 2 baud feature", 1)),
        _writable(0x04000705, word("port 3 baud feature", 1)),
        _writable(0x04000801, word("weekly rest word", 1)),
        _writable(0x04000802, number("rest day table", 1)),
        _writable(0x04000901, word("load record mode", 1)),
        _writable(0x04000902, word("timed freeze mode", 1)),
        _writable(0x04000903, word("instant freeze mode", 1)),
        _writable(0x04000904, word("agreed freeze mode", 1)),
        _writable(0x04000905, word("hourly freeze mode", 1)),
        _writable(0x04000906, word("daily freeze mode", 1)),
        _writable(0x04000A01, time("load record start", "MMDDhhmm")),
        *(
            _writable(0x04000A01 + n, number(f"load record class {n} interval", 2, 0, "min"))
            for n in range(1, 7)
        ),
        *(_writable(0x04000B00 + n, time(f"settlement day {n}", "DDhh")) for n in range(1, 4)),
        *(
            _writable(0x04000D01 + 4 * p + n, number(f"phase {phase} {name}", 2, 3))
            for p, phase in enumerate("ABC")
            for n, name in enumerate(("conductance", "susceptance", "resistance", "reactance"))
        ),
        _writable(0x04000E01, number("forward active power limit", 3, 4, "kW")),
        _writable(0x04000E02, number("reverse active power limit", 3, 4, "kW")),
        _writable(0x04000E03, number("voltage upper limit", 2, 1, "V")),
        _writable(0x04000E04, number("voltage lower limit", 2, 1, "V")),
        # Prepaid limits
        _writable(0x04000F01, number("alarm energy 1", 4, 2, "kWh")),
        _writable(0x04000F02, number("alarm energy 2", 4, 2, "kWh")),
        _writable(0x04000F03, number("hoarding energy limit", 4, 2, "kWh")),
        _writable(0x04000F04, number("overdraft energy limit", 4, 2, "kWh")),
        _writable(0x04001001, number("alarm amount 1", 4, 2, "CNY")),
        _writable(0x04001002, number("alarm amount 2", 4, 2, "CNY")),
        _writable(0x04001003, number("overdraft amount limit", 4, 2, "CNY")),
        _writable(0x04001004, number("hoarding amount limit", 4, 2, "CNY")),
        _writable(0x04001005, number("close-permit amount limit", 4, 2, "CNY")),
        _writable(0x04001006, number("refund amount", 4, 2, "CNY")),
        # Filings
        _writable(0x04001101, word("run feature word 1", 1)),
        _writable(0x04001104, word("active report mode word", 8)),
        _writable(0x04001201, time("hourly freeze start", "YYMMDDhhmm")),
        _writable(0x04001202, number("hourly freeze interval", 1, 0, "min")),
        _writable(0x04001203, time("daily freeze time", "hhmm")),
        _writable(0x04001204, time("timed freeze time", "MMDDhhmm")),
        _readable(0x04001301, number("wireless signal", 1)),
        _writable(0x04001401, number("trip delay", 2, 0, "min")),
        _writable(0x04001402, number("close delay", 2, 0, "min")),
        _readable(0x04800001, text("software version", 32)),
        _readable(0x04800002, text("hardware version", 32)),
        _readable(0x04800003, text("manufacturer code", 32)),
    ]
)
SINGLE.update(_status_words())

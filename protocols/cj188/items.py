"""The data of CJ/T 188: identifiers, units, the status word and the current data 901F."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from protocols import bcd
from protocols.exchange import Unexpected

CURRENT = 0x901F
ADDRESS = 0x810A
VALVE = 0xA017
KEY_VERSION_DI = 0x8106
STANDARD_TIME = 0xA015
BASE = 0xA016
PURCHASE = 0xA013
ACCOUNT = 0x8105
NEW_ADDRESS = 0xA018
FACTORY_ENABLE = 0xA019

_BASES = {
    0x01: "J",
    0x02: "Wh",
    0x05: "kWh",
    0x08: "MWh",
    0x0B: "kJ",
    0x0E: "MJ",
    0x11: "GJ",
    0x14: "W",
    0x17: "kW",
    0x1A: "MW",
    0x29: "L",
    0x2C: "m3",
    0x32: "L/h",
    0x35: "m3/h",
    0x40: "J/h",
    0x43: "kJ/h",
    0x46: "MJ/h",
    0x49: "GJ/h",
}
UNITS: dict[int, str] = {
    **{code + 1: f"{name} x 10" for code, name in _BASES.items()},
    **{code + 2: f"{name} x 100" for code, name in _BASES.items()},
    **_BASES,
}
"""Code n + 1 is ten times, n + 2 a hundred times code n."""


def unit_name(code: int) -> str | None:
    """The unit of a unit code, or None where the code is the vendor's own."""
    return UNITS.get(code)


CUBIC_METRES = {
    0x29: Decimal("0.001"),
    0x2A: Decimal("0.01"),
    0x2B: Decimal("0.1"),
    0x2C: Decimal(1),
    0x2D: Decimal(10),
    0x2E: Decimal(100),
}
"""One unit of volume in cubic metres; code n + 1 is ten times code n from 29 (L) and 2C (m3)."""


class BadValue(Unexpected):
    """A good frame with a value that cannot be read. Keep the frame, reject the value."""


class Valve(Enum):
    """Bits D1 and D0 of the status: where the valve 阀门 is."""

    OPEN = 0
    CLOSED = 1
    RESERVED = 2
    ABNORMAL = 3


@dataclass(frozen=True, slots=True)
class ValveStatus:
    """The status word 状态 ST: two bytes, `raw` in the order of the line.

    The first byte holds valve and battery, lowest bits first; the second is the vendor's. A heat
    meter uses them for its sensors, and `valve` means nothing there.
    """

    valve: Valve
    battery_low: bool
    raw: bytes

    @classmethod
    def from_bytes(cls, raw: bytes) -> "ValveStatus":
        """D1 D0 valve, D2 battery low."""
        return cls(Valve(raw[0] & 3), bool(raw[0] & 4), raw)


@dataclass(frozen=True, slots=True)
class Quantity:
    """Four bytes of BCD with two decimals, and a unit code. FF in all bytes is None."""

    value: Decimal | None
    unit_code: int

    @property
    def cubic_metres(self) -> Decimal | None:
        """The volume in m3, or None. Raises BadValue if the unit is not one of volume."""
        if self.value is None:
            return None
        if self.unit_code not in CUBIC_METRES:
            raise BadValue(f"unit {self.unit_code:02X} is not a volume")
        return self.value * CUBIC_METRES[self.unit_code]


@dataclass(frozen=True, slots=True)
class WaterReading:
    """Current data 901F of a water or gas meter. Volumes are in cubic metres, exact.

    `settlement` is the total at the settlement day 结算日累积流量, None where the meter has none.
    `clock` is the meter's local time without a zone, None where it is not a date (many meters
    send zeros); `clock_raw` its seven bytes as sent.
    """

    total: Decimal
    settlement: Decimal | None
    clock: datetime | None
    clock_raw: bytes
    status: ValveStatus


WATER_SIZE = 19


def decode_water(data: bytes) -> WaterReading:
    """The 19 bytes after DI and SER of a water or gas meter's 901F.

    Meters that send the unit before the value are understood too, where the last byte is no unit
    of volume and the first is. Raises BadValue if the length is another, the total is missing,
    a figure is not BCD or a unit not one of volume.
    """
    if len(data) != WATER_SIZE:
        raise BadValue(f"{len(data)} bytes of current data where there are {WATER_SIZE}")
    total = decode_quantity(data[0:5]).cubic_metres
    if total is None:
        raise BadValue("the meter gives no total")
    return WaterReading(
        total=total,
        settlement=decode_quantity(data[5:10]).cubic_metres,
        clock=decode_clock(data[10:17]),
        clock_raw=data[10:17],
        status=ValveStatus.from_bytes(data[17:19]),
    )


@dataclass(frozen=True, slots=True)
class HeatReading:
    """Current data 901F of a heat or cold meter 热量表. Values as sent, each with its unit.

    `settlement_energy` is the energy at the settlement day; meters for heat and cold often put
    their cold energy there. `flow_rate` has four decimals by one source, while some drivers
    divide by 100: every captured frame shows zero, so it is not settled. Temperatures are in
    degrees Celsius to 0.01, `hours` counts the working hours; None where FF is sent. `status` is
    two bytes of sensor faults in the vendor's own coding, not a valve.
    """

    settlement_energy: Quantity
    energy: Quantity
    power: Quantity
    flow_rate: Quantity
    volume: Quantity
    supply_temperature: Decimal | None
    return_temperature: Decimal | None
    hours: int | None
    clock: datetime | None
    clock_raw: bytes
    status: bytes


HEAT_SIZE = 43


def decode_heat(data: bytes) -> HeatReading:
    """The 43 bytes after DI and SER of a heat meter's 901F.

    Raises BadValue if the length is another or a figure is not BCD.
    """
    if len(data) != HEAT_SIZE:
        raise BadValue(f"{len(data)} bytes of heat data where there are {HEAT_SIZE}")
    hours = _number(data[31:34], 0)
    return HeatReading(
        settlement_energy=decode_quantity(data[0:5]),
        energy=decode_quantity(data[5:10]),
        power=decode_quantity(data[10:15]),
        flow_rate=decode_quantity(data[15:20], decimals=4),
        volume=decode_quantity(data[20:25]),
        supply_temperature=_number(data[25:28], 2),
        return_temperature=_number(data[28:31], 2),
        hours=None if hours is None else int(hours),
        clock=decode_clock(data[34:41]),
        clock_raw=data[34:41],
        status=data[41:43],
    )


@dataclass(frozen=True, slots=True)
class Account:
    """Purchases and what is left of them 购入金额 (8105), in yuan to 0.01.

    `purchase_no` is the number of the last purchase, 0 to 255. How a meter in debt shows
    `remaining` is not defined by any source.
    """

    purchase_no: int
    last_purchase: Decimal
    total_purchased: Decimal
    remaining: Decimal
    status: ValveStatus


ACCOUNT_SIZE = 15


def decode_account(data: bytes) -> Account:
    """The 15 bytes after DI and SER of 8105. Raises BadValue if it is not that long or not BCD."""
    if len(data) != ACCOUNT_SIZE:
        raise BadValue(f"{len(data)} bytes of an account where there are {ACCOUNT_SIZE}")
    last, total, remaining = (_number(data[at : at + 4], 2) for at in (1, 5, 9))
    if last is None or total is None or remaining is None:
        raise BadValue("the meter leaves an amount out")
    return Account(data[0], last, total, remaining, ValveStatus.from_bytes(data[13:15]))


def encode_purchase(purchase_no: int, amount: Decimal) -> bytes:
    """The five bytes of A013. Raises ValueError if the number is not a byte or the amount does not fit."""
    return bytes([purchase_no]) + bcd.encode(amount, size=4, decimals=2)


def _number(data: bytes, decimals: int) -> Decimal | None:
    """BCD, or None where FF is sent. Raises BadValue if it is neither."""
    if data.count(0xFF) == len(data):
        return None
    try:
        return bcd.decode(data, decimals=decimals)
    except ValueError as error:
        raise BadValue(str(error)) from error


def encode_water(
    total: Decimal, settlement: Decimal, clock: datetime, status: ValveStatus
) -> bytes:
    """The 19 bytes of a meter that counts cubic metres with two decimals.

    Raises ValueError if a volume has more decimals or eight digits do not hold it.
    """
    return encode_volume(total) + encode_volume(settlement) + encode_clock(clock) + status.raw


def decode_quantity(data: bytes, *, decimals: int = 2) -> Quantity:
    """Value and unit, in either order. Raises BadValue if the value is not BCD."""
    value, unit = data[:4], data[4]
    if unit not in UNITS and data[0] in UNITS:
        value, unit = data[1:], data[0]
    return Quantity(_number(value, decimals), unit)


def encode_volume(volume: Decimal) -> bytes:
    """Four bytes of BCD and the unit m3. Raises ValueError if they do not hold the volume."""
    return bcd.encode(volume, size=4, decimals=2) + bytes([0x2C])


def decode_clock(data: bytes) -> datetime | None:
    """ss mm hh DD MM YY CC, or None where that is no date of this century."""
    try:
        shown = bcd.digits(data)
        year, month, day = int(shown[:4]), int(shown[4:6]), int(shown[6:8])
        hour, minute, second = int(shown[8:10]), int(shown[10:12]), int(shown[12:])
        clock = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    return clock if 2000 <= year < 2100 else None


def encode_clock(clock: datetime) -> bytes:
    """ss mm hh DD MM YY CC of a naive local time."""
    return bcd.from_digits(f"{clock:%Y%m%d%H%M%S}")


class Kind(Enum):
    """How the bytes of a field are read. All low byte first."""

    QUANTITY = "4 BCD with two decimals, then the unit"
    FLOW = "the same with four decimals"
    PLAIN = "4 BCD with two decimals, without a unit"
    MONEY = "BCD with two decimals, in yuan"
    HUNDREDTHS = "BCD with two decimals: a temperature or a pressure"
    INTEGER = "BCD"
    BINARY = "an unsigned number"
    CLOCK = "ss mm hh DD MM YY CC"
    STATUS = "the status word"
    ADDRESS = "14 digits"
    BYTES = "opaque"
    VALVE = "a valve command"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an item: its name, kind and size in bytes."""

    name: str
    kind: Kind
    size: int
    unit_first: bool = False


def _quantities(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.QUANTITY, 5) for name in names)


def _hundredths(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.HUNDREDTHS, 3) for name in names)


FLOW = Field("flow_rate", Kind.FLOW, 5)
TIME = Field("time", Kind.CLOCK, 7)
HOURS = Field("hours", Kind.INTEGER, 3)
STATUS = Field("st", Kind.STATUS, 2)
TEMPERATURES = _hundredths("supply_temp", "return_temp")
STEPS = (
    Field("price1", Kind.MONEY, 3),
    Field("volume1", Kind.INTEGER, 3),
    Field("price2", Kind.MONEY, 3),
    Field("volume2", Kind.INTEGER, 3),
    Field("price3", Kind.MONEY, 3),
)
PURCHASE_NO = Field("purchase_no", Kind.BINARY, 1)
KEY_VERSION = Field("key_version", Kind.BINARY, 1)
FREEZE = (TIME, *_quantities("total_flow"), FLOW, *_hundredths("temp", "pressure"))

Layout = tuple[Field, ...]

WATER: Layout = (*_quantities("current", "settlement"), TIME, STATUS)
HEAT: Layout = (
    *_quantities("settlement_energy", "current_energy", "power"),
    FLOW,
    *_quantities("total_flow"),
    *TEMPERATURES,
    HOURS,
    TIME,
    STATUS,
)
SHORT: Layout = (Field("current", Kind.PLAIN, 4), STATUS)
PUSHED: Layout = (
    Field("current", Kind.QUANTITY, 5, unit_first=True),
    Field("settlement", Kind.QUANTITY, 5, unit_first=True),
    Field("flow_rate", Kind.FLOW, 5, unit_first=True),
    TIME,
    Field("extra", Kind.BYTES, 4),
)
"""Current data as some vendors have it: without a unit and a clock, or sent unasked."""

REPLIES: dict[int, tuple[Layout, ...]] = {
    CURRENT: (WATER, HEAT, SHORT, PUSHED),
    0x911F: (
        (
            *_quantities("settlement_heat", "settlement_cold", "current_heat", "current_cold"),
            *_quantities("power"),
            FLOW,
            *_quantities("total_flow"),
            *TEMPERATURES,
            *_hundredths("supply_pressure", "return_pressure"),
            HOURS,
            TIME,
            STATUS,
        ),
    ),
    0x903F: (_quantities("power"),),
    0x904F: (TEMPERATURES[1:],),
    0x905F: (TEMPERATURES[:1],),
    0x906F: ((HOURS,),),
    0x907F: ((TIME,),),
    0x8102: (STEPS,),
    0x8103: ((Field("settlement_day", Kind.INTEGER, 1),),),
    0x8104: ((Field("reading_day", Kind.INTEGER, 1),),),
    0x8105: (
        (
            PURCHASE_NO,
            Field("this_purchase", Kind.MONEY, 4),
            Field("total_purchase", Kind.MONEY, 4),
            Field("remaining", Kind.MONEY, 4),
            STATUS,
        ),
    ),
    0x8106: ((KEY_VERSION,),),
    ADDRESS: ((Field("address_in_data", Kind.ADDRESS, 7),),),
    0xA010: ((STATUS,),),
    0xA013: ((PURCHASE_NO, Field("amount", Kind.MONEY, 4)),),
    0xA014: ((KEY_VERSION,),),
    0xA016: ((STATUS,),),
    VALVE: ((STATUS,),),
    **{0xD120 + month: (_quantities("value"),) for month in range(12)},
    **{
        0xD200 + month: (_quantities("total_flow"), _quantities("heat", "cold", "total_flow"))
        for month in range(256)
    },
    **{0xD300 + record: (FREEZE,) for record in range(256)},
    **{0xD400 + record: (FREEZE,) for record in range(256)},
}
REQUESTS: dict[int, tuple[Layout, ...]] = {
    0xA010: ((*STEPS, Field("start_day", Kind.INTEGER, 1)),),
    0xA011: ((Field("day", Kind.INTEGER, 1),),),
    0xA012: ((Field("day", Kind.INTEGER, 1),),),
    0xA013: REPLIES[0xA013],
    0xA014: ((KEY_VERSION, Field("key", Kind.BYTES, 8)),),
    0xA015: ((TIME,),),
    0xA016: (_quantities("base"),),
    VALVE: ((Field("valve_cmd", Kind.VALVE, 1),),),
    0xA018: ((Field("new_address", Kind.ADDRESS, 7),),),
}
WITHOUT_DATA = {0xA019, 0xA101, 0xA102, 0xA103, 0xA104, 0xA105, 0xA106, 0xA107}


def is_experimental(di: int) -> bool:
    """Whether the identifier is one of 2018, of which no text and no captured frame is public: its layout
    is from one source, or worked out from the length."""
    return di in (0x911F, 0x903F, 0x904F, 0x905F, 0x906F, 0x907F) or di >> 8 in (
        0xA1,
        0xD2,
        0xD3,
        0xD4,
    )


def is_known(di: int) -> bool:
    """Whether the table has the identifier."""
    return di in REPLIES or di in REQUESTS or di in WITHOUT_DATA


def identifier(wire: bytes) -> tuple[int, bool]:
    """The identifier in two bytes of the line, and whether its high byte came first.

    The order that gives a known identifier is meant; high first where neither or both do.
    """
    high_first, low_first = int.from_bytes(wire, "big"), int.from_bytes(wire, "little")
    if is_known(low_first) and not is_known(high_first):
        return low_first, False
    return high_first, True


def layout(di: int, size: int, *, is_reply: bool) -> Layout | None:
    """The fields of `size` bytes under an identifier, or None where no known form has that size.

    The size tells the forms apart, not the meter type T, which some meters send wrong.
    """
    for fields in (REPLIES if is_reply else REQUESTS).get(di, ()):
        if sum(field.size for field in fields) == size:
            return fields
    return None

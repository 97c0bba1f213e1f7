"""The parameters of a simulated DL/T 645 meter, and its tariff tables 时段表."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from protocols import bcd
from protocols.dlt645 import items
from protocols.dlt645.fields import BadValue, Kind, decode_fields
from protocols.dlt645.slave import OTHER_ERROR, Declined

DEMAND_PERIOD, DEMAND_SLIDE = 0x04000103, 0x04000104
ZONE_SWITCH, PERIOD_SWITCH, PRICE_SWITCH, STEP_SWITCH = (
    0x04000106,
    0x04000107,
    0x04000108,
    0x04000109,
)
TARIFFS, STEPS = 0x04000204, 0x04000207
METER_NUMBER, CUSTOMER = 0x04000402, 0x0400040E
REST_WORD, REST_TABLE = 0x04000801, 0x04000802
LOAD_MODE, LOAD_START, LOAD_INTERVAL = 0x04000901, 0x04000A01, 0x04000A02
SETTLEMENT_DAYS = (0x04000B01, 0x04000B02, 0x04000B03)
HOURLY_START, HOURLY_INTERVAL, DAILY_TIME = 0x04001201, 0x04001202, 0x04001203
TRIP_DELAY, CLOSE_DELAY = 0x04001401, 0x04001402
FIRST_TABLES, SECOND_TABLES, HOLIDAYS = 0x04010000, 0x04020000, 0x04030000
PRICES, NEXT_PRICES = 0x04050100, 0x04050200
STEP_LIMITS, STEP_PRICES, NEXT_STEP_LIMITS, NEXT_STEP_PRICES = (
    0x04060000,
    0x04060100,
    0x04060200,
    0x04060300,
)
TOO_MANY = {0x04000201: (14, 0x10), 0x04000203: (14, 0x20), TARIFFS: (63, 0x40)}
DAY_TABLES, MOST_STEPS = 8, 6
NEVER = "0000000000"


class Parameters:
    """What stands under the identifiers of class 04, as sent.

    `written` is what differs from the factory; `revision` is another number after each change.
    """

    def __init__(
        self,
        *,
        meter_number: str,
        tariffs: int,
        periods: Mapping[str, int],
        own: Mapping[int, bytes],
    ) -> None:
        """periods is tariff by hhmm of day table 1; own replaces what the factory has."""
        self._factory = _factory(meter_number, tariffs, periods) | dict(own)
        self.written: dict[int, bytes] = {}
        self.revision = 0

    def get(self, di: int) -> bytes | None:
        return self.written.get(di, self._factory.get(di))

    def __getitem__(self, di: int) -> bytes:
        """Raises KeyError if the meter has no such parameter."""
        return self.written[di] if di in self.written else self._factory[di]

    def digits(self, di: int) -> str:
        """Its digits, highest first; none where it holds others. Raises KeyError."""
        data = self[di]
        return bcd.digits(data) if is_bcd(data) else ""

    def count(self, di: int) -> int:
        """A whole number; 0 where the meter has no such parameter or it is not BCD."""
        data = self.get(di)
        return int(bcd.digits(data)) if data is not None and is_bcd(data) else 0

    def word(self, di: int) -> int:
        """Bits."""
        return int.from_bytes(self.get(di) or b"", "little")

    def write(self, di: int, data: bytes) -> bool:
        """Take it, as the meter's own program would; False if there is no such parameter to write.

        Raises Declined where it is not of its form, or names more than the meter has.
        """
        item = items.find(di)
        if item is None or not item.writable or self.get(di) is None:
            return False
        try:
            values = decode_fields(item, data)
        except BadValue as error:
            raise Declined(OTHER_ERROR) from error
        if di in TOO_MANY:
            most, bit = TOO_MANY[di]
            if int(bcd.digits(data)) > most:
                raise Declined(bit)
        if di >> 8 in (FIRST_TABLES >> 8, SECOND_TABLES >> 8) and di & 0xFF:
            highest = max(v.value for v in values[1::2] if isinstance(v.value, Decimal))
            if highest > self.count(TARIFFS):
                raise Declined(TOO_MANY[TARIFFS][1])
        self.written[di] = data
        self.revision += 1
        return True

    def swap(self, first: int, second: int, count: int) -> None:
        """The stand-by set from `second` on becomes the running one, and the other way round."""
        for at in range(1, count + 1):
            running, stand_by = self.get(first + at), self.get(second + at)
            if running is not None and stand_by is not None:
                self.written[first + at], self.written[second + at] = stand_by, running
                self.revision += 1

    def tariff_at(self, at: datetime, *, second_zones: bool, second_periods: bool) -> int:
        """The tariff 费率 in force at a time of the meter's clock: holiday, rest day or year zone say
        which day table, and that which tariff. Before the first entry of a table its last one holds."""
        table = self._day_table(at, FIRST_TABLES if not second_zones else SECOND_TABLES)
        periods = (SECOND_TABLES if second_periods else FIRST_TABLES) + min(table, DAY_TABLES)
        return max(1, min(in_force(self.get(periods), f"{at:%H%M}"), self.count(TARIFFS)))

    def _day_table(self, at: datetime, zones: int) -> int:
        for n in range(1, self.count(0x04000205) + 1):
            holiday = self.get(HOLIDAYS + n)
            if holiday is not None and bcd.digits(holiday)[:6] == f"{at:%y%m%d}":
                return int(bcd.digits(holiday)[6:])
        if not self.word(REST_WORD) >> (at.isoweekday() % 7) & 1:
            return self.count(REST_TABLE)
        return in_force(self.get(zones), f"{at:%m%d}")


def is_bcd(data: bytes) -> bool:
    return data.hex().isdecimal()


def in_force(table: bytes | None, now: str) -> int:
    """The last digits NN of the entry that began last; an entry is four digits of time, then NN."""
    if not table or not is_bcd(table):
        return 1
    entries = [bcd.digits(table[at : at + 3]) for at in range(0, len(table), 3)]
    begun = [entry for entry in entries if entry[:4] <= now]
    return int(max(begun or entries, key=lambda entry: entry[:4])[4:])


def encoded(di: int, value: Decimal | int | str) -> bytes:
    """The one field of an item from a number, a string of digits, a word in hexadecimal or a text.

    Raises ValueError if the value is not of the item's form.
    """
    item = items.find(di)
    if item is None or len(item.fields) != 1:
        raise ValueError(f"{di:08X} is not one field")
    (field,) = item.fields
    if isinstance(value, str):
        if field.kind is Kind.TEXT:
            return value.encode("ascii").ljust(field.size, b"\0")[::-1]
        data = bytes.fromhex(value)[::-1]
        if len(data) != field.size:
            raise ValueError(f"{di:08X} has {field.size} bytes")
        return data
    return bcd.encode(value, size=field.size, decimals=field.decimals, signed=field.signed)


def from_hex(di: int, text: str) -> bytes:
    """The data of one field from its digits or bits as printed, highest first.

    Raises ValueError if the identifier has not one field, or of another size.
    """
    item = items.find(di)
    if item is None or len(item.fields) != 1 or not item.writable:
        raise ValueError(f"{di:08X} is not one value that can be written")
    data = bytes.fromhex(text)[::-1]
    if len(data) != item.size:
        raise ValueError(f"{di:08X} has {2 * item.size} digits")
    return data


def _factory(number: str, tariffs: int, periods: Mapping[str, int]) -> dict[int, bytes]:
    values: dict[int, Decimal | int | str] = {
        DEMAND_PERIOD: 15,
        DEMAND_SLIDE: 1,
        0x04000105: 80,
        ZONE_SWITCH: NEVER,
        PERIOD_SWITCH: NEVER,
        PRICE_SWITCH: NEVER,
        STEP_SWITCH: NEVER,
        0x04000201: 1,
        0x04000202: 1,
        0x04000203: len(periods),
        TARIFFS: tariffs,
        0x04000205: 0,
        0x04000206: 21,
        STEPS: 0,
        0x04000208: 4,
        **{0x04000300 + n: value for n, value in enumerate((5, 5, 2, 4, 20, 1, 1, 5), start=1)},
        METER_NUMBER: number,
        0x04000403: f"WW{number}",
        0x04000404: "220V",
        0x04000405: "5A",
        0x04000406: "60A",
        0x04000407: "1.0",
        0x04000408: "2.0",
        0x04000409: 1600,
        0x0400040A: 1600,
        0x0400040B: "BENCH-1",
        0x0400040C: "2026-01",
        0x0400040D: "DL/T645-2007",
        CUSTOMER: number,
        0x04000508: "0000000F",
        0x04000601: "05",
        0x04000602: "55",
        0x04000603: "AA",
        **{0x04000700 + n: "08" for n in range(1, 6)},
        REST_WORD: "7F",
        REST_TABLE: 1,
        LOAD_MODE: "00",
        0x04000902: "FF",
        0x04000903: "FF",
        0x04000904: "FF",
        0x04000905: "03",
        0x04000906: "21",
        LOAD_START: "01010000",
        **{LOAD_INTERVAL + n: 15 for n in range(6)},
        SETTLEMENT_DAYS[0]: "0100",
        SETTLEMENT_DAYS[1]: "9999",
        SETTLEMENT_DAYS[2]: "9999",
        **{0x04000D00 + n: 0 for n in range(1, 13)},
        0x04000E01: Decimal("15.0000"),
        0x04000E02: Decimal("15.0000"),
        0x04000E03: Decimal("264.0"),
        0x04000E04: Decimal("176.0"),
        **dict.fromkeys((*range(0x04000F01, 0x04000F05), *range(0x04001001, 0x04001007)), 0),
        0x04001101: "00",
        0x04001104: "00" * 8,
        HOURLY_START: "2001010000",
        HOURLY_INTERVAL: 60,
        DAILY_TIME: "0000",
        0x04001204: "99999999",
        TRIP_DELAY: 0,
        CLOSE_DELAY: 0,
        0x04800001: "bench 1",
        0x04800002: "simulated",
        0x04800003: "wattwell",
        **{table + t: 0 for table in (PRICES, NEXT_PRICES) for t in range(1, tariffs + 1)},
        **{
            table + n: 0
            for table in (STEP_LIMITS, NEXT_STEP_LIMITS)
            for n in range(1, MOST_STEPS + 1)
        },
        **{
            table + n: 0
            for table in (STEP_PRICES, NEXT_STEP_PRICES)
            for n in range(1, MOST_STEPS + 2)
        },
    }
    tables = {
        FIRST_TABLES: bcd.from_digits("010101"),
        SECOND_TABLES: bcd.from_digits("010101"),
        0x0400040F: bytes(11),
        **{HOLIDAYS + n: bcd.from_digits("00000001") for n in range(1, 0xFF)},
    }
    day = b"".join(bcd.from_digits(f"{start}{tariff:02d}") for start, tariff in periods.items())
    for n in range(1, DAY_TABLES + 1):
        tables[FIRST_TABLES + n] = tables[SECOND_TABLES + n] = day
    return {di: encoded(di, value) for di, value in values.items()} | tables

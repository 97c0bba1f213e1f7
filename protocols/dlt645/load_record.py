"""Load records 负荷记录 of DL/T 645-2007: what stands under the identifiers of class 06."""

from dataclasses import dataclass

from protocols import bcd
from protocols.dlt645.fields import BadValue, Item, Value, decode_fields, number

HEAD = 8
BLOCK_END = 0xAA
RECORD_END = 0xE5
FAULTY = 0xE0


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """One record: when it was stored (text, local time to the minute) and its values.

    `faulty` where the meter itself marks the record so. A class that is off has no values.
    """

    at: str
    faulty: bool
    values: list[Value]


BLOCKS = (
    Item(
        (
            *(number(f"voltage {phase}", 2, 1, "V") for phase in "ABC"),
            *(number(f"current {phase}", 3, 3, "A", signed=True) for phase in "ABC"),
            number("grid frequency", 2, 2, "Hz"),
        )
    ),
    Item(
        tuple(
            number(f"{kind} power {part}", 3, 4, unit, signed=True)
            for kind, unit in (("active", "kW"), ("reactive", "kvar"))
            for part in ("total", "A", "B", "C")
        )
    ),
    Item(tuple(number(f"power factor {p}", 2, 3, signed=True) for p in ("total", "A", "B", "C"))),
    Item(
        (
            number("forward active energy total", 4, 2, "kWh"),
            number("reverse active energy total", 4, 2, "kWh"),
            number("combined reactive 1 energy total", 4, 2, "kvarh", signed=True),
            number("combined reactive 2 energy total", 4, 2, "kvarh", signed=True),
        )
    ),
    Item(tuple(number(f"Q{q} reactive energy total", 4, 2, "kvarh") for q in (1, 2, 3, 4))),
    Item(
        (
            number("active demand", 3, 4, "kW", signed=True),
            number("reactive demand", 3, 4, "kvar", signed=True),
        )
    ),
)


def decode_records(data: bytes) -> list[LoadRecord]:
    """The records of a load profile reply, one behind the other.

    A0 A0 (E0 E0: faulty), a length, mm hh DD MM YY, six blocks each ended by AA, the sum modulo
    256 of all before it, E5. What the length counts is not settled between meters, so the blocks
    are walked instead: each has its full size or is empty.

    Raises BadValue if the bytes have not this form or a number is not BCD.
    """
    records = []
    while data:
        record, size = _decode_first(data)
        records.append(record)
        data = data[size:]
    return records


def _decode_first(data: bytes) -> tuple[LoadRecord, int]:
    if len(data) < HEAD or data[:2] not in (b"\xa0\xa0", bytes([FAULTY, FAULTY])):
        raise BadValue("length", f"no load record begins here: {data[:HEAD].hex()}")
    values: list[Value] = []
    at = HEAD
    for block in BLOCKS:
        if data[at : at + 1] != bytes([BLOCK_END]):
            values += decode_fields(block, data[at : at + block.size])
            at += block.size
        if data[at : at + 1] != bytes([BLOCK_END]):
            raise BadValue("length", f"a block of a load record does not end at byte {at}")
        at += 1
    if data[at : at + 2] != bytes([sum(data[:at]) & 0xFF, RECORD_END]):
        raise BadValue("length", "the sum of a load record is wrong")
    return LoadRecord(_time(data[3:HEAD]), data[0] == FAULTY, values), at + 2


def _time(data: bytes) -> str:
    try:
        shown = bcd.digits(data)
    except ValueError as error:
        raise BadValue("non_bcd", f"time: {error}") from error
    return f"20{shown[:2]}-{shown[2:4]}-{shown[4:6]} {shown[6:8]}:{shown[8:]}"

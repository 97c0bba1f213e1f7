"""Whole freeze records 冻结记录 of DL/T 645-2007: what stands under 05 kk FF nn.

A record holds the time and then a group for each bit of the freeze mode word 冻结数据模式字, each
with as many tariffs as the meter has. Neither the groups nor the tariffs are named in it: the mode
word is asked beside it (`mode_of`), the tariffs follow from the length. Many meters put AA between
the groups; the base text has no separator, so both are read.
"""

from protocols.dlt645 import items
from protocols.dlt645.fields import BadValue, Field, Item, Value, decode_fields, time

SEPARATOR = b"\xaa"
HOURLY = 0x04

MODES = {
    # Kind of freeze: the identifier of its mode word
    0x00: 0x04000902,
    0x01: 0x04000903,
    0x02: 0x04000904,
    0x03: 0x04000904,
    0x04: 0x04000905,
    0x05: 0x04000904,
    0x06: 0x04000906,
    0x07: 0x04000904,
}
"""The agreed freezes (change of zones, periods, prices or steps) share one word."""

GROUPS = {
    # Bit of the mode word: the item bytes DI1 of its groups
    0: (0x01,),
    1: (0x02,),
    2: (0x03,),
    3: (0x04,),
    4: (0x05, 0x06, 0x07, 0x08),
    5: (0x09,),
    6: (0x0A,),
    7: (0x10,),
}
ALL_GROUPS = tuple(sorted(group for groups in GROUPS.values() for group in groups))
VARIABLES = 0x10


def mode_of(kind: int) -> int:
    """The identifier of the mode word of a kind of freeze. Raises KeyError if there is no such kind."""
    return MODES[kind]


def groups_of(mode: int) -> tuple[int, ...]:
    """The item bytes DI1 of the groups that a mode word enables, in their order."""
    return tuple(sorted(g for bit, groups in GROUPS.items() if mode & 1 << bit for g in groups))


def decode_record(data: bytes, *, mode: int) -> list[Value]:
    """The values of a whole record: the time, then what `mode` enables.

    With separators, a group that is off may be missing or be left empty. Without, the number of
    tariffs must follow from the length. Raises BadValue if the groups do not fit the data, or a
    number is not BCD.
    """
    enabled = groups_of(mode)
    head, *bodies = _separated(data) or _without_separators(data, enabled)
    if len(bodies) == len(ALL_GROUPS):
        enabled = ALL_GROUPS
    if len(bodies) != len(enabled):
        raise BadValue("length", f"{len(bodies)} groups where the mode word enables {len(enabled)}")
    values = decode_fields(Item((TIME,)), head)
    for group, body in zip(enabled, bodies, strict=True):
        if body:
            values += decode_fields(item_of(group), body)
    return values


TIME: Field = time("freeze time", "YYMMDDhhmm")


def item_of(group: int) -> Item:
    """What stands in one group, with up to 63 tariffs."""
    item = items.find(0x05000001 | group << 8)
    assert item is not None, f"{group:02X} is a group"
    return item


def _separated(data: bytes) -> list[bytes]:
    """The time and the groups, where AA stands between them; else nothing.

    AA is not a digit, and a sign makes A of the first half-byte alone, so it can only separate.
    """
    return data.removesuffix(SEPARATOR).split(SEPARATOR) if SEPARATOR in data else []


def _without_separators(data: bytes, enabled: tuple[int, ...]) -> list[bytes]:
    """Cuts by lengths: k + 1 values of 4 bytes in an energy, of 8 in a demand; 24 for variables."""
    fixed = TIME.size + (item_of(VARIABLES).size if VARIABLES in enabled else 0)
    widths = {group: 8 if group in (0x09, 0x0A) else 4 for group in enabled if group != VARIABLES}
    tariffs, rest = divmod(len(data) - fixed, sum(widths.values()) or 1)
    if rest or (widths and tariffs < 1):
        raise BadValue("length", f"{len(data)} bytes do not hold the groups of the mode word")
    parts = [data[: TIME.size]]
    at = TIME.size
    for group in enabled:
        size = item_of(group).size if group == VARIABLES else widths[group] * tariffs
        parts.append(data[at : at + size])
        at += size
    return parts

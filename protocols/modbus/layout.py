"""What the registers of a model of meter mean, as values: the parts of a register profile 寄存器档案."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final, Literal, TypeAlias

Value: TypeAlias = Decimal | str | None
Words: TypeAlias = Mapping[tuple[int, int], int]
"""Registers as read: (function 3 or 4, address) to 0..65535."""


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
    a current or flow of zero proves it: `flows` are those. `is_abnormal` is how it says that it cannot move.
    """

    on: Command | None
    off: Command | None
    automatic: Command | None
    is_on: tuple[Condition, ...]
    is_off: tuple[Condition, ...]
    is_measured: bool
    is_abnormal: tuple[Condition, ...]
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
class Rate:
    """One of the meter's own time-of-use registers 分时示数. `band` is what the maker calls it (sharp, peak, flat,
    valley), None where it has but a number."""

    register: str
    band: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One model of meter. `energy` names the registers to charge by, first choice first; `bands` the meter's own
    time-of-use registers, the rate numbers 1 to n in their order.

    A profile is compared by identity: there is one of each model (`profile.load`).
    """

    name: str
    vendor: str
    model: str
    kind: Kind
    phases: int
    is_prepaid: bool
    energy: tuple[str, ...]
    bands: tuple[Rate, ...]
    largest_read: int
    even_reads: bool
    blocks: tuple[tuple[int, int], ...]
    write_functions: tuple[int, ...]
    is_battery_low: tuple[Condition, ...]
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

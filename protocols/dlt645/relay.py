"""The relay of a prepaid meter: its commands, the words it answers with, and its status word."""

from dataclasses import dataclass
from enum import Enum


class RelayCommand(Enum):
    """N1 of function 1CH 跳合闸、报警、保电."""

    TRIP = 0x1A  # 跳闸
    ALLOW_CLOSE = 0x1B  # 合闸允许: the user presses the meter's key
    CLOSE = 0x1C  # 直接合闸
    TRIP_THEN_CLOSE = 0x1D  # restores by itself after N2 × 5 minutes
    TRIP_THEN_ALLOW_CLOSE = 0x1E
    ALARM_ON = 0x2A  # 报警
    ALARM_OFF = 0x2B
    KEEP_POWER_ON = 0x3A  # 保电: ignores every trip
    KEEP_POWER_OFF = 0x3B


COMMAND_NAMES = {
    RelayCommand.TRIP: "trip",
    RelayCommand.ALLOW_CLOSE: "close permit",
    RelayCommand.CLOSE: "direct close",
    RelayCommand.TRIP_THEN_CLOSE: "timed trip then direct close",
    RelayCommand.TRIP_THEN_ALLOW_CLOSE: "timed trip then close permit",
    RelayCommand.ALARM_ON: "alarm on",
    RelayCommand.ALARM_OFF: "alarm off",
    RelayCommand.KEEP_POWER_ON: "keep power on",
    RelayCommand.KEEP_POWER_OFF: "keep power off",
}

DONE_BITS = {
    0x0001: "direct close done",
    0x0002: "close permitted",
    0x0004: "tripped",
    0x0008: "trip delayed",
    0x0010: "auto-restore running",
    0x0020: "trip waits because of large current",
    0x0100: "keep power on",
    0x0200: "keep power off",
    0x0400: "alarm on",
    0x0800: "alarm off",
}
REFUSED_BITS = {
    0x0001: "meter suspended",
    0x0002: "MAC check failed",
    0x0004: "password",
    0x0008: "authentication expired",
    0x0010: "deadline invalid",
    0x0020: "trip refused: keep power",
    0x0040: "auto-restore refused: keep power",
    0x0080: "restore time invalid",
    0x0100: "auto-restore refused: already open",
}


class Prepayment(Enum):
    """Bits 8 and 9 of status word 3: what the meter itself sells."""

    NONE = 0
    ENERGY = 1
    MONEY = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class RelayState:
    """Status word 3 电表运行状态字 3 (04000503), as far as it concerns the supply.

    `contact_open` is where the contact is, `command_open` what the meter was last told: after
    allow-close 合闸允许 the command is closed while the contact stays open until the key is
    pressed. `alarm` is the warning before a trip. `raw` is the whole word.
    """

    contact_open: bool
    command_open: bool
    keep_power: bool
    alarm: bool
    prepayment: Prepayment
    raw: int

    @classmethod
    def from_word(cls, raw: int) -> "RelayState":
        """Bit 4 contact, 6 command, 7 alarm, 8 and 9 kind, 12 keep power.

        Bit 4 is in the base standard; the others come from its filings, and stay 0 in a meter
        that follows the base standard alone.
        """
        return cls(
            contact_open=bool(raw & 0x0010),
            command_open=bool(raw & 0x0040),
            keep_power=bool(raw & 0x1000),
            alarm=bool(raw & 0x0080),
            prepayment=Prepayment(raw >> 8 & 3),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class RelayReply:
    """The meter took a command. It says nothing of the contact: read the status word back.

    `word` is the status word of newer meters or None, `states` its bits in words.
    """

    word: int | None
    states: tuple[str, ...] = ()


def names(bits: dict[int, str], raw: int) -> tuple[str, ...]:
    """The names of the bits set in `raw`, lowest first; a bit without a name is "bit n"."""
    return tuple(bits.get(1 << n, f"bit {n}") for n in range(raw.bit_length()) if raw & (1 << n))

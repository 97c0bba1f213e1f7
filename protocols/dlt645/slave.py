"""The meter's side of DL/T 645, both editions at once: what a meter with some state answers to a frame. Pure.

A simulator owns a `MeterState` (or its own object of the same shape, `Meter`), keeps its
registers, and calls `answer` for every frame it hears.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol, runtime_checkable

from protocols import bcd
from protocols.dlt645.frame import BROADCAST, Frame
from protocols.dlt645.relay import DONE_BITS, REFUSED_BITS, RelayCommand

__all__ = [
    "Declined",
    "Meter",
    "MeterState",
    "Recording",
    "RelayCommand",
    "Sealed",
    "Serviced",
    "answer",
]

OTHER_ERROR, NO_SUCH_DATA, NOT_AUTHORISED, NO_SUCH_RATE = 0x01, 0x02, 0x04, 0x08
LONGEST_READ = 200


class Declined(Exception):
    """The meter refuses a write, with these bits of ERR."""

    def __init__(self, error: int) -> None:
        super().__init__(f"error {error:02X}")
        self.error = error


class Meter(Protocol):
    """What `answer` needs of a meter. `MeterState` is one; a simulator may bring its own.

    `address` is 12 digits, `passwords` the 6 digits for each permission level 0..9 that may be
    used. `clock_error` is how far the meter's clock runs ahead of `now`. With `answers_with_word`
    a relay command is answered with the two-byte status word of newer meters. Without
    `programming_allowed` (the key 编程键 is not held) nothing is written, cleared or readdressed.
    A meter that `is_suspended` takes no password.

    `answer` keeps here what it must remember: `unsent`, the parts of a long reply still to be asked
    for; `operator`, whose command is being obeyed, 8 digits; `time_set_on`, when a broadcast last
    set the clock.
    """

    address: str
    contact_open: bool
    command_open: bool
    keep_power: bool
    alarm: bool
    clock_error: timedelta
    answers_with_word: bool
    unsent: "Unsent | None"
    operator: str
    time_set_on: date | None

    @property
    def passwords(self) -> dict[int, str]: ...

    @property
    def programming_allowed(self) -> bool: ...

    @property
    def is_suspended(self) -> bool: ...

    def read_item(self, di: int) -> bytes | None:
        """The data under an identifier as sent (low byte first), or None if there is none."""
        ...

    def write_item(self, di: int, data: bytes) -> bool:
        """Take the data under an identifier; False if there is none to write. Raises Declined."""
        ...

    def count_wrong_password(self) -> None:
        """A command came with a password that is not the meter's."""
        ...

    def relay(self, command: RelayCommand, minutes: int) -> None:
        """Obey a relay command that was accepted; `minutes` is the length of a timed trip."""
        ...


@runtime_checkable
class Recording(Meter, Protocol):
    """A meter with a load profile 负荷记录; what a plain `Meter` has there it reads as any item."""

    def read_load(self, di: int, blocks: int, since: datetime | None) -> bytes | None:
        """So many records as sent, the first not before `since`; b"" if none matches, None if
        the identifier is not one of load records."""
        ...


@runtime_checkable
class Sealed(Meter, Protocol):
    """A meter with a security module, which checks what comes with a MAC instead of a password."""

    def accepts_mac(self, mac: bytes) -> bool:
        """Whether an authentication is valid and the MAC is right."""
        ...


@runtime_checkable
class Serviced(Meter, Protocol):
    """A meter that also plays what an installer does; a plain `Meter` refuses these."""

    def freeze(self, when: str) -> bool:
        """Freeze at MMDDhhmm, 99 for "every"; False if that cannot be."""
        ...

    def change_baud(self, feature: int) -> bool:
        """Use the rate of this feature byte after the reply; False if it cannot."""
        ...

    def clear(self, what: int, di: int) -> None:
        """Clear demand (19H), the meter (1AH) or the events of `di` (1BH); what is its function."""
        ...

    def select_output(self, output: int) -> bool:
        """Give out seconds, demand periods or tariff switching (0, 1, 2); False if none of them."""
        ...

    def authenticate(self, di: int, payload: bytes) -> bytes | int:
        """The security module's answer, or its error word."""
        ...


@dataclass(frozen=True, slots=True)
class Unsent:
    """A long reply under way: its identifier and all its parts after the first.

    `at` and `last` are for the edition of 1997, whose requests do not number the parts: how many
    were sent, and the frame that a re-read repeats.
    """

    di: bytes
    parts: tuple[bytes, ...]
    at: int = 0
    last: Frame | None = None


@dataclass(slots=True)
class MeterState:
    """A meter as plain data. `registers` holds items by identifier, as sent."""

    address: str
    passwords: dict[int, str] = field(default_factory=dict)
    registers: dict[int, bytes] = field(default_factory=dict)
    contact_open: bool = False
    command_open: bool = False
    keep_power: bool = False
    alarm: bool = False
    clock_error: timedelta = timedelta(0)
    answers_with_word: bool = False
    programming_allowed: bool = True
    is_suspended: bool = False
    unsent: Unsent | None = None
    operator: str = ""
    time_set_on: date | None = None
    wrong_passwords: int = 0
    frozen: list[str] = field(default_factory=list)
    baud_feature: int = 0x08
    cleared: list[tuple[int, int]] = field(default_factory=list)
    output: int = 0

    def freeze(self, when: str) -> bool:
        """Note it in `frozen`."""
        self.frozen.append(when)
        return True

    def change_baud(self, feature: int) -> bool:
        """Only one bit may be set."""
        if feature.bit_count() != 1 or feature in (0x01, 0x80):
            return False
        self.baud_feature = feature
        return True

    def clear(self, what: int, di: int) -> None:
        """Note it in `cleared`."""
        self.cleared.append((what, di))

    def select_output(self, output: int) -> bool:
        """Note it in `output`."""
        if output > 2:
            return False
        self.output = output
        return True

    def authenticate(self, di: int, payload: bytes) -> bytes | int:
        """This meter has no security module: identity authentication failed."""
        return 0x0008

    def read_item(self, di: int) -> bytes | None:
        """What stands in `registers`."""
        return self.registers.get(di)

    def write_item(self, di: int, data: bytes) -> bool:
        """Only items that are there can be written, and only with data as long as they are."""
        if len(self.registers.get(di, b"")) != len(data):
            return False
        self.registers[di] = data
        return True

    def relay(self, command: RelayCommand, minutes: int) -> None:
        """Move at once. After allow-close the contact waits for `press_key`."""
        match command:
            case RelayCommand.KEEP_POWER_ON | RelayCommand.KEEP_POWER_OFF:
                self.keep_power = command is RelayCommand.KEEP_POWER_ON
            case RelayCommand.ALARM_ON | RelayCommand.ALARM_OFF:
                self.alarm = command is RelayCommand.ALARM_ON
            case RelayCommand.ALLOW_CLOSE:
                self.command_open = False
            case RelayCommand.CLOSE:
                self.command_open = self.contact_open = False
            case _:
                self.command_open = self.contact_open = True

    def count_wrong_password(self) -> None:
        """Count it in `wrong_passwords`."""
        self.wrong_passwords += 1

    def press_key(self) -> None:
        """The user presses the key: closes the contact if that was permitted."""
        if not self.command_open:
            self.contact_open = False


def answer(meter: Meter, frame: Frame, now: datetime) -> Frame | None:
    """What the meter sends back, or None for silence. `now` is naive local time.

    Silence meets foreign addresses, broadcasts, replies, and functions that it does not serve.
    The status word 3, the clock and the address are answered from the state where `read_item`
    has nothing under their identifiers. Functions of the edition of 1997 (01H to 10H) are served
    too; their identifiers have two bytes, and share `read_item` with those of four.
    """
    if frame.is_reply:
        return None
    if frame.address == BROADCAST:
        return _hear(meter, frame, now)
    if not _is_for(meter, frame.address):
        return None
    if frame.function not in (0x02, 0x03, 0x12):
        meter.unsent = None
    if frame.control == 0x14 and frame.data[4:5] == PLAIN_WITH_MAC and isinstance(meter, Sealed):
        return _write_with_mac(meter, frame)
    if frame.function in WITH_KEY and not meter.programming_allowed:
        return None if frame.function == 0x15 else _refuse(meter, frame, NOT_AUTHORISED)
    match frame.control, len(frame.data):
        case 0x08, _:
            return _hear(meter, frame, now)
        case 0x11, 4 | 5 | 10:
            return _read(meter, frame, now + meter.clock_error)
        case 0x12, 5:
            return _read_more(meter, frame)
        case 0x13, 0:
            return _reply(meter, frame, bcd.from_digits(meter.address))
        case 0x14, length if length >= 12:
            return _write(meter, frame)
        case 0x15, 6:
            return _readdress(meter, frame)
        case 0x18, 12:
            return _change_password(meter, frame)
        case 0x1C, 16:
            return _control(meter, frame, now + meter.clock_error)
        case ((0x19 | 0x1A | 0x1B | 0x1C), 28):
            # Ciphertext and MAC: without a security module there is nobody to check them.
            return _refuse(meter, frame, NOT_AUTHORISED)
        case (0x01, 2) | (0x02, 2) | (0x03, 0):
            return _read_1997(meter, frame, now + meter.clock_error)
        case 0x04, length if length > 2:
            return _write_1997(meter, frame)
        case 0x0F, 8:
            return _change_password(meter, frame)
    return _service(meter, frame) if isinstance(meter, Serviced) else None


WITH_KEY = {0x14, 0x15, 0x18, 0x19, 0x1A, 0x1B}
"""What the programming key must be held for; a sealed command (PA 98H, 99H) is refused anyway."""


def _hear(meter: Meter, frame: Frame, now: datetime) -> Frame | None:
    """Broadcasts: time, freeze, and the new address of 1997, which alone is answered."""
    match frame.control, len(frame.data):
        case 0x08, 6:
            _set_clock(meter, frame.data, now)
        case 0x16, 4 if isinstance(meter, Serviced):
            _service(meter, frame)
        case 0x0A, 6 if meter.programming_allowed:
            return _readdress(meter, frame)
    return None


LARGEST_CORRECTION = timedelta(minutes=5)


def _set_clock(meter: Meter, data: bytes, now: datetime) -> None:
    """Taken only if the clock is at most five minutes off, and once a day."""
    try:
        at = datetime.strptime(bcd.digits(data), "%y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        return
    clock = now + meter.clock_error
    if abs(at - clock) <= LARGEST_CORRECTION and meter.time_set_on != clock.date():
        meter.clock_error = at - now
        meter.time_set_on = clock.date()


def _readdress(meter: Meter, frame: Frame) -> Frame | None:
    """The reply already comes from the new address; a fault is met with silence."""
    try:
        meter.address = bcd.digits(frame.data)
    except ValueError:
        return None
    return _reply(meter, frame)


def _change_password(meter: Meter, frame: Frame) -> Frame | None:
    """18H names the level by its identifier too; 0FH of 1997 is silent where it refuses."""
    old, new = frame.data[-8:-4], frame.data[-4:]
    named = int.from_bytes(frame.data[:4], "little") - 0x04000C01
    is_named = frame.function == 0x0F or named == new[0]
    if not is_named or not _is_authorised(meter, old, lowest=new[0]):
        return None if frame.function == 0x0F else _refuse(meter, frame, NOT_AUTHORISED)
    meter.passwords[new[0]] = new[:0:-1].hex()
    return _reply(meter, frame, new)


def _service(meter: Serviced, frame: Frame) -> Frame | None:
    data = frame.data
    match frame.control, len(data):
        case 0x03, length if length >= 8:
            outcome = meter.authenticate(int.from_bytes(data[:4], "little"), data[8:])
            if isinstance(outcome, int):
                return Frame(meter.address, 0xC3, outcome.to_bytes(2, "little"))
            return _reply(meter, frame, data[:4] + outcome)
        case 0x16, 4:
            if not meter.freeze(data[::-1].hex()):
                return _refuse(meter, frame, OTHER_ERROR)
            return _reply(meter, frame)
        case 0x17, 1:
            if not meter.change_baud(data[0]):
                return _refuse(meter, frame, NO_SUCH_RATE)
            return _reply(meter, frame, data)
        case 0x0C, 1:
            feature = BAUD_1997.get(data[0])
            is_taken = feature is not None and meter.change_baud(feature)
            return _reply(meter, frame, data if is_taken else b"\xff")
        case (0x19, 8) | (0x1A, 8) | (0x1B, 12):
            # Level 02 may clear the meter and its events, 04 may reset the demand.
            lowest = 4 if frame.function == 0x19 else 2
            if not _is_authorised(meter, data[:4], lowest=lowest):
                return _refuse(meter, frame, NOT_AUTHORISED)
            meter.operator = _digits(data[4:8])
            meter.clear(frame.function, int.from_bytes(data[8:], "little"))
            return _reply(meter, frame)
        case 0x10, 0:
            meter.operator = NOBODY
            meter.clear(0x19, 0)
            return _reply(meter, frame)
        case 0x1D, 1:
            if not meter.select_output(data[0]):
                return _refuse(meter, frame, OTHER_ERROR)
            return _reply(meter, frame)
    return None


NOBODY = "00000000"
"""Who commands where no operator code is sent."""


def _digits(data: bytes) -> str:
    return data[::-1].hex().upper()


# The rate byte of 1997 as that of 2007: 300, 600, 1200, 2400, 4800, 9600. 300 is no rate of 2007.
BAUD_1997 = {0x02: 0x01, 0x04: 0x02, 0x00: 0x04, 0x10: 0x08, 0x20: 0x10, 0x40: 0x20}


def _read_1997(meter: Meter, frame: Frame, clock: datetime) -> Frame | None:
    """01H read, 02H read what follows, 03H send the last frame again."""
    unsent = meter.unsent
    if frame.function == 0x03:
        if unsent is None or unsent.last is None:
            return None
        return _reply(meter, frame, unsent.last.data, follow=unsent.last.follow)
    if frame.function == 0x01:
        di = int.from_bytes(frame.data, "little")
        data = meter.read_item(di)
        if data is None:
            data = _own_item(meter, SAME_AS_2007.get(di, di), clock)
        if data is None:
            return _refuse(meter, frame, NO_SUCH_DATA)
        room = LONGEST_READ - 2
        parts = tuple(data[at : at + room] for at in range(0, len(data), room)) or (b"",)
        unsent = Unsent(frame.data, parts)
    elif unsent is None or unsent.di != frame.data or unsent.at >= len(unsent.parts):
        return _refuse(meter, frame, NO_SUCH_DATA)
    at = unsent.at + 1
    follow = at < len(unsent.parts)
    reply = _reply(meter, frame, frame.data + unsent.parts[at - 1], follow=follow)
    meter.unsent = Unsent(unsent.di, unsent.parts, at, reply)
    return reply


SAME_AS_2007 = {0xC010: 0x04000101, 0xC011: 0x04000102}


def _write_1997(meter: Meter, frame: Frame) -> Frame:
    """With a password between identifier and data, as most meters want it, or without."""
    di, data = int.from_bytes(frame.data[:2], "little"), frame.data[2:]
    if len(data) > 4 and _is_authorised(meter, data[:4], lowest=9):
        data = data[4:]
    elif meter.passwords:
        return _refuse(meter, frame, NOT_AUTHORISED)
    meter.operator = NOBODY
    return _take(meter, frame, di, data)


def _is_for(meter: Meter, address: str) -> bool:
    return meter.address.endswith(address.lstrip("A") if address.startswith("AA") else address)


def _reply(meter: Meter, frame: Frame, data: bytes = b"", *, follow: bool = False) -> Frame:
    return Frame(meter.address, frame.function | 0x80 | 0x20 * follow, data)


def _refuse(meter: Meter, frame: Frame, error: int, word: bytes = b"") -> Frame:
    return Frame(meter.address, frame.function | 0xC0, bytes([error]) + word)


def _read(meter: Meter, frame: Frame, clock: datetime) -> Frame:
    identifier = frame.data[:4]
    di = int.from_bytes(identifier, "little")
    if di >> 24 == LOAD_RECORDS and isinstance(meter, Recording):
        data = _load_records(meter, di, frame.data[4:])
    else:
        data = meter.read_item(di)
    if data is None:
        data = _own_item(meter, di, clock)
    if data is None:
        return _refuse(meter, frame, NO_SUCH_DATA)
    room = LONGEST_READ - len(identifier)
    if len(data) <= room:
        return _reply(meter, frame, identifier + data)
    rest = data[room:]
    meter.unsent = Unsent(
        identifier, tuple(rest[at : at + room - 1] for at in range(0, len(rest), room - 1))
    )
    return _reply(meter, frame, identifier + data[:room], follow=True)


LOAD_RECORDS = 0x06


def _load_records(meter: Recording, di: int, which: bytes) -> bytes | None:
    """`which` is how many, one if it is not said, and from when on."""
    try:
        shown = bcd.digits(which)
        since = datetime.strptime(shown[:-2], "%y%m%d%H%M") if shown[:-2] else None  # noqa: DTZ007
    except ValueError:
        return None
    return meter.read_load(di, int(shown[-2:] or "1"), since)


def _own_item(meter: Meter, di: int, clock: datetime) -> bytes | None:
    weekday = f"{clock.isoweekday() % 7:02d}"
    match di:
        case 0x04000101:
            return bcd.from_digits(f"{clock:%y%m%d}{weekday}")
        case 0x04000102:
            return bcd.from_digits(f"{clock:%H%M%S}")
        case 0x0400010C:
            return bcd.from_digits(f"{clock:%y%m%d}{weekday}{clock:%H%M%S}")
        case 0x04000401:
            return bcd.from_digits(meter.address)
        case 0x04000503:
            return status_word(meter).to_bytes(2, "little")
    return None


def status_word(meter: Meter) -> int:
    """Status word 3 as the relay stands: bit 4 contact, 6 command, 7 alarm, 12 keep power."""
    return (
        0x0010 * meter.contact_open
        | 0x0040 * meter.command_open
        | 0x0080 * meter.alarm
        | 0x1000 * meter.keep_power
    )


def _read_more(meter: Meter, frame: Frame) -> Frame:
    identifier, sequence = frame.data[:4], frame.data[4]
    unsent = meter.unsent
    if unsent is None or unsent.di != identifier or not 1 <= sequence <= len(unsent.parts):
        return _refuse(meter, frame, NO_SUCH_DATA)
    return _reply(
        meter,
        frame,
        identifier + unsent.parts[sequence - 1] + bytes([sequence]),
        follow=sequence < len(unsent.parts),
    )


def _write(meter: Meter, frame: Frame) -> Frame:
    if not _is_authorised(meter, frame.data[4:8], lowest=4):
        return _refuse(meter, frame, NOT_AUTHORISED)
    meter.operator = _digits(frame.data[8:12])
    return _take(meter, frame, int.from_bytes(frame.data[:4], "little"), frame.data[12:])


PLAIN_WITH_MAC = b"\x99"
CLASS_1 = {
    *(0x04000108, 0x04000109, 0x04000306, 0x04000307, 0x04000402, 0x0400040E),
    *(0x04001001, 0x04001002, 0x040604FF, 0x040605FF),
}
"""The parameters of class 1, and all prices (040501xx, 040502xx); the others need ciphertext."""


def _write_with_mac(meter: Sealed, frame: Frame) -> Frame:
    """PA 99H: plain data and four bytes of MAC, without the programming key."""
    di, data = int.from_bytes(frame.data[:4], "little"), frame.data[12:]
    is_class_1 = di in CLASS_1 or di >> 8 in (0x040501, 0x040502)
    if not is_class_1 or len(data) < 5 or not meter.accepts_mac(data[-4:]):
        return _refuse(meter, frame, NOT_AUTHORISED)
    meter.operator = _digits(frame.data[8:12])
    return _take(meter, frame, di, data[:-4])


def _take(meter: Meter, frame: Frame, di: int, data: bytes) -> Frame:
    """Write, and say whether it was. The edition of 1997 has another bit for what cannot be."""
    try:
        is_taken = meter.write_item(di, data)
    except Declined as declined:
        return _refuse(meter, frame, declined.error)
    if is_taken:
        return _reply(meter, frame)
    return _refuse(meter, frame, OTHER_ERROR if frame.function == 0x04 else NO_SUCH_DATA)


def _is_authorised(meter: Meter, credentials: bytes, *, lowest: int) -> bool:
    level, password = credentials[0], credentials[:0:-1].hex()
    if meter.is_suspended:
        return False
    if meter.passwords.get(level) != password:
        meter.count_wrong_password()
        return False
    return level <= lowest


TIMED_TRIPS = {RelayCommand.TRIP_THEN_CLOSE, RelayCommand.TRIP_THEN_ALLOW_CLOSE}
DONE = {name: bit.to_bytes(2, "little") for bit, name in DONE_BITS.items()}
REFUSED = {name: bit.to_bytes(2, "little") for bit, name in REFUSED_BITS.items()}


def _control(meter: Meter, frame: Frame, clock: datetime) -> Frame:
    def refuse(error: int, reason: str) -> Frame:
        return _refuse(meter, frame, error, REFUSED[reason] if meter.answers_with_word else b"")

    if meter.is_suspended:
        return refuse(NOT_AUTHORISED, "meter suspended")
    if not _is_authorised(meter, frame.data[:4], lowest=4):
        return refuse(NOT_AUTHORISED, "password")
    try:
        command = RelayCommand(frame.data[8])
    except ValueError:
        return _refuse(meter, frame, OTHER_ERROR)
    if not _is_in_time(frame.data[10:16], clock):
        return refuse(OTHER_ERROR, "deadline invalid")
    if (reason := _hindrance(meter, command, frame.data[9])) is not None:
        return refuse(OTHER_ERROR, reason)
    meter.operator = _digits(frame.data[4:8])
    meter.relay(command, frame.data[9] * 5)
    outcome = OUTCOMES[command]
    if command is RelayCommand.TRIP and not meter.contact_open:
        outcome = "trip delayed"
    return _reply(meter, frame, DONE[outcome] if meter.answers_with_word else b"")


def _hindrance(meter: Meter, command: RelayCommand, periods: int) -> str | None:
    """Why a command that came in order and in time cannot be obeyed."""
    if command is RelayCommand.TRIP and meter.keep_power:
        return "trip refused: keep power"
    if command in TIMED_TRIPS:
        if meter.keep_power:
            return "auto-restore refused: keep power"
        if periods == 0:
            return "restore time invalid"
        if meter.contact_open:
            return "auto-restore refused: already open"
    return None


OUTCOMES = {
    RelayCommand.TRIP: "tripped",
    RelayCommand.ALLOW_CLOSE: "close permitted",
    RelayCommand.CLOSE: "direct close done",
    RelayCommand.TRIP_THEN_CLOSE: "auto-restore running",
    RelayCommand.TRIP_THEN_ALLOW_CLOSE: "auto-restore running",
    RelayCommand.ALARM_ON: "alarm on",
    RelayCommand.ALARM_OFF: "alarm off",
    RelayCommand.KEEP_POWER_ON: "keep power on",
    RelayCommand.KEEP_POWER_OFF: "keep power off",
}


def _is_in_time(deadline: bytes, clock: datetime) -> bool:
    if deadline == b"\x99" * 6:
        return True
    try:
        until = datetime.strptime(bcd.digits(deadline), "%y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        return False
    return clock <= until

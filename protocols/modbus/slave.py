"""A Modbus device: pure, so that tests, simulators and a port can serve one."""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from struct import pack, unpack
from typing import Protocol

from protocols.modbus import frame as frames
from protocols.modbus.frame import Frame
from protocols.modbus.master import (
    COIL_ON,
    MOST_COILS_READ,
    MOST_COILS_WRITTEN,
    MOST_REGISTERS_READ,
    MOST_REGISTERS_WRITTEN,
    pack_bits,
    unpack_bits,
)

ALL_FUNCTIONS = frozenset({0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F, 0x10})


class Table(Enum):
    """The four address spaces, each from 0 to 65535."""

    COILS = 0x01
    DISCRETE = 0x02
    HOLDING = 0x03
    INPUT = 0x04


class Fault(Enum):
    """Why a device refuses: the exception code of its reply."""

    FUNCTION = 0x01
    ADDRESS = 0x02
    VALUE = 0x03
    FAILURE = 0x04


class Declined(Exception):
    """The device refuses, with this exception."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.name)
        self.fault = fault


class Device(Protocol):
    """What a slave is asked for. A bit is 0 or 1, a register 0 to 65535."""

    unit: int

    @property
    def functions(self) -> Collection[int]: ...

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        """Exactly `count` values. Raises Declined."""
        ...

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        """Take all of them or, raising Declined, none. Only COILS and HOLDING are written."""
        ...


@dataclass(slots=True)
class Registers:
    """A device as plain data: what is not in a table is an illegal address."""

    unit: int
    tables: Mapping[Table, MutableMapping[int, int]] = field(
        default_factory=lambda: {table: {} for table in Table}
    )
    functions: Collection[int] = ALL_FUNCTIONS

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        try:
            return [self.tables[table][at] for at in range(address, address + count)]
        except KeyError:
            raise Declined(Fault.ADDRESS) from None

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        self.read(table, address, len(values))
        self.tables[table].update(enumerate(values, start=address))


def answer(device: Device, frame: Frame) -> Frame | None:
    """What the device sends back, or None for silence: to other units, to replies that refuse,
    and to a broadcast, whose writes it obeys."""
    if frame.is_exception or frame.unit not in (device.unit, frames.BROADCAST):
        return None
    is_broadcast = frame.unit == frames.BROADCAST
    if is_broadcast and frame.function in frames.READS:
        return None
    try:
        data = _serve(device, frame)
        function = frame.function
    except Declined as declined:
        data = bytes([declined.fault.value])
        function = frame.function | frames.EXCEPTION
    return None if is_broadcast else Frame(frame.unit, function, data, frame.transaction)


def _serve(device: Device, frame: Frame) -> bytes:
    if frame.function not in device.functions:
        raise Declined(Fault.FUNCTION)
    match frame.function, len(frame.data):
        case 0x01 | 0x02, 4:
            table = Table(frame.function)
            bits = pack_bits(_read(device, table, frame.data, MOST_COILS_READ))
            return bytes([len(bits)]) + bits
        case 0x03 | 0x04, 4:
            table = Table(frame.function)
            values = _read(device, table, frame.data, MOST_REGISTERS_READ)
            return pack(f">B{len(values)}H", 2 * len(values), *values)
        case 0x05, 4:
            address, value = unpack(">HH", frame.data)
            if value not in (0, COIL_ON):
                raise Declined(Fault.VALUE)
            device.write(Table.COILS, address, [int(value == COIL_ON)])
            return frame.data
        case 0x06, 4:
            address, value = unpack(">HH", frame.data)
            device.write(Table.HOLDING, address, [value])
            return frame.data
        case 0x0F, length if length > 5:
            address, count = _window(frame.data[:4], MOST_COILS_WRITTEN)
            packed = _counted(frame.data[4:], (count + 7) // 8)
            device.write(Table.COILS, address, list(map(int, unpack_bits(packed, count))))
            return frame.data[:4]
        case 0x10, length if length > 5:
            address, count = _window(frame.data[:4], MOST_REGISTERS_WRITTEN)
            packed = _counted(frame.data[4:], 2 * count)
            device.write(Table.HOLDING, address, unpack(f">{count}H", packed))
            return frame.data[:4]
        case _, _ if frame.function in ALL_FUNCTIONS:
            raise Declined(Fault.VALUE)
    raise Declined(Fault.FUNCTION)


def _read(device: Device, table: Table, data: bytes, most: int) -> Sequence[int]:
    address, count = _window(data, most)
    return device.read(table, address, count)


def _window(data: bytes, most: int) -> tuple[int, int]:
    address, count = unpack(">HH", data)
    if not 1 <= count <= most:
        raise Declined(Fault.VALUE)
    if address + count > 0x10000:
        raise Declined(Fault.ADDRESS)
    return address, count


def _counted(data: bytes, size: int) -> bytes:
    if data[0] != size or len(data) != size + 1:
        raise Declined(Fault.VALUE)
    return data[1:]

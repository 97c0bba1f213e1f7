"""Questions to a Modbus device, as exchanges (`protocols.exchange.Exchange`).

They yield frames for a serial line; `tcp.over_tcp` dresses them for TCP. Run each request with
`frame.ReplyDecoder(request, echoes=...)`. `unit` is 1 to 247 on a serial line, and up to 255 over
TCP; addresses are those on the wire, from 0. All raise ValueError for a number out of range, and

- Unexpected: an answer from another device, to another question or of a wrong length, and the
  exceptions that say "not now" (acknowledge, busy): ask again; NotReached where a gateway says that
  the device behind it is silent;
- Refused: any other exception, `code` its number and `reasons` its name.

A broadcast has no reply, so it is not an exchange: `encode(Frame(0, function, data))`.
"""

from collections.abc import Sequence
from struct import pack, unpack

from protocols.exchange import Exchange, Refused, Unexpected
from protocols.modbus import frame as frames
from protocols.modbus.frame import Frame, encode

MOST_REGISTERS_READ = 125
MOST_REGISTERS_WRITTEN = 123
MOST_COILS_READ = 2000
MOST_COILS_WRITTEN = 1968
COIL_ON = 0xFF00

EXCEPTIONS = {
    0x01: "illegal function",
    0x02: "illegal data address",
    0x03: "illegal data value",
    0x04: "device failure",
    0x05: "acknowledge",
    0x06: "device busy",
    0x07: "negative acknowledge",
    0x08: "memory parity error",
    0x0A: "gateway path unavailable",
    0x0B: "gateway target did not respond",
}
NOT_NOW = frozenset({0x05, 0x06})
NOBODY_THERE = frozenset({0x0A, 0x0B})
"""A gateway's word that it cannot reach the unit."""


class NotReached(Unexpected):
    """A gateway answers that the device behind it does not. Ask again; its own line may be cut."""


def read_holding(unit: int, *, address: int, count: int) -> Exchange[Frame, tuple[int, ...]]:
    """`count` holding registers 保持寄存器 (03H), each 0 to 65535; at most 125."""
    return (yield from _read_registers(unit, frames.READ_HOLDING, address, count))


def read_input(unit: int, *, address: int, count: int) -> Exchange[Frame, tuple[int, ...]]:
    """`count` input registers 输入寄存器 (04H), each 0 to 65535; at most 125."""
    return (yield from _read_registers(unit, frames.READ_INPUT, address, count))


def read_coils(unit: int, *, address: int, count: int) -> Exchange[Frame, tuple[bool, ...]]:
    """`count` coils 线圈 (01H); at most 2000."""
    return (yield from _read_bits(unit, frames.READ_COILS, address, count))


def read_discrete(unit: int, *, address: int, count: int) -> Exchange[Frame, tuple[bool, ...]]:
    """`count` discrete inputs 离散输入 (02H); at most 2000."""
    return (yield from _read_bits(unit, frames.READ_DISCRETE, address, count))


def write_single_register(unit: int, *, address: int, value: int) -> Exchange[Frame, None]:
    """Set one holding register, 0 to 65535 (06H)."""
    _check(address, 1, 1)
    _check_registers([value])
    yield from _write(unit, frames.WRITE_REGISTER, pack(">HH", address, value))


def write_single_coil(unit: int, *, address: int, on: bool) -> Exchange[Frame, None]:
    """Set one coil (05H)."""
    _check(address, 1, 1)
    yield from _write(unit, frames.WRITE_COIL, pack(">HH", address, COIL_ON * on))


def write_registers(unit: int, *, address: int, values: Sequence[int]) -> Exchange[Frame, None]:
    """Set holding registers from `address` on, each 0 to 65535 (10H); at most 123."""
    _check(address, len(values), MOST_REGISTERS_WRITTEN)
    _check_registers(values)
    data = pack(f">HHB{len(values)}H", address, len(values), 2 * len(values), *values)
    yield from _write(unit, frames.WRITE_REGISTERS, data)


def write_coils(unit: int, *, address: int, values: Sequence[bool]) -> Exchange[Frame, None]:
    """Set coils from `address` on (0FH); at most 1968."""
    _check(address, len(values), MOST_COILS_WRITTEN)
    packed = pack_bits(values)
    data = pack(">HHB", address, len(values), len(packed)) + packed
    yield from _write(unit, frames.WRITE_COILS, data)


def ask(request: Frame) -> Exchange[Frame, bytes]:
    """The data of the reply to any request."""
    if not 1 <= request.unit <= 255:
        raise ValueError(f"unit {request.unit} cannot be asked")
    reply = yield encode(request)
    if reply.unit != request.unit:
        raise Unexpected(f"unit {request.unit} was asked, {reply.unit} answered")
    if reply.function == request.function | frames.EXCEPTION and len(reply.data) == 1:
        code = reply.data[0]
        reason = EXCEPTIONS.get(code, "unknown exception")
        if code in NOBODY_THERE:
            raise NotReached(f"unit {request.unit} does not answer: {reason}")
        if code in NOT_NOW:
            raise Unexpected(f"not now: {reason}")
        raise Refused(code, (reason,))
    if reply.function != request.function:
        raise Unexpected(f"function {request.function:02X} was asked, {reply.function:02X} came")
    return reply.data


def pack_bits(values: Sequence[int]) -> bytes:
    """Eight to a byte, the first in bit 0; the last byte filled with zeros."""
    packed = bytearray((len(values) + 7) // 8)
    for at, value in enumerate(values):
        packed[at >> 3] |= bool(value) << (at & 7)
    return bytes(packed)


def unpack_bits(data: bytes, count: int) -> tuple[bool, ...]:
    """The first `count` bits of what `pack_bits` made."""
    return tuple(bool(data[at >> 3] >> (at & 7) & 1) for at in range(count))


def _read_registers(
    unit: int, function: int, address: int, count: int
) -> Exchange[Frame, tuple[int, ...]]:
    _check(address, count, MOST_REGISTERS_READ)
    data = yield from _read(unit, function, address, count, 2 * count)
    return unpack(f">{count}H", data)


def _read_bits(
    unit: int, function: int, address: int, count: int
) -> Exchange[Frame, tuple[bool, ...]]:
    _check(address, count, MOST_COILS_READ)
    data = yield from _read(unit, function, address, count, (count + 7) // 8)
    return unpack_bits(data, count)


def _read(unit: int, function: int, address: int, count: int, size: int) -> Exchange[Frame, bytes]:
    data = yield from ask(Frame(unit, function, pack(">HH", address, count)))
    if len(data) != size + 1 or data[0] != size:
        raise Unexpected(f"{size} bytes were asked, {len(data) - 1} came")
    return data[1:]


def _write(unit: int, function: int, data: bytes) -> Exchange[Frame, None]:
    reply = yield from ask(Frame(unit, function, data))
    if reply != data[:4]:
        raise Unexpected(f"wrote {data[:4].hex()}, the reply says {reply.hex()}")


def _check(address: int, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise ValueError(f"{count} at once; 1 to {most} can be asked")
    if not 0 <= address <= 0x10000 - count:
        raise ValueError(f"{count} from {address} on is not within 0 to 65535")


def _check_registers(values: Sequence[int]) -> None:
    for value in values:
        if not 0 <= value <= 0xFFFF:
            raise ValueError(f"{value} is not a register of 16 bits")

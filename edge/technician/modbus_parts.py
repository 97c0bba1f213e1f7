"""The parts of a frame of Modbus RTU."""

from __future__ import annotations

from edge.technician import modbus_frames
from edge.technician.both import Both, beside, plain
from edge.technician.modbus_frames import Registers, Way
from edge.technician.part import Part
from edge.technician.words import ERRORS, FUNCTIONS
from protocols.modbus import frame as modbus
from protocols.modbus.master import COIL_ON, EXCEPTIONS, unpack_bits


def modbus_parts(frame: modbus.Frame, told: Way | None, registers: Registers | None) -> list[Part]:
    """The fields of one Modbus RTU frame."""
    way, is_guess = modbus_frames.way_of(frame, told)
    function = frame.function & ~modbus.EXCEPTION
    name = modbus_frames.NAMES.get(function, "unknown function")
    guess = Both(way.value, WAYS[way])
    if is_guess:
        guess += Both(" (or its reply: the bytes fit both)", "（也可能是其应答：字节相同）")
    everybody = Both("everybody, nobody answers", "广播，无人应答")
    unit = everybody if frame.unit == 0 else plain(str(frame.unit))
    parts = [
        Part(bytes([frame.unit]), "unit", "从站地址", (unit,)),
        Part(
            bytes([frame.function]),
            "function",
            "功能码",
            (beside(name, FUNCTIONS), guess),
        ),
    ]
    parts += _modbus_data(frame, way, registers)
    crc = modbus.encode(frame)[-2:]
    right = Both("right; low byte first", "正确；低字节在前")
    return [*parts, Part(crc, "CRC", "校验码", (right,))]


WAYS = {
    Way.REQUEST: "请求",
    Way.REPLY: "应答",
    Way.EXCEPTION: "异常应答",
    Way.UNKNOWN: "未知",
}


def _modbus_data(frame: modbus.Frame, way: Way, registers: Registers | None) -> list[Part]:
    data = frame.data
    address = Part(data[:2], "address", "起始地址", (_hex_and_number(data[:2]),))
    many = plain(str(int.from_bytes(data[2:4], "big")))
    count = Part(data[2:4], "count", "数量", (many,))
    match way, frame.function:
        case Way.EXCEPTION, _ if len(data) == 1:
            reason = beside(EXCEPTIONS.get(data[0], "unknown"), ERRORS)
            meaning = (plain(f"{data[0]:02X}"), plain("· ") + reason)
            return [Part(data, "exception", "异常码", meaning)]
        case Way.REQUEST, (0x01 | 0x02 | 0x03 | 0x04):
            return [address, count]
        case Way.REPLY, (0x0F | 0x10):
            return [address, count]
        case Way.REPLY, (0x01 | 0x02):
            return [_size(data[:1]), _coils(data[1:], 8 * data[0])]
        case Way.REPLY, (0x03 | 0x04):
            return [_size(data[:1]), *_registers(frame, registers)]
        case ((Way.REQUEST | Way.REPLY), 0x05):
            is_on = int.from_bytes(data[2:], "big") == COIL_ON
            on = Both("on", "通") if is_on else Both("off", "断")
            return [address, Part(data[2:], "coil", "线圈", (on,))]
        case ((Way.REQUEST | Way.REPLY), 0x06):
            return [address, Part(data[2:], "value", "寄存器值", (_hex_and_number(data[2:]),))]
        case Way.REQUEST, 0x0F:
            coils = _coils(data[5:], int.from_bytes(data[2:4], "big"))
            return [address, count, _size(data[4:5]), coils]
        case Way.REQUEST, 0x10:
            start = int.from_bytes(data[:2], "big")
            return [address, count, _size(data[4:5]), *_plain(data[5:], start)]
    return [Part(data, "data", "数据", (UNKNOWN_FORM,))] if data else []


UNKNOWN_FORM = Both("unknown form", "格式未知")


def _size(data: bytes) -> Part:
    return Part(data, "bytes", "字节数", (plain(str(data[0])),))


def _coils(data: bytes, count: int) -> Part:
    bits = " ".join(str(int(bit)) for bit in unpack_bits(data, count))
    return Part(data, "coils", "线圈", (plain(bits) + Both(" (first to last)", "（由先至后）"),))


def _registers(frame: modbus.Frame, registers: Registers | None) -> list[Part]:
    """By the profile where one is given; what it does not know, register by register."""
    data = frame.data[1:]
    if registers is None:
        return _plain(data, None)
    found = {name: (value, unit) for name, value, unit in modbus_frames.values(frame, registers)}
    named = {
        register.address - registers.start: register
        for register in registers.profile.registers.values()
        if register.name in found and register.function == frame.function
    }
    parts: list[Part] = []
    at = 0
    while 2 * at < len(data):
        register = named.get(at)
        if register is None:
            parts += _plain(data[2 * at : 2 * at + 2], registers.start + at)
            at += 1
            continue
        value, unit = found[register.name]
        mine = data[2 * at : 2 * (at + register.count)]
        unread = Both("cannot be read", "无法解读")
        meaning = unread if value is None else plain(f"{value} {unit}".strip())
        parts.append(Part(mine, register.name, f"{register.address:04X}H", (meaning,)))
        at += register.count
    return parts


def _plain(data: bytes, start: int | None) -> list[Part]:
    parts = []
    for at in range(0, len(data), 2):
        where = f"{start + at // 2:04X}H" if start is not None else f"{at // 2 + 1}"
        meaning = _hex_and_number(data[at : at + 2])
        parts.append(Part(data[at : at + 2], f"register {where}", f"寄存器 {where}", (meaning,)))
    return parts


def _hex_and_number(data: bytes) -> Both:
    return plain(f"{data.hex().upper()}H = {int.from_bytes(data, 'big')}")

"""A frame cut into its fields, each with the bytes it takes on the line and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from edge.technician import modbus_frames
from edge.technician.answers import EDITIONS, How, Protocol, split_cj188, split_dlt645
from edge.technician.modbus_frames import Registers, Way
from edge.technician.words import (
    CJ188_FIELDS,
    CJ188_ITEMS,
    ERRORS,
    METER_TYPES,
    RELAY_COMMANDS,
    beside,
)
from edge.technician.words import FUNCTIONS as FUNCTION_WORDS
from protocols import bcd
from protocols.cj188 import explain as cj188_explain
from protocols.cj188 import frame as cj188
from protocols.cj188 import items as cj188_items
from protocols.dlt645 import frame as dlt645
from protocols.dlt645 import items, items97
from protocols.dlt645.explain import (
    BAUD_1997,
    BAUD_2007,
    ENCRYPTED,
    ERROR_BITS,
    FUNCTIONS,
    OUTPUTS,
    Edition,
    freeze_kind,
)
from protocols.dlt645.fields import BadValue, Field, Item, Value, decode_field
from protocols.dlt645.master import SECURITY_BITS
from protocols.dlt645.names import chinese
from protocols.dlt645.relay import (
    COMMAND_NAMES,
    DONE_BITS,
    REFUSED_BITS,
    RelayCommand,
)
from protocols.dlt645.relay import names as bit_names
from protocols.dlt645.status import meanings
from protocols.modbus import frame as modbus
from protocols.modbus.master import COIL_ON, EXCEPTIONS, unpack_bits


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes as sent, what they are in English and Chinese, and what they say."""

    data: bytes
    name: str
    chinese: str
    meaning: str


def noise(data: bytes) -> Part:
    """Bytes that belong to no frame."""
    return Part(data, "noise", "干扰", f"{_count(data)}, no part of a frame")


KINDS = {
    "odd_hex": "this is not hexadecimal, or half a byte is missing",
    "bad_line": "the line is not JSON with hex in it",
    "empty": "there are no bytes",
    "no_start": "there is no 68H where a frame could start",
    "bad_start": "the first byte is not 68H",
    "bad_start2": "the byte after the address is not 68H",
    "checksum": "the checksum is wrong",
    "bad_checksum": "the checksum is wrong",
    "bad_crc": "the CRC is wrong",
    "bad_end": "the last byte is not 16H",
    "truncated": "the end is missing",
    "too_long": "it is longer than a frame can be",
}
"""Why bytes are no frame, by the kind of `NoFrame`."""


def parts_of(data: bytes, how: How) -> list[list[Part]]:
    """The parts of each frame, and of each run of bytes between them."""
    match how.protocol:
        case Protocol.CJT188:
            return [
                [noise(sent)] if frame is None else cj188_parts(sent, how.quirks)
                for frame, sent in split_cj188(data)
            ]
        case Protocol.MODBUS_RTU:
            return [
                [noise(sent)] if frame is None else modbus_parts(frame, how.told, how.registers)
                for frame, sent in modbus_frames.split(data)
            ]
    return [
        [noise(sent)] if frame is None else dlt645_parts(sent, EDITIONS[how.protocol])
        for frame, sent in split_dlt645(data)
    ]


# DL/T 645


def dlt645_parts(sent: bytes, edition: Edition) -> list[Part]:
    """The fields of one good frame of DL/T 645 with its preamble."""
    frame = dlt645.decode(sent)
    body = sent.lstrip(b"\xfe")
    parts = [_preamble(sent, body)] if len(sent) > len(body) else []
    parts += [
        Part(body[:1], "start", "起始符", ""),
        Part(body[1:7], "address", "地址域", f"{frame.address}{_whose(frame.address)}"),
        Part(body[7:8], "start", "起始符", ""),
        Part(body[8:9], "control C", "控制码", _control(frame, edition)),
        Part(body[9:10], "length L", "数据域长度", f"{_count(frame.data)}; each +33H on the line"),
    ]
    parts += _data(frame, edition)
    parts += _tail(body)
    return parts


def _preamble(sent: bytes, body: bytes) -> Part:
    data = sent[: len(sent) - len(body)]
    return Part(data, "preamble", "前导字节", f"{len(data)} × FE, wakes the receiver")


def _tail(body: bytes) -> list[Part]:
    return [
        Part(body[-2:-1], "checksum CS", "校验码", "right: the sum of all bytes from the first 68"),
        Part(body[-1:], "end", "结束符", ""),
    ]


def _whose(address: str) -> str:
    if address == dlt645.BROADCAST:
        return ", everybody 广播"
    if address == dlt645.WILDCARD:
        return ", whoever is there 通配"
    if address.startswith("AA"):
        return f", whoever ends in {address.lstrip('A')} 缩位寻址"
    return ""


def _control(frame: dlt645.Frame, edition: Edition) -> str:
    name = FUNCTIONS[edition][0].get(frame.function, "unknown function")
    who = "reply 应答" if frame.is_reply else "request 请求"
    said = [beside(name, FUNCTION_WORDS), who]
    if frame.abnormal:
        said.append("the meter refuses 异常应答")
    if frame.follow:
        said.append("more follows 有后续帧")
    return "\n".join(said)


# Function and whether it is the reply: its fields in order. "values" and "payload" take what the
# others leave.
LAYOUTS_2007 = {
    (0x03, False): "di operator payload",
    (0x03, True): "di payload",
    (0x08, False): "clock",
    (0x11, False): "di blocks since",
    (0x11, True): "di values",
    (0x12, False): "di seq",
    (0x12, True): "di payload seq",
    (0x13, True): "meter_address",
    (0x14, False): "di pa password operator values",
    (0x15, False): "new_address",
    (0x16, False): "freeze",
    (0x17, False): "baud",
    (0x17, True): "baud",
    (0x18, False): "di pa password pa password",
    (0x18, True): "pa password",
    (0x19, False): "pa password operator payload",
    (0x1A, False): "pa password operator payload",
    (0x1B, False): "pa password operator di payload",
    (0x1C, False): "pa password operator n1 n2 deadline payload",
    (0x1C, True): "done",
    (0x1D, False): "output",
    (0x1D, True): "output",
}
LAYOUTS_1997 = {
    (0x01, False): "di",
    (0x01, True): "di values",
    (0x02, False): "di",
    (0x02, True): "di payload",
    (0x03, True): "di values",
    (0x04, False): "di payload",
    (0x08, False): "clock",
    (0x0A, False): "new_address",
    (0x0C, False): "baud",
    (0x0C, True): "baud",
    (0x0F, False): "pa password pa password",
    (0x0F, True): "pa password",
}
SIZES = {
    "di": 4,
    "operator": 4,
    "clock": 6,
    "blocks": 1,
    "since": 5,
    "seq": 1,
    "meter_address": 6,
    "new_address": 6,
    "pa": 1,
    "password": 3,
    "freeze": 4,
    "baud": 1,
    "n1": 1,
    "n2": 1,
    "deadline": 6,
    "done": 2,
    "output": 1,
    "err": 1,
    "refused": 2,
    "serr": 2,
}
TITLES = {
    "di": ("identifier DI", "数据标识"),
    "operator": ("operator", "操作者代码"),
    "clock": ("time", "时间"),
    "blocks": ("blocks", "负荷记录块数"),
    "since": ("from", "给定时间"),
    "seq": ("sequence SEQ", "帧序号"),
    "meter_address": ("address", "通信地址"),
    "new_address": ("new address", "新通信地址"),
    "pa": ("level PA", "密码权限"),
    "password": ("password", "密码"),
    "freeze": ("freeze at", "冻结时间"),
    "baud": ("rate Z", "通信速率特征字"),
    "n1": ("command N1", "控制命令类型"),
    "n2": ("N2", "跳闸时长"),
    "deadline": ("deadline N3..N8", "命令有效截止时间"),
    "done": ("relay word", "控制状态字"),
    "output": ("output", "输出信号类别"),
    "err": ("error ERR", "错误信息字"),
    "refused": ("relay word", "控制状态字"),
    "serr": ("error SERR", "安全认证错误信息字"),
    "payload": ("data", "数据"),
}


def _data(frame: dlt645.Frame, edition: Edition) -> list[Part]:
    names = _layout(frame, edition).split()
    is_old = edition is Edition.Y1997
    sizes = SIZES | ({"di": 2} if is_old else {})
    parts: list[Part] = []
    data = frame.data
    identifier = 0
    for at, name in enumerate(names):
        if name in ("values", "payload"):
            after = sum(sizes[later] for later in names[at + 1 :])
            size = max(0, len(data) - after)
        else:
            size = sizes[name]
        if not data or size > len(data):
            break
        mine, data = data[:size], data[size:]
        if not mine:
            continue
        if name == "di":
            identifier = int.from_bytes(mine, "little")
        if name == "values":
            parts += _value_parts(identifier, mine, is_old=is_old)
        else:
            parts.append(_part(name, mine, is_old=is_old, edition=edition))
    if data:
        parts.append(_part("payload", data, is_old=is_old, edition=edition))
    return parts


def _layout(frame: dlt645.Frame, edition: Edition) -> str:
    if frame.abnormal:
        is_security = edition is Edition.Y2007 and frame.function == 0x03
        if is_security and len(frame.data) == 2:
            return "serr"
        return "err refused" if frame.function == 0x1C and len(frame.data) == 3 else "err"
    if edition is Edition.Y1997:
        return LAYOUTS_1997.get((frame.function, frame.is_reply), "payload")
    layout = LAYOUTS_2007.get((frame.function, frame.is_reply), "payload")
    is_sealed = frame.data[4 if frame.function == 0x14 else 0 :][:1] in (
        bytes([sealed]) for sealed in ENCRYPTED
    )
    if not frame.is_reply and is_sealed and frame.function in (0x14, 0x19, 0x1A, 0x1B, 0x1C):
        head = "di " if frame.function == 0x14 else ""
        return f"{head}pa password operator payload"
    return layout


def _part(name: str, data: bytes, *, is_old: bool, edition: Edition) -> Part:
    title, zh = TITLES[name]
    meaning = _meaning(name, data, is_old=is_old, edition=edition)
    return Part(_on_line(data), title, zh, meaning)


def _on_line(data: bytes) -> bytes:
    return bytes((byte + dlt645.OFFSET) & 0xFF for byte in data)


def _meaning(name: str, data: bytes, *, is_old: bool, edition: Edition) -> str:
    shown = data[::-1].hex().upper()
    number = int.from_bytes(data, "little")
    match name:
        case "di":
            return f"{shown}{_item_name(number, is_old=is_old)}"
        case "clock" | "since":
            return _moment(data)
        case "deadline":
            return "none 无" if data == b"\x99" * 6 else _moment(data)
        case "seq":
            return str(number)
        case "blocks":
            return shown
        case "freeze":
            return f"{shown} {freeze_kind(shown)} (MMDDhhmm, 99 = every)"
        case "baud":
            rate = (BAUD_1997 if is_old else BAUD_2007).get(number)
            return f"{rate} bit/s" if rate else "no rate of the standard"
        case "n1":
            try:
                return beside(COMMAND_NAMES[RelayCommand(number)], RELAY_COMMANDS)
            except ValueError:
                return f"{shown}: unknown"
        case "n2":
            return f"{number * 5} min" if number else "0"
        case "done":
            return f"{shown}\n" + _bits(bit_names(DONE_BITS, number))
        case "refused":
            return f"{shown}\n" + _bits(bit_names(REFUSED_BITS, number))
        case "serr":
            return f"{shown}\n" + _bits(bit_names(SECURITY_BITS, number))
        case "err":
            reasons = [text for bit, text in enumerate(ERROR_BITS[edition]) if number & 1 << bit]
            return f"{shown}\n" + _bits(reasons)
        case "output":
            return OUTPUTS.get(number, "unknown")
        case "payload":
            return f"{data.hex().upper()} (as sent, without 33H)"
    return shown


def _bits(reasons: list[str] | tuple[str, ...]) -> str:
    return "\n".join(f"· {beside(reason, ERRORS)}" for reason in reasons) or "· no bit set"


def _moment(data: bytes) -> str:
    try:
        text = bcd.digits(data)
    except ValueError:
        return f"not a time: {data[::-1].hex().upper()}"
    pairs = [text[at : at + 2] for at in range(0, len(text), 2)]
    return f"20{'-'.join(pairs[:3])} {':'.join(pairs[3:])}"


def _item_name(di: int, *, is_old: bool) -> str:
    item = (items97 if is_old else items).find(di)
    if item is None:
        return ": not in the table"
    first = item.fields[0].name
    more = len(item.fields) - 1
    block = f" and {more} more 等" if more else ""
    return f"\n{first} {chinese(first)}{block}"


def _value_parts(di: int, data: bytes, *, is_old: bool) -> list[Part]:
    item = (items97 if is_old else items).find(di)
    if item is None:
        meaning = f"{data.hex().upper()}: identifier not in the table"
        return [Part(_on_line(data), "data", "数据", meaning)]
    if is_old and item.step and len(data) % item.fields[0].size == 1 and data[-1] == 0xAA:
        block_end = [Part(_on_line(data[-1:]), "end of block", "块结束符", "AA")]
        return _value_parts(di, data[:-1], is_old=is_old) + block_end
    fields = _in_order(item, len(data))
    if fields is None:
        meaning = f"{_count(data)} where the item has {item.size}"
        return [Part(_on_line(data), "data", "数据", meaning)]
    parts = []
    for field in fields:
        mine, data = data[: field.size], data[field.size :]
        parts.append(Part(_on_line(mine), field.name, chinese(field.name), _value(field, mine)))
    return parts


def _in_order(item: Item, size: int) -> list[Field] | None:
    """The fields in the order of the line, as many as `size` bytes hold; None where that is cut."""
    fields: list[Field] = []
    group = item.step or len(item.fields)
    for first in range(0, len(item.fields), group):
        if not size:
            return fields
        run = item.fields[first : first + group]
        fields += run[::-1] if item.backwards else run
        size -= sum(field.size for field in run)
    return None if size else fields


def _value(field: Field, data: bytes) -> str:
    try:
        value = decode_field(field, data)
    except BadValue:
        return f"{data[::-1].hex().upper()}: not BCD, cannot be read"
    said = meanings(field.name, int.from_bytes(data, "little"))
    return "\n".join((shown(value), *(f"· {one.english} {one.chinese}" for one in said)))


def shown(value: Value) -> str:
    """A value with its unit; what FF means in words."""
    if value.value is None:
        return "FF: the meter has no such value"
    return f"{value.value} {value.unit}".strip()


# CJ/T 188


def cj188_parts(sent: bytes, quirks: tuple[str, ...]) -> list[Part]:
    """The fields of one good frame of CJ/T 188 with its preamble."""
    frame = cj188.decode(sent)
    body = sent.lstrip(b"\xfe")
    parts = [_preamble(sent, body)] if len(sent) > len(body) else []
    kind, zh = METER_TYPES.get(frame.type, ("unknown or vendor's own", "厂家自定义"))
    address = f"{frame.address}, {'anybody 通配' if frame.address == cj188.WILDCARD else ''}"
    if frame.address != cj188.WILDCARD:
        address = f"{frame.address}, vendor {frame.address[:4]}"
    parts += [
        Part(body[:1], "start", "帧起始符", ""),
        Part(body[1:2], "type T", "仪表类型", f"{kind} {zh}"),
        Part(body[2:9], "address", "地址域", address),
        Part(body[9:10], "control C", "控制码", _cj188_control(frame)),
        Part(body[10:11], "length L", "数据长度", _count(frame.data)),
    ]
    parts += _cj188_data(frame, quirks)
    parts += _tail(body)
    return parts


def _cj188_control(frame: cj188.Frame) -> str:
    name = cj188_explain.FUNCTIONS.get(frame.function, "vendor's own function")
    words = FUNCTION_WORDS.get(name, "")
    said = [f"{name.replace('_', ' ')} {words}", "reply 应答" if frame.is_reply else "request 请求"]
    if frame.abnormal:
        said.append("the meter refuses or reports a fault 异常应答")
    return "\n".join(said)


def _cj188_data(frame: cj188.Frame, quirks: tuple[str, ...]) -> list[Part]:
    data = frame.data
    if frame.abnormal:
        return _cj188_abnormal(data)
    if len(data) < 2:
        return [Part(data, "data", "数据", "unknown form")] if data else []
    di, high_first = cj188_items.identifier(data[:2])
    name, zh = CJ188_ITEMS.get(di, ("not in the table", ""))
    order = "high byte first" if high_first else "low byte first"
    said = f"{di:04X} ({order})\n{name} {zh}".rstrip()
    if cj188_items.is_experimental(di):
        said += "\nof 2018: experimental, seen on no meter 试验性"
    parts = [Part(data[:2], "identifier DI", "数据标识", said)]
    if len(data) > 2:
        parts.append(Part(data[2:3], "sequence SER", "序列号", str(data[2])))
    rest = data[3:]
    fields = cj188_items.layout(di, len(rest), is_reply=frame.is_reply) if rest else ()
    if fields is None:
        return [*parts, Part(rest, "data", "数据", f"{_count(rest)}, no known form")]
    # The codec's own reading, so that quirks mean the same here as in the object.
    read = cj188_explain.explain(cj188.encode(frame), quirks)["data"]
    assert isinstance(read, dict)
    for field in fields:
        mine, rest = rest[: field.size], rest[field.size :]
        english, zh = CJ188_FIELDS.get(field.name, (field.name, ""))
        parts.append(Part(mine, english, zh, _cj188_value(read.get(field.name), frame)))
    return parts


def _cj188_value(value: object, frame: cj188.Frame) -> str:
    match value:
        case {"value": None, "digits": digits}:
            return f"{digits}: not BCD, cannot be read"
        case {"value": number, "unit": None, "unit_code": code}:
            return f"{number}, unit {code} is the vendor's own"
        case {"value": number, "unit": unit}:
            return f"{number} {unit}"
        case {"value": number}:
            return f"{number}"
        case {"raw": raw, "valve": valve, "battery_low": low}:
            if 0x20 <= frame.type <= 0x29:
                return f"{raw}: sensor states of a heat meter, the vendor's own"
            return f"{raw}\n· valve {valve} {VALVES.get(valve, '')}\n· battery {_battery(low)}"
        case None:
            return "cannot be read"
        case str(text):
            return text.replace("T", " ")
    return str(value)


VALVES = {"open": "阀门开", "closed": "阀门关", "abnormal": "阀门异常", "reserved": "保留"}


def _battery(low: object) -> str:
    return "low 欠压" if low else "good 正常"


def _cj188_abnormal(data: bytes) -> list[Part]:
    status = data[-2:] if len(data) == 3 else data[-1:]
    meaning = status.hex().upper()
    if len(data) == 3:
        said = cj188_items.ValveStatus.from_bytes(status)
        valve = said.valve.name.lower()
        meaning += f"\n· valve {valve} {VALVES.get(valve, '')}"
        meaning += f"\n· battery {_battery(said.battery_low)}"
    match len(data):
        case 2 | 3:
            ser = Part(data[:1], "sequence SER", "序列号", str(data[0]))
            return [ser, Part(status, "status", "状态 ST", meaning)]
        case 4:
            di, _ = cj188_items.identifier(data[:2])
            return [
                Part(data[:2], "identifier DI", "数据标识", f"{di:04X}"),
                Part(data[2:3], "sequence SER", "序列号", str(data[2])),
                Part(status, "error code", "错误码", f"{meaning}, the vendor's own"),
            ]
    return [Part(data, "data", "数据", "unknown form")] if data else []


# Modbus


def modbus_parts(frame: modbus.Frame, told: Way | None, registers: Registers | None) -> list[Part]:
    """The fields of one Modbus RTU frame."""
    way, is_guess = modbus_frames.way_of(frame, told)
    function = frame.function & ~modbus.EXCEPTION
    name = modbus_frames.NAMES.get(function, "unknown function")
    guess = f"{way.value}{' (or its reply: the bytes fit both)' if is_guess else ''}"
    unit = "everybody, nobody answers" if frame.unit == 0 else str(frame.unit)
    parts = [
        Part(bytes([frame.unit]), "unit", "从站地址", unit),
        Part(
            bytes([frame.function]),
            "function",
            "功能码",
            f"{beside(name, FUNCTION_WORDS)}\n{WAYS.get(way, '')} {guess}".strip(),
        ),
    ]
    parts += _modbus_data(frame, way, registers)
    crc = modbus.encode(frame)[-2:]
    return [*parts, Part(crc, "CRC", "校验码", "right; low byte first")]


WAYS = {Way.REQUEST: "请求", Way.REPLY: "应答", Way.EXCEPTION: "异常应答"}


def _modbus_data(frame: modbus.Frame, way: Way, registers: Registers | None) -> list[Part]:
    data = frame.data
    address = Part(data[:2], "address", "起始地址", _hex_and_number(data[:2]))
    count = Part(data[2:4], "count", "数量", str(int.from_bytes(data[2:4], "big")))
    match way, frame.function:
        case Way.EXCEPTION, _ if len(data) == 1:
            reason = EXCEPTIONS.get(data[0], "unknown")
            meaning = f"{data[0]:02X}\n· {beside(reason, ERRORS)}"
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
            on = "on 通" if int.from_bytes(data[2:], "big") == COIL_ON else "off 断"
            return [address, Part(data[2:], "coil", "线圈", on)]
        case ((Way.REQUEST | Way.REPLY), 0x06):
            return [address, Part(data[2:], "value", "寄存器值", _hex_and_number(data[2:]))]
        case Way.REQUEST, 0x0F:
            coils = _coils(data[5:], int.from_bytes(data[2:4], "big"))
            return [address, count, _size(data[4:5]), coils]
        case Way.REQUEST, 0x10:
            start = int.from_bytes(data[:2], "big")
            return [address, count, _size(data[4:5]), *_plain(data[5:], start)]
    return [Part(data, "data", "数据", "unknown form")] if data else []


def _size(data: bytes) -> Part:
    return Part(data, "bytes", "字节数", str(data[0]))


def _coils(data: bytes, count: int) -> Part:
    bits = " ".join(str(int(bit)) for bit in unpack_bits(data, count))
    return Part(data, "coils", "线圈", f"{bits} (first to last)")


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
        meaning = "cannot be read" if value is None else f"{value} {unit}".strip()
        parts.append(Part(mine, register.name, f"{register.address:04X}H", meaning))
        at += register.count
    return parts


def _plain(data: bytes, start: int | None) -> list[Part]:
    parts = []
    for at in range(0, len(data), 2):
        where = f"{start + at // 2:04X}H" if start is not None else f"{at // 2 + 1}"
        meaning = _hex_and_number(data[at : at + 2])
        parts.append(Part(data[at : at + 2], f"register {where}", "寄存器", meaning))
    return parts


def _hex_and_number(data: bytes) -> str:
    return f"{data.hex().upper()}H = {int.from_bytes(data, 'big')}"


def _count(data: bytes) -> str:
    return "1 byte" if len(data) == 1 else f"{len(data)} bytes"


PASSWORDS_AT = {0x04: (3,), 0x0F: (1, 5), 0x14: (5,), 0x18: (5, 9)} | dict.fromkeys(
    (0x19, 0x1A, 0x1B, 0x1C), (1,)
)
"""Where the passwords stand in the data of a DL/T 645 request, three bytes each, by function."""


def without_password(sent: bytes) -> str:
    """A request in hexadecimal, ** for each byte of a password; an echo hides nothing."""
    pairs = sent.hex(" ").upper().split(" ")
    for frame in dlt645.Decoder().feed(sent):
        start = len(sent) - dlt645.SHORTEST - len(frame.data) + 10
        for at in PASSWORDS_AT.get(frame.function, ()):
            pairs[start + at : start + at + 3] = ["**"] * 3
    return " ".join(pairs)

"""The parts of a frame of DL/T 645."""

from __future__ import annotations

from edge.technician.part import Part, count_of, preamble, tail
from edge.technician.words import ERRORS, RELAY_COMMANDS, beside
from edge.technician.words import FUNCTIONS as FUNCTION_WORDS
from protocols import bcd
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


def dlt645_parts(sent: bytes, edition: Edition) -> list[Part]:
    """The fields of one good frame of DL/T 645 with its preamble."""
    frame = dlt645.decode(sent)
    body = sent.lstrip(b"\xfe")
    parts = [preamble(sent, body)] if len(sent) > len(body) else []
    parts += [
        Part(body[:1], "start", "起始符", ""),
        Part(body[1:7], "address", "地址域", f"{frame.address}{_whose(frame.address)}"),
        Part(body[7:8], "start", "起始符", ""),
        Part(body[8:9], "control C", "控制码", _control(frame, edition)),
        Part(
            body[9:10], "length L", "数据域长度", f"{count_of(frame.data)}; each +33H on the line"
        ),
    ]
    parts += _data(frame, edition)
    parts += tail(body)
    return parts


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
        meaning = f"{count_of(data)} where the item has {item.size}"
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

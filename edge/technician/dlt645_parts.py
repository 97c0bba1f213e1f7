"""The parts of a frame of DL/T 645."""

from __future__ import annotations

from edge.technician.both import Both, beside, plain
from edge.technician.part import Part, count_of, preamble, tail
from edge.technician.words import ERRORS, FREEZES, OUTPUT_WORDS, RELAY_COMMANDS, UNITS
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
        Part(body[:1], "start", "起始符", ()),
        Part(body[1:7], "address", "地址域", (plain(frame.address) + _whose(frame.address),)),
        Part(body[7:8], "start", "起始符", ()),
        Part(body[8:9], "control C", "控制码", _control(frame, edition)),
        Part(
            body[9:10],
            "length L",
            "数据域长度",
            (count_of(frame.data) + Both("; each +33H on the line", "；线上每字节加 33H"),),
        ),
    ]
    parts += _data(frame, edition)
    parts += tail(body)
    return parts


def _whose(address: str) -> Both:
    if address == dlt645.BROADCAST:
        return Both(", everybody", "，广播")
    if address == dlt645.WILDCARD:
        return Both(", whoever is there", "，通配")
    if address.startswith("AA"):
        ending = address.lstrip("A")
        return Both(f", whoever ends in {ending}", f"，缩位寻址：尾号 {ending}")
    return plain("")


def _control(frame: dlt645.Frame, edition: Edition) -> tuple[Both, ...]:
    name = FUNCTIONS[edition][0].get(frame.function)
    unknown = Both("unknown function", "未知功能")
    said = [
        unknown if name is None else beside(name, FUNCTION_WORDS),
        Both("reply", "应答") if frame.is_reply else Both("request", "请求"),
    ]
    if frame.abnormal:
        said.append(Both("the meter refuses", "异常应答：表计拒绝"))
    if frame.follow:
        said.append(Both("more follows", "有后续帧"))
    return tuple(said)


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


def _meaning(name: str, data: bytes, *, is_old: bool, edition: Edition) -> tuple[Both, ...]:
    shown = plain(data[::-1].hex().upper())
    number = int.from_bytes(data, "little")
    match name:
        case "di":
            return shown, _item_name(number, is_old=is_old)
        case "clock" | "since":
            return (_moment(data),)
        case "deadline":
            return (Both("none", "无") if data == b"\x99" * 6 else _moment(data),)
        case "seq":
            return (plain(str(number)),)
        case "freeze":
            kind = beside(freeze_kind(shown.english), FREEZES)
            every = Both(" (MMDDhhmm, 99 = every)", "（MMDDhhmm，99 表示每）")
            return (shown + " " + kind + every,)
        case "baud":
            rate = (BAUD_1997 if is_old else BAUD_2007).get(number)
            none = Both("no rate of the standard", "不是标准规定的速率")
            return (plain(f"{rate} bit/s") if rate else none,)
        case "n1":
            try:
                return (beside(COMMAND_NAMES[RelayCommand(number)], RELAY_COMMANDS),)
            except ValueError:
                return (shown + Both(": unknown", "：未知"),)
        case "n2":
            return (Both(f"{number * 5} min", f"{number * 5} 分钟") if number else plain("0"),)
        case "done":
            return shown, *_bits(bit_names(DONE_BITS, number))
        case "refused":
            return shown, *_bits(bit_names(REFUSED_BITS, number))
        case "serr":
            return shown, *_bits(bit_names(SECURITY_BITS, number))
        case "err":
            reasons = [text for bit, text in enumerate(ERROR_BITS[edition]) if number & 1 << bit]
            return shown, *_bits(reasons)
        case "output":
            return (beside(OUTPUTS.get(number, "unknown"), OUTPUT_WORDS),)
        case "payload":
            said = Both(" (as sent, without 33H)", "（按发送顺序，已减 33H）")
            return (plain(data.hex().upper()) + said,)
    return (shown,)


def _bits(reasons: list[str] | tuple[str, ...]) -> list[Both]:
    set_bits = [plain("· ") + beside(reason, ERRORS) for reason in reasons]
    return set_bits or [Both("· no bit set", "· 各位均为 0")]


def _moment(data: bytes) -> Both:
    try:
        text = bcd.digits(data)
    except ValueError:
        return Both("not a time: ", "不是时间：") + data[::-1].hex().upper()
    pairs = [text[at : at + 2] for at in range(0, len(text), 2)]
    return plain(f"20{'-'.join(pairs[:3])} {':'.join(pairs[3:])}")


def _item_name(di: int, *, is_old: bool) -> Both:
    item = (items97 if is_old else items).find(di)
    if item is None:
        return Both("not in the table", "不在表内")
    first = item.fields[0].name
    more = len(item.fields) - 1
    block = Both(f" and {more} more", f"等 {more + 1} 项") if more else plain("")
    return _named(first) + block


def _named(name: str) -> Both:
    return Both(name, chinese(name) or name)


def _value_parts(di: int, data: bytes, *, is_old: bool) -> list[Part]:
    item = (items97 if is_old else items).find(di)
    if item is None:
        unknown = Both(": identifier not in the table", "：数据标识不在表内")
        meaning = plain(data.hex().upper()) + unknown
        return [Part(_on_line(data), "data", "数据", (meaning,))]
    if is_old and item.step and len(data) % item.fields[0].size == 1 and data[-1] == 0xAA:
        block_end = [Part(_on_line(data[-1:]), "end of block", "块结束符", (plain("AA"),))]
        return _value_parts(di, data[:-1], is_old=is_old) + block_end
    fields = _in_order(item, len(data))
    if fields is None:
        meaning = count_of(data) + Both(f" where the item has {item.size}", f"，应为 {item.size}")
        return [Part(_on_line(data), "data", "数据", (meaning,))]
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


def _value(field: Field, data: bytes) -> tuple[Both, ...]:
    try:
        value = decode_field(field, data)
    except BadValue:
        unread = Both(": not BCD, cannot be read", "：不是 BCD 码，无法解读")
        return (plain(data[::-1].hex().upper()) + unread,)
    said = meanings(field.name, int.from_bytes(data, "little"))
    return _shown(value), *(plain("· ") + Both(one.english, one.chinese) for one in said)


def _shown(value: Value) -> Both:
    """A value with its unit; what FF means in words."""
    if value.value is None:
        return Both("FF: the meter has no such value", "FF：表计没有该数据")
    unit = beside(value.unit, UNITS)
    return plain(f"{value.value} ") + unit if value.unit else plain(str(value.value))

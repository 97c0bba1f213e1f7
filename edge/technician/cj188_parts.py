"""The parts of a frame of CJ/T 188."""

from __future__ import annotations

from edge.technician.both import Both, beside, plain
from edge.technician.part import Part, count_of, preamble, tail
from edge.technician.words import CJ188_FIELDS, CJ188_ITEMS, FUNCTIONS, METER_TYPES, VALVE_COMMANDS
from protocols.cj188 import explain as cj188_explain
from protocols.cj188 import frame as cj188
from protocols.cj188 import items as cj188_items


def cj188_parts(sent: bytes, quirks: tuple[str, ...]) -> list[Part]:
    """The fields of one good frame of CJ/T 188 with its preamble."""
    frame = cj188.decode(sent)
    body = sent.lstrip(b"\xfe")
    parts = [preamble(sent, body)] if len(sent) > len(body) else []
    kind = Both(*METER_TYPES.get(frame.type, ("unknown or vendor's own", "未知或厂家自定义")))
    whose = Both(f", vendor {frame.address[:4]}", f"，厂商 {frame.address[:4]}")
    if frame.address == cj188.WILDCARD:
        whose = Both(", anybody", "，通配")
    parts += [
        Part(body[:1], "start", "帧起始符", ()),
        Part(body[1:2], "type T", "仪表类型", (kind,)),
        Part(body[2:9], "address", "地址域", (plain(frame.address) + whose,)),
        Part(body[9:10], "control C", "控制码", _cj188_control(frame)),
        Part(body[10:11], "length L", "数据长度", (count_of(frame.data),)),
    ]
    parts += _cj188_data(frame, quirks)
    parts += tail(body)
    return parts


def _cj188_control(frame: cj188.Frame) -> tuple[Both, ...]:
    name = cj188_explain.FUNCTIONS.get(frame.function)
    called = Both("vendor's own function", "厂家自定义功能")
    if name is not None:
        called = Both(name.replace("_", " "), FUNCTIONS.get(name, name))
    way = Both("reply", "应答") if frame.is_reply else Both("request", "请求")
    refused = Both("the meter refuses or reports a fault", "异常应答：表计拒绝或报告故障")
    return (called, way, refused) if frame.abnormal else (called, way)


def _cj188_data(frame: cj188.Frame, quirks: tuple[str, ...]) -> list[Part]:
    data = frame.data
    if frame.abnormal:
        return _cj188_abnormal(data)
    if len(data) < 2:
        return [Part(data, "data", "数据", (UNKNOWN_FORM,))] if data else []
    di, high_first = cj188_items.identifier(data[:2])
    order = Both(" (low byte first)", "（低字节在前）")
    if high_first:
        order = Both(" (high byte first)", "（高字节在前）")
    said = [
        plain(f"{di:04X}") + order,
        Both(*CJ188_ITEMS.get(di, ("not in the table", "不在表内"))),
    ]
    if cj188_items.is_experimental(di):
        said.append(
            Both("of 2018: experimental, seen on no meter", "2018 版，试验性：尚未见于实表")
        )
    parts = [Part(data[:2], "identifier DI", "数据标识", tuple(said))]
    if len(data) > 2:
        parts.append(Part(data[2:3], "sequence SER", "序列号", (plain(str(data[2])),)))
    rest = data[3:]
    fields = cj188_items.layout(di, len(rest), is_reply=frame.is_reply) if rest else ()
    if fields is None:
        unknown = count_of(rest) + Both(", no known form", "，格式未知")
        return [*parts, Part(rest, "data", "数据", (unknown,))]
    # The codec's own reading, so that quirks mean the same here as in the object.
    read = cj188_explain.explain(cj188.encode(frame), quirks)["data"]
    assert isinstance(read, dict)
    for field in fields:
        mine, rest = rest[: field.size], rest[field.size :]
        english, zh = CJ188_FIELDS.get(field.name, (field.name, ""))
        parts.append(Part(mine, english, zh, _cj188_value(read.get(field.name), frame)))
    return parts


UNKNOWN_FORM = Both("unknown form", "格式未知")


def _cj188_value(value: object, frame: cj188.Frame) -> tuple[Both, ...]:
    match value:
        case {"value": None, "digits": digits}:
            unread = Both(": not BCD, cannot be read", "：不是 BCD 码，无法解读")
            return (plain(str(digits)) + unread,)
        case {"value": number, "unit": None, "unit_code": code}:
            own = Both(f", unit {code} is the vendor's own", f"，单位 {code} 为厂家自定义")
            return (plain(str(number)) + own,)
        case {"value": number, "unit": unit}:
            return (plain(f"{number} {unit}"),)
        case {"value": number}:
            return (plain(f"{number}"),)
        case {"raw": raw, "valve": valve, "battery_low": low}:
            if 0x20 <= frame.type <= 0x29:
                states = "：热量表的传感器状态，厂家自定义"
                return (
                    Both(
                        f"{raw}: sensor states of a heat meter, the vendor's own", f"{raw}{states}"
                    ),
                )
            return (plain(str(raw)), *_status(str(valve), is_low=bool(low)))
        case None:
            return (Both("cannot be read", "无法解读"),)
        case str(command) if command in VALVE_COMMANDS:
            return (beside(command, VALVE_COMMANDS),)
        case str(command) if command.startswith("vendor_"):
            code = command.removeprefix("vendor_")
            return (Both(f"{code}: the vendor's own", f"{code}：厂家自定义"),)
        case str(text):
            return (plain(text.replace("T", " ")),)
    return (plain(str(value)),)


VALVES = {
    "valve open": "阀门开",
    "valve closed": "阀门关",
    "valve abnormal": "阀门异常",
    "valve reserved": "阀门状态保留",
}


def _status(valve: str, *, is_low: bool) -> tuple[Both, ...]:
    battery = Both("battery low", "电池欠压") if is_low else Both("battery good", "电池正常")
    return plain("· ") + beside(f"valve {valve}", VALVES), plain("· ") + battery


def _cj188_abnormal(data: bytes) -> list[Part]:
    status = data[-2:] if len(data) == 3 else data[-1:]
    raw = plain(status.hex().upper())
    meaning: tuple[Both, ...] = (raw,)
    if len(data) == 3:
        said = cj188_items.ValveStatus.from_bytes(status)
        meaning += _status(said.valve.name.lower(), is_low=said.battery_low)
    match len(data):
        case 2 | 3:
            ser = Part(data[:1], "sequence SER", "序列号", (plain(str(data[0])),))
            return [ser, Part(status, "status", "状态 ST", meaning)]
        case 4:
            di, _ = cj188_items.identifier(data[:2])
            return [
                Part(data[:2], "identifier DI", "数据标识", (plain(f"{di:04X}"),)),
                Part(data[2:3], "sequence SER", "序列号", (plain(str(data[2])),)),
                Part(
                    status,
                    "error code",
                    "错误码",
                    (raw + Both(", the vendor's own", "，厂家自定义"),),
                ),
            ]
    return [Part(data, "data", "数据", (UNKNOWN_FORM,))] if data else []

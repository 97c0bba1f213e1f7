"""The parts of a frame of CJ/T 188."""

from __future__ import annotations

from edge.technician.part import Part, count_of, preamble, tail
from edge.technician.words import CJ188_FIELDS, CJ188_ITEMS, FUNCTIONS, METER_TYPES
from protocols.cj188 import explain as cj188_explain
from protocols.cj188 import frame as cj188
from protocols.cj188 import items as cj188_items


def cj188_parts(sent: bytes, quirks: tuple[str, ...]) -> list[Part]:
    """The fields of one good frame of CJ/T 188 with its preamble."""
    frame = cj188.decode(sent)
    body = sent.lstrip(b"\xfe")
    parts = [preamble(sent, body)] if len(sent) > len(body) else []
    kind, zh = METER_TYPES.get(frame.type, ("unknown or vendor's own", "厂家自定义"))
    address = f"{frame.address}, {'anybody 通配' if frame.address == cj188.WILDCARD else ''}"
    if frame.address != cj188.WILDCARD:
        address = f"{frame.address}, vendor {frame.address[:4]}"
    parts += [
        Part(body[:1], "start", "帧起始符", ""),
        Part(body[1:2], "type T", "仪表类型", f"{kind} {zh}"),
        Part(body[2:9], "address", "地址域", address),
        Part(body[9:10], "control C", "控制码", _cj188_control(frame)),
        Part(body[10:11], "length L", "数据长度", count_of(frame.data)),
    ]
    parts += _cj188_data(frame, quirks)
    parts += tail(body)
    return parts


def _cj188_control(frame: cj188.Frame) -> str:
    name = cj188_explain.FUNCTIONS.get(frame.function, "vendor's own function")
    words = FUNCTIONS.get(name, "")
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
        return [*parts, Part(rest, "data", "数据", f"{count_of(rest)}, no known form")]
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

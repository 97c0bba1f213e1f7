"""Examples for the description of the API: a value for each field, by its name where that tells more than a type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloud.services.integration.outbox import Event

ID = "6f1c2b1e-0d5a-4a36-9f0e-2c1f5f0b7a11"
AT = "2026-03-02T04:00:00Z"

_BY_NAME: Mapping[str, Any] = {
    "amount_fen": 5000,
    "balance_fen": 4380,
    "alarm_at_fen": 1000,
    "holder": "张三",
    "building": "1 号楼",
    "floor": 3,
    "gateway_no": "GW-0001",
    "meter_no": "202603010017",
    "total": "1284.56",
    "days_left": "6.4",
    "unit": "kWh",
    "commodity": "electricity",
    "why": "配电箱检修",
    "by": "王经理",
    "code": "49302817465501928374",
    "challenge": "MTc3MjQyNDAwMA",
    "database": "ok",
    "channel": "wechat",
    "until": "2026-03-02T10:00:00Z",
    "name": "0301",
    "model": "dlt645-2007-1p",
    "line": "L1",
    "tariff_code": "RES-2026",
    "timezone": "Asia/Shanghai",
}
_FORMATS: Mapping[str, Any] = {
    "uuid": ID,
    "date-time": AT,
    "date": "2026-03-02",
    "time": "08:30:00",
    "uri": "https://example.com/wattwell",
}

EVENTS: Mapping[Event, Mapping[str, Any]] = {
    Event.TOPUP_CREDITED: {
        "topup_id": ID,
        "purse_id": ID,
        "account_id": ID,
        "amount_fen": 5000,
        "channel": "wechat",
        "paid_at": AT,
    },
    Event.SUPPLY_CHANGED: {
        "point_id": ID,
        "room_id": ID,
        "purse_id": ID,
        "supply": "off",
        "wanted": "off",
        "why": "no-credit",
    },
    Event.ALARM_RAISED: {
        "kind": "silent",
        "point_id": ID,
        "room_id": ID,
        "gateway_id": None,
        "text": "no answer since 2026-03-02T03:40:00Z",
    },
    Event.ALARM_ENDED: {
        "kind": "silent",
        "point_id": ID,
        "room_id": ID,
        "gateway_id": None,
        "text": "it answers again",
    },
    Event.ACCOUNT_OPENED: {"account_id": ID, "holder": "张三"},
    Event.ACCOUNT_CLOSED: {"account_id": ID, "holder": "张三"},
    Event.TEST: {"by": "王经理"},
}
ABOUT_EVENTS: Mapping[Event, str] = {
    Event.TOPUP_CREDITED: "A top-up was credited to its purse",
    Event.SUPPLY_CHANGED: "A supply was cut off or restored, as read back from the meter",
    Event.ALARM_RAISED: "An alarm of a service point, or of a gateway, was raised",
    Event.ALARM_ENDED: "An alarm is over",
    Event.ACCOUNT_OPENED: "An account was opened",
    Event.ACCOUNT_CLOSED: "An account was closed",
    Event.TEST: "Somebody tries whether the receiver hears",
}


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = "") -> Any:
    """A value that the schema takes. schemas are what it refers to."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "const" in schema:
        return schema["const"]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            parts = [part for part in schema[key] if part.get("type") != "null"]
            return example(parts[0], schemas, name)
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, schemas)
    if kind == "array":
        return [example(schema.get("items", {}), schemas, name)]
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]] if name != "until" else _BY_NAME["until"]
    return _simple(schema, name)


def _object(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties", {})
    if not fields and isinstance(schema.get("additionalProperties"), Mapping):
        return {"challenge": example(schema["additionalProperties"], schemas)}
    return {name: example(field, schemas, name) for name, field in fields.items()}


def _simple(schema: Mapping[str, Any], name: str) -> Any:
    kind, known = schema.get("type"), _BY_NAME.get(name)
    if kind == "string":
        text = known if isinstance(known, str) else "x"
        return text.ljust(schema.get("minLength", 0), "x")[
            : schema.get("maxLength", len(text) + 99)
        ]
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        return known if isinstance(known, int) else least + 1
    return None

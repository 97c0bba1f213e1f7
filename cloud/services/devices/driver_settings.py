"""What a driver must be told of a meter: looked through when it is entered, not when the supply is to be moved."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from cloud.errors import CloudError
from cloud.said import Said
from cloud.services.devices import models
from prepaid.point import Meter

_KEY = (
    ("password", Said("password"), re.compile(r"[0-9]{6}"), Said("six digits")),
    ("level", Said("level"), re.compile(r"0?[0-9]"), Said("one digit")),
    ("operator", Said("operator code"), re.compile(r"[0-9]{8}"), Said("eight digits")),
)


# The address of a meter on its line, by the first word of its protocol.
_ADDRESS = {
    "dlt645": (re.compile(r"[0-9]{12}"), Said("12 digits, with zeros before a shorter one")),
    "cjt188": (re.compile(r"[0-9]{14}"), Said("14 digits, with zeros before a shorter one")),
    "modbus": (
        re.compile(r"0*(?:[1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"),
        Said("a unit from 1 to 247, and up to 255 over Ethernet"),
    ),
}


class BadSetting(CloudError):
    status = 422
    sentence = "{what} of meter {meter_no} must be {rule}."


def check(meter: Meter) -> None:
    """Raises BadSetting for what the gateway's driver would refuse (edge.drivers).

    A key 密钥 may be left out: the meter is then read, and never switched. Ratios 互感器变比 may not where the
    model asks for them: without them nobody can say what its register counts.
    """
    given = meter.settings
    pattern, rule = _ADDRESS[meter.protocol.partition("-")[0]]
    if not pattern.fullmatch(meter.address):
        what = Said("address")
        raise BadSetting(field="address", what=what, meter_no=meter.meter_no, rule=rule)
    if meter.protocol == "dlt645-2007" and any(given.get(name) for name, *_ in _KEY):
        for name, what, pattern, rule in _KEY:
            if not pattern.fullmatch(given.get(name, "")):
                raise BadSetting(field=name, what=what, meter_no=meter.meter_no, rule=rule)
    model = models.known(given.get("profile")) if meter.protocol == "modbus" else None
    rule = Said("a number above 0, and 1 where it is connected directly")
    for name in ("pt", "ct"):
        is_asked = model is not None and name in model.asks
        if (is_asked or name in given) and not _is_positive(given.get(name, "")):
            raise BadSetting(field=name, what=name.upper(), meter_no=meter.meter_no, rule=rule)


def _is_positive(text: str) -> bool:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return False
    return value.is_finite() and value > 0

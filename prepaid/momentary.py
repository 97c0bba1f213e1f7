"""What a meter measures at an instant 瞬时量, beside its register: nothing is charged by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from prepaid.quantity import typed


class Measurand(StrEnum):
    """What is measured. A meter of one phase has phase A."""

    VOLTAGE_A = "voltage-a"
    VOLTAGE_B = "voltage-b"
    VOLTAGE_C = "voltage-c"
    CURRENT_A = "current-a"
    CURRENT_B = "current-b"
    CURRENT_C = "current-c"
    POWER = "power"  # active, of all phases; negative where it flows back
    POWER_A = "power-a"
    POWER_B = "power-b"
    POWER_C = "power-c"
    POWER_FACTOR = "power-factor"
    FREQUENCY = "frequency"
    FLOW = "flow"
    BATTERY = "battery"

    @property
    def unit(self) -> str:
        """The unit that its values are in."""
        return _UNITS[self]


_UNITS = {
    Measurand.VOLTAGE_A: "V",
    Measurand.VOLTAGE_B: "V",
    Measurand.VOLTAGE_C: "V",
    Measurand.CURRENT_A: "A",
    Measurand.CURRENT_B: "A",
    Measurand.CURRENT_C: "A",
    Measurand.POWER: "kW",
    Measurand.POWER_A: "kW",
    Measurand.POWER_B: "kW",
    Measurand.POWER_C: "kW",
    Measurand.POWER_FACTOR: "",
    Measurand.FREQUENCY: "Hz",
    Measurand.FLOW: "m³/h",
    Measurand.BATTERY: "V",
}


@dataclass(frozen=True, slots=True)
class Momentary:
    """The values of a meter at an instant of the gateway's clock (UTC), each in its measurand's unit.

    Only what the meter gives is there; is_battery_low and is_valve_abnormal are None where it cannot say.

    Raises TypeError if a value is no Decimal.
    """

    meter_no: str
    at: datetime
    values: Mapping[Measurand, Decimal]
    is_battery_low: bool | None = None
    is_valve_abnormal: bool | None = None

    def __post_init__(self) -> None:
        for measurand, value in self.values.items():
            typed(value, measurand.value)

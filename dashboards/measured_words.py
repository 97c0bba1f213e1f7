"""What is measured, and the meter's own bands, as they are called on a page."""

from __future__ import annotations

from dashboards.words import N_
from prepaid.momentary import Measurand

MEASURANDS = {
    Measurand.VOLTAGE_A: N_("Voltage A"),
    Measurand.VOLTAGE_B: N_("Voltage B"),
    Measurand.VOLTAGE_C: N_("Voltage C"),
    Measurand.CURRENT_A: N_("Current A"),
    Measurand.CURRENT_B: N_("Current B"),
    Measurand.CURRENT_C: N_("Current C"),
    Measurand.POWER: N_("Active power"),
    Measurand.POWER_A: N_("Active power A"),
    Measurand.POWER_B: N_("Active power B"),
    Measurand.POWER_C: N_("Active power C"),
    Measurand.POWER_FACTOR: N_("Power factor"),
    Measurand.FREQUENCY: N_("Frequency"),
    Measurand.FLOW: N_("Flow"),
    Measurand.BATTERY: N_("Battery voltage"),
}
"""In the order in which they are shown; a value has the unit of its measurand."""

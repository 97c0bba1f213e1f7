"""Templates of prices 电价模板 for the first steps: hours and bounds as they are usual, prices to be typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.datastructures import FormData

from cloud.tables import Site
from dashboards.manager.tariffs import form
from dashboards.manager.tariffs.form import BANDS, Form, Hours
from dashboards.words import N_

CODE = "electricity"


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of price: what it is called, what it is for, and the form as it is filled in to begin with."""

    name: str
    about: str
    icon: str
    form: Form

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that a price is typed for, in the order of the trade."""
        named = {hours.band for hours in self.form.hours}
        return tuple(band for band in BANDS if band in named) or ("all",)

    @property
    def tiers(self) -> int:
        return len(self.form.bounds) + 1


def _hours(*bands: tuple[str, str, str]) -> list[Hours]:
    return [Hours(*each) for each in bands]


_PEAK_VALLEY = _hours(("peak", "06:00", "22:00"), ("valley", "22:00", "06:00"))
_SHARP = _hours(
    ("valley", "23:00", "07:00"),
    ("flat", "07:00", "08:00"),
    ("peak", "08:00", "11:00"),
    ("flat", "11:00", "16:00"),
    ("peak", "16:00", "18:00"),
    ("sharp", "18:00", "20:00"),
    ("peak", "20:00", "22:00"),
    ("flat", "22:00", "23:00"),
)

TEMPLATES: Mapping[str, Template] = {
    "flat": Template(
        N_("One price"),
        N_("The same at all times and for each kWh: shops, offices, dormitories."),
        "equal",
        Form(),
    ),
    "tiers": Template(
        N_("Tiers 阶梯"),
        N_("What is above a bound costs more: homes, counted by the year or the month."),
        "stairs-up",
        Form(period="year", bounds=["2880", "4800"]),
    ),
    "peak-valley": Template(
        N_("Peak and valley 峰谷"),
        N_("Two prices by the time of day."),
        "sun-moon",
        Form(is_timed=True, hours=_PEAK_VALLEY),
    ),
    "sharp": Template(
        N_("Sharp, peak, flat, valley 尖峰平谷"),
        N_("Four prices by the time of day: business and industry."),
        "chart-bar",
        Form(is_timed=True, hours=_SHARP),
    ),
    "tiers-peak-valley": Template(
        N_("Tiers with peak and valley 阶梯峰谷"),
        N_("Both together: homes that have chosen prices by the time of day."),
        "stairs",
        Form(is_timed=True, hours=_PEAK_VALLEY, period="year", bounds=["3120", "4800"]),
    ),
}


def shown(kind: str) -> Form:
    """The form to begin with."""
    return deepcopy(TEMPLATES[kind].form)


def read(kind: str, given: FormData) -> Form:
    """What was typed; how many tiers and whether by the time of day is the template's."""
    template = TEMPLATES[kind].form
    typed = form.read(given)
    typed.code, typed.commodity = CODE, "electricity"
    typed.is_timed = template.is_timed
    typed.period = typed.period if template.period and typed.period else template.period
    return typed


def here(fault: str) -> str:
    """A fault of the document as one of the form, which has one version and one item."""
    return re.sub(r"^versions\[0\]\.(?:components\[0\]\.)?(?:tiers\.)?", "", fault)


def field_of(fault: str) -> str | None:
    """The field that a fault of the form (as `here` gives it) is about, None where it is about several."""
    path = fault.partition(": ")[0]
    if found := re.search(r"^price(?:\[(\d+)\])?(?:\.(\w+))?$", path):
        return f"price{found[1] or 0}-{found[2] or 'all'}"
    if found := re.search(r"^bounds\[(\d+)\]$", path):
        return f"bound{found[1]}"
    if found := re.search(r"^bands\[(\d+)\]\.(from|to)$", path):
        return f"{found[2]}{found[1]}"
    return None


def document(typed: Form, site: Site, *, now: datetime) -> dict[str, Any]:
    """The tariff, in force from now on, its days and hours those of the site."""
    typed.effective = now.astimezone(form.ZONE).strftime("%Y-%m-%dT%H:%M")
    return form.written(typed, {}, replaces=0) | {"timezone": site.timezone}

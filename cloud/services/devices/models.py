"""Models of meters to choose from: how each is spoken to, and what its register can show and do.

The numbers are what is usual for such a meter; its own plate counts, so each can be changed where a meter is entered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from cloud.errors import CloudError
from prepaid.point import KEYS, Meter


class NoSuchModel(CloudError):
    status = 422
    field = "model"
    sentence = "There is no meter model {model}. Choose one from the list."


@dataclass(frozen=True, slots=True)
class Model:
    """A model: key for programs and sheets, name for people.

    max_per_hour is the most that passes it in an hour, in the register's unit: at 230 V its largest current (60 A,
    80 A in each of three phases), or the largest flow of a water meter of DN 20. settings go to the driver as they
    are; asks names those that only the meter's owner knows, and that are needed to switch it.
    """

    key: str
    name: str
    commodity: str
    protocol: str
    digits: int
    step: Decimal
    max_per_hour: Decimal
    has_switch: bool
    settings: Mapping[str, str] = field(default_factory=dict)
    asks: tuple[str, ...] = ()

    def meter(
        self,
        *,
        meter_no: str,
        line: str,
        address: str,
        multiplier: Decimal = Decimal(1),
        settings: Mapping[str, str] | None = None,
        has_switch: bool | None = None,
    ) -> Meter:
        """A meter of this model. settings are added to the model's; has_switch is the model's where it is None."""
        return Meter(
            meter_no=meter_no,
            protocol=self.protocol,
            line=line,
            address=address,
            digits=self.digits,
            step=self.step,
            max_per_hour=self.max_per_hour,
            settings={**self.settings, **(settings or {})},
            has_switch=self.has_switch if has_switch is None else has_switch,
            multiplier=multiplier,
        )


ONE_PHASE = Decimal(16)  # 230 V × 60 A = 13.8 kW, and a little more
THREE_PHASE = Decimal(60)  # 3 × 230 V × 80 A = 55.2 kW
BY_TRANSFORMER = Decimal(5)  # 3 × 230 V × 6 A = 4.1 kW, before the multiplier
WATER = Decimal(5)  # m³

_HUNDREDTH = Decimal("0.01")
_THOUSANDTH = Decimal("0.001")


def _power(
    key: str,
    name: str,
    most: Decimal,
    *,
    protocol: str = "dlt645-2007",
    has_switch: bool = False,
    asks: tuple[str, ...] = (),
) -> Model:
    return Model(key, name, "electricity", protocol, 6, _HUNDREDTH, most, has_switch, {}, asks)


def _modbus(
    profile: str,
    name: str,
    *,
    phases: int = 1,
    step: Decimal = _HUNDREDTH,
    has_switch: bool = False,
    asks: tuple[str, ...] = (),
    commodity: str = "electricity",
) -> Model:
    most = {0: WATER, 1: ONE_PHASE, 3: THREE_PHASE}[phases]
    return Model(
        profile, name, commodity, "modbus", 8, step, most, has_switch, {"profile": profile}, asks
    )


_RATIOS = ("pt", "ct")

MODELS: tuple[Model, ...] = (
    _power("dlt645-2007-1p", "DL/T 645-2007 单相费控电能表", ONE_PHASE, has_switch=True, asks=KEYS),
    _power(
        "dlt645-2007-3p", "DL/T 645-2007 三相费控电能表", THREE_PHASE, has_switch=True, asks=KEYS
    ),
    _power("dlt645-2007-ct", "DL/T 645-2007 三相电能表（经互感器）", BY_TRANSFORMER),
    _power("dlt645-2007-plain", "DL/T 645-2007 单相电能表（无继电器）", ONE_PHASE),
    _power("dlt645-1997", "DL/T 645-1997 电能表", THREE_PHASE, protocol="dlt645-1997"),
    Model(
        "cjt188-cold",
        "CJ/T 188 冷水表（带阀）",
        "cold_water",
        "cjt188-2004",
        6,
        _HUNDREDTH,
        WATER,
        True,
        {"meter_type": "10"},
    ),
    Model(
        "cjt188-hot",
        "CJ/T 188 热水表（带阀）",
        "hot_water",
        "cjt188-2004",
        6,
        _HUNDREDTH,
        WATER,
        True,
        {"meter_type": "11"},
    ),
    Model(
        "cjt188-plain",
        "CJ/T 188 冷水表（无阀）",
        "cold_water",
        "cjt188-2004",
        6,
        _HUNDREDTH,
        WATER,
        False,
        {"meter_type": "10"},
    ),
    _modbus("acrel_adl200", "安科瑞 Acrel ADL200", asks=_RATIOS),
    _modbus("acrel_adl400", "安科瑞 Acrel ADL400 / ADL3000 / DTSD1352", phases=3),
    _modbus("acrel_adw300", "安科瑞 Acrel ADW300", phases=3),
    _modbus("acrel_ddsy1352", "安科瑞 Acrel DDSY1352", has_switch=True, asks=_RATIOS),
    _modbus("acrel_djsf1352", "安科瑞 Acrel DJSF1352-RN（直流）", step=_THOUSANDTH),
    _modbus("acrel_dtsy1352", "安科瑞 Acrel DTSY1352", phases=3, has_switch=True, asks=_RATIOS),
    _modbus("chint_ddsu666", "正泰 CHINT DDSU666"),
    _modbus("chint_dtsu666", "正泰 CHINT DTSU666", phases=3),
    _modbus("ddm18sd", "DDM18SD 导轨表"),
    _modbus("eastron_sdm120", "Eastron SDM120M"),
    _modbus("eastron_sdm230", "Eastron SDM230-Modbus"),
    _modbus("eastron_sdm630", "Eastron SDM630-Modbus", phases=3),
    _modbus("fineco_em115", "Fineco EM115（带继电器）", has_switch=True),
    _modbus("fineco_em737", "Fineco EM737（带继电器）", phases=3, has_switch=True),
    _modbus("hiking_dds238_2", "Hiking DDS238-2 ZN/SR", has_switch=True),
    _modbus("sfere_dtsy1946a", "斯菲尔 Sfere DTSY1946A", phases=3, has_switch=True, asks=_RATIOS),
    _modbus(
        "xintai_water_valve",
        "开封新泰 RS485 阀控水表",
        phases=0,
        has_switch=True,
        commodity="cold_water",
    ),
    _modbus("ytl_orwe504", "YTL (ORNO) OR-WE-504", step=_THOUSANDTH),
    _modbus("ytl_orwe514", "YTL (ORNO) OR-WE-514 / 515"),
    _modbus("ytl_orwe516", "YTL (ORNO) OR-WE-516 / 517", phases=3),
)

_BY_KEY = {model.key: model for model in MODELS}


def known(key: str | None) -> Model | None:
    """The model by its key; None for a meter that was entered without one."""
    return None if key is None else _BY_KEY.get(key)


def of_key(key: str) -> Model:
    """Raises NoSuchModel."""
    found = _BY_KEY.get(key)
    if found is None:
        raise NoSuchModel(model=key)
    return found


def named(text: str) -> Model:
    """The model with this key or name, as somebody wrote it into a sheet. Raises NoSuchModel."""
    wanted = text.strip().lower()
    for model in MODELS:
        if wanted in (model.key.lower(), model.name.lower()):
            return model
    raise NoSuchModel(model=text)

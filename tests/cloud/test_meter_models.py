"""The models of meters that people choose from are ones that a gateway can read and switch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud.services import estate
from cloud.services.devices import driver_settings, models
from edge.drivers import DRIVERS
from prepaid.point import PROTOCOLS, Restore
from prepaid.reading import Supply
from protocols.modbus import profile as profiles
from tests.edge.simulated import EVENING

SETTINGS = {"password": "000000", "level": "4", "operator": "00000001", "pt": "1", "ct": "1"}


def test_the_words_for_protocols_are_the_drivers_own():
    assert set(PROTOCOLS) == set(DRIVERS)


@pytest.mark.parametrize("model", models.MODELS, ids=lambda model: model.key)
def test_a_driver_knows_how_to_read_each_model_and_to_switch_it_if_it_has_a_switch(model):
    asked = {name: SETTINGS[name] for name in model.asks}
    address = "1" if model.protocol == "modbus" else "20170932007212"[: _length(model)]
    meter = model.meter(meter_no="M1", line="L1", address=address, settings=asked)
    estate.check_meter(meter)
    driver = DRIVERS[meter.protocol]

    assert next(driver.read(meter))
    if meter.has_switch:
        assert next(driver.switch(meter, Supply.OFF, Restore.DIRECT, EVENING))
        assert next(driver.switch(meter, Supply.ON, Restore.DIRECT, EVENING))


def _length(model: models.Model) -> int:
    return 14 if model.protocol == "cjt188-2004" else 12


@pytest.mark.parametrize(
    ("model", "settings", "field"),
    [
        ("dlt645-2007-1p", {"password": "12345", "level": "2", "operator": "00000001"}, "password"),
        ("dlt645-2007-1p", {"password": "123456", "level": "2", "operator": "1"}, "operator"),
        ("dlt645-2007-1p", {"password": "123456"}, "level"),
        ("acrel_ddsy1352", {}, "pt"),
        ("acrel_ddsy1352", {"pt": "1", "ct": "0"}, "ct"),
        ("eastron_sdm120", {"ct": "x", "pt": "1"}, "ct"),
    ],
)
def test_what_the_driver_would_refuse_is_refused_where_it_is_entered(model, settings, field):
    meter = models.of_key(model).meter(
        meter_no="M1", line="L1", address="000000000001", settings=settings
    )
    with pytest.raises(driver_settings.BadSetting, match="of meter M1 must be") as refused:
        estate.check_meter(meter)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("model", "address"),
    [
        ("dlt645-2007-1p", "20170932"),
        ("dlt645-2007-1p", "2017 0932 0072"),
        ("cjt188-cold", "201709320072"),
        ("eastron_sdm120", "0"),
        ("eastron_sdm120", "256"),
    ],
)
def test_an_address_that_its_protocol_does_not_have_is_refused_where_it_is_entered(model, address):
    settings = {"pt": "1", "ct": "1"}
    meter = models.of_key(model).meter(meter_no="M1", line="L1", address=address, settings=settings)
    with pytest.raises(driver_settings.BadSetting, match="address of meter M1 must be") as refused:
        estate.check_meter(meter)
    assert refused.value.field == "address"


def test_a_meter_whose_key_nobody_knows_is_only_read():
    model = models.of_key("dlt645-2007-1p")
    estate.check_meter(model.meter(meter_no="M1", line="L1", address="000000000001"))


def test_every_register_profile_is_among_the_models():
    offered = {model.settings["profile"] for model in models.MODELS if model.protocol == "modbus"}
    assert offered == set(profiles.names())


def test_a_model_is_found_by_its_name_or_key_and_no_other():
    assert models.named(" Chint_DDSU666 ").key == "chint_ddsu666"
    assert models.named("CJ/T 188 冷水表（带阀）").settings == {"meter_type": "10"}
    with pytest.raises(models.NoSuchModel, match="DDS999"):
        models.named("DDS999")


@pytest.mark.parametrize("word", ["modbus-rtu", "dlt645", "mbus"])
def test_a_meter_by_a_protocol_that_no_gateway_speaks_is_refused(word):
    known = models.of_key("eastron_sdm120").meter(meter_no="M1", line="L1", address="1")
    with pytest.raises(estate.NoDriver, match=f"M1 by {word}.*dlt645-2007, .*modbus"):
        estate.check_meter(replace(known, protocol=word))

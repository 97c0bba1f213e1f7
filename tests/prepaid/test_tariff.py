from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from prepaid.tariff import BadTariff, parse

WATER: dict[str, Any] = {
    "code": "water-2026",
    "commodity": "cold_water",
    "unit": "m3",
    "currency": "CNY",
    "timezone": "Asia/Shanghai",
    "versions": [
        {
            "effective_from": "2026-01-01T00:00:00+08:00",
            "components": [
                {"item": "water", "kind": "rate", "price": "2.07"},
                {"item": "sewage", "kind": "rate", "price": "1.36"},
            ],
        }
    ],
}


def test_the_highest_price_is_that_of_all_components_together():
    assert parse(WATER).highest_price == Decimal("3.43")


def test_a_bad_document_is_refused_with_every_fault_and_its_path():
    document = deepcopy(WATER)
    document["unit"] = "kWh"
    document["discount"] = "0.1"
    document["versions"][0]["components"][0]["price"] = 2.07
    document["versions"][0]["components"][1]["tiers"] = {"period": "year"}

    with pytest.raises(BadTariff) as caught:
        parse(document)

    assert {error.split(":")[0] for error in caught.value.errors} == {
        "discount",
        "unit",
        "versions[0].components[0].price",
        "versions[0].components[1].tiers",
    }


@pytest.mark.parametrize("price", ["-0.1", "NaN", "", "0,5", ["0.5", "0.6"], {"peak": "1"}, None])
def test_what_is_no_flat_price_is_refused(price: object):
    document = deepcopy(WATER)
    document["versions"][0]["components"][0]["price"] = price
    with pytest.raises(BadTariff, match=r"components\[0\].price"):
        parse(document)


@pytest.mark.parametrize("document", [{}, {"versions": [{}]}, {"versions": [{"components": [3]}]}])
def test_what_is_no_tariff_at_all_is_refused(document: dict[str, Any]):
    with pytest.raises(BadTariff):
        parse(document)

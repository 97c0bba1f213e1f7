"""Which purse may pay for, and so cut, what."""

import pytest

from prepaid.purse import PAYS_FOR, Purpose, pays_for

COMMODITIES = (
    "electricity",
    "cold_water",
    "hot_water",
    "reclaimed_water",
    "gas",
    "heat",
    "cooling",
)


@pytest.mark.parametrize("commodity", COMMODITIES)
def test_a_property_purse_never_cuts_anything(commodity: str):
    assert not pays_for(Purpose.PROPERTY, commodity)


@pytest.mark.parametrize(
    ("purpose", "commodity", "does"),
    [
        (Purpose.ELECTRICITY, "electricity", True),
        (Purpose.ELECTRICITY, "cold_water", False),
        (Purpose.WATER, "cold_water", True),
        (Purpose.WATER, "hot_water", True),
        (Purpose.WATER, "reclaimed_water", True),
        (Purpose.WATER, "electricity", False),
        (Purpose.UTILITY, "electricity", True),
        (Purpose.UTILITY, "cold_water", True),
        (Purpose.UTILITY, "gas", True),
        (Purpose.UTILITY, "parking", False),
    ],
)
def test_a_purse_pays_for_what_it_is_for(purpose: Purpose, commodity: str, does: bool):
    assert pays_for(purpose, commodity) is does


def test_every_purpose_has_its_commodities():
    assert set(PAYS_FOR) == set(Purpose)
    assert frozenset().union(*PAYS_FOR.values()) == set(COMMODITIES)

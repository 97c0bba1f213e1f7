"""Rating again what is stored comes to what was charged. Of whole estates: tests/cloud/readings/test_rerating.py."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from prepaid import rating
from prepaid.rerating import Read, Start, steps
from tests.prepaid.values import METER, POINT, flat, open_position, read

TARIFF = flat("0.50")
NEW_METER = replace(POINT, meter=replace(METER, meter_no="new"))


@pytest.mark.parametrize("until", [None, 2])
def test_what_an_exchanged_meter_counted_last_is_charged_also_where_another_store_goes_on_from_there(
    until,
):
    before = open_position(TARIFF, read("100.00"))
    closed, _ = rating.rate(
        POINT, TARIFF, before, read("103.00", after_s=3600), moved=Decimal("3.00")
    )
    opening = replace(read("7.00", after_s=3600), meter_no="new")
    start = Start(replace(closed, reading=opening), until)

    reads, settings = [Read(opening, 2, None)], (NEW_METER, TARIFF)
    ((position, step),) = steps(before, reads, {opening.at: start}, lambda _: settings)

    # 3.00 kWh at 0.50 until it was taken down
    assert [transfer.amount.fen for transfer in step.transfers] == [150]
    assert position == start.position

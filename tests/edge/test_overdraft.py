"""No purse is overdrawn by more than its line's stated bound, whatever its customer draws between two readings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from benchmarks.overdraft import outcome
from edge.ledger.store import Store
from edge.purses import Purses
from prepaid.money import Money
from tests.edge.simulated import ELECTRICITY, EVENING, POWER_TARIFF


@pytest.mark.parametrize("seed", range(20))
def test_a_customer_who_knows_when_meters_are_read_stays_within_the_bound(seed: int):
    found = outcome(seed, purses=2)

    assert max(found.overdrafts) <= found.bound
    # Read every half hour, a customer of one 60 kWh/h meter at ¥0.5283 takes up to ¥15.85 for nothing.
    assert max(found.overdrafts) < 1585 / 30


def test_a_meter_that_was_never_read_counts_as_one_that_draws_all_it_can(tmp_path: Path):
    """The first of a purse's meters was once planned as if it were alone, and read late by minutes."""
    other = replace(ELECTRICITY, id=UUID(int=77))
    store = Store(tmp_path / "ledger.sqlite", "GW-0001")
    with store.transaction():
        store.save_tariff(POWER_TARIFF)
    at_most = timedelta(minutes=15)

    alone, together = (
        Purses(store, points).lasts(
            ELECTRICITY.purse, Money.yuan("1000.50"), now=EVENING, at_most=at_most
        )
        for points in ([ELECTRICITY], [ELECTRICITY, other])
    )

    # ¥1000.50 less the alarm at ¥0.50 is ¥1000: at 36,000 kWh/h × ¥0.50 = ¥5 a second 200 s, for two 100 s
    assert alone == timedelta(seconds=200)
    assert together == timedelta(seconds=100)
    store.close()

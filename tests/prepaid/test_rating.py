import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from prepaid import rating
from prepaid.decimals import half_up, written
from prepaid.ledger import credit_balance, income, prepaid
from prepaid.money import ZERO, Money
from prepaid.point import ServicePoint
from prepaid.rating import Position, explain, transfers
from prepaid.reading import Reading
from prepaid.reckoning import UNCOUNTED, BandSource
from prepaid.tariff import Tariff
from tests.prepaid.test_tariff import BY_BAND, DAY_AND_NIGHT, priced, tariff, utc, version
from tests.prepaid.values import METER, POINT, PURSE, flat, open_position, rate, read

MONTHLY = {"period": "month", "bounds": ["100"]}


def at(text: str, total: str, **bands: str) -> Reading:
    registers = {band: Decimal(register) for band, register in bands.items()} or None
    return Reading(METER.meter_no, utc(text), Decimal(total), None, registers)


def costs(position: Position) -> dict[str, str]:
    return {total.item: written(total.cost) for total in position.running}


def charged(
    tariff: Tariff, *readings: Reading, point: ServicePoint = POINT
) -> tuple[Position, list[int]]:
    """The position after readings in order, and the charge of each in fen, all items together."""
    position = open_position(tariff, readings[0])
    fen = []
    for reading in readings[1:]:
        position, charges = rate(tariff, position, reading, point=point)
        fen.append(sum(charge.amount.fen for charge in charges))
    return position, fen


def test_the_first_reading_opens_the_account_and_charges_nothing():
    position = open_position(flat("0.4883"), read("1523.40"))
    assert costs(position) == {"energy": "0"}
    assert position.running[0].posted == ZERO


def test_a_charge_is_the_rise_of_the_rounded_running_total():
    tariff = flat("0.4883")
    position = open_position(tariff, read("100.00"))

    # 0.01 kWh × 0.4883 = 0.004883, less than half a fen
    position, charges = rate(tariff, position, read("100.01", after_s=60))
    assert charges == ()

    # 0.02 kWh in all: 0.009766, rounded 1 fen
    position, charges = rate(tariff, position, read("100.02", after_s=120))
    assert [charge.amount for charge in charges] == [Money(1)]

    # 1.00 kWh in all: 0.4883, rounded 49 fen; 1 is posted already
    position, charges = rate(tariff, position, read("101.00", after_s=3600))
    assert [charge.amount for charge in charges] == [Money(48)]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 99999))
def test_charges_add_up_to_the_cost_however_often_a_meter_is_read(steps: list[int], price: int):
    tariff = flat(str(Decimal(price).scaleb(-4)))
    position = open_position(tariff, read("5.00"))
    total, posted = 500, ZERO
    for index, step in enumerate(steps, start=1):
        total += step
        reading = read(str(Decimal(total).scaleb(-2)), after_s=60 * index)
        position, charges = rate(tariff, position, reading)
        posted = sum((charge.amount for charge in charges), posted)

    cost = Decimal(sum(steps)).scaleb(-2) * Decimal(price).scaleb(-4)
    assert posted == Money.rounded(cost, currency="CNY")


def test_the_register_is_multiplied_by_the_transformer_ratio():
    industrial = replace(POINT, meter=replace(METER, multiplier=Decimal("80")))
    # 1.25 × 80 = 100 kWh × 0.56
    _, fen = charged(flat("0.56"), read("10.00"), read("11.25", after_s=3600), point=industrial)
    assert fen == [5600]


def test_what_moved_is_an_exact_number_that_does_not_fall():
    position = open_position(flat("1"), read("10.00"))
    for wrong in (0.5, 1, "1"):
        with pytest.raises(TypeError):
            rating.rate(POINT, flat("1"), position, read("11.00"), moved=wrong)  # type: ignore[arg-type]
    for wrong in ("-0.01", "NaN", "Infinity"):
        with pytest.raises(ValueError):
            rating.rate(POINT, flat("1"), position, read("11.00"), moved=Decimal(wrong))


# Bands.


def test_a_quantity_is_spread_evenly_over_the_time_it_took():
    # from 21:00 to 00:00: 1 h of peak and 2 h of valley; 3 kWh: 1 × 0.6 + 2 × 0.3 = 1.2
    banded = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))
    position, fen = charged(
        banded, at("2026-05-01T21:00+08:00", "10.00"), at("2026-05-02T00:00+08:00", "13.00")
    )
    assert costs(position) == {"energy": "1.2"}
    assert fen == [120]


def test_the_register_at_a_boundary_is_rounded_half_up_to_a_millionth():
    # 1 s of 3 in peak: register 10 + 0.01 / 3 = 10.003333; 0.003333 × 0.6 + 0.006667 × 0.3 = 0.0039999
    banded = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))
    position, _ = charged(
        banded, at("2026-05-01T21:59:59+08:00", "10.00"), at("2026-05-01T22:00:02+08:00", "10.01")
    )
    assert costs(position) == {"energy": "0.0039999"}
    # 1 µs of 2: half a millionth is rounded up, so the peak has all of it
    position, _ = charged(
        banded,
        at("2026-05-01T21:59:59.999999+08:00", "10"),
        at("2026-05-01T22:00:00.000001+08:00", "10.000001"),
    )
    assert costs(position) == {"energy": "0.0000006"}


def test_a_register_finer_than_a_millionth_never_goes_back_at_a_boundary():
    banded = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))
    # 10.0000006 would be rounded to 10.000001 at 22:00, beyond the reading at the end
    position, _ = charged(
        banded,
        at("2026-05-01T21:00+08:00", "10.0000006"),
        at("2026-05-01T23:00+08:00", "10.0000007"),
    )
    assert costs(position) == {"energy": "0.00000006"}  # 0.0000001 × 0.6


def test_on_the_longest_day_an_hour_that_comes_twice_is_charged_twice():
    # Berlin, 2026-10-25, 00:00 to 06:00: 7 hours, of which 02:00 to 03:00 twice
    banded = tariff(
        version(
            [priced({"night": "1", "repeated": "2"})],
            [{"band": "repeated", "from": "02:00", "to": "03:00"}, {"band": "night"}],
        ),
        zone="Europe/Berlin",
    )
    # 7 kWh: 5 × 1 + 2 × 2 = 9
    position, _ = charged(
        banded, at("2026-10-25T00:00+02:00", "0"), at("2026-10-25T06:00+01:00", "7")
    )
    assert costs(position) == {"energy": "9"}


# Tiers.


def test_a_bound_belongs_to_the_tier_below_it():
    tiered = tariff(version([priced(["0.5", "0.9"], tiers=MONTHLY)]))
    opened = at("2026-05-01T00:00+08:00", "0.00")
    position, fen = charged(
        tiered,
        opened,
        at("2026-05-02T00:00+08:00", "99.99"),  # 99.99 × 0.5 = 49.995, rounded 50.00
        at("2026-05-03T00:00+08:00", "100.00"),  # 100 × 0.5 = 50: nothing more
        at("2026-05-04T00:00+08:00", "100.01"),  # and 0.01 × 0.9 = 0.009, rounded 50.01
    )
    assert fen == [5000, 0, 1]
    assert costs(position) == {"energy": "50.009"}


def test_usage_is_counted_from_zero_in_a_new_period_even_where_nobody_read_the_meter_then():
    tiered = tariff(version([priced(["0.5", "0.9"], tiers=MONTHLY)]))
    # 30 days at 10 a day over 15 days of May and 15 of June: 150 each;
    # 2 × (100 × 0.5 + 50 × 0.9) = 190
    position, _ = charged(
        tiered, at("2026-05-17T00:00+08:00", "0"), at("2026-06-16T00:00+08:00", "300")
    )
    assert costs(position) == {"energy": "190"}
    assert position.counted[0].used == 150
    assert position.counted[0].since == utc("2026-06-01T00:00+08:00")


def test_tiers_fill_in_order_of_time_across_bands():
    tiered = tariff(
        version([priced([BY_BAND, {"peak": "0.9", "valley": "0.6"}], tiers=MONTHLY)], DAY_AND_NIGHT)
    )
    # 20:00 to 24:00, 200 kWh: 100 of peak fill the first tier, 100 of valley are in the second:
    # 100 × 0.6 + 100 × 0.6 = 120
    position, _ = charged(
        tiered, at("2026-05-01T20:00+08:00", "0"), at("2026-05-02T00:00+08:00", "200")
    )
    assert costs(position) == {"energy": "120"}


def test_tiers_count_what_is_the_components_own_after_its_share():
    mixed = tariff(
        version(
            [priced(["0.5", "0.9"], tiers=MONTHLY, share="0.7"), priced("2", share="0.3")],
        )
    )
    # 200: 140 fill 100 × 0.5 + 40 × 0.9 = 86; 60 × 2 = 120
    position, _ = charged(
        mixed, at("2026-05-01T00:00+08:00", "0"), at("2026-05-02T00:00+08:00", "200")
    )
    assert costs(position) == {"energy": "206"}


def test_a_season_widens_the_periods_that_begin_in_its_months():
    seasonal = tariff(
        version(
            [
                priced(
                    ["0.5", "0.9"],
                    tiers=MONTHLY
                    | {"start": "15", "seasons": [{"months": [5], "bounds": ["150"]}]},
                )
            ]
        )
    )
    # the period from 15 May to 15 June has 150: in June too
    position, _ = charged(
        seasonal,
        at("2026-05-15T00:00+08:00", "0"),
        at("2026-06-14T00:00+08:00", "150"),  # 150 × 0.5 = 75
        at("2026-06-15T00:00+08:00", "160"),  # 10 × 0.9 = 9
        at("2026-06-16T00:00+08:00", "270"),  # 100 × 0.5 + 10 × 0.9 = 59
    )
    assert costs(position) == {"energy": "143"}


def test_persons_and_households_behind_a_meter_widen_its_tiers():
    family = tariff(
        version(
            [
                priced(
                    ["2", "4"],
                    tiers={
                        "period": "year",
                        "bounds": ["180"],
                        "base_persons": 4,
                        "per_extra_person": ["30"],
                        "per_household": True,
                    },
                )
            ]
        )
    )
    readings = at("2026-01-01T00:00+08:00", "0"), at("2026-06-01T00:00+08:00", "500")
    # 6 persons in 2 households: (180 + 2 × 30) × 2 = 480; 480 × 2 + 20 × 4 = 1040
    crowded = replace(POINT, persons=6, households=2)
    assert costs(charged(family, *readings, point=crowded)[0]) == {"energy": "1040"}
    # nobody has said how many: 180 × 2 + 320 × 4 = 1640
    assert costs(charged(family, *readings)[0]) == {"energy": "1640"}


# Versions.

YEARLY = {"period": "year", "bounds": ["100"]}


def test_a_new_version_goes_on_counting_in_the_same_period():
    two = tariff(
        version([priced(["0.5", "0.9"], tiers=YEARLY)]),
        version([priced(["0.6", "1"], tiers=YEARLY)], since="2026-05-01T12:00:00+08:00"),
    )
    # 80 until noon × 0.5 = 40; then 20 × 0.6 + 60 × 1 = 72
    position, _ = charged(
        two, at("2026-05-01T00:00+08:00", "0"), at("2026-05-02T00:00+08:00", "160")
    )
    assert costs(position) == {"energy": "112"}


def test_a_new_version_with_other_periods_counts_from_zero():
    two = tariff(
        version([priced(["0.5", "0.9"], tiers=YEARLY)]),
        version([priced(["0.5", "0.9"], tiers=MONTHLY)], since="2026-05-01T12:00:00+08:00"),
        version([priced(["0.5", "0.9"], tiers=YEARLY)], since="2026-05-02T12:00:00+08:00"),
    )
    # three halves of a day with 80 in each but the middle one, which has 160:
    # 80 × 0.5 + (100 × 0.5 + 60 × 0.9) + 80 × 0.5 = 184
    position, _ = charged(
        two, at("2026-05-01T00:00+08:00", "0"), at("2026-05-03T00:00+08:00", "320")
    )
    assert costs(position) == {"energy": "184"}


def test_a_component_that_had_no_tiers_counts_from_the_version_that_gives_it_some():
    two = tariff(
        version([priced("0.4")]),
        version([priced(["0.5", "0.9"], tiers=YEARLY)], since="2026-05-01T12:00:00+08:00"),
    )
    # 80 × 0.4 = 32; 80 × 0.5 = 40
    position, _ = charged(
        two, at("2026-05-01T00:00+08:00", "0"), at("2026-05-02T00:00+08:00", "160")
    )
    assert costs(position) == {"energy": "72"}
    assert position.counted[0].used == 80


def test_components_may_come_and_go_with_versions_and_no_item_is_forgotten():
    surcharge = {"item": "surcharge", "kind": "rate", "price": "0.1"}
    service = {"item": "service", "kind": "fixed", "amount": "2", "per": "day"}
    three = tariff(
        version([priced("1"), surcharge]),
        version([service, priced("1")], since="2026-05-02T00:00:00+08:00"),
        version([priced("1")], since="2026-05-03T00:00:00+08:00"),
    )
    # three days, 10 kWh in each: 30 × 1; 10 × 0.1; one day × 2
    position, _ = charged(
        three, at("2026-05-01T00:00+08:00", "0"), at("2026-05-04T00:00+08:00", "30")
    )
    assert costs(position) == {"energy": "30", "surcharge": "1", "service": "2"}
    assert position.counted == (UNCOUNTED,)
    position, charges = rate(three, position, at("2026-05-05T00:00+08:00", "40"))
    assert [(charge.item, charge.amount) for charge in charges] == [("energy", Money(1000))]


def test_another_tariff_takes_over_like_a_new_version():
    position, _ = charged(flat("0.5"), read("100.00"), read("100.01", after_s=60))
    water = tariff(version([{"item": "water", "kind": "rate", "price": "1"}]))
    position, charges = rate(water, position, read("101.01", after_s=120))
    # 0.01 × 0.5 = 0.005 is 1 fen, posted already; water begins at nothing
    assert [(charge.item, charge.amount) for charge in charges] == [("water", Money(100))]
    position, charges = rate(flat("0.5"), position, read("102.00", after_s=180))
    # energy goes on: 0.005 + 0.99 × 0.5 = 0.5, of which 1 fen is posted
    assert [(charge.item, charge.amount) for charge in charges] == [("energy", Money(49))]


# Fixed fees.


def test_a_part_of_a_month_is_charged_by_its_part_of_the_months_length():
    fee = tariff(version([{"item": "service", "kind": "fixed", "amount": "6", "per": "month"}]))
    # 15 of May's 31 days are 0.483871 (0.4838709…); 6 × 0.483871 = 2.903226
    position, fen = charged(
        fee, at("2026-05-01T00:00+08:00", "0"), at("2026-05-16T00:00+08:00", "0")
    )
    assert costs(position) == {"service": "2.903226"}
    assert fen == [290]
    # the rest of the month makes it whole
    position, _ = rate(fee, position, at("2026-06-01T00:00+08:00", "0"))
    assert costs(position) == {"service": "6"}


def test_a_fixed_fee_changes_with_its_version():
    fees = tariff(
        version([{"item": "service", "kind": "fixed", "amount": "1", "per": "day"}]),
        version(
            [{"item": "service", "kind": "fixed", "amount": "3", "per": "day"}],
            since="2026-05-02T06:00:00+08:00",
        ),
    )
    # 1.25 days × 1 + 0.75 days × 3 = 3.5
    position, _ = charged(
        fees, at("2026-05-01T00:00+08:00", "0"), at("2026-05-03T00:00+08:00", "0")
    )
    assert costs(position) == {"service": "3.5"}


# Clocks that jump.


def test_a_clock_put_back_loses_no_usage_and_charges_no_time_twice():
    both = tariff(
        version(
            [priced(BY_BAND), {"item": "service", "kind": "fixed", "amount": "24", "per": "day"}],
            DAY_AND_NIGHT,
        )
    )
    position, fen = charged(
        both,
        at("2026-05-01T12:00+08:00", "0"),
        at("2026-05-01T14:00+08:00", "2"),  # 2 × 0.6 = 1.20, and 2 h: 0.083333 × 24 = 2.00
        at("2026-05-01T13:00+08:00", "3"),  # put back by an hour: 1 × 0.6, no time
        at("2026-05-01T13:00+08:00", "4"),  # standing still: 1 × 0.6
        at("2026-05-01T15:00+08:00", "6"),  # 2 × 0.6, and the hour since 14:00: 1.00
    )
    assert fen == [320, 60, 60, 220]
    assert position.fees_until == utc("2026-05-01T15:00+08:00")


def test_a_clock_put_back_over_midnight_charges_by_the_time_it_then_shows():
    banded = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))
    _, fen = charged(banded, at("2026-05-02T00:30+08:00", "0"), at("2026-05-01T20:00+08:00", "10"))
    assert fen == [600]


def test_a_tier_period_does_not_run_backwards_with_the_clock():
    tiered = tariff(version([priced(["0.5", "0.9"], tiers=MONTHLY)]))
    position, fen = charged(
        tiered,
        at("2026-05-31T22:00+08:00", "0"),
        at("2026-06-01T00:00+08:00", "90"),  # all of it in May: 45.00
        at("2026-06-01T01:00+08:00", "180"),  # 90 in June: 45.00
        at("2026-05-31T23:00+08:00", "200"),  # back to May: June goes on with 10 × 0.5 + 10 × 0.9
        at("2026-06-01T02:00+08:00", "210"),  # 10 × 0.9
    )
    assert fen == [4500, 4500, 1400, 900]
    assert position.counted[0].since == utc("2026-06-01T00:00+08:00")
    assert position.counted[0].used == 120


def test_months_without_a_reading_are_charged_as_they_went_by():
    yearly = tariff(
        version(
            [
                priced([BY_BAND, BY_BAND], tiers=MONTHLY),
                {"item": "service", "kind": "fixed", "amount": "6", "per": "month"},
            ],
            DAY_AND_NIGHT,
        )
    )
    # 365 days at 24 kWh: 16 h × 0.6 + 8 h × 0.3 = 12.00 a day; 12 months × 6
    position, _ = charged(
        yearly, at("2026-01-01T00:00+08:00", "0"), at("2027-01-01T00:00+08:00", "8760")
    )
    assert costs(position) == {"energy": "4380", "service": "72"}


# The meter's own bands.

TRUSTED = replace(POINT, trusts_meter_bands=True)
BANDED = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))


def explained(
    tariff: Tariff, before: Reading, after: Reading, point: ServicePoint = TRUSTED
) -> rating.Explanation:
    moved = after.total - before.total
    return explain(point, tariff, open_position(tariff, before), after, moved=moved)


def test_a_trusted_meter_says_in_which_band_a_quantity_was_used():
    # noon to 14:00, all peak by the clock; the meter's clock counted 3 of 10 as valley: 7 × 0.6 + 3 × 0.3
    before = at("2026-05-01T12:00+08:00", "100", peak="60", valley="40")
    after = at("2026-05-01T14:00+08:00", "110", peak="67", valley="43")
    _, fen = charged(BANDED, before, after, point=TRUSTED)
    assert fen == [510]
    assert explained(BANDED, before, after).bands_by is BandSource.METER
    # where it is not trusted: 10 × 0.6
    assert charged(BANDED, before, after)[1] == [600]


def test_tier_periods_split_the_meters_own_bands_by_time():
    tiered = tariff(
        version([priced([BY_BAND, {"peak": "1", "valley": "1"}], tiers=MONTHLY)], DAY_AND_NIGHT)
    )
    # half of the time in May, half in June: each 60 of peak and 60 of valley; the tariff names valley first:
    # 2 × (60 × 0.3 + 40 × 0.6 + 20 × 1) = 124
    position, _ = charged(
        tiered,
        at("2026-05-31T12:00+08:00", "0", peak="0", valley="0"),
        at("2026-06-01T12:00+08:00", "240", peak="120", valley="120"),
        point=TRUSTED,
    )
    assert costs(position) == {"energy": "124"}


def test_the_registers_of_bands_roll_over_too():
    before = at("2026-05-01T12:00+08:00", "999999.00", peak="999998.00", valley="1.00")
    after = at("2026-05-01T14:00+08:00", "1001.00", peak="1000.00", valley="1.00")
    position = open_position(BANDED, before)
    # 1 000 000 + 1000 - 999 998 = 1002: all of what the total moved
    position, _ = rating.rate(TRUSTED, BANDED, position, after, moved=Decimal("1002.00"))
    assert costs(position) == {"energy": "601.2"}


@pytest.mark.parametrize(
    ("peak", "valley", "source"),
    [
        ("67.00", "43.00", BandSource.METER),  # 7 + 3 = 10
        ("67.01", "43.01", BandSource.METER),  # one step more in each
        ("66.99", "42.99", BandSource.METER),
        ("67.02", "43.01", BandSource.DISTRUSTED),  # and beyond
        ("66.98", "42.99", BandSource.DISTRUSTED),
        ("59.99", "50.01", BandSource.DISTRUSTED),  # went back
    ],
)
def test_the_meters_bands_must_agree_with_its_total(peak: str, valley: str, source: BandSource):
    before = at("2026-05-01T12:00+08:00", "100", peak="60", valley="40")
    after = at("2026-05-01T14:00+08:00", "110", peak=peak, valley=valley)
    told = explained(BANDED, before, after)
    assert told.bands_by is source
    if source is BandSource.DISTRUSTED:  # then the clock says: 10 × 0.6
        assert told.postings[0].charged == Money(600)


def test_bands_that_cannot_be_used_are_told_and_the_clock_is():
    before = at("2026-05-01T12:00+08:00", "100", peak="60", valley="40")
    noon = "2026-05-01T14:00+08:00"
    for after in (
        at(noon, "110"),  # not read this time
        at(noon, "110", peak="70"),  # not all of them
        at(noon, "110", peak="60", valley="40", flat="10"),
        replace(at(noon, "110", peak="67", valley="43"), meter_no="000000000001"),  # 换表
    ):
        told = explained(BANDED, before, after)
        assert told.bands_by is BandSource.DISTRUSTED
        assert told.postings[0].charged == Money(600)
    strange = at("2026-05-01T12:00+08:00", "100", peak="60", deep="40")
    after = at(noon, "110", peak="67", deep="43")
    assert explained(BANDED, strange, after).bands_by is BandSource.DISTRUSTED
    unmoved = at(
        noon, "110", peak="70", deep="40"
    )  # a band that the tariff has not, and is not used
    assert explained(BANDED, strange, unmoved).bands_by is BandSource.METER


def test_the_meters_bands_do_not_matter_where_the_tariff_has_none():
    before = at("2026-05-01T12:00+08:00", "100", peak="60", valley="40")
    after = at("2026-05-01T14:00+08:00", "110", peak="1", valley="2")
    assert explained(flat("0.5"), before, after).bands_by is BandSource.CLOCK


# Exactness.


def test_numbers_of_any_length_are_charged_exactly_whatever_the_context_around():
    huge = tariff(
        version(
            [
                priced(
                    ["123456789012345678.123456789012345678", "0.000000000000000001"],
                    share="0.999999999999999999",
                    tiers={"period": "year", "bounds": ["0.000000000000000001"]},
                ),
                priced("123456789012345678.123456789012345678"),
            ]
        )
    )
    start, moved = Decimal("1234567890123456789012.000001"), Decimal("9876543210987654321.000007")
    position = open_position(huge, replace(read("0"), total=start))
    for context in (Context(prec=3), Context(prec=400)):
        with localcontext(context):
            after, charges = rating.rate(POINT, huge, position, read("0", after_s=900), moved=moved)
        exact = Context(prec=400)
        price = Decimal("123456789012345678.123456789012345678")
        first = Decimal("0.000000000000000001")
        rest = exact.subtract(exact.multiply(moved, Decimal("0.999999999999999999")), first)
        cost = exact.add(
            exact.add(exact.multiply(first, price), exact.multiply(rest, first)),
            exact.multiply(moved, price),
        )
        assert after.running[0].cost == cost
        assert charges[0].amount.fen == int(exact.scaleb(half_up(cost, places=2), 2))


steps = st.lists(st.integers(0, 400), min_size=1, max_size=12)
TIMES_AND_TIERS = tariff(
    version(
        [
            priced([BY_BAND, {"peak": "0.9123", "valley": "0.4567"}], tiers=MONTHLY, share="0.85"),
            {"item": "service", "kind": "fixed", "amount": "6.66", "per": "month"},
        ],
        DAY_AND_NIGHT,
    ),
    version(
        [priced([BY_BAND, {"peak": "0.9", "valley": "0.4"}], tiers=YEARLY)],
        DAY_AND_NIGHT,
        since="2026-06-01T00:12:34+08:00",
    ),
)


@given(steps, st.integers(1, 100_000), st.integers(0, 2_000_000))
def test_the_charges_of_any_readings_add_up_to_the_rounded_running_total(
    steps: list[int], apart_s: int, back_s: int
):
    """Whatever the times, even where they go back."""
    turn = utc("2026-05-31T12:00+08:00")
    position = open_position(TIMES_AND_TIERS, Reading("m", turn, Decimal(0), None))
    posted: dict[str, Money] = {}
    for number, step in enumerate(steps, start=1):
        when = turn + timedelta(seconds=number * apart_s - (number % 3) * back_s)
        reading = Reading("m", when, position.reading.total + Decimal(step).scaleb(-1), None)
        position, charges = rate(TIMES_AND_TIERS, position, reading)
        for charge in charges:
            posted[charge.item] = posted.get(charge.item, ZERO) + charge.amount
    for total in position.running:
        assert total.posted == posted.get(total.item, ZERO)
        assert total.posted == Money.rounded(total.cost, currency="CNY")


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.integers(1, 9999), max_size=12),
    st.integers(1, 10**7),
    st.sampled_from([1, 60, 600]),
)
def test_readings_that_lie_on_the_line_between_two_others_change_no_fen(
    between: set[int], rise: int, unit_s: int
):
    """They are on it exactly where the register there has no more than six decimals."""
    since = utc("2026-05-31T23:00+08:00")

    def on_the_line(part: int) -> Reading:
        total = 7 + Decimal(rise * part).scaleb(-6)
        return Reading("m", since + timedelta(seconds=part * unit_s), total, None)

    whole, _ = charged(TIMES_AND_TIERS, on_the_line(0), on_the_line(10_000))
    split, _ = charged(
        TIMES_AND_TIERS, *(on_the_line(part) for part in [0, *sorted(between), 10_000])
    )
    assert split.running == whole.running
    assert split.counted == whole.counted


@given(st.integers(0, 3 * 86_400), st.integers(1, 12 * 86_400), st.integers(0, 100_000))
def test_no_unit_costs_more_than_the_highest_price_and_no_day_more_than_the_highest_fees(
    after_s: int, for_s: int, moved: int
):
    since = utc("2026-05-30T12:00+08:00") + timedelta(seconds=after_s)
    until = since + timedelta(seconds=for_s)
    position = open_position(TIMES_AND_TIERS, Reading("m", since, Decimal(0), None))
    used = Decimal(moved).scaleb(-2)

    after, _ = rate(TIMES_AND_TIERS, position, Reading("m", until, used, None))

    cost = {total.item: total.cost for total in after.running}
    assert cost["energy"] <= used * TIMES_AND_TIERS.highest_price(since, until)
    days = Decimal(for_s) / 86_400
    most = TIMES_AND_TIERS.highest_fees_per_day(since, until) * days
    # both ends of a fee's time are rounded to a millionth of a month
    assert cost.get("service", 0) <= most + Decimal("0.000001") * Decimal("6.66")


def test_a_position_survives_being_written_and_read():
    position, _ = charged(
        TIMES_AND_TIERS,
        at("2026-05-31T12:00+08:00", "0", peak="1.50", valley="2.50"),
        at("2026-05-31T23:00+08:00", "5"),
    )
    adapter = TypeAdapter(Position)
    assert adapter.validate_json(adapter.dump_json(position)) == position


# What a tenant is told.


def test_an_explanation_names_every_slice_tier_price_and_rounding():
    tiered = tariff(
        version(
            [
                priced([BY_BAND, {"peak": "0.9", "valley": "0.6"}], tiers=MONTHLY),
                {"item": "service", "kind": "fixed", "amount": "24", "per": "day"},
            ],
            DAY_AND_NIGHT,
        )
    )
    position, _ = charged(
        tiered, at("2026-05-01T00:00+08:00", "0"), at("2026-05-01T20:00+08:00", "97.123")
    )
    reading = at("2026-05-01T23:00+08:00", "103.123")

    told = explain(POINT, tiered, position, reading, moved=Decimal(6))

    peak, valley = told.slices
    assert (peak.band, peak.quantity, peak.is_before_read, peak.is_after_read) == (
        "peak",
        4,
        True,
        False,
    )
    assert (valley.band, valley.quantity, valley.register_before) == (
        "valley",
        2,
        Decimal("101.123"),
    )
    assert [
        (part.tier, part.used_before, part.bound, part.quantity, part.price, part.amount)
        for part in peak.parts
    ] == [
        (1, Decimal("97.123"), 100, Decimal("2.877"), Decimal("0.6"), Decimal("1.7262")),
        (2, 100, None, Decimal("1.123"), Decimal("0.9"), Decimal("1.0107")),
    ]
    (fee,) = told.fees
    assert (fee.quantity, fee.amount) == (Decimal("0.125"), 3)
    energy, service = told.postings
    # 1.7262 + 1.0107 + 2 × 0.6 = 3.9369
    assert energy.cost - energy.cost_before == Decimal("3.9369")
    assert service.charged == Money(300)


@given(st.randoms(use_true_random=False))
def test_an_explanation_is_of_the_same_charges(chance: random.Random):
    now = utc("2026-05-31T12:00+08:00")
    position = open_position(TIMES_AND_TIERS, Reading("m", now, Decimal(0), None))
    for _ in range(5):
        now += timedelta(seconds=chance.randrange(1, 90_000))
        total = position.reading.total + Decimal(chance.randrange(10_000)).scaleb(-2)
        reading = Reading("m", now, total, None)
        moved = total - position.reading.total
        told = explain(POINT, TIMES_AND_TIERS, position, reading, moved=moved)
        position, charges = rating.rate(POINT, TIMES_AND_TIERS, position, reading, moved=moved)
        assert {p.item: p.charged for p in told.postings if p.charged != ZERO} == {
            charge.item: charge.amount for charge in charges
        }
        assert sum(piece.quantity for piece in told.slices) == moved
        rises: dict[str, Any] = {}
        for part in [*(part for piece in told.slices for part in piece.parts), *told.fees]:
            rises[part.item] = rises.get(part.item, 0) + part.amount
        for posting in told.postings:
            assert posting.cost - posting.cost_before == rises.get(posting.item, 0)


# Posting.


def test_a_charge_moves_money_from_the_purse_to_income():
    tariff = flat("0.56")
    position, charges = rate(
        tariff, open_position(tariff, read("100.00")), read("101.00", after_s=3600)
    )

    posted = transfers(POINT, position, charges)

    assert credit_balance(prepaid(PURSE), posted) == Money(-56)
    assert credit_balance(income("energy"), posted) == Money(56)


def test_the_same_charge_made_twice_is_one_transfer():
    tariff, opening = flat("0.56"), read("100.00")
    reading = read("101.00", after_s=3600)
    first = transfers(POINT, *rate(tariff, open_position(tariff, opening), reading))
    again = transfers(POINT, *rate(tariff, open_position(tariff, opening), reading))
    assert [transfer.id for transfer in first] == [transfer.id for transfer in again]


def test_each_charge_of_a_position_is_another_transfer_even_if_the_clock_stands_still():
    tariff = flat("0.56")
    position = open_position(tariff, read("100.00"))
    ids = set()
    for total in ("101.00", "102.00", "103.00"):
        position, charges = rate(tariff, position, read(total))
        ids |= {transfer.id for transfer in transfers(POINT, position, charges)}
    assert len(ids) == 3


def test_a_ledger_that_was_put_back_charges_the_same_number_with_other_content():
    # Whoever books both finds one id with two contents, and looks.
    tariff = flat("0.56")
    position = open_position(tariff, read("100.00"))
    (first,) = transfers(POINT, *rate(tariff, position, read("101.00", after_s=3600)))
    (other,) = transfers(POINT, *rate(tariff, position, read("105.00", after_s=7200)))
    assert first.id == other.id
    assert first != other


def test_dong_are_charged_whole():
    vietnam = tariff(version([priced("1984")]))
    vietnam = replace(vietnam, currency="VND")
    opened = datetime(2026, 4, 1, tzinfo=UTC)
    position = open_position(vietnam, Reading("m", opened, Decimal(0), None))
    # 1.23 × 1984 = 2440.32 đồng
    _, charges = rate(
        vietnam, position, Reading("m", opened + timedelta(hours=1), Decimal("1.23"), None)
    )
    assert charges[0].amount == Money(2440)
    assert charges[0].amount.amount("VND") == 2440

"""One payer after another at a service point: each pays for what was used in its own time, to the unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.handover import Handover, hand_over, is_due
from prepaid.ledger import prepaid
from prepaid.money import Money
from prepaid.point import Opening, ServicePoint
from prepaid.rating import NOBODY, Charge, rate, transfers
from prepaid.reading import Reading, Supply
from prepaid.register.reach import ahead_of
from tests.prepaid.values import EVENING, METER, POINT, PURSE, flat, open_position, read

NEXT = UUID("00000000-0000-0000-0000-0000000000ff")
HALF = flat("0.50")
MOVED_IN = replace(POINT, purse=NEXT)
VACANT = replace(POINT, purse=None)


def handed_over(point: ServicePoint, before: str, after: str) -> Handover:
    """What becomes of the position of POINT at a register, at the next reading a minute later."""
    position = open_position(HALF, read(before))
    assert is_due(point, position)
    reading = read(after, after_s=60)
    moved = ahead_of(position.reading, reading, METER)
    return hand_over(point, HALF, position, reading, moved=moved)


def yuan(charges: tuple[Charge, ...]) -> list[str]:
    return [str(charge.amount) for charge in charges]


def test_the_payer_before_pays_up_to_the_first_reading_of_the_next():
    found = handed_over(MOVED_IN, "100.00", "104.00")

    # 4 kWh at 0.50
    assert yuan(found.closing_charges) == ["2.00"]
    assert found.charges == ()
    (last,) = transfers(MOVED_IN, found.closed, found.closing_charges)
    assert last.debit == prepaid(PURSE)
    assert (found.opened, found.opened.payer) == (found.after, NEXT)
    assert found.opened.reading.total == Decimal("104.00")


def test_an_opening_that_was_read_by_hand_divides_the_use_between_the_two():
    opening = Opening(Decimal("101.50"), EVENING + timedelta(seconds=20))
    found = handed_over(replace(MOVED_IN, opening=opening), "100.00", "104.00")

    # 1.50 kWh and 2.50 kWh at 0.50
    assert yuan(found.closing_charges) == ["0.75"]
    assert yuan(found.charges) == ["1.25"]
    assert found.opened.reading.total == Decimal("101.50")
    assert found.opened.opened_at == opening.at
    (first,) = transfers(MOVED_IN, found.after, found.charges)
    assert first.debit == prepaid(NEXT)


@pytest.mark.parametrize(
    ("total", "before", "after"),
    [("99.00", [], ["2.00"]), ("120.00", ["2.00"], [])],
    ids=["is charged already", "is not reached yet"],
)
def test_an_opening_outside_of_what_was_used_begins_at_the_nearer_end(total, before, after):
    point = replace(MOVED_IN, opening=Opening(Decimal(total), EVENING))
    found = handed_over(point, "100.00", "104.00")
    assert (yuan(found.closing_charges), yuan(found.charges)) == (before, after)


def test_an_opening_after_a_rollover_is_found_behind_it():
    full = "999998.00"
    point = replace(MOVED_IN, opening=Opening(Decimal("1.00"), EVENING))
    found = handed_over(point, full, "3.00")

    # 2 to the end of the register and 1 after it; then 2 more
    assert (yuan(found.closing_charges), yuan(found.charges)) == (["1.50"], ["1.00"])


def test_what_a_vacant_point_uses_is_charged_to_nobody():
    found = handed_over(VACANT, "100.00", "104.00")
    later = read("150.00", after_s=120)
    after, charges = rate(VACANT, HALF, found.after, later, moved=Decimal("46.00"))

    assert yuan(found.closing_charges) == ["2.00"]
    assert found.opened.payer == NOBODY
    assert charges == ()
    assert after.reading == later
    assert transfers(VACANT, after, charges) == ()
    with pytest.raises(ValueError, match="nobody pays"):
        transfers(VACANT, after, (Charge("energy", Money(1)),))


def test_who_moves_in_pays_from_the_register_that_the_vacancy_ended_with():
    vacant = handed_over(VACANT, "100.00", "104.00").after
    at_move = read("150.00", after_s=120)
    found = hand_over(MOVED_IN, HALF, vacant, at_move, moved=Decimal("46.00"))
    assert (found.closing_charges, found.charges) == ((), ())
    assert found.opened.reading.total == Decimal("150.00")
    assert found.opened.payer == NEXT


def test_a_position_from_before_payers_were_named_goes_on():
    position = replace(open_position(HALF, read("100.00")), payer=None)
    assert not is_due(POINT, position)
    after, charges = rate(POINT, HALF, position, read("102.00", after_s=60), moved=Decimal(2))
    (charge,) = transfers(POINT, after, charges)
    assert charge.debit == prepaid(PURSE)


def test_a_new_payer_counts_its_tiers_from_nothing():
    found = handed_over(MOVED_IN, "100.00", "104.00")
    assert found.opened.counted == ()


steps = st.integers(0, 10**8 - 1).map(lambda n: Decimal(n).scaleb(-2))


@given(before=steps, moved=st.integers(0, 50_000).map(lambda n: Decimal(n).scaleb(-2)), typed=steps)
def test_both_together_pay_for_what_the_register_moved_wherever_the_opening_lies(
    before, moved, typed
):
    reading = Reading(
        METER.meter_no,
        EVENING + timedelta(hours=1),
        (before + moved) % Decimal(10**METER.digits),
        Supply.ON,
    )
    point = replace(MOVED_IN, opening=Opening(typed, EVENING + timedelta(minutes=30)))
    position = open_position(flat("1"), Reading(METER.meter_no, EVENING, before, None))

    found = hand_over(point, flat("1"), position, reading, moved=moved)

    # At a price of 1 each step is a fen: nothing is rounded.
    both = sum(c.amount.fen for c in (*found.closing_charges, *found.charges))
    assert both == int(moved * 100)
    assert position.reading.at <= found.opened.opened_at <= reading.at


def test_a_change_of_payer_at_the_time_of_the_first_reading_names_no_charge_twice():
    # Whoever wrote the opening down did so before the gateway's first reading, by his watch.
    opening = Opening(Decimal("101.00"), EVENING - timedelta(minutes=5))
    point = replace(MOVED_IN, opening=opening)

    found = handed_over(point, "100.00", "104.00")

    (last,) = transfers(point, found.closed, found.closing_charges)
    (first,) = transfers(point, found.after, found.charges)
    assert last.id != first.id
    # 1 kWh and 3 kWh at 0.50
    assert (last.amount, first.amount) == (Money.yuan("0.50"), Money.yuan("1.50"))

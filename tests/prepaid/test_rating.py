from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.ledger import credit_balance, income, prepaid
from prepaid.money import ZERO, Money
from prepaid.rating import open_position, transfers
from prepaid.reading import Implausible
from tests.prepaid.values import POINT, PURSE, flat, rate, read


def test_the_first_reading_opens_the_account_and_charges_nothing():
    position = open_position(flat("0.4883"), read("1523.40"))
    assert position.running[0].usage == 0
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

    assert posted == Money.rounded(Decimal(sum(steps)).scaleb(-2) * Decimal(price).scaleb(-4))


def test_an_implausible_reading_is_not_charged():
    tariff = flat("0.56")
    position = open_position(tariff, read("100.00"))
    with pytest.raises(Implausible):
        rate(tariff, position, read("99.00", after_s=3600))


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
        position, charges = rate(tariff, position, read(total), elapsed=timedelta(hours=1))
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

from dataclasses import replace

import pytest

from prepaid.money import Money
from prepaid.point import Policy, Restore
from prepaid.reading import Supply
from prepaid.supply import Desired, Why, desired, is_satisfied


def test_a_purse_in_credit_is_supplied_and_an_empty_one_is_not():
    policy = Policy()
    assert desired(policy, Money(1), is_held=False) == Desired(Supply.ON, Why.CREDIT)
    assert desired(policy, Money(0), is_held=False) == Desired(Supply.OFF, Why.NO_CREDIT)
    assert desired(policy, Money(-1), is_held=False) == Desired(Supply.OFF, Why.NO_CREDIT)


def test_supply_is_cut_at_the_level_the_policy_names():
    policy = Policy(cut_at=Money.yuan("-20"))
    assert desired(policy, Money.yuan("-19.99"), is_held=False).supply is Supply.ON
    assert desired(policy, Money.yuan("-20"), is_held=False).supply is Supply.OFF


def test_a_protected_point_is_never_cut():
    policy = replace(Policy(), is_protected=True)
    assert desired(policy, Money(-100000), is_held=False) == Desired(Supply.ON, Why.PROTECTED)


def test_nothing_is_switched_on_evidence_in_doubt():
    want = desired(Policy(), Money(-1), is_held=True)
    assert want == Desired(None, Why.HELD)
    assert all(is_satisfied(want, seen, Restore.DIRECT, has_switch=True) for seen in Supply)


@pytest.mark.parametrize(
    ("want", "seen", "restore", "done"),
    [
        (Supply.ON, Supply.ON, Restore.ALLOW_CLOSE, True),
        (Supply.ON, Supply.ARMED, Restore.ALLOW_CLOSE, True),  # the customer's button is next
        (Supply.ON, Supply.ARMED, Restore.DIRECT, False),
        (Supply.ON, Supply.OFF, Restore.ALLOW_CLOSE, False),
        (Supply.OFF, Supply.ARMED, Restore.ALLOW_CLOSE, False),  # could be closed without credit
        (Supply.OFF, Supply.ON, Restore.DIRECT, False),
        (Supply.OFF, Supply.OFF, Restore.DIRECT, True),
        (Supply.OFF, None, Restore.DIRECT, False),  # a supply that cannot be seen
        (Supply.ON, None, Restore.ALLOW_CLOSE, False),
    ],
)
def test_what_is_left_to_do(want: Supply, seen: Supply | None, restore: Restore, done: bool):
    assert is_satisfied(Desired(want, Why.CREDIT), seen, restore, has_switch=True) is done


def test_a_meter_without_a_switch_is_left_alone():
    want = Desired(Supply.OFF, Why.NO_CREDIT)
    assert is_satisfied(want, None, Restore.DIRECT, has_switch=False)

"""What a resident is told: about supply, about an amount typed, and about a top-up on its way."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cloud.services.codes import Issued
from cloud.services.emergency import By, Loan
from cloud.services.money.rules import Rules
from cloud.services.topups import MOST
from dashboards import page, state
from dashboards.language import is_our_path
from dashboards.tenant.account import view
from dashboards.tenant.amount import BadAmount, NotPositive, TooFine, TooMuch, read, usual
from dashboards.tenant.progress import Step, progress
from prepaid.credit import CreditState
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from tests.dashboards.cards import ARMED, CUT, NOW, home, identity, power, stages, water


@pytest.mark.parametrize(
    ("balance", "fee", "chosen"),
    [
        ("36.20", 0, 50),
        ("0", 0, 50),
        ("-49.99", 0, 50),
        ("-50", 0, 100),  # nothing would be left of ¥50
        ("-88.80", 0, 100),
        ("-49.50", 200, 100),  # 2 % of ¥50 are ¥1: ¥49 would not do
        ("-900", 0, 200),
    ],
)
def test_the_amount_that_is_chosen_beforehand_brings_the_supply_back(
    balance: str, fee: int, chosen: int
) -> None:
    assert usual(Money.yuan(balance), Rules(fee_basis_points=fee)) == chosen


@pytest.mark.parametrize(
    ("typed", "fen"),
    [
        ("50", 5000),
        (" 50.5 ", 5050),
        ("0.01", 1),
        ("50.", 5000),
        ("５０", 5000),
        ("¥50.00", 5000),
        ("￥ 50", 5000),
        ("50元", 5000),
        ("1,000", 100000),
        ("50。5", 5050),
    ],
)
def test_an_amount_is_understood_as_people_type_it(typed: str, fen: int) -> None:
    assert read(typed) == Money(fen)


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("", BadAmount),
        ("5o", BadAmount),
        ("1,00", BadAmount),
        ("1e3", BadAmount),
        ("NaN", BadAmount),
        ("Infinity", BadAmount),
        ("$5", BadAmount),
        ("五十", BadAmount),
        ("0", NotPositive),
        ("0.00", NotPositive),
        ("-5", NotPositive),
        ("¥-5", NotPositive),
        ("−0.50", NotPositive),
        ("50.555", TooFine),
        ("0.001", TooFine),
        ("10000.01", TooMuch),
        ("10,001", TooMuch),
        ("9" * 40, TooMuch),
    ],
)
def test_an_amount_asked_for_again_is_told_what_is_wrong_with_it(
    typed: str, wrong: type[BadAmount]
) -> None:
    with pytest.raises(BadAmount) as caught:
        read(typed)

    assert type(caught.value) is wrong


def test_the_most_that_can_be_topped_up_at_once_can_be_typed() -> None:
    assert read("10,000.00") == MOST


def title(**changes: Any) -> str | None:
    notice = view(home(power("0301", **changes)), (), (), "/t/x").purses[0].notice
    return notice.title if notice else None


def test_the_page_says_what_is_the_matter_and_is_quiet_when_nothing_is() -> None:
    assert title() is None
    assert title(**CUT) == "Power is cut: balance used up"
    assert title(**CUT | {"balance": Money.yuan("20")}) == "Credit is on its way"
    assert title(**ARMED) == "Press the button on your meter"
    assert title(supply=Supply.OFF, wanted=Supply.ON) == "Switching on"
    assert title(supply=Supply.ON, wanted=Supply.OFF) == "Balance used up"
    assert title(balance=Money.yuan("9")) == "Balance is low"
    assert title(balance=Money.yuan("-9"), why=Why.PROTECTED) == "Protected from cut-off"
    assert title(is_held=True, why=Why.HELD) == "Reading is being checked"
    assert title(supply=Supply.OFF, wanted=None, why=None) == "Supply is off"


def test_what_is_lent_and_what_waits_for_the_taps_is_said_in_words() -> None:
    off = {"supply": Supply.OFF, "wanted": None, "why": Why.TAPS, "balance": Money.yuan("20")}

    assert title(why=Why.EMERGENCY, balance=Money.yuan("-4")) == "On emergency credit"
    assert title(**off) == "Power is ready to come back"
    assert title(**off, commodity="cold_water") == "Water is ready to come back"
    assert title(**CUT, credit=CreditState.EC_IN_USE) == "Emergency credit is on its way"
    assert title(**off, is_taps_said=True) == "Your answer is on its way"
    leak = off | {"wanted": Supply.OFF, "why": Why.LEAK, "commodity": "cold_water"}
    assert title(**leak) == "Water is shut off: a leak is suspected"
    assert title(**leak | {"supply": Supply.ON}) == "Water is shut off: a leak is suspected"
    assert title(**leak, is_taps_said=True) == "Your answer is on its way"


def test_every_state_of_a_purse_has_words_of_its_own() -> None:
    assert set(state.CREDIT) == set(CreditState)
    assert len({look.label for look in state.CREDIT.values()}) == len(CreditState)


def offered(**changes: Any) -> str:
    account = view(home(power("0301", **CUT | changes)), (), (), "/t/x")
    html = page.fragment("en", "tenant/changes.html", account=account, topup=None)
    return " ".join(html.split())


def test_emergency_credit_is_offered_once_and_then_said_to_be_taken() -> None:
    loan = Loan(identity("0301 electricity purse"), NOW, By.CUSTOMER, is_delivered=False)
    before = offered(lends=Money.yuan("10"))
    on_its_way = offered(loan=loan)
    offline = offered(loan=loan, gateway_online=False)
    taken = offered(loan=replace(loan, is_delivered=True))

    assert "Emergency credit: ¥10.00" in before
    assert 'action="/t/x/purses/' in before
    for html in (on_its_way, offline, taken):
        assert "Emergency credit taken" in html
        assert "Take emergency credit" not in html
    assert "on its way to the gateway" in on_its_way
    assert "It works once the gateway is online again" in offline
    assert "on its way" not in taken


def test_a_code_stands_in_groups_of_four_beside_the_purse_that_it_is_for() -> None:
    electricity, other = power("0301", **CUT), water("0301")
    issued = Issued(
        topup_id=identity("top-up"),
        purse_id=electricity.purse_id,
        gateway_no="GW-0001",
        amount=Money.yuan("50"),
        code="12345678901234567890",
        issued_at=NOW,
    )
    account = view(home(electricity, other), (), (issued,), "/t/x")

    assert [len(purse.codes) for purse in account.purses] == [1, 0]
    html = page.fragment("zh", "tenant/changes.html", account=account, topup=None)
    digits = re.findall(r"<span>(\d{4})</span>", html)
    assert digits == ["1234", "5678", "9012", "3456", "7890"]
    assert "您支付的 ¥50.00 已入账" in html


def test_the_top_up_is_meant_for_the_purse_that_needs_it() -> None:
    needy = view(home(power("0301"), water("0301", **CUT)), (), (), "/t/x").neediest
    content = view(home(power("0301"), water("0301")), (), (), "/t/x").neediest

    assert needy is not None
    assert not needy.is_power
    assert content is not None
    assert content.is_power


PAID = NOW - timedelta(seconds=40)
CREDITED = NOW - timedelta(seconds=39)
DELIVERED = NOW - timedelta(seconds=30)
HAS_CREDIT = Money.yuan("49.88")


def come(balance: Money = HAS_CREDIT, **changes: Any) -> tuple[str, list[str]]:
    made = progress(stages(**changes), is_power=True, balance=balance, now=NOW)
    return made.headline, [str(stage.step) for stage in made.stages]


def test_a_top_up_goes_through_four_stages() -> None:
    paid = {"paid_at": PAID}
    credited = {**paid, "credited_at": CREDITED}
    delivered = {**credited, "delivered_at": DELIVERED}
    restored = {**delivered, "restored_at": NOW, "supply": Supply.ON}

    assert come() == ("Waiting for payment", ["now", "later", "later", "later"])
    assert come(**paid) == ("Power is coming back", ["done", "now", "later", "later"])
    assert come(**credited) == ("Power is coming back", ["done", "done", "now", "later"])
    assert come(**delivered) == ("Power is coming back", ["done", "done", "done", "now"])
    assert come(**restored) == ("Power is on", ["done"] * 4)


def test_the_last_stage_asks_for_the_button_where_the_meter_waits_for_it() -> None:
    headline, steps = come(
        paid_at=PAID,
        credited_at=CREDITED,
        delivered_at=DELIVERED,
        armed_at=NOW,
        supply=Supply.ARMED,
    )

    assert headline == "Press the button on your meter"
    assert steps[3] == Step.ACT


def test_a_top_up_that_does_not_cover_the_debt_says_so() -> None:
    headline, steps = come(
        Money.yuan("-1"), paid_at=PAID, credited_at=CREDITED, delivered_at=DELIVERED
    )

    assert headline == "Power is still off"
    assert steps[3] == Step.ACT


def test_a_top_up_before_the_balance_ran_out_ends_without_switching() -> None:
    headline, steps = come(
        paid_at=PAID, credited_at=CREDITED, delivered_at=DELIVERED, supply=Supply.ON, why=Why.CREDIT
    )

    assert (headline, steps) == ("Power is on", ["done"] * 4)


@pytest.mark.parametrize(
    ("seconds", "said"), [(14, ""), (15, "This takes longer than usual. Your money is safe")]
)
def test_a_credit_that_takes_long_to_arrive_is_said_to_be_safe(seconds: int, said: str) -> None:
    waiting = stages(paid_at=PAID, credited_at=NOW - timedelta(seconds=seconds))

    note = progress(waiting, is_power=True, balance=HAS_CREDIT, now=NOW).stages[2].note

    assert note[: len(said) or None] == said


def test_while_the_gateway_is_offline_the_page_says_that_power_comes_back_by_itself() -> None:
    waiting = stages(paid_at=PAID, credited_at=CREDITED, gateway_online=False)

    html = page.fragment(
        "zh",
        "tenant/changes.html",
        topup=waiting,
        progress=progress(waiting, is_power=True, balance=HAS_CREDIT, now=NOW),
        code=None,
        now=NOW,
    )

    assert "恢复联网后自动送电" in html
    assert "23:03:25" in html  # paid 40 s before 23:04:05


@pytest.mark.parametrize("path", ["/", "/rooms?state=cut&q=a%20b", "/t/abc.def-_/topups/1"])
def test_changing_the_language_goes_back_to_the_page(path: str) -> None:
    assert is_our_path(path)


@pytest.mark.parametrize(
    "path", ["", "rooms", "//evil.test", "/\\evil.test", "https://evil.test", "/a\nb"]
)
def test_changing_the_language_goes_nowhere_else(path: str) -> None:
    assert not is_our_path(path)


def test_chinese_sentences_stand_together_without_a_blank() -> None:
    cut = view(home(power("0301", **CUT)), (), (), "/t/x")

    chinese, english = (
        page.fragment(language, "tenant/changes.html", account=cut, topup=None)
        for language in ("zh", "en")
    )

    assert "白天夜里都可以。已欠 ¥0.12" in chinese
    assert "day or night. Owed so far: ¥0.12" in english

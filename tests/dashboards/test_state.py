"""What a service point and a room are said to be."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards import page
from dashboards.manager.views import floors, matches, widest
from dashboards.state import REASONS, Flag, of_point, of_room, summarize
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from tests.dashboards.cards import ARMED, CUT, power, room, water


@pytest.mark.parametrize(
    ("changes", "label", "reason"),
    [
        ({}, "Power on", ""),
        (CUT, "Power off", "out of credit"),
        ({**CUT, "balance": Money.yuan("20")}, "Power off", "credit on its way"),
        (ARMED, "Press button to close", ""),
        (
            {"supply": Supply.ON, "wanted": Supply.OFF, "why": Why.NO_CREDIT},
            "Cutting power",
            "out of credit",
        ),
        ({"supply": Supply.OFF, "wanted": Supply.ON}, "Turning power on", ""),
        (
            {"supply": Supply.ARMED, "wanted": Supply.OFF, "why": Why.NO_CREDIT},
            "Cutting power",
            "out of credit",
        ),
        ({"supply": None, "wanted": Supply.ON}, "Not read yet", ""),
        ({"why": Why.PROTECTED}, "Power on", "protected from cut-off"),
        ({"is_held": True, "wanted": None, "why": Why.HELD}, "Power on", "reading in doubt"),
    ],
)
def test_a_point_shows_its_supply_with_the_reason(
    changes: dict[str, Any], label: str, reason: str
) -> None:
    state = of_point(power("0301", **changes))

    assert (state.look.label, state.reason) == (label, reason)


def test_every_rule_that_can_decide_has_its_words() -> None:
    assert set(REASONS) == set(Why)


def test_water_has_words_of_its_own() -> None:
    assert of_point(water("0301")).look.label == "Water on"
    assert of_point(water("0301", **CUT)).look.label == "Water off"


def test_the_gravest_of_a_rooms_flags_is_its_state() -> None:
    card = room(
        "0301", power("0301", **CUT, is_silent=True), water("0301", balance=Money.yuan("3"))
    )

    assert of_room(card).flags == (Flag.CUT, Flag.SILENT, Flag.LOW)


def test_a_room_without_an_account_is_vacant_and_one_without_fault_normal() -> None:
    assert of_room(room("0304", holder=None)).flags == (Flag.VACANT,)
    assert of_room(room("0301", power("0301"), water("0301"))).flags == (Flag.NORMAL,)


def test_a_purse_that_pays_for_two_points_is_counted_once() -> None:
    # one purse of 128.40 behind two points, one purse 0.12 in debt
    shared = power("0301")
    cards = [room("0301", shared, shared), room("0302", power("0302", **CUT))]

    summary = summarize(cards)

    assert (summary.prepaid, summary.owed) == (Money.yuan("128.40"), Money(-12))
    assert (summary.counts[Flag.NORMAL], summary.counts[Flag.CUT]) == (1, 1)


def test_rooms_are_found_by_every_word_and_by_state() -> None:
    card = room("0301", power("0301", **CUT), holder="Li Wei")

    assert matches(card, "030 wei", None)
    assert matches(card, card.points[0].meter_no, Flag.CUT)
    assert not matches(card, "0301 zhang", None)
    assert not matches(card, "", Flag.SILENT)


@pytest.mark.parametrize(("longest", "columns"), [(0, 3), (1, 3), (4, 4), (40, 5)])
def test_a_row_of_the_board_has_as_many_rooms_as_the_longest_floor(
    longest: int, columns: int
) -> None:
    listed = floors([room(f"03{number:02}", floor=3) for number in range(longest)], set())

    assert widest(listed) == columns


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_card_says_state_balance_and_reading_in_words(language: str) -> None:
    cards = [
        room("0301", power("0301", **CUT), water("0301")),
        room("0302", power("0302", supply=Supply.ON, wanted=Supply.OFF, why=Why.NO_CREDIT)),
        room("0303", power("0303", is_silent=True, gateway_online=False)),
        room("0304", holder=None),
    ]

    html = page.fragment(
        language,
        "manager/changes.html",
        rooms=cards,
        summary=summarize(cards),
        floors=floors(cards, {card.room_id for card in cards}),
        troubles=[],
        alarms=[],
    )

    said = {
        "zh": ("已断电", "欠费", "余额已用完", "应断，实读通", "无应答", "网关离线", "未开户", "约可用 23 天"),
        "en": ("Power off", "out of credit", "nothing left", "wanted off, seen on", "does not answer",
               "Gateway offline", "No account", "23 days left"),
    }  # fmt: skip
    for words in (*said[language], "−¥0.12", "10234.56 kWh", "132.40 m³"):
        assert words in html

"""What alarms and troubles are called."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cloud.services.alarms import SHOWN, Finding, GatewayTrouble, PointAlarm
from dashboards import page, state
from dashboards.alarm_words import ALARMS, FINDINGS, TROUBLES
from prepaid.reading import Supply
from prepaid.register import Kind
from prepaid.supply import Why
from prepaid.wire import AlarmKind, Trouble
from tests.dashboards.cards import NOW, identity


def alarm(kind: AlarmKind, **changes: Any) -> PointAlarm:
    return PointAlarm(
        **{  # type: ignore[arg-type]
            "point_id": identity("0301 electricity"),
            "point": "0301 电",
            "commodity": "electricity",
            "meter_no": "000000010301",
            "room_id": identity("0301"),
            "room": "0301",
            "building": "1 号楼",
            "kind": kind,
            "at": NOW,
            "text": "for <logs>",
            "wanted": Supply.OFF,
            "why": Why.CURRENT,
            "findings": (),
            "seen": None,
            **changes,
        }
    )


def trouble(kind: Trouble, **changes: Any) -> GatewayTrouble:
    given: dict[str, Any] = {"released_by": None, "held_back": 0, **changes}
    return GatewayTrouble(identity("gateway"), "GW-1", "阳光公寓", kind, NOW, "text", **given)


def notices(language: str, *, troubles: Any = (), alarms: Any = ()) -> str:
    return page.fragment(
        language,
        "manager/changes.html",
        rooms=[],
        summary=state.summarize([]),
        floors=[],
        troubles=list(troubles),
        alarms=list(alarms),
    )


def test_every_alarm_trouble_and_finding_has_its_words() -> None:
    assert set(ALARMS) == set(AlarmKind)
    assert set(TROUBLES) == set(Trouble)
    assert set(FINDINGS) == set(Kind)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_an_alarm_says_what_it_is_and_leads_to_its_room(language: str) -> None:
    html = notices(language, alarms=[alarm(kind) for kind in SHOWN])

    said = {
        "zh": ("表计失联", "读数存疑", "表计停走", "开关拒动", "应断未断", "电流过大", "无价格方案"),
        "en": ("Meter silent", "Reading in doubt", "stands still", "did not follow", "current too high"),
    }  # fmt: skip
    for words in (*said[language], f'href="/rooms/{identity("0301")}"', "for &lt;logs&gt;"):
        assert words in html


def test_a_reading_in_doubt_is_shown_with_what_speaks_against_it() -> None:
    jump = Finding(Kind.JUMP, Decimal("5000"), Decimal("60"), "kWh", "register moved 5000")
    html = notices("zh", alarms=[alarm(AlarmKind.IMPLAUSIBLE, findings=(jump,))])

    assert "突变，超出表计可能走字" in html
    assert "走了 5000.00 kWh，至多 60.00 kWh" in html


def test_the_board_names_the_newest_alarms_and_leads_to_the_others() -> None:
    many = notices("en", alarms=[alarm(AlarmKind.SILENT)] * 7)
    few = notices("en", alarms=[alarm(AlarmKind.SILENT)] * 6)

    assert many.count('class="alarm ') == few.count('class="alarm ') == 6
    assert 'href="/alarms"' in many
    assert 'href="/alarms"' not in few


def test_only_a_brake_that_nobody_has_released_has_a_button() -> None:
    braked = notices("en", troubles=[trouble(Trouble.BRAKED, held_back=9)])
    released = notices("en", troubles=[trouble(Trouble.BRAKED, released_by="王经理")])
    full = notices("en", troubles=[trouble(Trouble.DISK_FULL)])

    assert "9 points wait to be cut." in braked
    assert f'href="/gateways/{identity("gateway")}/brake"' in braked
    assert "/brake" not in released + full
    assert "Released by 王经理" in released
    assert "Disk nearly full" in full

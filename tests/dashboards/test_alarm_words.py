"""What alarms and troubles are called."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cloud.services.alarms import SHOWN, Finding, GatewayTrouble, PointAlarm
from dashboards import alarm_reasons, page, state
from dashboards.alarm_words import ALARMS, FINDINGS, TROUBLES
from dashboards.words import CATALOGUES
from prepaid.reading import Supply
from prepaid.register.evidence import Kind
from prepaid.supply import Why
from prepaid.wire.uplog import AlarmKind, Trouble
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
            "text": "no reply on line <L1> to 3 requests",
            "wanted": Supply.OFF,
            "why": Why.CURRENT,
            "findings": (),
            "seen": None,
            **changes,
        }
    )


def trouble(kind: Trouble, **changes: Any) -> GatewayTrouble:
    given: dict[str, Any] = {"released_by": None, "held_back": 0, "seen": None, **changes}
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
    halves = (SHOWN[:4], SHOWN[4:])  # the board shows the newest six
    html = "".join(notices(language, alarms=[alarm(kind) for kind in half]) for half in halves)

    said = {
        "zh": ("表计失联", "读数存疑", "表计停走", "开关拒动", "应断未断", "电流过大", "无价格方案"),
        "en": ("Meter silent", "Reading in doubt", "stands still", "did not follow", "current too high"),
    }  # fmt: skip
    for words in (*said[language], f'href="/rooms/{identity("0301")}"'):
        assert words in html
    line = (
        "总线 &lt;L1&gt; 上没有应答" if language == "zh" else "Nothing answers on line &lt;L1&gt;"
    )
    assert line in html


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


REASONS = (
    (AlarmKind.SILENT, "no frame in what line L2 answered to a request", "总线 L2 上的应答无法识别"),
    (AlarmKind.SILENT, "10.0.0.9:4001 cannot be opened: no answer within 5 s", "10.0.0.9:4001 连不上"),
    (AlarmKind.SILENT, "the DTU that had dialled in to 0.0.0.0:9001 is gone", "没有采集终端拨入"),
    (AlarmKind.SILENT, "refused, code 04: password", "表计拒绝抄读，错误码 04"),
    (AlarmKind.SILENT, "what nobody foresaw", "应答和所问的不符"),
    (AlarmKind.SWITCH_FAILED, "still on after 3 commands to go off", "发了 3 次命令"),
    (AlarmKind.SWITCH_FAILED, "the command to go off: refused, code 04: password", "错误码 04"),
    (AlarmKind.USED_WHILE_OFF, "the register went on by 0.35 while its switch says off", "仍走了 0.35"),
    (AlarmKind.LEAK, "at least 0.12 m3 in 180 s after it was opened, more than 1 m3 an hour", "超过每小时 1 m³"),
    (AlarmKind.LEAK, "what nobody foresaw", "开阀后流量过大"),
    (AlarmKind.CLOCK_WRONG, "its clock is 3 min 20 s slow: more than it takes from here; x", "到表上校时"),
    (AlarmKind.CUT_WAITS, "it is due to be cut, but waits: stale", "在等人处理"),
    (AlarmKind.NO_TARIFF, "tariff RES never came or could not be used: x", "没有价格方案 RES"),
    (AlarmKind.CANNOT_SWITCH, "password of meter 7 must be 6 digits", "表计 7 的“密码”未填写或有误"),
    (AlarmKind.CANNOT_SWITCH, "what nobody foresaw", "无法断送"),
    (AlarmKind.WRONG_ENTRY, "gateway.toml has no line L9", "没有总线 L9"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "said"), REASONS)
def test_why_an_alarm_is_on_is_said_in_chinese_whatever_the_gateway_wrote(
    kind: AlarmKind, text: str, said: str
) -> None:
    told = alarm_reasons.said(alarm(kind, text=text), CATALOGUES["zh"].gettext)
    assert said in told
    assert "the" not in told


def test_every_alarm_that_is_shown_says_more_than_its_name() -> None:
    by_numbers = {AlarmKind.IMPLAUSIBLE, AlarmKind.STUCK}  # by findings, and the meter
    assert {kind for kind in SHOWN if kind not in alarm_reasons.OTHERWISE} == by_numbers

"""Evidence 判据: what speaks for or against a movement of a register, and what that does to money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from prepaid.record import record


@record
@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that speaks about a movement.

    moved is how far the register is ahead of the reading before, a rollover undone, and limit what it was
    measured against, both in the register's unit and before the multiplier; None where the kind has no
    such number. text is for logs, in English.
    """

    kind: Kind
    confidence: Confidence
    effect: Effect
    moved: Decimal | None
    limit: Decimal | None
    text: str


class Kind(StrEnum):
    """What a movement looks like."""

    MOVED = "moved"  # 正常走字
    STILL = "still"  # 未走字
    HIGH = "high"  # 用量偏高: possible, but far above the usual
    ROLLOVER = "rollover"  # 翻转: past the last digit and on from zero
    UNSEEN_ROUND = "unseen-round"  # 可能多转一圈: there was time to go round once more
    STUCK = "stuck"  # 停走
    JUMP = "jump"  # 突变: further off than the meter can have run
    BACKWARDS = "backwards"  # 倒走: no further back than the meter can have run
    RESET = "reset"  # 清零: as little as can have been counted from zero
    OTHER_METER = "other-meter"  # 表号不符: another number answered
    DUPLICATE_ADDRESS = "duplicate-address"  # 重址: two registers answer in turn
    ELSEWHERE = "elsewhere"  # 改址: read at another place than the reading charged last
    GARBLED = "garbled"  # 误读: no register of so many digits can show it
    RECOVERED = "recovered"  # 恢复: the reading in doubt did not last
    CLOCK = "clock"  # 时钟异常: two clocks differ on how long it took
    OFFSET = "offset"  # 抵扣预估: it was charged ahead, as an estimate
    ESTIMATE = "estimate"  # 预估用量
    ACCEPTED = "accepted"  # 人工确认
    DISMISSED = "dismissed"  # 人工排除
    METER_CHANGE = "meter-change"  # 换表


class Confidence(StrEnum):
    """How sure the kind is."""

    CERTAIN = "certain"  # 确定: arithmetic, or a person's word
    LIKELY = "likely"  # 很可能: nothing else explains it as well
    SUSPECTED = "suspected"  # 疑似: one explanation among several


class Effect(StrEnum):
    """What the reading does to money."""

    CHARGED = "charged"  # 计费
    ESTIMATED = "charged-as-estimate"  # 预估计费
    HELD = "held"  # 挂起: nothing charged until it is cleared up
    NOTHING = "nothing-to-charge"  # 无费用


class Finding(NamedTuple):
    """Evidence before it is known what it does to money."""

    kind: Kind
    confidence: Confidence
    moved: Decimal | None
    limit: Decimal | None
    text: str


def evidence_of(effect: Effect, found: Sequence[Finding]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(one.kind, one.confidence, effect, one.moved, one.limit, one.text) for one in found
    )

"""How far below its level a purse is when it is cut, where nothing kept the gateway from its work."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING
from uuid import UUID

from prepaid import tariff_document
from prepaid.deadline import Line as ServedLine
from prepaid.deadline import most_per_day, overdraft_bound
from simulators.world.machine import LEAST_S, Machine
from simulators.world.plan import What
from simulators.world.points import Point

if TYPE_CHECKING:
    from simulators.world.truth import Truth


def is_undisturbed(truth: Truth, machine: Machine, point: Point) -> bool:
    """Whether nothing kept the gateway from cutting in time."""
    estate, policy = truth.plan.estates[point.estate.number], point.policy
    elapsed_s = asyncio.get_running_loop().time()
    return (
        machine.clear_from < elapsed_s
        and knows_meters(truth, point.point.purse)
        and not estate.noise
        and not truth.plan.clocks_jump
        and policy.quiet is None
        and not policy.notice
        and policy.max_cut_current_a is None
        and not any(
            h.estate == point.estate.number
            and h.what in (What.TARIFF, What.PIN)
            and h.at_s <= elapsed_s
            for h in truth.plan.weather
        )
    )


def knows_meters(truth: Truth, purse: UUID | None) -> bool:
    """Whether the gateway has heard of each meter that the purse pays for."""
    return all(p.is_exchange_known for p in truth.points.values() if p.point.purse == purse)


def judge(truth: Truth, point: Point, overdraft: Fraction) -> None:
    paid = [p for p in truth.points.values() if p.point.purse == point.point.purse]
    since, now = truth.now() - timedelta(days=1), truth.now()
    per_day, unseen = Decimal(0), Decimal(0)
    for each in paid:
        document = truth.plan.tariffs[each.point.tariff]
        tariff = tariff_document.parse(document)
        per_day += most_per_day(each.point, tariff, since=since, until=now)
        unseen += tariff.highest_price(since, now) * each.point.meter.step * 100 + 3
    served = ServedLine(
        interval=timedelta(seconds=LEAST_S),
        points=len(point.estate.points),
        woken=len(point.estate.points) + 1,
        visit=timedelta(seconds=3),
        retries=2,
        travel=timedelta(seconds=60),
    )
    bound = overdraft_bound(served, per_day=per_day, unseen=unseen)
    truth.judged_overdrafts += 1
    truth.worst_overdraft = max(truth.worst_overdraft, overdraft / bound.fen)
    if overdraft > bound.fen:
        truth.fail(
            "overdraft",
            f"{point.point.name} is cut {float(overdraft):.0f} fen too late, the bound is {bound.fen}",
        )

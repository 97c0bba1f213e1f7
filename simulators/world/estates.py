"""The estates of a seed: their customers with what they take and what is agreed with them, and the prices."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from prepaid.calendar import Calendar, Hours
from prepaid.money import Money
from prepaid.point import EmergencyCredit, Policy, Restore
from prepaid.quiet import Quiet
from simulators.world.plan import (
    BEGIN,
    HOUR_S,
    MOST_L,
    MOST_W,
    QUARTERS_PER_DAY,
    ZONE,
    EstatePlan,
    PointPlan,
)


class Kind(Enum):
    USUAL = auto()
    BLOCK = auto()  # one customer of eight meters
    QUIET = auto()  # one meter, and little happens


def draw_estate(dice: random.Random, days: int, kind: Kind) -> EstatePlan:
    points: list[PointPlan] = []
    if kind is Kind.QUIET:
        purposes: tuple[str, ...] = ("electricity",)
        points = [_point(dice, days, "electricity", 0, _policy(dice))]
    elif kind is Kind.BLOCK:
        # One customer of many meters: empty, it is too many cuts at once.
        purposes = ("electricity",)
        policy = replace(_policy(dice), quiet=None, is_protected=False)
        points = [_point(dice, days, "electricity", 0, policy) for _ in range(8)]
    else:
        purposes = dice.choice((("electricity",), ("electricity", "water"), ("utility",)))
        policy = _policy(dice)
        points.append(_point(dice, days, "electricity", 0, policy))
        if dice.random() < (0.3 if len(purposes) == 1 else 0.1):
            points.append(_point(dice, days, "electricity", 0, policy))
        if purposes != ("electricity",):
            policy = _policy(dice) if len(purposes) == 2 else policy
            points.append(_point(dice, days, "cold_water", len(purposes) - 1, policy))
    is_rough = kind is not Kind.QUIET and dice.random() < 0.6
    return EstatePlan(
        tuple(points),
        purposes,
        settle_s=dice.choice((3.0, 6.0)) * HOUR_S if kind is Kind.USUAL else 6 * HOUR_S,
        loss=dice.choice((0.1, 0.3)) if is_rough else 0.0,
        doubling=dice.choice((0.1, 0.3)) if is_rough else 0.0,
        slow_s=dice.choice((0.5, 0.5, 0.5, 8.0)) if is_rough else 0.1,
        worker_dies=0.1 if is_rough else 0.0,
        noise=dice.choice((0.0, 0.0, 0.02)),
    )


def _policy(dice: random.Random) -> Policy:
    lent = None
    if dice.random() < 0.15:
        lent = EmergencyCredit(Money.yuan("2"), offered_at=Money.yuan("1"), is_automatic=True)
    quiet = None
    if dice.random() < 0.15:
        quiet = Quiet(Calendar(ZONE), (Hours(22 * 60, 7 * 60),))
    return Policy(
        alarm_at=Money.yuan("5"),
        final_alarm_at=Money.yuan("2"),
        restore=dice.choice((Restore.ALLOW_CLOSE, Restore.DIRECT)),
        is_protected=dice.random() < 0.08,
        overdraft=Money.yuan(dice.choice(("0", "0", "0", "1.50"))),
        emergency=lent,
        quiet=quiet,
        notice=timedelta(minutes=dice.choice((0, 0, 0, 30))),
        max_cut_current_a=Decimal(8) if dice.random() < 0.1 else None,
        current_again=timedelta(minutes=dice.choice((3, 10, 10))),
        dwell=timedelta(seconds=dice.choice((0, 5, 60))),
    )


def with_habits(dice: random.Random, estate: EstatePlan) -> EstatePlan:
    """The same, some purses offered emergency credit and some water asked for its taps: dice of its own, so that a
    seed's other weather does not hang on it."""
    lends = [dice.random() < 0.3 for _ in estate.purposes]
    asks = dice.choice((None, None, timedelta(minutes=15), timedelta(hours=2)))
    points = []
    for point in estate.points:
        policy = point.policy
        if lends[point.purse] and policy.emergency is None:
            lent = EmergencyCredit(Money.yuan("2"), offered_at=Money.yuan("1"))
            policy = replace(policy, emergency=lent)
        if point.commodity == "cold_water":
            policy = replace(policy, ask_after=asks)
        points.append(replace(point, policy=policy))
    return replace(estate, points=tuple(points))


def _point(dice: random.Random, days: int, commodity: str, purse: int, policy: Policy) -> PointPlan:
    most = MOST_W if commodity == "electricity" else MOST_L
    draws: list[int] = []
    while len(draws) < days * QUARTERS_PER_DAY:
        draw = dice.choice((0, most // 4, most // 2, dice.randint(0, most), most))
        draws += [draw] * dice.randint(4, 24)
    draws = draws[: days * QUARTERS_PER_DAY]
    opening = Decimal(dice.randint(0, 99_999_99)).scaleb(-2)
    if dice.random() < 0.05:
        opening = Decimal("999999.00")  # it will roll over
    presses_after_s = dice.choice((2.0, 2.0, 20.0, 20.0, 60.0, 300.0, 4000.0, None))
    return PointPlan(commodity, purse, policy, tuple(draws), opening, presses_after_s)


# Tariffs.


def draw_tariffs(
    dice: random.Random, days: int, *, clocks_jump: bool
) -> dict[str, Mapping[str, Any]]:
    """Each commodity's tariff, and the one that comes after it.

    Where clocks jump prices do not hang on the time, so that the cost of what moved is known whatever they show.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for commodity, unit, least in (("electricity", "kWh", 50), ("cold_water", "m3", 200)):
        shape = "flat" if clocks_jump else dice.choice(("flat", "bands", "tiers", "fees"))
        for code in (commodity, f"{commodity}-2"):
            price = Decimal(least + dice.randint(0, least)).scaleb(-2)
            found[code] = _document(dice, code, commodity, unit, shape, price, days)
    return found


def _document(
    dice: random.Random,
    code: str,
    commodity: str,
    unit: str,
    shape: str,
    price: Decimal,
    days: int,
) -> dict[str, Any]:
    def version(since: datetime, price: Decimal) -> dict[str, Any]:
        rate: dict[str, Any] = {"item": "energy", "kind": "rate", "price": str(price)}
        extra = {"item": "surcharge", "kind": "rate", "price": "0.0333"}
        made: dict[str, Any] = {
            "effective_from": since.isoformat(),
            "components": [rate, extra],
        }
        if shape == "bands":
            rate["price"] = {"peak": str(price * 2), "valley": str(price / 2)}
            made["bands"] = [
                {"band": "peak", "from": "08:00", "to": "22:00"},
                {"band": "valley"},
            ]
            extra["price"] = "0.0333"
        if shape == "tiers":
            rate["tiers"] = {"period": "month", "bounds": ["5", "20"]}
            rate["price"] = [str(price), str(price + 1), str(price + 2)]
        if shape == "fees":
            made["components"].append(
                {"item": "service", "kind": "fixed", "amount": "0.70", "per": "day"}
            )
        return made

    versions = [version(BEGIN - timedelta(days=300), price)]
    if shape != "flat" and dice.random() < 0.5:
        since = BEGIN + timedelta(hours=dice.randint(6, days * 24 - 6))
        versions.append(version(since, price + Decimal("0.11")))
    return {
        "code": code,
        "commodity": commodity,
        "unit": unit,
        "currency": "CNY",
        "timezone": ZONE,
        "versions": versions,
    }

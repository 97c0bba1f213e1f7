"""What a seed decides before its story begins: the weather that comes over its estates."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from prepaid.reading import Supply
from simulators.world.estates import Kind, draw_estate, draw_tariffs, with_habits
from simulators.world.plan import (
    DAY_S,
    HOUR_S,
    EstatePlan,
    Happening,
    Plan,
    What,
)

ALONE = 0.875  # of the seeds the second estate is quiet
BLOCK = 0.04  # of the seeds one customer has eight meters
ROLLS_OVER = 999_000  # a register that shows more soon goes past its last digit


def plan(seed: int, days: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(f"plan {seed}")
    clocks_jump = dice.random() < 0.25
    is_block = dice.random() < BLOCK
    tariffs = draw_tariffs(dice, days, clocks_jump=clocks_jump)
    is_alone = dice.random() < ALONE  # with its weather: little happens to the other
    kinds = (Kind.BLOCK if is_block else Kind.USUAL, Kind.QUIET if is_alone else Kind.USUAL)
    estates = tuple(draw_estate(dice, days, kind) for kind in kinds)
    habits = random.Random(f"habits {seed}")
    estates = tuple(with_habits(habits, estate) for estate in estates)
    weather: list[Happening] = []
    for number, estate in enumerate(estates):
        is_quiet = kinds[number] is Kind.QUIET
        weather += _weather(dice, number, estate, days, clocks_jump=clocks_jump, is_quiet=is_quiet)
        if not is_quiet:
            weather += _dealings(habits, number, estate, days)
        weather += _rarely(number, estate, seed, days)
    return Plan(seed, days, estates, tariffs, tuple(sorted(weather)), clocks_jump)


@dataclass(slots=True)
class _Sky:
    """Draws when and how long; found is what has been drawn."""

    dice: random.Random
    estate: int
    ends_s: float
    found: list[Happening] = field(default_factory=list)

    def some(self, chance: float, most: int) -> range:
        return range(self.dice.randint(1, most) if self.dice.random() < chance else 0)

    def when(self) -> float:
        """Some time, neither at the very beginning nor at the end."""
        return round(self.dice.uniform(HOUR_S, self.ends_s - HOUR_S), 2)

    def add(self, what: What, at_s: float | None = None, **more: Any) -> float:
        at_s = self.when() if at_s is None else at_s
        self.found.append(Happening(at_s, self.estate, what, **more))
        return at_s


def _weather(
    dice: random.Random,
    number: int,
    estate: EstatePlan,
    days: int,
    *,
    clocks_jump: bool,
    is_quiet: bool,
) -> list[Happening]:
    sky = _Sky(dice, number, days * DAY_S)
    _money(sky, estate, 1 if is_quiet else days, lasts=10 if is_quiet else 1)
    _links(sky, hours=(20, 50) if is_quiet else (6, 26))
    _people(sky, estate)
    if not is_quiet:
        sky.add(What.RELEASE)
        _power(sky)
        _things(sky, estate)
    if clocks_jump:
        for _ in range(dice.randint(1, 2)):
            by_s = dice.choice((-2 * DAY_S, -3000.0, -400.0, 400.0, 5000.0, 3 * DAY_S, 400 * DAY_S))
            at_s = sky.add(What.CLOCK, lasts_s=by_s)
            sky.add(What.CLOCK_RIGHT, at_s + dice.uniform(60, 10 * HOUR_S))
    return sky.found


def _money(sky: _Sky, estate: EstatePlan, days: int, *, lasts: int) -> None:
    """What is paid: lasts times as much at the beginning as is soon used up."""
    dice = sky.dice
    for purse in range(len(estate.purposes)):
        sky.add(What.TOP_UP, 10.0 + purse, which=purse, number=lasts * dice.randint(300, 1500))
        for _ in range(dice.randint(1, days)):
            fen = dice.choice((1, dice.randint(50, 1000), dice.randint(500, 3000)))
            how = dice.choice(("", "", "twice", "at once", "lost", "asked twice"))
            sky.add(What.TOP_UP, which=purse, number=fen, more=how)


def _links(sky: _Sky, *, hours: tuple[int, int]) -> None:
    """The link is up now and then, so many hours apart, so that many entries travel together."""
    dice, at_s = sky.dice, 5.0
    sky.add(What.LINK, at_s, lasts_s=600.0)
    while (at_s := at_s + dice.uniform(*hours) * HOUR_S) < sky.ends_s:
        lasts_s = dice.choice((20.0, 120.0, 300.0, 1200.0))
        sky.add(What.LINK, at_s, lasts_s=lasts_s)
        at_s += lasts_s


def _power(sky: _Sky) -> None:
    dice = sky.dice
    for _ in sky.some(0.4, 3):
        sky.add(What.POWER_CUT, lasts_s=dice.choice((1.0, 60.0, 5 * HOUR_S)))
    for _ in sky.some(0.5, 4):
        sky.add(
            What.CUT_AT_COMMIT,
            lasts_s=dice.choice((1.0, 60.0, 2 * HOUR_S)),
            which=dice.randrange(2),
            number=dice.randint(1, 12),
        )
    for _ in sky.some(0.5, 4):
        sky.add(What.CUT_AT_REQUEST, lasts_s=dice.choice((1.0, 60.0)), number=dice.randint(1, 12))
    for _ in sky.some(0.5, 4):
        sky.add(What.CUT_AT_WORD, lasts_s=dice.choice((1.0, 60.0)), number=dice.randint(1, 4))


def _things(sky: _Sky, estate: EstatePlan) -> None:
    dice, points = sky.dice, len(estate.points)
    for _ in sky.some(0.3, 2):
        sky.add(What.NOISE, lasts_s=_long(dice, 4 * HOUR_S), number=dice.choice((10, 40)))
    for _ in sky.some(0.3, 2):
        sky.add(What.DEAD_METER, which=dice.randrange(points), lasts_s=_long(dice, 3 * HOUR_S))
    for _ in sky.some(0.15, 1):
        sky.add(What.LINE_AWAY, lasts_s=_long(dice, 3 * HOUR_S))
    for _ in sky.some(0.2, 2):
        sky.add(What.DISK_FULL, number=dice.randint(1, 20), lasts_s=dice.uniform(10, HOUR_S))
    fate = dice.random()
    if fate < 0.16:
        at_s = sky.add(What.BACKUP)
        again_s = at_s + dice.uniform(600, 12 * HOUR_S)
        sky.add(dice.choice((What.RESTORE, What.OLD_COPY)), again_s, lasts_s=60.0)
        _meanwhile(sky, estate, again_s)
    elif fate < 0.32:
        lasts_s = dice.choice((10.0, 60.0, 3 * HOUR_S))
        at_s = sky.add(What.SPARE, lasts_s=lasts_s)
        _meanwhile(sky, estate, at_s + lasts_s)
        if dice.random() < 0.5:
            sky.add(What.OLD_RETURNS, at_s + dice.uniform(4, 10) * HOUR_S)


def _meanwhile(sky: _Sky, estate: EstatePlan, at_s: float) -> None:
    """A store is replaced: the gateway was in touch with the cloud just before, and people pay just then."""
    dice = sky.dice
    sky.add(
        What.LINK, at_s - dice.uniform(20.0, 80.0), lasts_s=dice.choice((100.0, 600.0, 2 * HOUR_S))
    )
    for _ in range(dice.randint(0, 3)):
        which = dice.randrange(len(estate.purposes))
        sky.add(
            What.TOP_UP, at_s + dice.uniform(-30.0, 30.0), which=which, number=dice.randint(50, 500)
        )


def _long(dice: random.Random, most_s: float) -> float:
    """Mostly short, now and then very long."""
    return float(60.0 * (most_s / 60.0) ** dice.random())


def _people(sky: _Sky, estate: EstatePlan) -> None:
    dice, points = sky.dice, len(estate.points)
    for _ in sky.some(0.3, 1):
        sky.add(What.TARIFF, which=dice.randrange(points))
    for _ in sky.some(0.3, 2):
        which = dice.randrange(points)
        supply = dice.choice((Supply.ON, Supply.OFF))
        lasts_s = dice.uniform(HOUR_S, 20 * HOUR_S)
        at_s = sky.add(What.PIN, which=which, lasts_s=lasts_s, more=supply.value)
        if dice.random() < 0.5:
            sky.add(What.UNPIN, at_s + dice.uniform(60, lasts_s), which=which)
    for _ in sky.some(0.1, 1):
        sky.add(What.LIE)


def _dealings(dice: random.Random, number: int, estate: EstatePlan, days: int) -> list[Happening]:
    """What people do beside paying: codes, emergency credit, refunds, and the answer about their taps."""
    sky = _Sky(dice, number, days * DAY_S)
    for purse in range(len(estate.purposes)):
        for _ in sky.some(0.3, 2):
            sky.add(What.CODE, which=purse, number=dice.randint(50, 1500))
        for _ in sky.some(0.3, 1):
            percent = str(dice.choice((20, 70, 100)))
            later_s = dice.choice((5.0, 120.0, 2 * HOUR_S))
            fen = dice.randint(300, 2000)
            sky.add(What.REFUND, which=purse, lasts_s=later_s, number=fen, more=percent)
        policies = [point.policy for point in estate.points if point.purse == purse]
        if any(p.emergency is not None and not p.emergency.is_automatic for p in policies):
            for _ in range(dice.randint(1, 3)):
                where = dice.choice(("gateway", "page"))
                sky.add(What.BORROW, which=purse, lasts_s=DAY_S, more=where)
    if any(point.policy.ask_after is not None for point in estate.points):
        at_s = 0.0
        while (at_s := at_s + dice.uniform(0.5, 4) * HOUR_S) < sky.ends_s:
            sky.add(What.ANSWER, at_s, more=dice.choice(("gateway", "page")))
    return sky.found


def _rarely(number: int, estate: EstatePlan, seed: int, days: int) -> list[Happening]:
    """A meter is exchanged; and the power goes while the gateway says that it has what is paid just then.

    Dice of its own, so that a seed's other weather does not hang on it.
    """
    sky = _Sky(random.Random(f"rarely {seed} {number}"), number, days * DAY_S)
    rolling = [place for place, point in enumerate(estate.points) if point.opening > ROLLS_OVER]
    if rolling and sky.dice.random() < 0.5:
        _exchange(sky, rolling[0], round(sky.dice.uniform(HOUR_S, 10 * HOUR_S), 2))
    elif sky.dice.random() < 0.12:
        _exchange(sky, sky.dice.randrange(len(estate.points)), sky.when())
    for _ in sky.some(0.12, 1):
        at_s = sky.add(What.LINK, lasts_s=120.0) + 60.0
        word, off_s = sky.dice.randint(1, 6), sky.dice.choice((1.0, 60.0))
        sky.add(What.CUT_AT_WORD, at_s, number=word, lasts_s=off_s)
        for _ in range(3):
            later_s = sky.dice.uniform(0.0, 2.0)
            sky.add(What.TOP_UP, at_s + later_s, number=sky.dice.randint(50, 500))
    return sky.found


def _exchange(sky: _Sky, place: int, at_s: float) -> None:
    """A meter is exchanged; mostly the gateway hears of it soon, as the old one is asked in vain until then."""
    sky.add(What.EXCHANGE, at_s, which=place)
    if sky.dice.random() < 0.9:
        later_s = sky.dice.choice((60.0, 600.0, HOUR_S))
        sky.add(What.LINK, at_s + sky.dice.uniform(1.0, later_s), lasts_s=120.0)

"""What a seed decides before the story begins: the estates, their customers, and the weather that comes over them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum, auto
from typing import Any

from prepaid.calendar import Calendar, Hours
from prepaid.money import Money
from prepaid.point import EmergencyCredit, Policy, Restore
from prepaid.quiet import Quiet
from prepaid.reading import Supply

BEGIN = datetime(2026, 11, 11, 16, tzinfo=UTC)  # midnight where the meters are
ZONE = "Asia/Shanghai"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
QUARTERS_PER_DAY = 96
MOST_W, MOST_L = 2000, 500  # what can pass a meter, in W and in L/h


class What(StrEnum):
    """What may happen."""

    TOP_UP = "top-up"
    LINK = "link"  # up for so long
    POWER_CUT = "power-cut"
    CUT_AT_COMMIT = "cut-at-commit"
    CUT_AT_REQUEST = "cut-at-request"
    CUT_AT_WORD = "cut-at-word"  # when it has told the cloud something
    NOISE = "noise"
    DEAD_METER = "dead-meter"
    LINE_AWAY = "line-away"
    DISK_FULL = "disk-full"
    CLOCK = "clock"
    CLOCK_RIGHT = "clock-right"
    BACKUP = "backup"
    RESTORE = "restore"
    OLD_COPY = "old-copy"
    SPARE = "spare"
    OLD_RETURNS = "old-returns"
    TARIFF = "tariff"
    PIN = "pin"
    UNPIN = "unpin"
    RELEASE = "release-brake"
    PROTECT = "protect"
    LIE = "lie"  # a gateway writes of another's point
    CODE = "code"  # paid, and typed at the gateway as twenty digits
    BORROW = "borrow"  # emergency credit, as soon as it is offered
    REFUND = "refund"  # so much is paid, and a part of what is left asked back so long after
    ANSWER = "answer"  # the taps are closed, where that is asked
    EXCHANGE = "exchange"  # another meter is put up


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """At so many seconds, to the estate of that number; which and number name what it happens to, by its kind."""

    at_s: float
    estate: int
    what: What
    which: int = 0
    lasts_s: float = 0.0
    number: int = 0
    more: str = ""

    def __str__(self) -> str:
        days, rest = divmod(int(self.at_s), 86400)
        when = f"day {days + 1} {rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
        said = [
            f"{name} {value:g}" for name, value in (("which", self.which), ("lasts", self.lasts_s))
        ]
        said += [f"number {self.number}"] * bool(self.number) + [self.more] * bool(self.more)
        return f"{when}  estate {self.estate}  {self.what:<15} {', '.join(said)}"


@dataclass(frozen=True, slots=True)
class PointPlan:
    """One service point: electricity or water, paid by the purse of that number in its estate."""

    commodity: str
    purse: int
    policy: Policy
    draws: tuple[int, ...]
    opening: Decimal
    presses_after_s: float | None


@dataclass(frozen=True, slots=True)
class EstatePlan:
    """One organization with one gateway and one line. tariffs by code; purposes of the purses in their order."""

    points: tuple[PointPlan, ...]
    purposes: tuple[str, ...]
    settle_s: float
    loss: float  # of messages, from 0 to 1
    doubling: float
    slow_s: float  # the longest a message takes
    worker_dies: float
    noise: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided beforehand."""

    seed: int
    days: int
    estates: tuple[EstatePlan, ...]
    tariffs: Mapping[str, Mapping[str, Any]]
    weather: tuple[Happening, ...]
    clocks_jump: bool

    @property
    def ends_s(self) -> float:
        return self.days * DAY_S

    @property
    def is_rated_in_parts(self) -> bool:
        """Whether readings are rated again as the nights do it, going on from before, or at the end all at once."""
        return self.seed % 2 == 0


def plan(seed: int, days: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(f"plan {seed}")
    clocks_jump = dice.random() < 0.25
    is_block = dice.random() < 0.06
    tariffs = _tariffs(dice, days, clocks_jump=clocks_jump)
    is_alone = dice.random() < 0.5  # with its weather: little happens to the other
    kinds = (_Kind.BLOCK if is_block else _Kind.USUAL, _Kind.QUIET if is_alone else _Kind.USUAL)
    estates = tuple(_estate(dice, days, kind) for kind in kinds)
    habits = random.Random(f"habits {seed}")
    estates = tuple(_with_habits(habits, estate) for estate in estates)
    weather: list[Happening] = []
    for number, estate in enumerate(estates):
        is_quiet = kinds[number] is _Kind.QUIET
        weather += _weather(dice, number, estate, days, clocks_jump=clocks_jump, is_quiet=is_quiet)
        weather += _dealings(habits, number, estate, days)
        weather += _rarely(number, estate, seed, days)
    return Plan(seed, days, estates, tariffs, tuple(sorted(weather)), clocks_jump)


# Estates.


class _Kind(Enum):
    USUAL = auto()
    BLOCK = auto()  # one customer of eight meters
    QUIET = auto()  # one meter, and little happens


def _estate(dice: random.Random, days: int, kind: _Kind) -> EstatePlan:
    points: list[PointPlan] = []
    if kind is _Kind.QUIET:
        purposes: tuple[str, ...] = ("electricity",)
        points = [_point(dice, days, "electricity", 0, _policy(dice))]
    elif kind is _Kind.BLOCK:
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
    is_rough = kind is not _Kind.QUIET and dice.random() < 0.6
    return EstatePlan(
        tuple(points),
        purposes,
        settle_s=dice.choice((2.0, 4.0, 6.0)) * HOUR_S if kind is not _Kind.BLOCK else 6 * HOUR_S,
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


def _with_habits(dice: random.Random, estate: EstatePlan) -> EstatePlan:
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


def _tariffs(dice: random.Random, days: int, *, clocks_jump: bool) -> dict[str, Mapping[str, Any]]:
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


# Weather.


@dataclass(slots=True)
class _Sky:
    """Draws when and how long; found is what has been drawn."""

    dice: random.Random
    estate: int
    ends_s: float
    found: list[Happening] = field(default_factory=list)

    def some(self, chance: float, most: int) -> range:
        return range(self.dice.randint(1, most) if self.dice.random() < chance else 0)

    def add(self, what: What, at_s: float | None = None, **more: Any) -> float:
        at_s = round(self.dice.uniform(HOUR_S, self.ends_s - HOUR_S), 2) if at_s is None else at_s
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
    _money(sky, estate, days)
    _links(sky)
    _people(sky, estate)
    if not is_quiet:
        _power(sky)
        _things(sky, estate)
    if clocks_jump:
        for _ in range(dice.randint(1, 2)):
            by_s = dice.choice((-2 * DAY_S, -3000.0, -400.0, 400.0, 5000.0, 3 * DAY_S, 400 * DAY_S))
            at_s = sky.add(What.CLOCK, lasts_s=by_s)
            sky.add(What.CLOCK_RIGHT, at_s + dice.uniform(60, 10 * HOUR_S))
    return sky.found


def _money(sky: _Sky, estate: EstatePlan, days: int) -> None:
    dice = sky.dice
    for purse in range(len(estate.purposes)):
        sky.add(What.TOP_UP, 10.0 + purse, which=purse, number=dice.randint(300, 1500))
        for _ in range(dice.randint(1, days)):
            fen = dice.choice((1, dice.randint(50, 1000), dice.randint(500, 3000)))
            how = dice.choice(("", "", "twice", "at once", "lost", "asked twice"))
            sky.add(What.TOP_UP, which=purse, number=fen, more=how)


def _links(sky: _Sky) -> None:
    """The link is up now and then, so that many entries travel together; one time for long."""
    dice, at_s = sky.dice, 5.0
    sky.add(What.LINK, at_s, lasts_s=600.0)
    while (at_s := at_s + dice.uniform(4, 22) * HOUR_S) < sky.ends_s:
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
    sky.add(What.RELEASE)


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
    """A meter is exchanged; and the power goes just when the gateway says that it has what somebody has paid.

    Dice of its own, so that a seed's other weather does not hang on it.
    """
    sky = _Sky(random.Random(f"rarely {seed} {number}"), number, days * DAY_S)
    for _ in sky.some(0.12, 1):
        sky.add(What.EXCHANGE, which=sky.dice.randrange(len(estate.points)))
    for _ in sky.some(0.12, 1):
        at_s = sky.add(What.TOP_UP, number=sky.dice.randint(50, 500))
        sky.add(What.LINK, at_s - 60.0, lasts_s=120.0)
        sky.add(What.CUT_AT_WORD, at_s, number=1, lasts_s=sky.dice.choice((1.0, 60.0)))
    return sky.found

"""What is really so, and whether it is what gateway and cloud say: the invariants of docs/world.md."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from edge.ledger.store import Hold, Store
from prepaid import ledger, tariff_document
from prepaid.deadline import Line as ServedLine
from prepaid.deadline import most_per_day, overdraft_bound
from prepaid.point import Policy, ServicePoint
from prepaid.rating import Position
from prepaid.reading import Supply
from simulators import oracle
from simulators.world.broken import Broken
from simulators.world.cloud import CHANNEL, Code, Estate
from simulators.world.disk import Commit, Saved, Typed
from simulators.world.machine import LEAST_S, Machine
from simulators.world.meters import AnyMeter
from simulators.world.plan import Plan, What

_POSITION = TypeAdapter(Position)
QUIET_FROM, QUIET_TO, OFFSET = 22, 7, timedelta(hours=8)  # as the plan has it
CLOCK_OFF = timedelta(minutes=6)  # a clock that is trusted may be wrong by five
LOOKS, FRESH_MS = 2, 300_000  # a cut needs two fresh looks
RESTORED_WITHIN_S = 180.0
BRAKE_LEAST, BRAKE_WITHIN_S = 5, 600.0
OFF_SEEN_S = 120.0  # until a gateway has seen that a valve is closed


@dataclass(frozen=True, slots=True)
class Exchange:
    """Of a point's meter for another: what the old one counted last, and the new one first."""

    meter_no: str
    closing: Decimal
    opening: Decimal
    shown: set[Decimal]


@dataclass(slots=True)
class Point:
    """A service point, its meter, and where its account really stands after which position.

    exchange is of the meter that was there before; is_exchange_known: its gateway has booked it.
    """

    estate: Estate
    place: int
    point: ServicePoint
    meter: AnyMeter
    accounts: dict[bytes, oracle.Account]
    latest: bytes | None = None
    exchange: Exchange | None = None
    is_exchange_known: bool = True
    by_new: set[bytes] = field(default_factory=set)  # accounts that stand at the present meter

    @property
    def policy(self) -> Policy:
        return self.point.policy

    @property
    def id(self) -> str:
        return str(self.point.id)

    def counted(self, account: bytes, total: Decimal) -> Decimal:
        """What its register shows, counted on from where an account stands, be it that of the meter before."""
        if self.exchange is None or account in self.by_new:
            return total
        return self.exchange.closing + total - self.exchange.opening


class Truth:
    """fail is told the first that does not hold; positions_told says what the cloud has of a point."""

    def __init__(
        self,
        plan: Plan,
        *,
        now: Callable[[], datetime],
        fail: Callable[[Broken], None],
        position_told: Callable[[UUID], bool],
    ) -> None:
        self._plan = plan
        self._now = now
        self._fail = fail
        self._position_told = position_told
        self.points: dict[str, Point] = {}
        # Known to the gateway, by id: from which book, to which, fen.
        self.credits: dict[str, tuple[str, str, int]] = {}
        self.codes: dict[tuple[str, int], Code] = {}  # that were issued, by book and number
        self.asked: set[str] = set()  # purses for which emergency credit was asked for
        self.taps: dict[str, float] = {}  # when those of a point were last said to be closed
        self.acting: Machine | None = None  # who uses its line now
        self._keys: dict[str, bytes] = {}  # positions by their bodies
        self.trips = 0
        self._trips: dict[int, list[tuple[float, str]]] = defaultdict(list)
        self.worst_overdraft = Fraction(0)
        self.judged_overdrafts = 0
        self.judged_restores = 0
        self.counted_codes = 0
        self.exchanges = 0

    def add(self, estate: Estate, meters: Mapping[UUID, AnyMeter]) -> None:
        for place, point in enumerate(estate.points):
            self.points[str(point.id)] = Point(estate, place, point, meters[point.id], {})

    def exchanged(
        self, point: Point, meter: AnyMeter, *, closing: Decimal, opening: Decimal
    ) -> None:
        """Another meter is put up, and what both showed is written down."""
        old = point.meter.flow.shown | {closing}
        point.exchange = Exchange(point.point.meter.meter_no, closing, opening, old)
        meter.flow.shown.add(opening)
        point.meter, point.is_exchange_known = meter, False
        self.exchanges += 1

    # What a gateway commits.

    def committed(self, machine: Machine, commit: Commit) -> None:
        machine.note_hold(commit.is_held)
        if machine.store is not None:
            machine.note_brake(machine.store.brake().is_on)
        if commit.is_held and machine.store is not None:
            self.found_old(machine, machine.store.hold)
        for saved in commit.positions:
            self._follow(machine, saved)
        for credit in commit.credits:
            self._credited(credit.id, (credit.debit, credit.credit, credit.fen))
        for typed in commit.typed:
            self._typed(machine, typed)
        for purse, is_taken in commit.lent:
            self._lent(UUID(purse), is_taken=is_taken)
        if (commit.credits or commit.pinned) and not commit.is_heard:
            self._break(
                "cursor", f"{machine.name} books {commit} and does not note that it was heard"
            )
        books = {book for credit in commit.credits for book in (credit.debit, credit.credit)}
        books |= {typed.book for typed in commit.typed}
        books |= {ledger.prepaid(UUID(purse)) for purse, is_taken in commit.lent if is_taken}
        if not books and not commit.pinned:
            return
        for point in self.points.values():
            if ledger.prepaid(point.point.purse) in books or point.id in commit.pinned:
                self._expect(machine, point)

    def _credited(self, id: str, moved: tuple[str, str, int]) -> None:
        known = self.credits.setdefault(id, moved)
        if known != moved:
            self._break("credits", f"transfer {id} is booked as {moved}, was {known}")
        purse = ledger.purse_of(ledger.Book(moved[0]))
        if purse is not None and (left := self.booked(purse)) < 0:
            self._break(
                "refunds", f"{moved[2]} fen are taken out of purse {purse}: {left} are left"
            )

    def _typed(self, machine: Machine, typed: Typed) -> None:
        """A code gives what the cloud has credited under its number, before the credit itself comes."""
        code = self.codes.get((typed.book, typed.number))
        if code is None or code.amount.fen != typed.fen:
            self._break(
                "codes", f"{machine.name} gives credit by a code: {typed}; issued was {code}"
            )
            return
        if str(code.transfer) in self.credits and not self._is_put_back(machine):
            self._break("codes", f"{machine.name} gives credit by a code that it has: {code}")
        self._credited(str(code.transfer), (ledger.clearing(CHANNEL), typed.book, code.amount.fen))

    def _lent(self, purse: UUID, *, is_taken: bool) -> None:
        """Emergency credit is lent to whoever asked for it, and until the purse is above the level of the offer."""
        if is_taken:
            if str(purse) not in self.asked:
                self._break("emergency", f"purse {purse} is lent money, and nobody asked for it")
            return
        offers = [p.policy.emergency for p in self.points.values() if p.point.purse == purse]
        left = self.booked(purse)
        if any(offer is not None and left <= offer.offered_at.fen for offer in offers):
            self._break(
                "emergency", f"purse {purse} holds {left} fen, and what it was lent is gone"
            )

    def opened(self, machine: Machine, store: Store) -> None:
        """A program starts on its ledger."""
        self.found_old(machine, store.hold)
        told, cursor = machine.told, store.cursor()
        if told is None or told[0] != store.log:
            return
        if (cursor.seq if cursor is not None else 0) < told[1] and not self._is_put_back(machine):
            self._break(
                "disk",
                f"{machine.name} told that it has entry {told[1]} of the cloud's, now it has {cursor}",
            )

    def _is_put_back(self, machine: Machine) -> bool:
        """Whether somebody puts an old ledger back here."""
        return any(
            h.estate == machine.number and h.what in (What.OLD_COPY, What.RESTORE)
            for h in self._plan.weather
        )

    def found_old(self, machine: Machine, hold: Hold | None) -> None:
        """A ledger is found to be an old copy only where somebody has put one back."""
        if hold in (Hold.BEHIND, Hold.FORKED) and not self._is_put_back(machine):
            self._break("copies", f"the ledger of {machine.name} is {hold}, and nobody put it back")

    def _follow(self, machine: Machine, saved: Saved) -> None:
        """The account after a position is what the account before it comes to by the reading."""
        point = self.points[saved.point]
        if saved.tariff is None:
            self._break(
                "copies",
                f"{point.point.name} stands at {saved.body}, and its ledger does not know it",
            )
            return
        position = _POSITION.validate_json(saved.body)
        key = self._keys[saved.body] = _POSITION.dump_json(position)
        if key in point.accounts:
            point.latest = key  # one that we know, as by a store that was rebuilt
            return
        reading = position.reading
        exchange = point.exchange
        is_old = exchange is not None and reading.meter_no == exchange.meter_no
        shown = exchange.shown if exchange is not None and is_old else point.meter.flow.shown
        if reading.total not in shown:
            self._break(
                "readings", f"{point.point.name}: its register never showed {reading.total}"
            )
            return
        was = None
        if saved.was is not None:
            was = self._key(saved.was)
            if was not in point.accounts:
                self._break(
                    "charges", f"{point.point.name}: a position of nobody's is gone on from"
                )
                return
        elif point.accounts and self._position_told(point.point.id):
            self._break("charges", f"{point.point.name}: its account begins again")
            return
        document = self._plan.tariffs[saved.tariff]
        if was is None:
            account = oracle.Account(document, reading.at, Fraction(reading.total))
        else:
            total = reading.total if is_old else point.counted(was, reading.total)
            account = self._settled(point.accounts[was], document, reading.at, total)
            account.register = Fraction(reading.total)
        if exchange is not None and not is_old:
            point.by_new.add(key)
            if not point.is_exchange_known:
                point.is_exchange_known = True
                machine.disturb_line()
        point.accounts[key] = account
        point.latest = key
        self._compare(point, position, account)

    def _key(self, body: str) -> bytes:
        """A position as it is always written, whoever has written the body."""
        if body not in self._keys:
            self._keys[body] = _POSITION.dump_json(_POSITION.validate_json(body))
        return self._keys[body]

    def _settled(
        self, before: oracle.Account, document: Mapping[str, Any], at: datetime, total: Decimal
    ) -> oracle.Account:
        account = replace(
            before,
            tariff=document,
            lines={key: list(line) for key, line in before.lines.items()},
            counted=dict(before.counted),
            posted=dict(before.posted),
            known=set(before.known),
        )
        if self._plan.clocks_jump:
            account.at = at - timedelta(seconds=1)  # prices do not hang on the time here
        register = Fraction(total)
        if register < account.register:
            account.register -= 10**6  # it rolled over
        account.settle(at, register)
        return account

    def _compare(self, point: Point, position: Position, account: oracle.Account) -> None:
        costs = {one.item: Fraction(one.cost) for one in position.running if one.cost}
        posted = {one.item: one.posted.fen for one in position.running if one.posted.fen}
        really = {item: cost for item, cost in account.items().items() if cost}
        due = {item: fen for item, fen in account.posted.items() if fen}
        if costs != really or posted != due:
            self._break(
                "charges",
                f"{point.point.name} at {position.reading.at}, register {position.reading.total}: costs "
                f"{_shown(costs)} posted {posted}, really {_shown(really)} posted {due}",
            )

    # What a purse really holds.

    def cost(self, point: Point) -> int:
        """What the point has cost up to this instant, in fen."""
        if point.latest is None:
            return 0
        account = point.accounts[point.latest]
        now = max(self._now(), account.at)
        total = point.counted(point.latest, point.meter.flow.register())
        settled = self._settled(account, account.tariff, now, total)
        return sum(settled.posted.values())

    def available(self, purse: UUID | None) -> int:
        """What the gateway was credited, less what has really been used; in fen.

        Raises ValueError for a vacant point: nobody pays, so nothing is available or lacking.
        """
        if purse is None:
            raise ValueError("this world has no vacant points")
        return self._paid_in(purse) - sum(
            self.cost(p) for p in self.points.values() if p.point.purse == purse
        )

    def booked(self, purse: UUID) -> int:
        """What the gateway was credited, less what it has charged up to now; in fen."""
        return self._paid_in(purse) - sum(
            sum(p.accounts[p.latest].posted.values())
            for p in self.points.values()
            if p.point.purse == purse and p.latest is not None
        )

    def offered_fen(self, purse: UUID) -> int:
        """The highest balance at which emergency credit is offered to a purse."""
        policies = [p.policy for p in self.points.values() if p.point.purse == purse]
        return max(p.emergency.offered_at.fen for p in policies if p.emergency is not None)

    def _paid_in(self, purse: UUID) -> int:
        book = ledger.prepaid(purse)
        filled = sum(fen for _, credit, fen in self.credits.values() if credit == book)
        return filled - sum(fen for debit, _, fen in self.credits.values() if debit == book)

    # What meters are told.

    def tripped(self, point: Point) -> None:
        """A contact is about to open, or a valve to close."""
        machine, policy, name = self.acting, point.policy, point.point.name
        assert machine is not None
        assert machine.store is not None
        self.trips += 1
        now = self._now()
        if machine.store.hold is not None:
            self._break("holds", f"{name} is cut by a store that is held")
        if policy.is_protected:
            self._break("protection", f"{name} is cut, and nobody may")
            return
        override = machine.store.override(point.point.id)
        if override is not None and override.until > now + CLOCK_OFF:
            if override.supply is Supply.ON:
                self._break("overrides", f"{name} is cut, and an operator keeps it supplied")
            return
        if override is not None and override.until > now - CLOCK_OFF:
            return  # it ends just now, by one clock or the other
        available, level = self.available(point.point.purse), self._level(machine, point)
        if available > level:
            self._break(
                "credit",
                f"{name} is cut with credit: {available} fen are there, the cut is at {level}",
            )
        if point.meter.flow.looks_within(FRESH_MS) < LOOKS:
            self._break("looks", f"{name} is cut after one look at its register")
        if _is_quiet(policy, now - CLOCK_OFF) and _is_quiet(policy, now + CLOCK_OFF):
            self._break("quiet times", f"{name} is cut at {now + OFFSET:%H:%M}, a quiet time")
        self._count(point)
        if self._is_undisturbed(machine, point):
            self._judge_overdraft(point, Fraction(level - available))

    def _count(self, point: Point) -> None:
        now = asyncio.get_running_loop().time()
        number = point.estate.number
        lately = [(at, id) for at, id in self._trips[number] if now - at < BRAKE_WITHIN_S]
        lately = [(at, id) for at, id in lately if id != point.id] + [(now, point.id)]
        self._trips[number] = lately
        if len(lately) > BRAKE_LEAST:
            self._break("brake", f"{len(lately)} points of one gateway are cut within 10 minutes")

    def brake_released(self, estate: Estate) -> None:
        self._trips[estate.number].clear()

    def _is_undisturbed(self, machine: Machine, point: Point) -> bool:
        """Whether nothing kept the gateway from cutting in time."""
        estate, policy = self._plan.estates[point.estate.number], point.policy
        elapsed_s = asyncio.get_running_loop().time()
        return (
            machine.clear_from < elapsed_s
            and self._knows_meters(point.point.purse)
            and not estate.noise
            and not self._plan.clocks_jump
            and policy.quiet is None
            and not policy.notice
            and policy.max_cut_current_a is None
            and not any(
                h.estate == point.estate.number
                and h.what in (What.TARIFF, What.PIN)
                and h.at_s <= elapsed_s
                for h in self._plan.weather
            )
        )

    def _knows_meters(self, purse: UUID | None) -> bool:
        """Whether the gateway has heard of each meter that the purse pays for."""
        return all(p.is_exchange_known for p in self.points.values() if p.point.purse == purse)

    def _judge_overdraft(self, point: Point, overdraft: Fraction) -> None:
        paid = [p for p in self.points.values() if p.point.purse == point.point.purse]
        since, now = self._now() - timedelta(days=1), self._now()
        per_day, unseen = Decimal(0), Decimal(0)
        for each in paid:
            document = self._plan.tariffs[each.point.tariff]
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
        self.judged_overdrafts += 1
        self.worst_overdraft = max(self.worst_overdraft, overdraft / bound.fen)
        if overdraft > bound.fen:
            self._break(
                "overdraft",
                f"{point.point.name} is cut {float(overdraft):.0f} fen too late, the bound is {bound.fen}",
            )

    # What must follow within one visit.

    def _expect(self, machine: Machine, point: Point) -> None:
        """The gateway has just heard of money or of an operator: within a visit the supply is as it should be."""
        since = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(
            RESTORED_WITHIN_S, self._is_followed, machine, point, since
        )

    def _is_followed(self, machine: Machine, point: Point, since: float) -> None:
        estate = self._plan.estates[point.estate.number]
        store = machine.store
        if (
            machine.clear_from > since
            or not self._knows_meters(point.point.purse)
            or not machine.is_on
            or store is None
            or store.hold is not None
            or estate.noise
            or self._plan.clocks_jump
            or store.history(point.point.id).is_held
        ):
            return
        wanted = self.wanted(machine, point, at_least_fen=2)
        if wanted is None:
            return
        self.judged_restores += 1
        meter = point.meter
        is_so = (not meter.is_off or meter.is_armed) if wanted is Supply.ON else meter.is_off
        if not is_so:
            self._break(
                "supply",
                f"{point.point.name} is to be {wanted}, and is not {RESTORED_WITHIN_S:.0f} s after the gateway "
                "was told",
            )

    def wanted(self, machine: Machine, point: Point, *, at_least_fen: int = 0) -> Supply | None:
        """The supply that a point should have, None where it may be either."""
        assert machine.store is not None
        policy, now = point.policy, self._now()
        if policy.is_protected:
            return Supply.ON
        override = machine.store.override(point.point.id)
        if override is not None and override.until > now + CLOCK_OFF:
            if override.supply is Supply.OFF and policy.max_cut_current_a is not None:
                return None  # what flows may be too much to be cut
            if override.supply is Supply.ON and self.asks_for_taps(point):
                return None
            return override.supply
        if override is not None and override.until > now - CLOCK_OFF:
            return None
        available, level = self.available(point.point.purse), self._level(machine, point)
        if available > level + at_least_fen:
            return None if self.asks_for_taps(point) else Supply.ON
        if available > level or at_least_fen:
            return None  # a cut for want of credit has a time of its own
        return None if _is_quiet(policy, now) else Supply.OFF

    def _level(self, machine: Machine, point: Point) -> int:
        assert machine.store is not None
        assert point.point.purse is not None
        is_lent = machine.store.lent(point.point.purse) is not None
        return cut_fen(point.policy, is_lent=is_lent)

    # Taps.

    def asks_for_taps(self, point: Point) -> bool:
        """Whether its supply may wait for an answer about its taps: it asks for one, and is off."""
        return point.policy.ask_after is not None and point.meter.is_off

    def turned_on(self, point: Point, off_s: float) -> None:
        """A valve is told to open that was closed for so long."""
        machine, ask_after = self.acting, point.policy.ask_after
        if ask_after is None or machine is None or off_s <= ask_after.total_seconds() + OFF_SEEN_S:
            return
        now = asyncio.get_running_loop().time()
        closed_at = now - off_s
        if machine.clear_from > closed_at or self._plan.estates[point.estate.number].noise:
            return  # when it went off may not have been seen at once
        said_at = self.taps.get(point.id)
        if said_at is None or said_at < closed_at:
            self._break(
                "taps",
                f"{point.point.name} is opened after {off_s / 3600:.1f} h, and nobody said that its taps are closed",
            )

    def _break(self, name: str, text: str) -> None:
        self._fail(Broken(name, text))


def _is_quiet(policy: Policy, now: datetime) -> bool:
    hour = (now + OFFSET).hour
    return policy.quiet is not None and (hour >= QUIET_FROM or hour < QUIET_TO)


def cut_fen(policy: Policy, *, is_lent: bool) -> int:
    """The balance at which a purse is cut: prepaid.credit.cut_level, reckoned again."""
    level = policy.cut_at.fen - policy.overdraft.fen
    if policy.emergency is not None and (policy.emergency.is_automatic or is_lent):
        level -= policy.emergency.amount.fen
    return level


def _shown(costs: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{item} {float(cost):.6f}" for item, cost in costs.items())

"""What is really so, and whether it is what gateway and cloud say: the invariants of docs/world.md."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from edge.ledger.store import Hold, Store
from prepaid import ledger
from prepaid.rating import Position
from prepaid.reading import Supply
from simulators import oracle
from simulators.world import overdrafts, supplies
from simulators.world.broken import Broken
from simulators.world.cloud import Code
from simulators.world.company import CHANNEL
from simulators.world.disk import Commit, Saved, Typed
from simulators.world.machine import Machine
from simulators.world.meters import AnyMeter
from simulators.world.organizations import Estate
from simulators.world.plan import Plan, What
from simulators.world.points import Exchange, Point
from simulators.world.supplies import CLOCK_OFF, OFFSET

_POSITION = TypeAdapter(Position)
LOOKS, FRESH_MS = 2, 300_000  # a cut needs two fresh looks
RESTORED_WITHIN_S = 180.0
BRAKE_LEAST, BRAKE_WITHIN_S = 5, 600.0
OFF_SEEN_S = 120.0  # until a gateway has seen that a valve is closed


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
        self.plan = plan
        self.now = now
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
            self.fail(
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
        known = self.credits.get(id)
        if known is not None:  # again, as by a store that was rebuilt
            if known != moved:
                self.fail("credits", f"transfer {id} is booked as {moved}, was {known}")
            return
        self.credits[id] = moved
        purse = ledger.purse_of(ledger.Book(moved[0]))
        if purse is not None and (left := self.booked(purse)) < 0:
            self.fail("refunds", f"{moved[2]} fen are taken out of purse {purse}: {left} are left")

    def _typed(self, machine: Machine, typed: Typed) -> None:
        """A code gives what the cloud has credited under its number, before the credit itself comes."""
        code = self.codes.get((typed.book, typed.number))
        if code is None or code.amount.fen != typed.fen:
            self.fail("codes", f"{machine.name} gives credit by a code: {typed}; issued was {code}")
            return
        if str(code.transfer) in self.credits and not self._is_put_back(machine):
            self.fail("codes", f"{machine.name} gives credit by a code that it has: {code}")
        self._credited(str(code.transfer), (ledger.clearing(CHANNEL), typed.book, code.amount.fen))

    def _lent(self, purse: UUID, *, is_taken: bool) -> None:
        """Emergency credit is lent to whoever asked for it, and until the purse is above the level of the offer."""
        if is_taken:
            if str(purse) not in self.asked:
                self.fail("emergency", f"purse {purse} is lent money, and nobody asked for it")
            return
        offers = [p.policy.emergency for p in self.points.values() if p.point.purse == purse]
        left = self.booked(purse)
        if any(offer is not None and left <= offer.offered_at.fen for offer in offers):
            self.fail("emergency", f"purse {purse} holds {left} fen, and what it was lent is gone")

    def opened(self, machine: Machine, store: Store) -> None:
        """A program starts on its ledger."""
        self.found_old(machine, store.hold)
        told, cursor = machine.told, store.cursor()
        if told is None or told[0] != store.log:
            return
        if (cursor.seq if cursor is not None else 0) < told[1] and not self._is_put_back(machine):
            self.fail(
                "disk",
                f"{machine.name} told that it has entry {told[1]} of the cloud's, now it has {cursor}",
            )

    def _is_put_back(self, machine: Machine) -> bool:
        """Whether somebody puts an old ledger back here."""
        return any(
            h.estate == machine.number and h.what in (What.OLD_COPY, What.RESTORE)
            for h in self.plan.weather
        )

    def found_old(self, machine: Machine, hold: Hold | None) -> None:
        """A ledger is found to be an old copy only where somebody has put one back."""
        if hold in (Hold.BEHIND, Hold.FORKED) and not self._is_put_back(machine):
            self.fail("copies", f"the ledger of {machine.name} is {hold}, and nobody put it back")

    def _follow(self, machine: Machine, saved: Saved) -> None:
        """The account after a position is what the account before it comes to by the reading."""
        point = self.points[saved.point]
        if saved.tariff is None:
            self.fail(
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
            self.fail("readings", f"{point.point.name}: its register never showed {reading.total}")
            return
        was = None
        if saved.was is not None:
            was = self._key(saved.was)
            if was not in point.accounts:
                self.fail("charges", f"{point.point.name}: a position of nobody's is gone on from")
                return
        elif point.accounts and self._position_told(point.point.id):
            self.fail("charges", f"{point.point.name}: its account begins again")
            return
        document = self.plan.tariffs[saved.tariff]
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
        if self.plan.clocks_jump:
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
            self.fail(
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
        now = max(self.now(), account.at)
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
        now = self.now()
        if machine.store.hold is not None:
            self.fail("holds", f"{name} is cut by a store that is held")
        if policy.is_protected:
            self.fail("protection", f"{name} is cut, and nobody may")
            return
        override = machine.store.override(point.point.id)
        if override is not None and override.until > now + CLOCK_OFF:
            if override.supply is Supply.ON:
                self.fail("overrides", f"{name} is cut, and an operator keeps it supplied")
            return
        if override is not None and override.until > now - CLOCK_OFF:
            return  # it ends just now, by one clock or the other
        available, level = self.available(point.point.purse), supplies.level_of(machine, point)
        if available > level:
            self.fail(
                "credit",
                f"{name} is cut with credit: {available} fen are there, the cut is at {level}",
            )
        if point.meter.flow.looks_within(FRESH_MS) < LOOKS:
            self.fail("looks", f"{name} is cut after one look at its register")
        if supplies.is_quiet(policy, now - CLOCK_OFF) and supplies.is_quiet(
            policy, now + CLOCK_OFF
        ):
            self.fail("quiet times", f"{name} is cut at {now + OFFSET:%H:%M}, a quiet time")
        self._count(point)
        if overdrafts.is_undisturbed(self, machine, point):
            overdrafts.judge(self, point, Fraction(level - available))

    def _count(self, point: Point) -> None:
        now = asyncio.get_running_loop().time()
        number = point.estate.number
        lately = [(at, id) for at, id in self._trips[number] if now - at < BRAKE_WITHIN_S]
        lately = [(at, id) for at, id in lately if id != point.id] + [(now, point.id)]
        self._trips[number] = lately
        if len(lately) > BRAKE_LEAST:
            self.fail("brake", f"{len(lately)} points of one gateway are cut within 10 minutes")

    def brake_released(self, estate: Estate) -> None:
        self._trips[estate.number].clear()

    # What must follow within one visit.

    def _expect(self, machine: Machine, point: Point) -> None:
        """The gateway has just heard of money or of an operator: within a visit the supply is as it should be."""
        since = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(
            RESTORED_WITHIN_S, self._is_followed, machine, point, since
        )

    def _is_followed(self, machine: Machine, point: Point, since: float) -> None:
        estate = self.plan.estates[point.estate.number]
        store = machine.store
        if (
            machine.clear_from > since
            or not overdrafts.knows_meters(self, point.point.purse)
            or not machine.is_on
            or store is None
            or store.hold is not None
            or estate.noise
            or self.plan.clocks_jump
            or store.history(point.point.id).is_held
        ):
            return
        wanted = supplies.wanted(self, machine, point, at_least_fen=2)
        if wanted is None:
            return
        self.judged_restores += 1
        meter = point.meter
        is_so = (not meter.is_off or meter.is_armed) if wanted is Supply.ON else meter.is_off
        if not is_so:
            self.fail(
                "supply",
                f"{point.point.name} is to be {wanted}, and is not {RESTORED_WITHIN_S:.0f} s after the gateway "
                "was told",
            )

    # Taps.

    def turned_on(self, point: Point, off_s: float) -> None:
        """A valve is told to open that was closed for so long."""
        machine, ask_after = self.acting, point.policy.ask_after
        if ask_after is None or machine is None or off_s <= ask_after.total_seconds() + OFF_SEEN_S:
            return
        now = asyncio.get_running_loop().time()
        closed_at = now - off_s
        if machine.clear_from > closed_at or self.plan.estates[point.estate.number].noise:
            return  # when it went off may not have been seen at once
        said_at = self.taps.get(point.id)
        if said_at is None or said_at < closed_at:
            self.fail(
                "taps",
                f"{point.point.name} is opened after {off_s / 3600:.1f} h, and nobody said that its taps are closed",
            )

    def fail(self, name: str, text: str) -> None:
        self._fail(Broken(name, text))


def _shown(costs: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{item} {float(cost):.6f}" for item, cost in costs.items())

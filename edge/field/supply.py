"""Testing a switch: cut and given back, both read back; and which register stops when it is cut.

Nothing here sends a command. The agent is told that a technician tries the point out, and cuts it by its own rules;
when that ends it gives the supply back by the same, whatever has happened in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from edge.drivers import DRIVERS, why_not_switched
from edge.field.job import Job, Kind
from edge.field.room import MeterRoom, look
from edge.field.said import CannotDo, Said, Tone, of_entry, said, why_not
from prepaid.point import ServicePoint
from prepaid.reading import Supply
from prepaid.supply import Override, Why, wanted
from prepaid.wire.uplog import Work

LONGEST = timedelta(minutes=5)  # a test that is not ended by then ends by itself
MARGIN_S = 30.0  # beside the travel of relay or valve: other visits, retries
ARMED_S = 60.0  # for the button on the meter
LOOK_S = 0.5
BACK = (Supply.ON, Supply.ARMED)
OFF_S = (10, 600)  # the shortest and longest that a blink test leaves a supply on and off


def why_no_test(room: MeterRoom, point: ServicePoint, seen: Supply | None) -> Said | None:
    """Why this point may not be cut now, not even for a moment; None where it may."""
    situation = room.agent.situation(point, seen)
    if not point.meter.has_switch:
        return said("This meter has no switch.", Tone.BAD)
    if (sentence := why_not_told(room, point)) is not None:
        return sentence
    if room.store.hold is not None:
        return said("The ledger is held: nothing is read, charged or switched.", Tone.BAD)
    if not situation.is_clock_trusted:
        return said("The clock is in doubt, so quiet hours cannot be told: set it first.", Tone.BAD)
    want = wanted(point.policy, situation)
    match want.why:
        case Why.PROTECTED | Why.KEPT:
            return said("This point is protected (保电): it is cut by nobody.", Tone.BAD)
        case Why.FORCED_OFF:
            return said("An operator has cut this point off: somebody may be at work.", Tone.BAD)
        case Why.HELD:
            return said(
                "The reading is in doubt, so the supply would stay off: the office decides first.",
                Tone.BAD,
            )
        case Why.NO_TARIFF:
            return said("There is no tariff, so the supply would stay off.", Tone.BAD)
    if point.policy.quiet is not None and (end := point.policy.quiet.until(situation.now)):
        return said("Quiet time: nobody is cut until %(until)s.", Tone.BAD, until=end.isoformat())
    if want.supply is Supply.OFF or seen is Supply.OFF:
        return said("The supply is off: there is nothing to cut.", Tone.BAD)
    return None


def why_not_told(room: MeterRoom, point: ServicePoint) -> Said | None:
    """What is wrong in the office's entry, where the switch of a point cannot be told off and on by it."""
    if not point.meter.has_switch or point.meter.protocol not in DRIVERS:
        return None
    wrong = why_not_switched(point, (Supply.OFF, Supply.ON), room.now())
    if wrong is None:
        return None
    return said(
        "It can be read, but not cut and given back as it is entered: %(what)s. The office enters it on the meter's "
        "own page.",
        Tone.BAD,
        what=of_entry(wrong),
    )


def begin_cut_test(room: MeterRoom, point: ServicePoint, *, by: str) -> Job:
    """Cut, read back, give back, read back. Raises CannotDo where that may not be now."""
    _check(room, point)

    async def work(job: Job) -> None:
        await _sees_on(room, point, job)
        outcome, is_right = "not off", False
        room.begin_work(point.id, Work.CUT_TEST, by=by)
        try:
            async with _off(room, point, job, by) as off_s:
                outcome = f"off after {off_s:.1f} s"
            is_right, back = await _back(room, point, job)
            outcome += back
        finally:
            room.end_work(point.id, Work.CUT_TEST, is_right=is_right, by=by, text=outcome)

    return room.jobs.start(Kind.CUT_TEST, str(point.id), title=point.name, by=by, work=work)


def _check(room: MeterRoom, point: ServicePoint) -> None:
    room.of_point(point)
    row = room.store.supply(point.id)
    if (sentence := why_no_test(room, point, row.seen if row is not None else None)) is not None:
        raise CannotDo(sentence)


async def _sees_on(room: MeterRoom, point: ServicePoint, job: Job) -> None:
    job.do(said("Reading the meter"))
    seen = await look(room, point)
    if seen.trouble is not None:
        raise CannotDo(seen.trouble)
    if seen.supply is None:
        raise why_not("The meter does not say whether it is on, so a test proves nothing.")
    if (sentence := why_no_test(room, point, seen.supply)) is not None:
        raise CannotDo(sentence)
    job.say(said("Before: register %(total)s, supply on.", total=seen.total))


@asynccontextmanager
async def _off(room: MeterRoom, point: ServicePoint, job: Job, by: str) -> AsyncIterator[float]:
    """The supply is off within: how long it took. It is given back in any case. Raises CannotDo if it stays on."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    _, driver = room.of_point(point)
    job.do(said("Cutting off"))
    test = Override(Supply.OFF, room.now() + LONGEST, by=by, why="test by a technician")
    room.agent.try_off(point.id, test)
    try:
        while (seen := _seen(room, point)) is not Supply.OFF:
            if _is_refused(room, point) or loop.time() > began + driver.TRAVEL_S + MARGIN_S:
                raise why_not(_why_still_on(room, point), seen=SEEN[seen])
            await asyncio.sleep(LOOK_S)
        off_s = loop.time() - began
        job.say(said("Off, read back after %(seconds)s s.", Tone.GOOD, seconds=f"{off_s:.1f}"))
        yield off_s
    finally:
        room.agent.end_try(point.id)


SEEN = {
    Supply.ON: said("on"),
    Supply.OFF: said("off"),
    Supply.ARMED: said("may be closed"),
    None: said("nothing that can be understood"),
}


def _is_refused(room: MeterRoom, point: ServicePoint) -> bool:
    intent = room.store.intent(point.id)
    return intent is not None and intent.is_refused and intent.supply is Supply.OFF


def _why_still_on(room: MeterRoom, point: ServicePoint) -> str:
    row = room.store.supply(point.id)
    if row is not None and row.why is Why.CURRENT:
        return "Too much current flows to cut it: switch the load down and test again."
    if _is_refused(room, point):
        return "The meter refuses to be cut: look at password, level and operator code in the office's entry."
    if room.store.intent(point.id) is None:
        return "It was not cut: the rules forbid it now, or its meter does not answer."
    return "The switch did not follow: it still reads %(seen)s. Look at relay or valve."


def _seen(room: MeterRoom, point: ServicePoint) -> Supply | None:
    row = room.store.supply(point.id)
    return row.seen if row is not None else None


async def _back(room: MeterRoom, point: ServicePoint, job: Job) -> tuple[bool, str]:
    """Waits until the supply is given back, and then for the button, if that is needed; whether that was proved,
    and how it went, in English."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    _, driver = room.of_point(point)
    job.do(said("Giving back"))
    last = began + driver.TRAVEL_S + MARGIN_S + point.policy.dwell.total_seconds()
    armed_s = None
    while (seen := _seen(room, point)) is not Supply.ON:
        now = loop.time()
        if seen is Supply.ARMED and armed_s is None:
            armed_s = now - began
            last = now + ARMED_S
            job.say(
                said(
                    "Allowed to close, read back after %(seconds)s s: press the button on the meter.",
                    Tone.WARN,
                    seconds=f"{armed_s:.1f}",
                )
            )
            job.do(said("Waiting for the button"))
        if now > last:
            if armed_s is not None:
                job.say(said("The button was not pressed: the customer can press it any time."))
                return True, f", armed after {armed_s:.1f} s, button not pressed"
            job.say(said("Not given back yet; it is tried on.", Tone.BAD))
            return False, ", not given back yet"
        await asyncio.sleep(LOOK_S)
    on_s = loop.time() - began
    job.say(said("On, read back after %(seconds)s s.", Tone.GOOD, seconds=f"{on_s:.1f}"))
    return True, f", on after {on_s:.1f} s"


# Which register stops when this one is cut.


@dataclass(frozen=True, slots=True)
class Moved:
    """What one register did in a blink test: how far it moved with the supply on, and with it off.

    None where it could not be read.
    """

    point: ServicePoint
    is_tested: bool
    on: Decimal | None
    off: Decimal | None

    @property
    def follows(self) -> bool:
        """Whether it moved while the tested supply was on, and stood still while it was off."""
        return bool(self.on) and self.off == 0


def begin_blink_test(
    room: MeterRoom,
    point: ServicePoint,
    others: list[ServicePoint],
    *,
    seconds: int,
    by: str,
) -> Job:
    """Leaves the supply on and then off for so long, and tells which registers moved. Raises CannotDo."""
    _check(room, point)
    if not OFF_S[0] <= seconds <= OFF_S[1]:
        raise why_not("Give %(least)s to %(most)s seconds.", least=OFF_S[0], most=OFF_S[1])
    watched = [point, *(other for other in others if other.id != point.id)]

    async def work(job: Job) -> None:
        await _sees_on(room, point, job)
        outcome: Said | None = None
        room.begin_work(point.id, Work.BLINK_TEST, by=by)
        try:
            on = await _watch(room, watched, seconds, job, said("Watching with the supply on"))
            async with _off(room, point, job, by):
                off = await _watch(
                    room, watched, seconds, job, said("Watching with the supply off")
                )
            moved = [
                Moved(each, each.id == point.id, on[each.id], off[each.id]) for each in watched
            ]
            for each in moved:
                job.add(each)
            outcome = judge(moved)
            job.say(outcome)
            await _back(room, point, job)
        finally:
            is_right = {Tone.GOOD: True, Tone.BAD: False}.get(outcome.tone) if outcome else None
            text = str(outcome) if outcome else "ended before anything was proved"
            room.end_work(point.id, Work.BLINK_TEST, is_right=is_right, by=by, text=text)

    return room.jobs.start(Kind.BLINK_TEST, str(point.id), title=point.name, by=by, work=work)


async def _watch(
    room: MeterRoom, points: list[ServicePoint], seconds: int, job: Job, doing: Said
) -> dict[object, Decimal | None]:
    """How far each register moved meanwhile."""
    total = 2 * len(points) + seconds
    before = {}
    for number, point in enumerate(points):
        job.do(doing, done=number, total=total)
        before[point.id] = (await look(room, point)).total
    for second in range(seconds):
        job.do(doing, done=len(points) + second, total=total)
        await asyncio.sleep(1)
    moved: dict[object, Decimal | None] = {}
    for number, point in enumerate(points):
        job.do(doing, done=len(points) + seconds + number, total=total)
        after, first = (await look(room, point)).total, before[point.id]
        moved[point.id] = after - first if after is not None and first is not None else None
    return moved


def judge(moved: list[Moved]) -> Said:
    """What the registers say of who hangs on the tested switch."""
    (tested,) = (each for each in moved if each.is_tested)
    followers = [each.point.name for each in moved if each.follows and not each.is_tested]
    if tested.on is None or tested.off is None:
        return said("The meter itself could not be read: test again.", Tone.BAD)
    if tested.off > 0 and followers:
        return said(
            "Crossed: this register goes on while its supply is off, and %(others)s stopped.",
            Tone.BAD,
            others=", ".join(followers),
        )
    if tested.off > 0:
        return said(
            "Wrong: this register goes on while its supply is off. The switch is another's.",
            Tone.BAD,
        )
    if not tested.on:
        return said(
            "Nothing was used, so nothing is proved: switch on a load (a kettle, a tap) and test again.",
            Tone.WARN,
        )
    if followers:
        return said(
            "Right: this register stopped. So did %(others)s, perhaps by chance: test again.",
            Tone.WARN,
            others=", ".join(followers),
        )
    return said("Right: this register moved, and stopped with its supply.", Tone.GOOD)

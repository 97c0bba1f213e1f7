"""What happens to a story as its plan says: weather, misfortune, and what an operator does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from prepaid.reading import Supply
from simulators.world import dealings
from simulators.world.disk import copy_ledger
from simulators.world.machine import Machine
from simulators.world.organizations import Estate
from simulators.world.plan import HOUR_S, Happening, What

if TYPE_CHECKING:
    from simulators.world.story import Story

READ_CODE_S = 30.0
OPENING_STEPS = 12345  # what a new meter has counted at the maker's


async def happen(story: Story, happening: Happening) -> None:
    number, lasts_s = happening.estate, happening.lasts_s
    estate, machine = story.estates[number], story.serving[number]
    loop = asyncio.get_running_loop()
    match happening.what:
        case What.TOP_UP:
            story.cloud.top_up(estate, happening.which, happening.number, happening.more)
            if happening.more == "lost":
                loop.call_later(200.0, story.cloud.sweep)
        case What.LINK:
            set_link(story, number, is_up=True)
            loop.call_later(lasts_s, take_link_down, story, number)
        case What.POWER_CUT:
            machine.cut_power(lasts_s)
        case What.CUT_AT_COMMIT:
            machine.cut_power_at(happening.number, is_after=bool(happening.which), off_s=lasts_s)
        case What.CUT_AT_REQUEST:
            machine.cut_power_at_request(happening.number, lasts_s)
        case What.CUT_AT_WORD:
            machine.cut_power_at_word(happening.number, lasts_s)
        case What.NOISE:
            machine.line.noise = happening.number / 100
            machine.disturb_line()
            loop.call_later(lasts_s, quieten, story, machine, story.plan.estates[number].noise)
        case What.DEAD_METER:
            story.meters[number][happening.which].is_dead = True
            machine.disturb_line()
            loop.call_later(lasts_s, revive, story, number, happening.which)
        case What.LINE_AWAY:
            machine.line.is_away = True
            machine.disturb_line()
            loop.call_later(lasts_s, bring_line_back, story, machine)
        case What.DISK_FULL:
            machine.disk.fails_at = happening.number
            machine.disturb_line()
            loop.call_later(lasts_s, make_room, story, machine)
        case What.CLOCK:
            machine.has_time_service = False
            machine.shift = timedelta(seconds=lasts_s)
        case What.CLOCK_RIGHT:
            machine.has_time_service = True
            machine.shift = timedelta(0)
        case What.BACKUP:
            await machine.power_off()
            copy_ledger(machine.path, story.folder / f"{number}-copy")
            if machine.path.exists():
                machine.back_up(story.folder / f"{number}-backup")
            machine.power_on()
        case What.RESTORE:
            await restore(story, number, machine, lasts_s)
        case What.OLD_COPY:
            await machine.power_off()
            if (copy := story.folder / f"{number}-copy").exists():
                machine.put_back(copy)
            calm_link(story, number, lasts_s)
            machine.power_on()
        case What.SPARE:
            await machine.power_off()
            spare = story.serving[number] = story.machine(number, "spare")
            spare.take_over()
            loop.call_later(lasts_s, spare.power_on)
        case What.OLD_RETURNS:
            calm_link(story, number, HOUR_S)
            story.machines[number][0].power_on()
        case What.TARIFF:
            story.cloud.change_tariff(estate, happening.which)
        case What.PIN:
            until = story.now() + timedelta(seconds=lasts_s)
            story.cloud.pin(estate, happening.which, Supply(happening.more), until)
        case What.UNPIN:
            story.cloud.unpin(estate, happening.which)
        case What.RELEASE:
            release_brake(story, estate)
        case What.LIE:
            lie(story, number)
        case What.CODE:
            topup = story.cloud.top_up(estate, happening.which, happening.number, "")
            loop.call_later(READ_CODE_S, dealings.type_code, story, number, topup)
        case What.BORROW:
            is_here = happening.more == "gateway"
            dealings.borrow(story, number, happening.which, is_here=is_here, left_s=lasts_s)
        case What.REFUND:
            story.cloud.top_up(estate, happening.which, happening.number, "")
            percent = int(happening.more)
            loop.call_later(lasts_s, story.cloud.refund, estate, happening.which, percent)
        case What.ANSWER:
            dealings.close_taps(story, number, is_here=happening.more == "gateway")
        case What.EXCHANGE:
            exchange(story, number, happening.which)
        case _:
            raise AssertionError(f"nobody makes {happening.what} happen")


def exchange(story: Story, number: int, place: int) -> None:
    """A meter is taken down and another put up, with what both of them show written down."""
    estate, point = (
        story.estates[number],
        story.truth.points[str(story.estates[number].points[place].id)],
    )
    old = point.meter.flow
    closing, opening = old.register(), Decimal(OPENING_STEPS * (place + 1)).scaleb(-2)
    address = story.cloud.exchange(estate, place, closing=closing, opening=opening)
    old.switch(is_on=False)
    new = story.meters[number][place] = story.meter(number, place, address, opening)
    story.truth.exchanged(point, new, closing=closing, opening=opening)
    story.serving[number].disturb_line()


def release_brake(story: Story, estate: Estate) -> None:
    if story.cloud.release_brake(estate):
        story.truth.brake_released(estate)


async def restore(story: Story, number: int, machine: Machine, lasts_s: float) -> None:
    await machine.power_off()
    if (backup := story.folder / f"{number}-backup").exists():
        machine.restore(backup)
    machine.power_on()


def set_link(story: Story, number: int, *, is_up: bool) -> None:
    for link in story.network.links[story.estates[number].gateway_no]:
        link.set(is_up=is_up)


def take_link_down(story: Story, number: int) -> None:
    if not story.is_calm:
        set_link(story, number, is_up=False)


def calm_link(story: Story, number: int, lasts_s: float) -> None:
    """Nothing is lost between this gateway and the cloud, for a while at least."""
    story.network.clear(story.estates[number].gateway_no)
    story.cloud.worker_dies = 0.0
    set_link(story, number, is_up=True)
    asyncio.get_running_loop().call_later(lasts_s, take_link_down, story, number)


def quieten(story: Story, machine: Machine, noise: float) -> None:
    machine.line.noise = noise
    machine.disturb_line()


def revive(story: Story, number: int, which: int) -> None:
    story.meters[number][which].is_dead = False
    story.serving[number].disturb_line()


def bring_line_back(story: Story, machine: Machine) -> None:
    machine.line.is_away = False
    machine.disturb_line()


def make_room(story: Story, machine: Machine) -> None:
    machine.disk.is_full, machine.disk.fails_at = False, None
    machine.disturb_line()


def lie(story: Story, number: int) -> None:
    """What one gateway said is said again in the name of the other organization's."""
    said = story.last_payload.get(story.estates[number].gateway_no)
    if said is not None:
        story.cloud.receive(story.estates[1 - number].gateway_no, said)

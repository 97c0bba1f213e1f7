"""What was entered wrongly of a meter is corrected while the gateway runs: where it is read, and by which key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from edge.entered import enter
from prepaid.money import Money
from prepaid.point import Meter
from prepaid.register.evidence import Effect, Kind
from prepaid.resolution import Accepted, Decision, Restarted
from prepaid.wire.downlog import Decided
from prepaid.wire.uplog import Read
from tests.edge.simulated import ELECTRICITY, PURSE, ElectricityMeter, Room, simulated, until

POINT = ELECTRICITY.id
ELSEWHERE = replace(ELECTRICITY.meter, address="201709320099")


@asynccontextmanager
async def running(folder: Path, other: str) -> AsyncIterator[Room]:
    """0301 was charged at 100.00, of its 1.00; another meter on the line shows other."""
    room = Room(folder)
    room.wire.meters.append(ElectricityMeter(ELSEWHERE.address, other))
    task = asyncio.create_task(room.agent.run())
    await until(lambda: room.store.position(POINT) is not None, within_s=10)
    yield room
    task.cancel()


async def correct(room: Room, meter: Meter, **others: Any) -> None:
    """The office has corrected it; the line is served on for a minute."""
    with room.store.transaction():
        enter(room.store, replace(ELECTRICITY, meter=meter, **others))
    room.agent.take_up(POINT)
    await asyncio.sleep(65)


def decide(room: Room, meter: Meter, decision: Decision) -> None:
    held = room.store.history(POINT).doubt
    assert held is not None
    point = replace(ELECTRICITY, meter=meter)
    with room.store.transaction():
        room.agent.take_decision(Decided(uuid4(), point, meter, decision, held.reading))
    room.agent.take_up(POINT)


def charged(room: Room) -> Decimal:
    position = room.store.position(POINT)
    assert position is not None
    return position.reading.total


@simulated
async def test_at_a_corrected_address_nothing_is_charged_before_somebody_has_compared(
    tmp_path: Path,
):
    # Within reach: 100.50 could as well be what 0301 has used since 100.00.
    async with running(tmp_path, "100.50") as room:
        await correct(room, ELSEWHERE)

        assert room.store.balance(PURSE) == Money.yuan("1.00")
        assert charged(room) == Decimal("100.00")
        (last, *_) = [m for m in reversed(told(room)) if m.evidence]
        assert (last.reading.total, last.evidence[0].kind, last.evidence[0].effect) == (
            Decimal("100.50"),
            Kind.ELSEWHERE,
            Effect.HELD,
        )
        # Nor does time make it true, or the next entry of the point.
        await correct(room, ELSEWHERE, persons=3)
        assert room.store.balance(PURSE) == Money.yuan("1.00")

        decide(room, ELSEWHERE, Accepted(rounds=0))
        await asyncio.sleep(65)
        # It was the same meter, with another address: 0.50 kWh at 0.50
        assert room.store.balance(PURSE) == Money.yuan("0.75")
        assert room.store.history(POINT).charged_at is None


@simulated
async def test_where_another_meter_was_read_until_now_the_right_one_counts_from_what_it_shows(
    tmp_path: Path,
):
    async with running(tmp_path, "712.30") as room:
        await correct(room, ELSEWHERE)
        held = room.store.history(POINT).doubt
        assert held is not None
        at = held.reading.at - timedelta(microseconds=1)

        decide(room, ELSEWHERE, Restarted(Decimal("100.00"), Decimal("712.30"), at))
        room.wire.meters[-1].show("712.70")
        await asyncio.sleep(65)

        # Nothing of the 612.30 between the two registers; 0.40 kWh at 0.50 since
        assert room.store.balance(PURSE) == Money.yuan("0.80")


@simulated
async def test_a_correction_that_is_taken_back_leaves_nothing_to_decide(tmp_path: Path):
    async with running(tmp_path, "100.50") as room:
        await correct(room, ELSEWHERE)
        assert room.store.history(POINT).doubt is not None
        room.meter.show("100.20")

        await correct(room, ELECTRICITY.meter)

        # 0.20 kWh at 0.50 by its own register
        assert room.store.balance(PURSE) == Money.yuan("0.90")
        assert room.store.history(POINT).doubt is None


@simulated
async def test_another_key_or_limit_is_used_from_the_next_reading_on_and_holds_nothing(
    tmp_path: Path,
):
    async with running(tmp_path, "0.00") as room:
        key = {**ELECTRICITY.meter.settings, "password": "111111"}
        wider = replace(
            ELECTRICITY.meter, settings=key, digits=7, max_per_hour=Decimal(60), step=Decimal("0.1")
        )
        room.meter.show("100.20")

        await correct(room, wider)

        assert room.store.balance(PURSE) == Money.yuan("0.90")  # 0.20 kWh at 0.50
        assert room.store.history(POINT).doubt is None
        assert room.store.points()[POINT].meter == wider


def told(room: Room) -> list[Read]:
    return [m for m in room.told(Read) if m.point == POINT]

"""A gateway on the bench shuts off a tap that was left open. Water costs ¥4.00 a m3, 1 m3 an hour is allowed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from edge import codes
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger.store import Store
from edge.lines.pace import Pace
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from tests.edge import simulated as room
from tests.edge.simulated import EVENING, WATER_PURSE, WATER_TARIFF, clock, simulated, top_up, until
from tests.simulators.test_faults import WATER, played

POINT = replace(
    room.WATER,
    meter=replace(room.WATER.meter, meter_no=WATER, address=WATER, max_per_hour=Decimal(5)),
    policy=replace(room.WATER.policy, leak_per_hour=Decimal(1)),
)


@simulated
async def test_a_tap_left_open_is_shut_off_at_each_opening_and_what_ran_is_charged_once(
    tmp_path: Path,
):
    async with played(meter={"open_tap": 1}, base_l_per_h=12) as story:
        store = Store(tmp_path / "ledger.sqlite", "GW-0001")
        with store.transaction():
            store.save_tariff(WATER_TARIFF)
            store.save_point(POINT)
            store.post(top_up("1.00", purse=WATER_PURSE, cause="sandbox:water"))
        agent = Agent(
            store,
            {"L1": story.bus},
            Clock.of_wall(clock, latest=None),
            Pace(settle_s=60, least_s=1),
        )
        serving = asyncio.create_task(agent.run())

        def is_off_for(why: Why) -> bool:
            row = store.supply(POINT.id)
            return row is not None and (row.seen, row.why) == (Supply.OFF, why)

        # 2.412 m3 an hour run from the start, unwatched: ¥1.00 is 0.25 m3, which takes 6 minutes and 13 s.
        await until(lambda: is_off_for(Why.NO_CREDIT), within_s=450, each_s=5)
        for opening in (1, 2):
            before = store.position(POINT.id)
            assert before is not None
            if opening == 1:
                with store.transaction():
                    store.post(top_up("20.00", purse=WATER_PURSE, cause="sandbox:2"))
                agent.wake_purse(WATER_PURSE)
            else:
                codes.close_taps(store, POINT.id, EVENING)  # it is said, and is not so
            await until(
                lambda: not is_off_for(Why.LEAK) and not is_off_for(Why.NO_CREDIT), within_s=60
            )
            await until(lambda: is_off_for(Why.LEAK), within_s=360, each_s=5)
            after = store.position(POINT.id)
            assert after is not None
            # 40.2 litres a minute, of looks a minute apart: in 6 minutes 241.2.
            assert after.reading.total - before.reading.total < Decimal("0.25")

        total = (await story.water()).total
        await asyncio.sleep(3600)
        assert (await story.water()).total == total
        # ¥21.00 came in; what the register moved from 10.00 is charged, and a part of a fen is yet to come.
        cost = ((total - 10) * 4).quantize(Decimal("0.01"))
        assert (
            abs(store.balance(WATER_PURSE).fen - (Money.yuan("21.00").fen - int(cost * 100))) <= 1
        )
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        store.close()

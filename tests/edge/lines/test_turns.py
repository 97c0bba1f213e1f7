"""Whose turn it is: one transaction is never interrupted, and what is urgent waits for no more than one."""

from __future__ import annotations

import asyncio

from edge.drivers import dlt645 as driver
from edge.lines.bus import Bus
from edge.lines.turns import Turns
from tests.edge.simulated import ELECTRICITY, ElectricityMeter, Wire, simulated

METER = ELECTRICITY.meter


async def use(turns: Turns, log: list[str], name: str, *, times: int = 1) -> None:
    for number in range(times):
        await turns.take()
        log.append(f"{name}{number}")
        await asyncio.sleep(1)
        turns.give()


async def use_urgently(turns: Turns, log: list[str], name: str, *, times: int = 1) -> None:
    with turns.urgency():
        await use(turns, log, name, times=times)


@simulated
async def test_turns_are_taken_in_the_order_in_which_they_were_asked_for():
    turns, log = Turns(), list[str]()

    await asyncio.gather(*(use(turns, log, name) for name in "abc"))

    assert log == ["a0", "b0", "c0"]


@simulated
async def test_the_urgent_keep_the_line_until_they_are_done():
    turns, log = Turns(), list[str]()
    reading = asyncio.create_task(use(turns, log, "read", times=3))
    await asyncio.sleep(0.5)

    await use_urgently(turns, log, "cut", times=2)
    await reading

    assert log == ["read0", "cut0", "cut1", "read1", "read2"]


@simulated
async def test_whoever_gives_up_waiting_holds_nobody_up():
    turns, log = Turns(), list[str]()
    first = asyncio.create_task(use(turns, log, "a"))
    await asyncio.sleep(0)
    gone = [asyncio.create_task(use(turns, log, "b")), asyncio.create_task(use(turns, log, "c"))]
    last = asyncio.create_task(use(turns, log, "d"))
    await asyncio.sleep(0.5)
    gone[0].cancel()  # while it waits
    await asyncio.sleep(0.5)
    gone[1].cancel()  # at the very instant at which it is its turn
    await asyncio.gather(*gone, return_exceptions=True)

    await asyncio.gather(first, last)

    assert log[0] == "a0"
    assert log[-1] == "d0"


@simulated
async def test_an_urgent_request_waits_for_one_transaction_of_a_reading_that_takes_several():
    """A reading asks for energy and status word; what is urgent comes between the two."""
    meter = ElectricityMeter(METER.address, "123.45")
    wire = Wire([meter])
    bus = Bus("L1", wire, baud=2400, delay_s=0)
    loop = asyncio.get_running_loop()
    sent: list[tuple[float, int]] = []
    wire.before_write = lambda: sent.append((loop.time(), len(sent)))
    urgent: list[int] = []

    async def restore() -> None:
        with bus.urgently():
            urgent.append(len(sent))
            await bus.run(lambda: driver.state(METER), driver.decoder)

    reading = asyncio.create_task(bus.run(lambda: driver.read(METER), driver.decoder))
    await asyncio.sleep(0.01)
    asked = loop.time()
    await restore()
    await reading

    first, status, second = (at for at, _ in sent)
    assert wire.requests[1] != wire.requests[0]
    assert (
        wire.requests[1] == wire.requests[2]
    )  # both ask for the status word, the urgent one first
    assert first < asked
    # The answer comes after 50 ms, and a gap of 30 ms follows.
    assert status - first < 0.05 + 0.03 + 0.001
    assert second > status

"""Every fault of the bench shows as what it says, and whoever asks over it is told clearly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.drivers import cj188, dlt645
from edge.lines.bus import Bus, Garbled, NoReply
from protocols.cj188 import master as cj188_master
from protocols.cj188.items import Valve
from protocols.cj188.master import ValveCommand
from protocols.dlt645 import master as dlt645_master
from protocols.dlt645.master import RelayCommand
from protocols.exchange import Refused, Unexpected
from simulators.building import Building
from simulators.configuration import (
    Config,
    ElectricityConfig,
    FaultsConfig,
    LineConfig,
    WaterConfig,
)
from simulators.faults import IN_THE_METER, NAMES, Faults, drawn
from simulators.port import Arrived
from tests.edge.simulated import simulated
from tests.simulators.conftest import EVENING

POWER, OTHER, WATER = "202610450101", "202610450102", "78330026100101"


class End(Arrived):
    """A Port that is an end of a simulated line."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        super().__init__()
        self._hear = hear
        self.all = b""

    async def write(self, data: bytes) -> None:
        if data:
            self._hear(data)

    def send(self, data: bytes) -> None:
        self.all += data
        self.arrive(data)


class Story:
    """A line with two electricity meters and a water meter, and a gateway's bus on it."""

    def __init__(
        self, line: FaultsConfig, first: FaultsConfig, after_s: int, base_l_per_h: int
    ) -> None:
        loop = asyncio.get_running_loop()
        power = ElectricityConfig(
            protocol="dlt645-2007",
            line="L1",
            address=POWER,
            opening=Decimal("100.00"),
            base_w=36_000,
            varying_w=0,
            faults=first,
            faults_after_s=after_s,
        )
        config = Config(
            line=(LineConfig(name="L1", tcp=0, baud=9600, delay_ms=(20, 20), faults=line),),
            meter=(
                power,
                replace(power, address=OTHER, faults=FaultsConfig(), faults_after_s=0),
                WaterConfig(
                    protocol="cjt188-2004",
                    line="L1",
                    address=WATER,
                    opening=Decimal("10.00"),
                    base_l_per_h=base_l_per_h,
                    varying_l_per_h=0,
                    valve_travel_ms=1000,
                    faults=first,
                    faults_after_s=after_s,
                ),
            ),
        )
        self.building = Building(
            config,
            Path(),
            clock=lambda: int(loop.time() * 1_000_000),
            local_time=lambda: EVENING + timedelta(seconds=loop.time()),
        )
        self.line = self.building.line(config.line[0])
        self.port = End(self.line.hear)
        self.line.ends.append(self.port)
        self.bus = Bus("L1", self.port, baud=9600, delay_s=0.0)

    async def energy(self, address: str = POWER) -> Decimal:
        return await self.bus.run(lambda: dlt645_master.read_energy(address), dlt645.decoder)

    async def water(self) -> Any:
        return await self.bus.run(lambda: cj188_master.read_water(WATER, serial=0), cj188.decoder)

    async def control(self, command: RelayCommand) -> None:
        await self.bus.run(
            lambda: dlt645_master.control(
                POWER, command, level=4, password="000000", operator="00000001", deadline=None
            ),
            dlt645.decoder,
        )

    async def status(self) -> Any:
        return await self.bus.run(lambda: dlt645_master.read_status(POWER), dlt645.decoder)

    async def turn(self, command: ValveCommand) -> None:
        await self.bus.run(
            lambda: cj188_master.write_valve(WATER, command, serial=0), cj188.decoder
        )


@asynccontextmanager
async def played(
    line: dict[str, float] | None = None,
    meter: dict[str, float] | None = None,
    after_s: int = 0,
    base_l_per_h: int = 36_000,
) -> AsyncIterator[Story]:
    line_faults, own = FaultsConfig(**(line or {})), FaultsConfig(**(meter or {}))
    story = Story(line_faults, own, after_s, base_l_per_h)
    running = asyncio.create_task(story.line.run())
    try:
        yield story
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def silence() -> None:
    async with played(meter={"silence": 1}) as story:
        with pytest.raises(NoReply, match="no reply on line L1"):
            await story.energy()
        assert await story.energy(OTHER) >= 100


async def noise() -> None:
    async with played(line={"noise": 1}) as story:
        assert await story.energy() >= 100
        assert len(story.port.all) > 24


async def truncation() -> None:
    async with played(line={"truncation": 1}) as story:
        with pytest.raises(Garbled, match="no frame in what line L1 answered"):
            await story.energy()


async def echo() -> None:
    async with played(line={"echo": 1}) as story:
        assert await story.energy() >= 100
        assert story.port.all.startswith(next(dlt645_master.read_energy(POWER)))


async def late() -> None:
    async with played(meter={"late": 1}) as story:
        loop = asyncio.get_running_loop()
        request = next(dlt645_master.read_energy(POWER))
        await story.port.write(request)
        began = loop.time()
        first = await story.port.read(began + 10)
        # It begins one to three seconds later than it should: behind the wait of any master
        assert first
        assert 1.0 < loop.time() - began < 3.2
        await asyncio.sleep(3)
        # What comes late is not taken for the answer to another question.
        story.line.hear(request)
        await asyncio.sleep(0.9)
        assert await story.energy(OTHER) >= 100


async def babbling() -> None:
    async with played(line={"babbling": 1}) as story:
        await asyncio.sleep(0.5)
        assert story.port.drain()
        with pytest.raises(Garbled):
            await story.energy()


async def two_on_one_address() -> None:
    async with played(meter={"two_on_one_address": 1}) as story:
        with pytest.raises((Garbled, Unexpected)):
            await story.energy()
        assert await story.energy(OTHER) >= 100


async def stuck_relay() -> None:
    async with played(meter={"stuck_relay": 1}) as story:
        before = await story.energy()
        await story.control(RelayCommand.TRIP)
        await asyncio.sleep(10)
        status = await story.status()
        assert (status.command_open, status.contact_open) == (True, False)
        # 36 kW are 0.01 kWh in a second
        assert await story.energy() >= before + Decimal("0.10")


async def half_open_valve() -> None:
    async with played(meter={"half_open_valve": 1}) as story:
        await story.turn(ValveCommand.CLOSE)
        await asyncio.sleep(2)
        first = await story.water()
        assert first.status.valve is Valve.ABNORMAL
        await asyncio.sleep(100)
        # 36 m3 an hour are 0.01 in a second; half of it runs on
        more = (await story.water()).total - first.total
        assert Decimal("0.49") <= more <= Decimal("0.52")


async def wrong_password() -> None:
    async with played(meter={"wrong_password": 1}) as story:
        with pytest.raises(Refused, match="password wrong or not authorised"):
            await story.control(RelayCommand.TRIP)
        assert not (await story.status()).contact_open


async def reset_register() -> None:
    async with played(meter={"reset_register": 1}, after_s=60) as story:
        assert await story.energy() >= 100
        await asyncio.sleep(61)
        assert await story.energy() < 1
        assert (await story.water()).total < 1


async def rollover() -> None:
    async with played(meter={"rollover": 1}) as story:
        assert await story.energy() > Decimal("999999.49")
        await asyncio.sleep(60)
        # 0.60 kWh in a minute, and 0.50 were left
        assert await story.energy() < 1


async def stuck_register() -> None:
    async with played(meter={"stuck_register": 1}, after_s=10) as story:
        await asyncio.sleep(10)
        before = await story.energy()
        await asyncio.sleep(100)
        assert await story.energy() == before
        values = await story.bus.run(
            lambda: dlt645_master.read_values(POWER, 0x02030000), dlt645.decoder
        )
        assert values[0].value == Decimal("36.0000")


async def open_tap() -> None:
    async with played(meter={"open_tap": 1}, after_s=600, base_l_per_h=0) as story:
        await asyncio.sleep(590)
        assert (await story.water()).total == 10
        await asyncio.sleep(10 + 900)
        # 2400 litres an hour are 0.60 m3 in a quarter of it
        found = await story.water()
        assert Decimal("10.60") <= found.total <= Decimal("10.61")
        await story.turn(ValveCommand.CLOSE)
        await asyncio.sleep(10)
        shut = (await story.water()).total
        await asyncio.sleep(600)
        assert (await story.water()).total == shut


STORIES: dict[str, Callable[[], Awaitable[None]]] = {
    "silence": silence,
    "noise": noise,
    "truncation": truncation,
    "echo": echo,
    "late": late,
    "babbling": babbling,
    "two_on_one_address": two_on_one_address,
    "stuck_relay": stuck_relay,
    "half_open_valve": half_open_valve,
    "wrong_password": wrong_password,
    "reset_register": reset_register,
    "rollover": rollover,
    "stuck_register": stuck_register,
    "open_tap": open_tap,
}


def test_every_fault_that_can_be_configured_has_a_story():
    assert set(FaultsConfig.__dataclass_fields__) == set(NAMES) == set(STORIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_shows_as_what_it_says(name):
    @simulated
    async def story() -> None:
        await STORIES[name]()

    story()


@simulated
async def test_a_line_without_faults_serves_all_its_meters():
    async with played() as story:
        assert await story.energy() >= 100
        assert await story.energy(OTHER) >= 100
        assert (await story.water()).total >= 10


@simulated
async def test_what_one_meter_says_late_does_not_keep_another_waiting():
    async with played(meter={"late": 1}) as story:
        story.line.hear(next(dlt645_master.read_energy(POWER)))
        await asyncio.sleep(0.1)

        began = asyncio.get_running_loop().time()
        assert await story.energy(OTHER) >= 100

        assert asyncio.get_running_loop().time() - began < 0.2


@simulated
async def test_the_noise_and_echo_of_one_meter_are_not_anothers():
    async with played(meter={"noise": 1, "echo": 1}) as story:
        assert await story.energy(OTHER) >= 100
        # Preamble and frame of the answer alone: 24 characters
        assert len(story.port.all) == 24
        assert await story.energy() >= 100
        assert len(story.port.all) > 24 + 20 + 24


def test_a_share_of_a_lines_meters_has_a_fault_and_always_the_same_ones():
    half = Faults(stuck_relay=0.5)

    def chosen() -> list[bool]:
        return [
            "stuck_relay" in drawn(half, Faults(), seed=f"1:{meter}", after=0).names
            for meter in range(400)
        ]

    assert chosen() == chosen()
    assert 150 < sum(chosen()) < 250
    always = Faults(**dict.fromkeys(IN_THE_METER, 1.0))
    assert drawn(Faults(), always, seed="x", after=0).names == set(IN_THE_METER)

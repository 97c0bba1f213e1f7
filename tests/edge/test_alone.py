"""Thirty days without cloud, broker or time server: one room, its gateway, and what it does by itself.

Electricity costs ¥0.50 a kWh and 0.3 kW are drawn while the relay is closed: ¥3.60 a day. Water costs ¥4.00 a
cubic metre and nobody draws any. The meters' clocks are some seconds wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from edge import codes
from edge.agent import Agent
from edge.clocks.clock import Clock, loop_time, unkept
from edge.clocks.clock_setting import ClockRules
from edge.clocks.meter_clocks import MeterClocks
from edge.clocks.timekeeping import Timekeeper, latest_told
from edge.clocks.trust import Rules, Source
from edge.clocks.witness import Quorum
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from prepaid import offline_code
from prepaid.ledger import Reason
from prepaid.money import Money
from prepaid.offline_code import Credit
from prepaid.wire.downlog import Credited
from prepaid.wire.uplog import (
    Alarm,
    AlarmKind,
    Charged,
    GatewayAlarm,
    SupplyChanged,
    Trouble,
    read_up,
)
from protocols import bcd
from protocols.dlt645.relay import RelayCommand
from tests.edge.simulated import (
    ELECTRICITY,
    PURSE,
    WATER,
    WATER_PURSE,
    ElectricityMeter,
    Room,
    clock,
    simulated,
    top_up,
    until,
)
from tests.edge.uplink.other_end import Cloud

DAY = 86400.0
CODE_KEY = bytes(range(32))
KW = Decimal("0.3")
START = Decimal("100.00")
POINT = replace(
    ELECTRICITY,
    meter=replace(
        ELECTRICITY.meter,
        max_per_hour=Decimal(3),
        settings={**ELECTRICITY.meter.settings, "buzzer": "yes"},
    ),
    policy=replace(
        ELECTRICITY.policy, alarm_at=Money.yuan("10"), final_alarm_at=Money.yuan("3.00")
    ),
)
TAP = replace(WATER, meter=replace(WATER.meter, max_per_hour=Decimal("2.5")))
CLOCK_RULES = ClockRules(
    zone=ZoneInfo("UTC"),
    quorum=Quorum(),
    sets_meters=True,
    sets_by_address=False,
    set_from=timedelta(seconds=30),
)


class Drawing(ElectricityMeter):
    """A meter through which 0.3 kW flow while its relay is closed."""

    def __init__(self, address: str) -> None:
        super().__init__(address, str(START))
        self.drawn = Decimal(0)
        self._looked = 0.0

    def look(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.contact_open:
            self.drawn += KW * int((now - self._looked) * 1000) / 3_600_000
            self._looked += int((now - self._looked) * 1000) / 1000
        else:
            self._looked = now
        self.registers[0x00010000] = bcd.encode(
            (START + self.drawn).quantize(Decimal("0.01"), rounding="ROUND_DOWN"),
            size=4,
            decimals=2,
        )

    def read_item(self, di: int) -> bytes | None:
        self.look()
        return super().read_item(di)

    def relay(self, command: Any, minutes: int) -> None:
        self.look()
        super().relay(command, minutes)


class Alone(Room):
    """The whole gateway program, but for its processes; only the ledger outlives a power cut."""

    def __init__(self, folder: Path) -> None:
        self.boot = 0
        self.tasks: list[asyncio.Task[None]] = []
        super().__init__(folder, points=(POINT, TAP))

    def start(self, **_: Any) -> None:
        """Power comes on: the clock on the wall has no battery."""
        self.boot += 1
        self.meter = self.meter if isinstance(self.meter, Drawing) else Drawing(POINT.meter.address)
        self.meter.clock_error = timedelta(seconds=11)
        self.water.clock_error = timedelta(seconds=-17)
        self.wire.meters = [self.meter, self.water]
        self.shift = datetime(1970, 1, 1, tzinfo=UTC) - clock()
        self.clock = Clock(
            self.wall,
            tick=loop_time,
            system=unkept,
            rules=Rules(),
            believes_wall=False,
            boot=UUID(int=self.boot),
            kept=self.store.kept_time(),
            latest=latest_told(self.store),
        )
        bus = Bus("L1", self.wire, baud=9600, delay_s=0)
        self.agent = Agent(self.store, {"L1": bus}, self.clock, Pace(1800, 5))
        keeper = Timekeeper(self.store, self.clock, wake=self.agent.wake)
        clocks = MeterClocks(
            self.store,
            {"L1": bus},
            self.clock,
            CLOCK_RULES,
            points=self.agent.points,
            alarm=self.agent.alarm,
        )
        programs: tuple[Coroutine[Any, Any, None], ...] = (
            self.agent.run(),
            keeper.run(),
            clocks.run(),
        )
        self.tasks = [asyncio.ensure_future(program) for program in programs]

    async def power_cut(self, *, hours: float) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        await asyncio.sleep(hours * 3600)
        self.start()

    def type_code(self, number: int, yuan: str) -> None:
        code = offline_code.make(CODE_KEY, purse=PURSE, credit=Credit(number, Money.yuan(yuan)))
        codes.enter(self.store, CODE_KEY, code, PURSE, self.clock.now().at)

    @property
    def balance(self) -> Money:
        return self.store.balance(PURSE)

    @property
    def is_off(self) -> bool:
        return self.meter.contact_open

    def commands(self) -> list[str]:
        """What the relay and the buzzer were told."""
        told = (r for r in self.wire.requests if r[12:14] == b"\x1c\x10")
        return [RelayCommand(request[22] - 0x33).name for request in told]


def to(day: float) -> float:
    """How long it is until a day of the story."""
    return day * DAY - asyncio.get_running_loop().time()


@simulated
async def test_thirty_days_alone_are_charged_warned_cut_restored_and_told_in_order_afterwards(
    tmp_path: Path,
):
    room = Alone(tmp_path)
    cloud = Slow(room, on_time=room.clock.hear_cloud)
    sync = asyncio.ensure_future(cloud.sync.run())

    # An hour with the cloud: it tells the time and brings ¥29, which is ¥30 with the ¥1 that was there.
    cloud.write(Credited(top_up("29.00", cause="cash:1"), number=1))
    cloud.write(Credited(top_up("99.00", purse=WATER_PURSE, cause="cash:water"), number=1))
    cloud.connect()
    await asyncio.sleep(3600)
    assert room.clock.now().is_trusted
    cloud.is_up = False
    cloud.sync.link_changed()

    # Final alarm at ¥3.00, which is after 27 / 3.60 = 7.5 days; cut after 30 / 3.60 = 8.33.
    await asyncio.sleep(to(7.4))
    assert not room.meter.alarm
    await asyncio.sleep(to(7.6))
    assert room.meter.alarm
    await asyncio.sleep(to(8.3))
    assert not room.is_off
    await asyncio.sleep(to(8.4))
    assert room.is_off
    first_cut = room.balance
    # 3 kWh can pass in an hour at ¥0.50, but 0.3 do: in the minute in which it is read twice and cut ¥0.0025.
    assert Money.yuan("-0.02") <= first_cut <= Money(0)

    # Day 10: a code for ¥40 is typed; the customer presses the meter's button.
    await asyncio.sleep(to(10))
    room.type_code(2, "40.00")
    await until(lambda: not room.meter.command_open, within_s=5)
    room.meter.contact_open = False
    await asyncio.sleep(60)
    assert not room.meter.alarm
    assert Money.yuan("39.90") <= room.balance <= Money.yuan("40.00")

    # Day 12: no power for three hours, and a clock without battery. The meters tell the time.
    await asyncio.sleep(to(12))
    await room.power_cut(hours=3)
    assert not room.clock.now().is_trusted
    await asyncio.sleep(60)
    known = room.clock.known()
    assert known is not None
    assert known.source is Source.METERS
    assert abs(room.clock.now().at - clock()) < timedelta(seconds=20)

    # 40 / 3.60 = 11.11 days after day 10 the second shortage ends in a cut; on day 22 ¥40 are typed again.
    await asyncio.sleep(to(21.05))
    assert not room.is_off
    await asyncio.sleep(to(21.2))
    assert room.is_off
    await asyncio.sleep(to(22))
    room.type_code(3, "40.00")
    await until(lambda: not room.meter.command_open, within_s=5)
    room.meter.contact_open = False
    await asyncio.sleep(to(30))

    assert room.commands() == [
        *("ALARM_ON", "TRIP", "ALLOW_CLOSE", "ALARM_OFF"),
        *("ALARM_ON", "TRIP", "ALLOW_CLOSE", "ALARM_OFF"),
    ]
    # What was charged is what the register moved, at ¥0.50, to the fen.
    position = room.store.position(POINT.id)
    assert position is not None
    moved = position.reading.total - START
    charged = Money.rounded(moved * Decimal("0.50"), currency="CNY")
    assert room.balance == Money.yuan("110.00") - charged
    assert room.meter.drawn - moved <= Decimal("0.16")  # 0.3 kW, read each half hour

    # The cloud comes back, slow. Its own word of the two codes, and ¥5 paid just now, do not wait for the log.
    backlog = room.store.last_seq() - room.store.acked()
    assert backlog > 3000
    before = room.balance
    cloud.answer_s = 3
    cloud.write(Credited(top_up("40.00", cause="cash:2"), number=2))
    cloud.write(Credited(top_up("40.00", cause="cash:3"), number=3))
    cloud.connect()
    await asyncio.sleep(20)
    assert room.balance <= before  # the codes are not credited again
    cloud.write(Credited(top_up("5.00", cause="wechat:4"), number=4))
    cloud.say()
    await asyncio.sleep(1)
    assert room.balance >= before + Money.yuan("4.95")
    assert room.store.last_seq() - room.store.acked() > 1000
    await until(lambda: room.store.acked() == room.store.last_seq(), within_s=600)

    for task in (*room.tasks, sync):
        task.cancel()
    assert_told_in_order(room, cloud)


class Slow(Cloud):
    """A cloud that needs answer_s to answer."""

    answer_s = 0.01

    def publish(self, payload: bytes) -> None:
        asyncio.get_running_loop().call_later(self.answer_s, super().publish, payload)


def assert_told_in_order(room: Alone, cloud: Cloud) -> None:
    """The cloud has the whole log, each entry once, and from it the same money."""
    assert [entry.seq for entry in cloud.applied] == list(range(1, len(cloud.applied) + 1))
    told = [read_up(entry.body) for entry in cloud.applied]
    charges = [t for m in told if isinstance(m, Charged) for t in m.transfers]
    assert len({transfer.id for transfer in charges}) == len(charges)
    kept = [t for t in room.store.transfers() if t.reason is Reason.CHARGE]
    assert charges == kept
    times = [m.position.reading.at for m in told if isinstance(m, Charged)]
    assert times == sorted(times)  # the gateway's own time, though its clock was of 1970
    alarms = [(m.alarm, m.is_over) for m in told if isinstance(m, Alarm)]
    assert [over for kind, over in alarms if kind is AlarmKind.FINAL_BALANCE] == [
        *(False, True),
        *(False, True),
    ]
    assert not [m for m in told if isinstance(m, GatewayAlarm) and m.alarm is Trouble.CLOCK]
    assert [m for m in told if isinstance(m, SupplyChanged)]

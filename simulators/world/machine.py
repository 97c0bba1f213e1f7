"""A gateway in the meter room: the program's parts, put together as edge.__main__ does, on a machine that may die."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.__main__ import FIRST_WORD_S
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.clocks.clock_setting import ClockRules
from edge.clocks.meter_clocks import MeterClocks
from edge.clocks.timekeeping import Timekeeper, latest_told
from edge.clocks.trust import Rules
from edge.clocks.witness import Quorum
from edge.ledger import ledger_file
from edge.ledger.ledger_file import StoreFull, StoreUnusable
from edge.ledger.store import Hold, Store, StoreHeld
from edge.ledger.upkeep import Upkeep, open_ledger
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from edge.uplink.sync import Sync
from prepaid.seal import KeySet
from simulators.world.disk import Disk, Frozen, PowerCut, copy_ledger
from simulators.world.line import Line
from simulators.world.network import Link
from simulators.world.plan import ZONE

LEAST_S = 3600.0
RESEND_S = 30.0
HEARTBEAT_S = 900.0
RESTART_S = 5.0  # as a service that ended is started again
CLEAR_S = 900.0
KEPT = timedelta(days=90)
KEEP_S = 3600.0
STEADY_KEEP_S = 10_800.0  # where no clock jumps
CLOCKS = ClockRules(
    zone=ZoneInfo(ZONE),
    quorum=Quorum(least=2, within=timedelta(seconds=60)),
    sets_meters=True,
    sets_by_address=False,
    set_from=timedelta(seconds=30),
)

log = logging.getLogger(__name__)

T = TypeVar("T")


class Machine:
    """A folder, a line, a link, a clock; and the program, while there is power."""

    def __init__(
        self,
        number: int,
        name: str,
        folder: Path,
        gateway_no: str,
        line: Line,
        link: Link,
        dice: random.Random,
        *,
        key: Ed25519PublicKey,
        settle_s: float,
        true_time: Callable[[], datetime],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.name = name
        self.number = number
        self.on_open: Callable[[Store], None] = lambda store: None
        self.told: tuple[UUID, int] | None = (
            None  # our log, and the cursor that the cloud was told last
        )
        link.on_word = self._told
        self.on_failure = on_failure
        self.gateway_no = gateway_no
        self.path = folder / "ledger.sqlite"
        self.line = line
        self.link = link
        self.disk = Disk(dice)
        self.disk.on_cut = self._power_is_gone
        self.keep_s = KEEP_S
        self.ends_s = 0.0  # when the weather ends, and with it every outage
        self.shift = timedelta(0)
        self.has_time_service = True
        self.is_retired = False  # it is not started again by itself
        self.store: Store | None = None
        self.starts = 0
        self.clear_from = 0.0  # from when on nothing keeps it from its work any more
        self._dice = dice
        self._key = key
        self._settle_s = settle_s
        self._true_time = true_time
        self._serving: asyncio.Task[None] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._frozen: Frozen | None = None
        self._boot = UUID(int=0)
        self._booted = 0.0
        self._off_s = 1.0
        self._is_held = self._is_braked = False

    def wall(self) -> datetime:
        return self._true_time() + self.shift

    @property
    def is_on(self) -> bool:
        return self.store is not None and not self.disk.is_dark

    def power_on(self) -> None:
        """The machine starts, and with it the program."""
        if self._supervisor is None:
            self._boots()
            self._supervisor = asyncio.create_task(self._supervise(), name=f"machine {self.name}")

    async def power_off(self) -> None:
        """The power goes, and does not come back by itself."""
        if self._supervisor is None:
            return
        if not self.disk.is_dark and self.store is not None:
            self._power_is_gone()
        ending = [task for task in (self._serving, self._supervisor) if task is not None]
        self._supervisor.cancel()
        if self._serving is not None:
            self._serving.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._supervisor = self._serving = self._frozen = None

    def cut_power(self, off_s: float) -> None:
        """The power goes now, wherever the program is, for so long."""
        self._off_s = off_s
        if self.is_on:
            self._power_is_gone()
            assert self._serving is not None
            self._serving.cancel()

    def cut_power_at(self, commits: int, *, is_after: bool, off_s: float) -> None:
        """The power goes at a commit, that many from now, as it begins or when it has returned."""
        self._off_s = off_s
        self.disk.cuts_at = (commits, is_after)

    def cut_power_at_request(self, requests: int, off_s: float) -> None:
        """The power goes while a request is written to the line, that many from now."""
        left = requests

        def before_write() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                self.line.before_write = lambda: None
                self._off_s = off_s
                self._power_is_gone()
                raise PowerCut

        self.line.before_write = before_write

    def cut_power_at_word(self, words: int, off_s: float) -> None:
        """The power goes when the gateway has just told the cloud something, that many words from now."""
        left = words

        def after_word() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                self.link.after_word = lambda: None
                asyncio.get_running_loop().call_soon(self.cut_power, off_s)

        self.link.after_word = after_word

    def by_hand(self, act: Callable[[Store], T]) -> T | None:
        """What somebody does on the gateway's own page; nothing comes of it without power, or on a full disk."""
        if not self.is_on or self.store is None:
            return None
        try:
            return act(self.store)
        except (StoreFull, StoreHeld):
            return None
        except PowerCut:
            assert self._serving is not None
            self._serving.cancel()
            return None

    def disturb(self, *, after_s: float = CLEAR_S) -> None:
        """Something keeps it from its work now; so long after it, all is read and planned again."""
        now = asyncio.get_running_loop().time()
        self.clear_from = max(self.clear_from, now + after_s)

    def note_hold(self, is_held: bool) -> None:
        """A store that is held, or was until now, keeps it from its work."""
        if is_held or self._is_held:
            self.disturb()
        self._is_held = is_held

    def note_brake(self, is_on: bool) -> None:
        """A brake that is on, or was until now, keeps it from cutting."""
        if is_on or self._is_braked:
            self.disturb()
        self._is_braked = is_on

    def disturb_line(self) -> None:
        """Something does that makes meters seem silent, which are then tried ever more rarely."""
        self.disturb(after_s=self._settle_s + CLEAR_S)

    def _told(self) -> None:
        """A word is said to the cloud, and with it our cursor in its log."""
        if self.store is not None and (cursor := self.store.cursor()) is not None:
            self.told = (self.store.log, cursor.seq)

    def _power_is_gone(self) -> None:
        """What is on the disk stays as it is; nothing that the program still does has an effect."""
        self._frozen = self.disk.freeze(self.path)
        self.disk.is_dark = self.line.is_dark = self.link.is_dark = True
        self.disturb()

    async def _supervise(self) -> None:
        while True:
            self.disk.is_dark = self.line.is_dark = False
            self.disturb()
            serving = self._serving = asyncio.create_task(
                self._serve(), name=f"program {self.name}"
            )
            await asyncio.wait([serving])
            self._serving = None
            self.disturb()
            error = None if serving.cancelled() else serving.exception()
            if self._frozen is not None:
                self._frozen = None
                left_s = self.ends_s - asyncio.get_running_loop().time()
                await asyncio.sleep(min(self._off_s, max(left_s, RESTART_S)))
                self._boots()
                continue
            if not isinstance(error, StoreUnusable | StoreFull):
                self.on_failure(error or AssertionError(f"the program of {self.name} ended"))
                return
            await asyncio.sleep(RESTART_S)

    async def _serve(self) -> None:
        """As edge.__main__ does."""
        self.starts += 1
        store = open_ledger(
            self.path, self.gateway_no, now=self.wall(), open_store=self._open_store
        )
        self.store = store
        self._is_held = store.hold is not None
        self.on_open(store)
        bus = Bus("L1", self.line, baud=9600, delay_s=0.0)
        try:
            clock = self._clock_of(store)
            agent = Agent(store, {"L1": bus}, clock, Pace(self._settle_s, LEAST_S))
            agent.wait_with_cuts()
            if store.hold is not None:
                agent.pause()
            sync = Sync(
                store,
                agent,
                self.link,
                keys=KeySet([self._key]),
                resend_s=RESEND_S,
                heartbeat_s=HEARTBEAT_S,
                now=lambda: clock.now().at,
                on_time=clock.hear_cloud,
            )
            store.on_append = sync.stir
            upkeep = Upkeep(
                store,
                self.path,
                kept=KEPT,
                reserve_bytes=4096,
                now=lambda: clock.now().at,
                free_bytes=lambda folder: 0 if self.disk.is_full else 10**9,
            )
            timekeeper = Timekeeper(store, clock, wake=agent.wake)
            meter_clocks = MeterClocks(
                store, {"L1": bus}, clock, CLOCKS, points=agent.points, alarm=agent.alarm
            )
            self.link.changed, self.link.deliver = sync.link_changed, sync.deliver
            self.link.is_dark = False
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(agent.run())
                    group.create_task(sync.run())
                    group.create_task(sync.first_word(within_s=FIRST_WORD_S))
                    group.create_task(self._keep_up(upkeep, timekeeper, meter_clocks))
            except BaseExceptionGroup as gone:
                raise _first(gone) from gone
        finally:
            self.link.is_dark = True
            bus.close()
            store.close()
            self.store = None
            if self._frozen is not None:
                self._frozen.thaw()

    async def _keep_up(
        self, upkeep: Upkeep, timekeeper: Timekeeper, meter_clocks: MeterClocks
    ) -> None:
        """What these do by themselves each few seconds would be most of what the world does."""
        while True:
            upkeep.look()
            await upkeep.forget()
            for _ in range(3):
                timekeeper.look()
                with suppress(StoreHeld, StoreFull):
                    await meter_clocks.step()
                await asyncio.sleep(self.keep_s)

    def _clock_of(self, store: Store) -> Clock:
        """As edge.clocks.timekeeping.clock_of makes it, of this machine's own time service and counter."""
        return Clock(
            self.wall,
            tick=lambda: asyncio.get_running_loop().time() - self._booted,
            system=lambda: timedelta(0) if self.has_time_service else None,
            rules=Rules(),
            believes_wall=False,
            boot=self._boot,
            kept=store.kept_time(),
            latest=latest_told(store),
        )

    def _boots(self) -> None:
        self._boot = UUID(int=self._dice.getrandbits(128), version=4)
        self._booted = asyncio.get_running_loop().time()

    def _open_store(self, path: Path, gateway_no: str) -> Store:
        return Store(
            path,
            gateway_no,
            connection=self.disk.connection(),
            flush=self.disk.flush,
            boot=lambda: self._boot,
        )

    # By hand, while the program does not run.

    def back_up(self, to: Path) -> None:
        ledger_file.backup(self.path, to)

    def restore(self, backup: Path) -> None:
        """As `wattwell edge restore` does."""
        ledger_file.restore(backup, self.path, self.gateway_no, hold=Hold.RESTORED, now=self.wall())

    def put_back(self, copy: Path) -> None:
        """As a person does who knows no better."""
        for name in ("-wal", "-shm"):
            self.path.with_name(self.path.name + name).unlink(missing_ok=True)
        copy_ledger(copy, self.path)

    def take_over(self) -> None:
        """As `wattwell edge takeover` does on a new machine."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        ledger_file.renew(
            self.path,
            self.gateway_no,
            hold=Hold.REBUILDING,
            instead_of=None,
            why="set-aside",
            now=self.wall(),
        )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first

"""One seed from beginning to end: two estates, their gateways, the cloud, the weather, and what is so afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlmodel import col

from cloud import tables
from cloud.db import Database
from edge.ledger.store import Store
from simulators.clock import SimulatedLoop
from simulators.world import dealings, happenings, verdict
from simulators.world.broken import Broken
from simulators.world.cloud import Cloud
from simulators.world.forecast import plan
from simulators.world.line import Line
from simulators.world.machine import STEADY_KEEP_S, Machine
from simulators.world.meters import AnyMeter, ElectricityMeter, Flow, Habit, WaterMeter
from simulators.world.network import Network
from simulators.world.organizations import Estate, build
from simulators.world.plan import BEGIN, HOUR_S, Plan
from simulators.world.truth import Truth

LOOKS_S = (1500.0, 1300.0)  # after the weather; then everything is in its place
AGAIN_S, BRAKES = (
    300.0,
    3,
)  # once more, while the brake was pulled by what the weather had put off, or somebody asked
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASHES = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a seed. broken is None where all invariants held; digest is of both logs' bodies."""

    seed: int
    broken: Broken | None
    digest: str
    counts: dict[str, float]
    took_s: float


def tell(
    seed: int, database: Database, *, days: int = 3, say: Callable[[str], None] | None = None
) -> Told:
    """Runs one seed. database is migrated; it gets two organizations of its own, and any seed only once."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(dir=_memory()) as folder,
        asyncio.Runner(loop_factory=SimulatedLoop) as runner,
    ):
        story = Story(plan(seed, days), database, Path(folder), say)
        try:
            broken = runner.run(story.run())
        except Exception as error:
            if say is not None:
                raise
            broken = Broken(
                "crash", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            )
        digest = hashlib.sha256(story.bodies.encode()).hexdigest()[:16]
    return Told(seed, broken, digest, story.counts, time.monotonic() - began)


def _memory() -> str | None:
    """A folder in memory where there is one: what is synced there costs no time."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class Story:
    def __init__(
        self, plan: Plan, database: Database, folder: Path, say: Callable[[str], None] | None
    ) -> None:
        self.plan = plan
        self.folder = folder
        self._say = say
        self._broken: Broken | None = None
        self._crash: BaseException | None = None
        self._ended = asyncio.Event()
        self._key = Ed25519PrivateKey.from_private_bytes(random.Random(plan.seed).randbytes(32))
        self.network = Network(self._dice("network"), self._receive)
        self.cloud = Cloud(
            database,
            self._key,
            plan,
            self._dice("cloud"),
            now=self.now,
            send=self.network.down,
        )
        self.truth = Truth(plan, now=self.now, fail=self._fail, position_told=self._position_told)
        self.database = database
        self.estates: list[Estate] = []
        self.meters: list[list[AnyMeter]] = []
        self.machines: list[list[Machine]] = []
        self.serving: list[Machine] = []  # of each estate the machine that is to serve
        self.is_calm = False
        self.bodies = ""
        self.counts: dict[str, float] = {}
        self.last_payload: dict[str, bytes] = {}

    def _dice(self, what: str) -> random.Random:
        return random.Random(f"{what} {self.plan.seed}")

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())

    def _local(self) -> datetime:
        return (self.now() + timedelta(hours=8)).replace(tzinfo=None)

    def _milliseconds(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    def _fail(self, broken: Broken) -> None:
        if self._broken is None:
            self._broken = broken
            self._ended.set()

    def _crashed(self, error: BaseException) -> None:
        if self._crash is None:
            self._crash = error
            self._ended.set()

    def _receive(self, gateway_no: str, payload: bytes) -> None:
        self.last_payload[gateway_no] = payload
        self.cloud.receive(gateway_no, payload)

    def _position_told(self, point: UUID) -> bool:
        with self.database.system() as session:
            return session.get_one(tables.PointState, point).position is not None

    # From beginning to end.

    async def run(self) -> Broken | None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda loop, what: self._crashed(what.get("exception") or RuntimeError(what["message"]))
        )
        live = asyncio.create_task(self._live())
        ended = asyncio.create_task(self._ended.wait())
        await asyncio.wait((live, ended), return_when=asyncio.FIRST_COMPLETED)
        for task in (live, ended):
            task.cancel()
        for machines in self.machines:
            for machine in machines:
                await machine.power_off()
        if self._crash is not None:
            raise self._crash
        if self._broken is None and not live.cancelled() and (error := live.exception()):
            if not isinstance(error, Broken):
                raise error
            self._broken = error
        return self._broken

    async def _live(self) -> None:
        for number, planned in enumerate(self.plan.estates):
            self.estates.append(build(self.cloud, number, planned))
            self.meters.append(self._make_meters(number))
            self.truth.add(
                self.estates[number],
                {
                    point.id: meter
                    for point, meter in zip(
                        self.estates[number].points, self.meters[number], strict=True
                    )
                },
            )
            gateway_no = self.estates[number].gateway_no
            self.network.loss[gateway_no] = planned.loss
            self.network.doubling[gateway_no] = planned.doubling
            self.network.slow_s[gateway_no] = planned.slow_s
            self.machines.append([])
            self.serving.append(self.machine(number, "first"))
            self.serving[number].power_on()
        self.cloud.worker_dies = max(estate.worker_dies for estate in self.plan.estates)
        for happening in self.plan.weather:
            await self._until(happening.at_s)
            if self._say is not None:
                self._say(str(happening))
            await happenings.happen(self, happening)
        await self._until(self.plan.ends_s)
        if self.plan.is_rated_in_parts:
            verdict.rerate(self)
        await self._clear_up()
        verdict.judge(self)

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))

    def _make_meters(self, number: int) -> list[AnyMeter]:
        points = self.estates[number].points
        openings = [planned.opening for planned in self.plan.estates[number].points]
        return [
            self.meter(number, place, points[place].meter.address, opening)
            for place, opening in enumerate(openings)
        ]

    def meter(self, number: int, place: int, address: str, opening: Decimal) -> AnyMeter:
        """A meter where the customer of this place takes what he takes."""
        planned, id = (
            self.plan.estates[number].points[place],
            str(self.estates[number].points[place].id),
        )
        flow = Flow(planned.draws, opening, self._milliseconds)

        def on_trip() -> None:
            self.truth.tripped(self.truth.points[id])

        def on_open(off_s: float) -> None:
            self.truth.turned_on(self.truth.points[id], off_s)

        if planned.commodity == "electricity":
            return ElectricityMeter(address, flow, Habit(planned.presses_after_s), on_trip)
        return WaterMeter(address, flow, on_trip, on_open)

    def machine(self, number: int, name: str) -> Machine:
        folder = self.folder / f"{number}-{name}"
        folder.mkdir()
        estate, planned = self.estates[number], self.plan.estates[number]
        line = Line(self.meters[number], self._dice(f"line {number} {name}"), self._local)
        line.noise = planned.noise
        machine = Machine(
            number,
            f"{number}-{name}",
            folder,
            estate.gateway_no,
            line,
            self.network.link(estate.gateway_no),
            self._dice(f"machine {number} {name}"),
            key=self._key.public_key(),
            settle_s=planned.settle_s,
            true_time=self.now,
            on_failure=self._crashed,
        )
        line.on_use = lambda: setattr(self.truth, "acting", machine)
        machine.disk.on_commit = lambda commit: self.truth.committed(machine, commit)
        machine.ends_s = self.plan.ends_s
        if not self.plan.clocks_jump:
            machine.keep_s = STEADY_KEEP_S
        machine.on_open = lambda store: self.truth.opened(machine, store)
        self.machines[number].append(machine)
        return machine

    # Afterwards.

    async def _clear_up(self) -> None:
        """The weather clears, but for messages that are lost a while longer; then everything finds its place."""
        self.is_calm = True
        for number in range(len(self.estates)):
            for meter in self.meters[number]:
                meter.is_dead = False
            for machine in self.machines[number]:
                machine.shift, machine.has_time_service = timedelta(0), True
                machine.line.noise, machine.line.is_away = 0.0, False
                machine.line.before_write = lambda: None
                machine.link.after_word = lambda: None
                machine.disk.cuts_at = None
                happenings.make_room(self, machine)
            happenings.set_link(self, number, is_up=True)
            self.serving[number].power_on()
        self.cloud.sweep()
        for look_s in LOOKS_S:
            if look_s == LOOKS_S[-1]:
                self._clear_network()
            for number, estate in enumerate(self.estates):
                if self._is_braked(number):
                    happenings.release_brake(self, estate)
                if look_s == LOOKS_S[-1]:
                    self.cloud.visit_all(estate)
            self._answer_all()
            self.cloud.give_back()
            await asyncio.sleep(look_s)
        for _ in range(BRAKES):
            braked = [e for n, e in enumerate(self.estates) if self._is_braked(n)]
            for estate in braked:
                happenings.release_brake(self, estate)
            is_news = self._answer_all() or bool(braked)
            await asyncio.sleep(AGAIN_S if is_news else 0.0)
        self.cloud.give_back()
        if unsettled := self._unsettled():
            hours = sum(LOOKS_S) / HOUR_S
            raise Broken("convergence", f"{hours:.1f} h after the weather, {unsettled}")

    def _answer_all(self) -> bool:
        """Whether anybody was asked for his taps, and has said so."""
        numbers = range(len(self.estates))
        return sum(dealings.close_taps(self, number, is_here=False) for number in numbers) > 0

    def _is_braked(self, number: int) -> bool:
        store = self.serving[number].store
        return store is not None and store.brake().is_on

    def _clear_network(self) -> None:
        self.cloud.worker_dies = 0.0
        for estate in self.estates:
            self.network.clear(estate.gateway_no)

    def _unsettled(self) -> str:
        """What one side has not told the other yet."""
        for number, machine in enumerate(self.serving):
            store = machine.store
            with self.database.system() as session:
                gateway = session.get_one(tables.Gateway, self.estates[number].gateway_id)
            if store is None:
                return f"{machine.name} does not run"
            if store.hold is not None:
                return f"{machine.name} is held: {store.hold}"
            if gateway.up_log != store.log or gateway.up_seq != store.last_seq():
                return (
                    f"the cloud has {gateway.up_seq} entries of {machine.name}'s {store.last_seq()}"
                )
            cursor = store.cursor()
            if cursor is None or cursor.seq != gateway.down_seq or store.acked() != gateway.up_seq:
                return f"{machine.name} has {cursor} of the cloud's {gateway.down_seq} entries"
        return ""

    def store(self, number: int) -> Store:
        store = self.serving[number].store
        assert store is not None
        return store

    def take_digest(self) -> None:
        """Both logs of both gateways, with names in the place of the ids that the cloud drew."""
        names: dict[str, str] = {}

        def name(found: re.Match[str]) -> str:
            return names.setdefault(found[0], f"<{len(names)}>")

        told: list[str] = []
        for number, estate in enumerate(self.estates):
            for point in estate.points:
                names[str(point.id)] = point.name
            for place, purse in enumerate(estate.purses):
                names[str(purse)] = f"purse {number}.{place}"
            row = tables.DownEntry
            with self.database.system() as session:
                told += session.execute(
                    select(col(row.body))
                    .where(col(row.gateway_id) == estate.gateway_id)
                    .order_by(col(row.seq))
                ).scalars()
            told += [entry.body for entry in self.store(number).unacked(0)]
            told += [
                body
                for (body,) in self.store(number)._db.execute("SELECT body FROM up ORDER BY seq")
            ]
        plain = sorted(_UUID.sub(lambda found: names.get(found[0], "<id>"), body) for body in told)
        self.bodies = "\n".join(plain)

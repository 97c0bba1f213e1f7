"""How the gateway is: its lines, its points, its two logs, its clock; for pages, commands and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from edge.field.link import is_open
from edge.field.room import MeterRoom
from edge.ledger.rows import Checked
from edge.ledger.store import Hold, Store
from edge.lines.metrics import LineMetrics
from edge.lines.pace import Bound
from prepaid.credit import CreditState, credit_state
from prepaid.money import Money
from prepaid.point import ServicePoint
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import AlarmKind, Trouble, Work

STUCK_S = 300.0  # no visit of a meter lasts so long


class Link(Protocol):
    @property
    def is_up(self) -> bool:
        """Whether the broker listens."""
        ...

    @property
    def is_refused(self) -> bool:
        """Whether the broker is there, and does not take our credentials."""
        ...


@dataclass(frozen=True, slots=True)
class PointStatus:
    """A service point: its last charged register, its supply and why, and which alarms are on since when."""

    id: UUID
    name: str
    meter_no: str
    protocol: str
    line: str
    address: str
    total: Decimal | None
    unit: str
    read_at: datetime | None
    supply: Supply | None
    wanted: Supply | None
    why: Why | None
    balance: Money | None  # None: nobody pays
    alarms: Mapping[AlarmKind, datetime]
    is_open: bool  # never read, or not to be read now: it may wait for its meter
    has_switch: bool
    is_lending_offered: bool  # emergency credit may be taken now, and was not

    @property
    def is_silent(self) -> bool:
        return AlarmKind.SILENT in self.alarms

    @property
    def is_wrong(self) -> bool:
        """Whether its meter cannot be asked as it is entered."""
        return AlarmKind.WRONG_ENTRY in self.alarms

    @property
    def is_held(self) -> bool:
        return AlarmKind.IMPLAUSIBLE in self.alarms


@dataclass(frozen=True, slots=True)
class LineStatus:
    """A line: where it is, what it has done and promises, how many points it has and how many of them are silent.

    is_waiting: it cannot be opened, nothing can be written down, or the ledger is held, so nobody on it is served.
    """

    name: str
    place: str
    metrics: LineMetrics
    bound: Bound
    points: int
    silent: int
    is_stuck: bool
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many points are so."""

    points: int
    silent: int
    wrong: int  # not to be asked as they are entered
    held: int
    off: int
    waiting: int  # due to be cut, and something keeps it


@dataclass(frozen=True, slots=True)
class Status:
    """The gateway as a whole. Entries are counted: backlog are those that the cloud has not taken yet."""

    gateway_no: str
    at: datetime
    is_clock_trusted: bool
    is_link_up: bool
    is_link_refused: bool
    hold: Hold | None
    last_seq: int
    acked: int
    cloud_seq: int
    rejected: int
    ledger_bytes: int
    counts: Counts
    troubles: Mapping[Trouble, datetime]
    lines: tuple[LineStatus, ...]

    @property
    def backlog(self) -> int:
        return self.last_seq - self.acked


def status(room: MeterRoom, link: Link) -> Status:
    store = room.store
    points = list(store.points().values())
    alarms = store.alarms_on()
    lines = tuple(line_status(room, name) for name in room.lines)
    supplies = [store.supply(point.id) for point in points]
    kinds = [kind for (point, kind) in alarms if point is not None]
    counts = Counts(
        points=len(points),
        silent=kinds.count(AlarmKind.SILENT),
        wrong=kinds.count(AlarmKind.WRONG_ENTRY),
        held=kinds.count(AlarmKind.IMPLAUSIBLE),
        off=sum(row is not None and row.seen is Supply.OFF for row in supplies),
        waiting=kinds.count(AlarmKind.CUT_WAITS),
    )
    cursor = store.cursor()
    return Status(
        gateway_no=store.gateway_no,
        at=room.now(),
        is_clock_trusted=room.agent.is_clock_trusted(),
        is_link_up=link.is_up,
        is_link_refused=link.is_refused,
        hold=store.hold,
        last_seq=store.last_seq(),
        acked=store.acked(),
        cloud_seq=cursor.seq if cursor is not None else 0,
        rejected=store.rejections(),
        ledger_bytes=store.size(),
        counts=counts,
        troubles={Trouble(kind): since for (point, kind), since in alarms.items() if point is None},
        lines=lines,
    )


def line_status(room: MeterRoom, name: str) -> LineStatus:
    store = room.store
    alarms = store.alarms_on()
    points = [id for id, point in store.points().items() if point.meter.line == name]
    return LineStatus(
        name,
        " · ".join(room.lines[name].place.parts),
        room.agent.metrics(name),
        room.bound(name),
        len(points),
        sum((id, AlarmKind.SILENT) in alarms for id in points),
        name in room.agent.stuck_lines(STUCK_S),
        room.agent.is_waiting(name),
    )


def point_status(room: MeterRoom, point: ServicePoint) -> PointStatus:
    store, meter = room.store, point.meter
    position, row = store.position(point.id), store.supply(point.id)
    tariff = store.tariff(point.tariff)
    alarms = store.alarms_on()
    return PointStatus(
        id=point.id,
        name=point.name,
        meter_no=meter.meter_no,
        protocol=meter.protocol,
        line=meter.line,
        address=meter.address,
        total=position.reading.total if position is not None else None,
        unit=str(tariff.unit) if tariff is not None else "",
        read_at=position.reading.at if position is not None else None,
        supply=row.seen if row is not None else None,
        wanted=row.wanted if row is not None else None,
        why=row.why if row is not None else None,
        balance=store.balance(point.purse) if point.purse is not None else None,
        alarms={kind: since for kind in AlarmKind if (since := alarms.get((point.id, kind)))},
        is_open=is_open(room, point),
        has_switch=meter.has_switch,
        is_lending_offered=_is_lending_offered(room.store, point),
    )


def _is_lending_offered(store: Store, point: ServicePoint) -> bool:
    if point.purse is None or point.policy.emergency is None:
        return False
    if store.lent(point.purse) is not None:
        return False
    available = store.balance(point.purse)
    state = credit_state(point.policy, available, is_emergency_taken=False)
    return state is CreditState.EC_OFFERED


def checks_of(room: MeterRoom, point: UUID) -> dict[Work, Checked]:
    """What was tested of a point last."""
    checks = room.store.checks()
    return {work: done for work in Work if (done := checks.get((point, work))) is not None}

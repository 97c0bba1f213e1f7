"""The down-log 下行日志: what the cloud tells a gateway of what was decided, paid and set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from prepaid.ledger import Transfer
from prepaid.money import Money
from prepaid.point import Meter, ServicePoint
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.resolution import Decision
from prepaid.supply import Override, Why
from prepaid.wire.message import exact
from prepaid.wire.uplog import AlarmKind, EmergencyTaken


@dataclass(frozen=True, slots=True)
class PointSet:
    """A service point of this gateway, whole, new or changed. is_again: said as it was, nobody has looked at it: to a
    gateway of version 0.1.0, which lets go of a doubtful reading where somebody has."""

    point: ServicePoint
    is_again: bool = False
    kind: Literal["point-set"] = "point-set"


@dataclass(frozen=True, slots=True)
class PointEnded:
    """A service point is no longer: its meter was taken away. It is read, charged and switched no more."""

    point: UUID
    kind: Literal["point-ended"] = "point-ended"


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person has found out about a point's register (prepaid.resolution), and the point from then on.

    was is the meter that it is about, as it was until then; after the reading in question (of an Estimated only its
    time counts, until when the estimate is for), None for a change of meters. log names the store that is meant,
    where one that has taken over is told what the store before it has not said to have booked.
    """

    id: UUID
    point: ServicePoint
    was: Meter
    decision: Annotated[Decision, Field(discriminator="kind")]
    after: Reading | None
    log: UUID | None = None
    kind: Literal["decided"] = "decided"


@dataclass(frozen=True, slots=True)
class TariffSet:
    """A tariff document, whole."""

    document: Mapping[str, Any]
    kind: Literal["tariff-set"] = "tariff-set"


@dataclass(frozen=True, slots=True)
class Credited:
    """A transfer that the cloud wrote: a top-up.

    number grows with the credits of its purse, in the order in which they go down: by one, and further where the
    cloud's database was put back to a backup (None from a cloud that does not count).
    """

    transfer: Transfer
    number: int | None = None
    kind: Literal["credited"] = "credited"


@dataclass(frozen=True, slots=True)
class CodeVoided:
    """充值码作废: what a code gave for this number, of which the cloud knows nothing, is credit no longer; nor is the
    code good again."""

    purse: UUID
    number: int
    kind: Literal["code-voided"] = "code-voided"


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Money is to be taken out of a purse (a refund, a correction): book the transfer if the purse holds so much
    without credit that is lent, and answer in any case (Withdrawn). Nothing is paid out before that.

    number counts the withdrawals of its purse from 1. Where is_unread_too, also if a meter of the purse cannot be
    read: a person has seen to it.
    """

    transfer: Transfer
    number: int
    is_unread_too: bool = False
    kind: Literal["withdraw"] = "withdraw"


@dataclass(frozen=True, slots=True)
class Recall:
    """The cloud's database was put back to a backup: tell what you have booked that it has not (Recalled).

    known names, by its transfer, the last credit that the database has of each purse, taken the last that was taken
    out of it: what came after them is asked for, and all of a purse that is not named.
    """

    known: Mapping[UUID, UUID]
    kind: Literal["recall"] = "recall"
    taken: Mapping[UUID, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Visit:
    """Read this service point now."""

    point: UUID
    kind: Literal["visit"] = "visit"


@dataclass(frozen=True, slots=True)
class Pinned:
    """What an operator has pinned a service point's supply to, in place of all before; None: nothing any more."""

    point: UUID
    override: Override | None
    kind: Literal["pinned"] = "pinned"


@dataclass(frozen=True, slots=True)
class BrakeReleased:
    """An operator has looked why so many were to be cut at once: go on. by is for people."""

    by: str
    kind: Literal["brake-released"] = "brake-released"


@dataclass(frozen=True, slots=True)
class TapsClosed:
    """The customer has said that every tap behind a service point is closed: water may flow again."""

    point: UUID
    at: datetime
    kind: Literal["taps-closed"] = "taps-closed"


@dataclass(frozen=True, slots=True)
class CloudKeys:
    """The cloud's keys (base64) that are good from now on, in the place of all before. number grows with each such
    word, so that an old one that is sent again says nothing."""

    number: int
    keys: tuple[str, ...]
    kind: Literal["cloud-keys"] = "cloud-keys"


# Down, to a store that takes over from another. log names the store that is meant: any other ignores them.


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a service point stands, as far as the cloud was told: its position, the reading that holds it, its
    supply as last reported, and since when which alarms are on. place is where the position's reading was read
    (Meter.place), None where that was not told."""

    log: UUID
    point: UUID
    position: Position | None
    doubt: Reading | None
    supply: Supply | None
    wanted: Supply | None
    why: Why | None
    commanded_at: datetime | None
    alarms: Mapping[AlarmKind, datetime]
    kind: Literal["standing"] = "standing"
    place: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """All that gateways have charged to a purse, in one sum: what the positions of its points have posted."""

    log: UUID
    purse: UUID
    charged: Money
    kind: Literal["carried"] = "carried"


@dataclass(frozen=True, slots=True)
class Debited:
    """What was taken out of a purse without being asked of this store, and holds: another store has booked it, or
    (log is None, for whichever store reads it) the cloud itself, where it was told that the gateway does not come
    back."""

    log: UUID | None
    transfer: Transfer
    kind: Literal["debited"] = "debited"


@dataclass(frozen=True, slots=True)
class Lent:
    """Emergency credit that is taken for a purse and not paid back yet; of others there is none."""

    log: UUID
    purse: UUID
    at: datetime
    by: str
    kind: Literal["lent"] = "lent"


@dataclass(frozen=True, slots=True)
class Resumed:
    """Everything has been said that the store needs to go on. braked_at is since when nobody is to be cut for want of
    credit, where the store before it has pulled the brake and no person has released it; None where none is on."""

    log: UUID
    kind: Literal["resumed"] = "resumed"
    braked_at: datetime | None = None


Down = Annotated[
    PointSet
    | PointEnded
    | Decided
    | TariffSet
    | Credited
    | CodeVoided
    | Withdraw
    | Recall
    | Visit
    | Pinned
    | BrakeReleased
    | EmergencyTaken
    | TapsClosed
    | CloudKeys
    | Standing
    | Carried
    | Debited
    | Lent
    | Resumed,
    Field(discriminator="kind"),
]

_DOWN: TypeAdapter[Down] = TypeAdapter(Down)


def write_down(message: Down) -> str:
    return _DOWN.dump_json(message).decode()


def read_down(body: str) -> Down:
    """Raises BadMessage if the body is no message the cloud sends."""
    return exact(_DOWN, body)

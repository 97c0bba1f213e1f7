"""The up-log 上行日志: what a gateway tells the cloud of what it saw and did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import Field, TypeAdapter

from prepaid.ledger import Transfer
from prepaid.momentary import Momentary
from prepaid.money import Money, typed
from prepaid.point import Meter
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.record import record
from prepaid.register.evidence import Evidence
from prepaid.supply import Why
from prepaid.wire.message import exact


@record
@dataclass(frozen=True, slots=True)
class Read:
    """A register as read, whether or not it could be charged, and what speaks for or against it.

    evidence has nothing of an ordinary movement, or of none. known is the entry up to which the gateway had the
    cloud's log then, and so by which point and tariff it rated (None from a gateway that does not say).
    """

    point: UUID
    reading: Reading
    evidence: tuple[Evidence, ...] = ()
    kind: Literal["read"] = "read"
    known: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a point's meter measured at an instant, beside its register."""

    point: UUID
    momentary: Momentary
    kind: Literal["measured"] = "measured"


@record
@dataclass(frozen=True, slots=True)
class Charged:
    """What the gateway charged, and the position after it.

    is_start where rating goes on from this position and not from what the readings told before lead to: at the
    first reading, after a person's decision, at another payer, and where a clock was set. known is as in Read. place,
    which a start tells, is where its reading was read (Meter.place): it stays so until the next start.
    """

    point: UUID
    position: Position
    transfers: tuple[Transfer, ...]
    kind: Literal["charged"] = "charged"
    is_start: bool = False
    known: int | None = None
    place: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SupplyChanged:
    """The supply read, the supply wanted, or the reason is another than before.

    commanded_at is when the meter acknowledged the switch command that led here, None if there was none.
    """

    point: UUID
    at: datetime
    supply: Supply | None
    wanted: Supply | None
    why: Why
    commanded_at: datetime | None
    kind: Literal["supply-changed"] = "supply-changed"


class AlarmKind(StrEnum):
    SILENT = "silent"  # 失联: the meter does not answer
    WRONG_ENTRY = (
        "wrong-entry"  # 档案有误: as it is entered it cannot be asked: line, address, a setting
    )
    IMPLAUSIBLE = "implausible"  # 读数异常: charged nothing, held
    STUCK = "stuck"  # 停走: the register stands still where it never did
    USED_WHILE_OFF = "used-while-off"  # 断后走字: the register goes on although its switch says off
    LEAK = "leak"  # 疑似漏水: too much flowed behind a valve that was opened again; it was closed
    SWITCH_FAILED = "switch-failed"  # 拒动: relay or valve did not follow
    CANNOT_SWITCH = (
        "cannot-switch"  # 断送档案有误: as it is entered, its switch cannot be told off and on
    )
    NO_TARIFF = "no-tariff"  # 无价格方案: cannot be charged
    CLOCK_WRONG = (
        "clock-wrong"  # 表钟偏差: the meter's clock is further off than it can be set from here
    )
    CUT_WAITS = "cut-waits"  # 待断: due to be cut, and waiting alone will not end what keeps it
    FINAL_BALANCE = "final-balance"  # 余额告急: at the last alarm level before the cut
    LOW_BALANCE = "low-balance"  # 余额不足


UNREAD = (AlarmKind.SILENT, AlarmKind.WRONG_ENTRY)
"""Of a meter whose register nobody knows now; one of them at a time."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person should know of began, or (is_over) ended. text is for logs, in English."""

    point: UUID
    at: datetime
    alarm: AlarmKind
    is_over: bool
    text: str
    kind: Literal["alarm"] = "alarm"


class Trouble(StrEnum):
    """What a person should know of a gateway, whichever meters it reads."""

    DISK_FULL = "disk-full"  # 磁盘将满: readings are no longer kept; money and cuts go on as long as they can
    BRAKED = "braked"  # 批量拉闸保护: too many were to be cut at once, nobody is until a person has looked
    CLOCK = "clock"  # 时钟不可信: what the clock decides is not decided, nobody is cut for want of credit
    FORKED = "forked"  # 账本分叉: an old copy of its store was put back and went on writing
    TAKEN_OVER = "taken-over"  # 账本接管: a new store goes on from what the cloud knows
    CODES_TRIED = (
        "codes-tried"  # 充值码多次输错: somebody types wrong offline codes, one after another
    )
    CODE_UNKNOWN = "code-unknown"  # 充值码不符: it gave credit for a code that the cloud knows otherwise, or not
    DEBIT_UNKNOWN = (
        "debit-unknown"  # 账外支取: it booked money out of a purse that the cloud does not know of
    )
    ENTRY_REFUSED = "entry-refused"  # 下发未生效: what the cloud decided cannot be applied there
    CLOUD_RESTORED = "cloud-restored"  # 云端数据已还原: the cloud was put back to a backup, and is yet to be heard


@dataclass(frozen=True, slots=True)
class GatewayAlarm:
    """A trouble of the gateway itself began, or (is_over) ended. text is for logs, in English."""

    at: datetime
    alarm: Trouble
    is_over: bool
    text: str
    kind: Literal["gateway-alarm"] = "gateway-alarm"


class Work(StrEnum):
    """What a technician did at a gateway that changes something for a customer, or could."""

    CUT_TEST = "cut-test"  # 试断送: cut off and given back
    BLINK_TEST = "blink-test"  # 对号: cut off to see which register stops
    UNLINK = "unlink"  # 撤销对号: the meter that was linked to a point was not its own
    CONSOLE = "console"  # 报文调试: a frame was sent that is no plain read


@dataclass(frozen=True, slots=True)
class FieldWork:
    """A technician began, or (is_over) ended, a work at the gateway; point is None where it concerns none.

    by is the name that the technician gave; text is for people, in English.
    """

    point: UUID | None
    at: datetime
    work: Work
    is_over: bool
    by: str
    text: str
    kind: Literal["field-work"] = "field-work"


@dataclass(frozen=True, slots=True)
class MeterLinked:
    """A technician found the meter of a service point elsewhere than the cloud said: it is read there from now on.

    instead_of is the meter that the gateway knew. Where the cloud has meanwhile given the point another one,
    that one stays. The cloud answers with the point as it is then.
    """

    point: UUID
    at: datetime
    by: str
    meter: Meter
    instead_of: Meter
    kind: Literal["meter-linked"] = "meter-linked"


@dataclass(frozen=True, slots=True)
class CodeEntered:
    """An offline code 离线充值码 was typed at the gateway, which counts its amount as credit from then on, until
    the credit with this number comes from the cloud."""

    purse: UUID
    number: int
    amount: Money
    at: datetime
    kind: Literal["code-entered"] = "code-entered"

    def __post_init__(self) -> None:
        typed(self.amount, "what a code is for")


@dataclass(frozen=True, slots=True)
class EmergencyTaken:
    """Emergency credit 应急额度 was taken for a purse; up: at the gateway, down: on a page. by is for people."""

    purse: UUID
    at: datetime
    by: str
    kind: Literal["emergency-taken"] = "emergency-taken"


@dataclass(frozen=True, slots=True)
class EmergencyRepaid:
    """The balance of a purse is above the level of the offer again: what was taken is paid back."""

    purse: UUID
    at: datetime
    kind: Literal["emergency-repaid"] = "emergency-repaid"


class Refusal(StrEnum):
    """Why a gateway does not take money out of a purse."""

    SHORT = "short"  # 余额不足: the purse does not hold so much
    UNREAD = (
        "unread"  # 表计失联或存疑: what a meter that is not known to be off has used is not known
    )


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The gateway's answer to a Withdraw: the transfer is booked here (refusal is None), or it never will be.

    left is what the purse holds after that. A Withdraw that comes again is answered again, in the same way.
    """

    purse: UUID
    transfer: Transfer
    refusal: Refusal | None
    left: Money
    at: datetime
    kind: Literal["withdrawn"] = "withdrawn"

    def __post_init__(self) -> None:
        typed(self.left, "what is left of a purse")


@dataclass(frozen=True, slots=True)
class DecisionTaken:
    """The gateway has booked what a person decided (Decided), or it cannot: refused says why, in English."""

    id: UUID
    point: UUID
    at: datetime
    refused: str | None
    kind: Literal["decision-taken"] = "decision-taken"


@dataclass(frozen=True, slots=True)
class Recalled:
    """The answer to a Recall: what a purse was credited, and what was taken out of it (debits, which are no charges),
    after what the cloud knows, in their order.

    number is that of the last credit that came to the purse, or was typed as a code. points are those that it paid
    for when the gateway was asked.
    """

    purse: UUID
    number: int
    credits: tuple[Transfer, ...]
    kind: Literal["recalled"] = "recalled"
    debits: tuple[Transfer, ...] = ()
    points: tuple[UUID, ...] = ()


Up = Annotated[
    Read
    | Measured
    | Charged
    | SupplyChanged
    | Alarm
    | GatewayAlarm
    | FieldWork
    | MeterLinked
    | CodeEntered
    | EmergencyTaken
    | EmergencyRepaid
    | Withdrawn
    | DecisionTaken
    | Recalled,
    Field(discriminator="kind"),
]

_UP: TypeAdapter[Up] = TypeAdapter(Up)
_EACH = {each: TypeAdapter(each).serializer for each in get_args(get_args(Up)[0])}


def write_up(message: Up) -> str:
    return _EACH[type(message)].to_json(message).decode()


def read_up(body: str) -> Up:
    """Raises BadMessage if the body is no message a gateway sends."""
    return exact(_UP, body)

"""What crosses MQTT between gateway and cloud: two ordered logs of entries, and each side's cursor.

An entry carries its message as the exact text that was written (and, from the cloud, signed), so both
sides keep and verify the same bytes. A receiver applies cursor + 1, ignores anything else, and always
answers with its cursor.

The gateway's log is a chain: each entry carries the hash of the one before. The hash of an entry is SHA-256, in
hexadecimal, over the UTF-8 bytes of

    wattwell chain 1 LF log LF seq LF previous LF body

where log is the UUID in its usual small letters, seq a decimal number, previous the hash of the entry before
(64 zeros before the first) and body the message's text as it was written. So one hash says all that a store
has ever told, and two stores that went on from one copy differ from the first entry that differs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, get_args
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, TypeAdapter, ValidationError

from prepaid.ledger import Transfer
from prepaid.momentary import Momentary
from prepaid.money import Money, typed
from prepaid.point import Meter, ServicePoint
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.register import Evidence
from prepaid.resolution import Decision
from prepaid.supply import Override, Why


class BadMessage(ValueError):
    """Bytes that are no envelope, a body that is no message, or a signature that does not verify."""


class AlarmKind(StrEnum):
    SILENT = "silent"  # 失联: the meter does not answer
    WRONG_ENTRY = (
        "wrong-entry"  # 档案有误: as it is entered it cannot be asked: line, address, a setting
    )
    IMPLAUSIBLE = "implausible"  # 读数异常: charged nothing, held
    STUCK = "stuck"  # 停走: the register stands still where it never did
    SWITCH_FAILED = "switch-failed"  # 拒动: relay or valve did not follow
    NO_TARIFF = "no-tariff"  # 无价格方案: cannot be charged
    CLOCK_WRONG = (
        "clock-wrong"  # 表钟偏差: the meter's clock is further off than it can be set from here
    )
    CUT_WAITS = "cut-waits"  # 待断: due to be cut, and waiting alone will not end what keeps it
    FINAL_BALANCE = "final-balance"  # 余额告急: at the last alarm level before the cut
    LOW_BALANCE = "low-balance"  # 余额不足


UNREAD = (AlarmKind.SILENT, AlarmKind.WRONG_ENTRY)
"""Of a meter whose register nobody knows now; one of them at a time."""


# Up: what the gateway saw and did.


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


@dataclass(frozen=True, slots=True)
class Charged:
    """What the gateway charged, and the position after it.

    is_start where rating goes on from this position and not from what the readings told before lead to: at the
    first reading, after a person's decision, at another payer, and where a clock was set. known is as in Read.
    """

    point: UUID
    position: Position
    transfers: tuple[Transfer, ...]
    kind: Literal["charged"] = "charged"
    is_start: bool = False
    known: int | None = None


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


# Down: what the cloud decided.


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
    supply as last reported, and since when which alarms are on."""

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
    """Everything has been said that the store needs to go on."""

    log: UUID
    kind: Literal["resumed"] = "resumed"


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

NO_ENTRY = "0" * 64
"""What stands for the hash of the entry before the first."""

LONGEST_NONCE = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log. log names the sender's store: a new store is a new log. seq counts from 1.

    body is the message as JSON text; signature is Ed25519 in base64, on entries from the cloud; previous is
    the hash of the entry before, on entries from a gateway (None from one of version 0.1.0).
    """

    log: UUID
    seq: int
    body: str
    signature: str | None = None
    previous: str | None = None

    def signed_bytes(self) -> bytes:
        return f"wattwell entry 1\n{self.log}\n{self.seq}\n{self.body}".encode()

    def hash(self) -> str:
        """Raises ValueError for an entry that is in no chain."""
        if self.previous is None:
            raise ValueError(f"entry {self.seq} of log {self.log} does not say what it follows")
        return chained(self.log, self.seq, self.body, previous=self.previous)


def chained(log: UUID, seq: int, body: str, *, previous: str) -> str:
    """The hash of an entry of a log that is a chain."""
    return linked(opening_of(log), seq, body, previous=previous)


def linked(opening: str, seq: int, body: str, *, previous: str) -> str:
    """As chained, with what the hashed texts of the log begin with: of many entries it is asked for once."""
    return hashlib.sha256(f"{opening}{seq}\n{previous}\n{body}".encode()).hexdigest()


@lru_cache(maxsize=64)
def opening_of(log: UUID) -> str:
    """What the hashed text of each entry of a log begins with."""
    return f"wattwell chain 1\n{log}\n"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last entry of a log that the receiver has applied; 0 before the first. hash is that entry's, where
    the log is a chain."""

    log: UUID
    seq: int
    hash: str | None = None


class Halt(StrEnum):
    """Why the cloud applies nothing of a store."""

    FORKED = "forked"  # we have other entries under the same numbers
    REPLACED = "replaced"  # another store has taken over from this one
    UNKNOWN = "unknown"  # we follow another store of this gateway, and this one has not taken over from it


@dataclass(frozen=True, slots=True)
class Takeover:
    """A gateway's new store asks to be followed: log is its own, instead_of the one it goes on from, None where
    the cloud has followed none. It may be repeated."""

    log: UUID
    instead_of: UUID | None


@dataclass(frozen=True, slots=True)
class Follow:
    """The cloud's log for this gateway has a new name, as its database was put back to a backup: whoever follows
    instead_of follows log from now on, of which it has what it had up to seq."""

    log: UUID
    seq: int
    instead_of: UUID


@dataclass(frozen=True, slots=True)
class Envelope:
    """One MQTT payload, in either direction: entries of the sender's log, and its cursor in the other's.

    sender is the log of the gateway's store, whether or not there are entries of it (None from version
    0.1.0), takeover its request; halt and follow are from the cloud. nonce is new in each envelope of a gateway, and
    repeated in the cloud's answer to it, which says at what time (UTC) it was given. credential is the
    number of the credentials that a gateway speaks by, None if it was not enrolled.
    """

    entries: tuple[Entry, ...] = ()
    cursor: Cursor | None = None
    sender: UUID | None = None
    takeover: Takeover | None = None
    halt: Halt | None = None
    nonce: Annotated[str, Field(max_length=LONGEST_NONCE)] | None = None
    at: datetime | None = None
    credential: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    follow: Follow | None = None


_ENVELOPE = TypeAdapter(Envelope)
_UP: TypeAdapter[Up] = TypeAdapter(Up)
_DOWN: TypeAdapter[Down] = TypeAdapter(Down)
_EACH_UP = {each: TypeAdapter(each).serializer for each in get_args(get_args(Up)[0])}

T = TypeVar("T")


def up_topic(gateway_no: str) -> str:
    return f"wattwell/{gateway_no}/up"


def down_topic(gateway_no: str) -> str:
    return f"wattwell/{gateway_no}/down"


def pack(envelope: Envelope) -> bytes:
    return _ENVELOPE.dump_json(envelope)


def unpack(payload: bytes) -> Envelope:
    """Raises BadMessage if the payload is not an envelope."""
    return _checked(_ENVELOPE, payload)


def write_up(message: Up) -> str:
    return _EACH_UP[type(message)].to_json(message).decode()


def read_up(body: str) -> Up:
    """Raises BadMessage if the body is no message a gateway sends."""
    return _exact(_UP, body)


def write_down(message: Down) -> str:
    return _DOWN.dump_json(message).decode()


def read_down(body: str) -> Down:
    """Raises BadMessage if the body is no message the cloud sends."""
    return _exact(_DOWN, body)


def _checked(adapter: TypeAdapter[T], text: str | bytes) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise BadMessage(str(error)) from error


def _exact(adapter: TypeAdapter[T], body: str) -> T:
    """The message; refused if a number in it has a point or an exponent, or is none (NaN).

    Whoever reads such a number takes it for a float. Quantities, prices and costs are written as texts.
    """
    message = _checked(adapter, body)
    if _PERHAPS_A_FLOAT.search(body):
        try:
            _WHOLE_NUMBERS.decode(body)
        except ValueError as error:
            raise BadMessage(str(error)) from error
    return message


def _refuse(number: str) -> None:
    raise ValueError(f"the number {number} stands where a text is meant; a float would lose digits")


# In a message, which is an object, a number follows one of these; in a string the same may stand, so what is found
# is looked at.
_PERHAPS_A_FLOAT = re.compile(r"[:,\[\s]-?(?:\d+[.eE]|NaN|Infinity)")
_WHOLE_NUMBERS = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse)


def sign(entry: Entry, key: Ed25519PrivateKey) -> Entry:
    signature = base64.b64encode(key.sign(entry.signed_bytes())).decode()
    return replace(entry, signature=signature)


def verify(entry: Entry, key: Ed25519PublicKey) -> None:
    """Raises BadMessage if the entry is not signed with the cloud's key."""
    try:
        key.verify(base64.b64decode(entry.signature or "", validate=True), entry.signed_bytes())
    except (InvalidSignature, ValueError) as error:
        raise BadMessage(f"entry {entry.seq} is not signed by this gateway's cloud") from error

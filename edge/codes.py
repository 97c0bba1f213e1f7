"""What a customer does at the gateway itself: types an offline code, takes emergency credit, closes taps.

An offline code 离线充值码 (prepaid.offline_code) gives credit at once, by the cloud's own number of it: when the
credit itself comes, it takes the code's place. Wrong codes are counted: after FREE of them each next try has to
wait, twice as long each time up to LONGEST_WAIT, right codes too; after ALARM_AFTER a person is told. Only a code
that gives new credit ends the count, or a day without any.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar
from uuid import UUID

from edge.ledger.rows import Lending, Off, Typed
from edge.ledger.store import Store
from prepaid import offline_code
from prepaid.credit import CreditState, credit_state
from prepaid.money import Money
from prepaid.offline_code import DIGITS, WrongCode
from prepaid.point import ServicePoint
from prepaid.supply import ASKS_TAPS
from prepaid.wire.uplog import CodeEntered, EmergencyTaken, GatewayAlarm, Trouble

log = logging.getLogger(__name__)

FREE = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
ALARM_AFTER = 10
FORGOTTEN_AFTER = timedelta(days=1)
AT_GATEWAY = "gateway"
"""By whom emergency credit was taken, where it was taken here."""


class Refused(Exception):
    """Nothing was done. sentence is English with {names}; values fill them. A page translates sentence first."""

    sentence: ClassVar[str]

    def __init__(self, **values: object) -> None:
        self.values = values
        super().__init__(self.sentence.format_map(self.in_zone(UTC)))

    def in_zone(self, zone: tzinfo | None) -> dict[str, str]:
        """The values as people read them, instants by the clock of a zone (None: the machine's)."""
        return {
            name: f"{value.astimezone(zone):%Y-%m-%d %H:%M}"
            if isinstance(value, datetime)
            else str(value)
            for name, value in self.values.items()
        }


class NotACode(Refused):
    sentence = "A code has {wanted} digits, and {digits} were typed."


class Wrong(Refused):
    """Not made for this purse of this gateway. It is counted."""

    sentence = (
        "This code is not right. Compare it digit by digit, and see that it is for this room."
    )


class TooSoon(Refused):
    """After wrong codes; this one was not looked at."""

    sentence = "Too many wrong codes. Wait {seconds} seconds, then type it again."


class HasArrived(Refused):
    sentence = (
        "This code is no longer needed: its top-up has arrived, or the office has booked it anew. If the balance "
        "lacks it, show the payment to the office."
    )


class IsTyped(Refused):
    sentence = "This code was typed before, on {at}. It gave ¥{amount}, and the balance has it."


class NoKey(Refused):
    sentence = (
        "This gateway cannot check codes, because it is not enrolled. Ask the property manager."
    )


class Held(Refused):
    sentence = "The gateway's ledger is being checked or rebuilt. Nothing can be booked until that is done."


class NoSuchPurse(Refused):
    sentence = "This gateway has no meter that this purse pays for."


class NotOffered(Refused):
    sentence = "Emergency credit is not offered for this balance."


class NotAsked(Refused):
    sentence = "The supply does not wait for its taps."


@dataclass(frozen=True, slots=True)
class Entered:
    """Credit that a code gave. available is what the purse holds with it."""

    purse: UUID
    number: int
    amount: Money
    available: Money
    at: datetime


def enter(store: Store, key: bytes | None, code: str, purse: UUID | None, now: datetime) -> Entered:
    """Takes a code as it was typed; its credit is on disk, the cloud will be told, and the points are woken.

    key is the gateway's code key, None before it is enrolled. Raises NoKey, Held, NoSuchPurse, NotACode, TooSoon,
    Wrong, HasArrived, IsTyped or StoreFull.
    """
    if key is None:
        raise NoKey
    if purse is None:
        raise NoSuchPurse
    _points_of(store, purse)
    try:
        digits = offline_code.read(code)
    except offline_code.NotACode as error:
        raise NotACode(wanted=DIGITS, digits=error.digits) from None
    if (left := wait(store, now)) > timedelta(0):
        raise TooSoon(seconds=math.ceil(left.total_seconds()))
    try:
        credit = offline_code.check(key, digits, purse=purse, last=store.last_credit(purse))
    except WrongCode:
        _count_wrong(store, now)
        raise Wrong from None
    if credit.number <= store.last_credit(purse):
        raise HasArrived
    if (typed := store.typed(purse, credit.number)) is not None:
        raise IsTyped(at=typed.at, amount=typed.amount)
    with store.transaction():
        store.save_typed(purse, credit.number, Typed(credit.amount, now))
        store.append(CodeEntered(purse, credit.number, credit.amount, now))
        _forget_wrong(store, now, "a right code was typed")
    log.info("%s credited to purse %s by a code, as credit %s", credit.amount, purse, credit.number)
    store.on_hand(purse)
    return Entered(purse, credit.number, credit.amount, store.balance(purse), now)


def wait(store: Store, now: datetime) -> timedelta:
    """How long the next try still has to wait, nothing if it may be made. A clock that was set back ends a wait."""
    wrong = store.wrong_codes()
    if wrong is None or wrong[0] < FREE or now < wrong[1]:
        return timedelta(0)
    count, last_at = wrong
    length = min(FIRST_WAIT * (1 << min(count - FREE, 20)), LONGEST_WAIT)
    return max(last_at + length - now, timedelta(0))


def _count_wrong(store: Store, now: datetime) -> None:
    wrong = store.wrong_codes()
    count = 1 + (wrong[0] if wrong is not None else 0)
    with store.transaction():
        store.save_wrong_codes((count, now))
        if count >= ALARM_AFTER and store.trouble_since(Trouble.CODES_TRIED) is None:
            text = f"{count} wrong codes were typed one after another; each further try has to wait"
            store.save_trouble(Trouble.CODES_TRIED, now)
            store.append(GatewayAlarm(now, Trouble.CODES_TRIED, is_over=False, text=text))
            log.warning("%s", text)


def calm(store: Store, now: datetime) -> None:
    """Forgets wrong codes of long ago; to be called now and then. Raises StoreFull and StoreHeld."""
    wrong = store.wrong_codes()
    if wrong is not None and now - wrong[1] >= FORGOTTEN_AFTER and store.hold is None:
        with store.transaction():
            _forget_wrong(
                store, now, f"no wrong code was typed since {wrong[1]:%Y-%m-%d %H:%M} UTC"
            )


def _forget_wrong(store: Store, now: datetime, text: str) -> None:
    """Inside a transaction."""
    if store.wrong_codes() is not None:
        store.save_wrong_codes(None)
    if store.trouble_since(Trouble.CODES_TRIED) is not None:
        store.save_trouble(Trouble.CODES_TRIED, None)
        store.append(GatewayAlarm(now, Trouble.CODES_TRIED, is_over=True, text=text))
        log.info("wrong codes are forgotten: %s", text)


def take_emergency(store: Store, purse: UUID | None, now: datetime) -> Money:
    """Lends what the policy offers; how far the balance may fall by it. Again changes nothing.

    Raises Held, NoSuchPurse or NotOffered.
    """
    if purse is None:
        raise NoSuchPurse
    points, available = _points_of(store, purse), store.balance(purse)
    amounts = [
        point.policy.emergency.amount
        for point in points
        if point.policy.emergency is not None
        and (
            store.lent(purse) is not None
            or credit_state(point.policy, available, is_emergency_taken=False)
            is CreditState.EC_OFFERED
        )
    ]
    if not amounts:
        raise NotOffered
    if store.lent(purse) is None:
        with store.transaction():
            store.save_lent(purse, Lending(now, AT_GATEWAY))
            store.append(EmergencyTaken(purse, now, AT_GATEWAY))
        log.info("emergency credit is taken for purse %s at the gateway", purse)
        store.on_hand(purse)
    return max(amounts)


def close_taps(store: Store, point: UUID, now: datetime) -> None:
    """The customer says that every tap behind a service point is closed, so its supply may come back.

    Raises Held, NoSuchPurse where there is no such point, or NotAsked.
    """
    known = store.points().get(point)
    if known is None or known.purse is None:
        raise NoSuchPurse
    _points_of(store, known.purse)
    row, off = store.supply(point), store.off(point)
    if row is None or row.why not in ASKS_TAPS:
        raise NotAsked
    with store.transaction():
        store.save_off(point, Off(off.since if off is not None else None, now))
    log.info("the taps of %s are said to be closed, at the gateway", known.name)
    store.on_hand(known.purse)


def _points_of(store: Store, purse: UUID) -> list[ServicePoint]:
    """What the purse pays for here. Raises Held or NoSuchPurse."""
    if store.hold is not None:
        raise Held
    points = [point for point in store.points().values() if point.purse == purse]
    if not points:
        raise NoSuchPurse
    return points

"""The purse in a prepaid meter 表内钱包: money or energy that consumption uses up, purchases fill, and a
simulated security module guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from protocols import bcd
from protocols.dlt645.relay import Prepayment
from simulators import records
from simulators.parameters import (
    CUSTOMER,
    METER_NUMBER,
    MOST_STEPS,
    PRICES,
    STEP_LIMITS,
    STEP_PRICES,
    STEPS,
    Parameters,
)
from simulators.physics import MINUTE, UNIT, State, whole, whole_or_none
from simulators.records import Events, stamp

PRICE = 10**4
HUNDREDTH = PRICE * UNIT // 100
"""0.01 yuan, or 0.01 kWh, as the purse counts: consumption in W·µs times a price in 0.0001 yuan."""


class Level(Enum):
    """How much is left in a purse."""

    ENOUGH = 0
    LOW = 1  # below alarm amount 1: the meter warns
    WARNED = 2  # below alarm amount 2: it trips once, and may be closed again
    EXHAUSTED = 3  # nothing left, and no more overdraft


class Purse:
    """What is left, exactly, in units of HUNDREDTH / 100 000 000 and less; below zero it is overdraft."""

    def __init__(
        self, kind: Prepayment, balance: Decimal, parameters: Parameters, *, is_open: bool
    ) -> None:
        """is_open is whether the account was opened 开户; else 070101 must come before a recharge."""
        self.kind = kind
        self.is_open = is_open
        self.parameters = parameters
        self.left = int(balance * 100) * HUNDREDTH
        self.purchases = 0
        self.bought = 0

    def price(self, tariff: int, used: int) -> int:
        """In 0.0001 yuan for 1 kWh: of the tariff, and of the step that used W·µs of this period are in."""
        if self.kind is Prepayment.ENERGY:
            return PRICE
        steps = min(self.parameters.count(STEPS), MOST_STEPS)
        price = self.parameters.count(PRICES + tariff)
        if steps:
            limits = [self.parameters.count(STEP_LIMITS + n) for n in range(1, steps + 1)]
            step = 1 + sum(used * 100 >= limit * UNIT for limit in limits)
            price += self.parameters.count(STEP_PRICES + step)
        return price

    def use(self, drawn: int, price: int) -> None:
        self.left -= drawn * price

    @property
    def level(self) -> Level:
        warn, trip, overdraft = self._limits()
        if self.left <= -overdraft:
            return Level.EXHAUSTED
        if trip and self.left < trip:
            return Level.WARNED
        return Level.LOW if self.left < warn else Level.ENOUGH

    def next_limit(self) -> int | None:
        """How much may still be used up until another level is reached."""
        warn, trip, overdraft = self._limits()
        below = [limit for limit in (warn - 1, trip - 1, -overdraft) if limit < self.left]
        return self.left - max(below) if below else None

    def _limits(self) -> tuple[int, int, int]:
        first = 0x04000F01 if self.kind is Prepayment.ENERGY else 0x04001001
        overdraft = 0x04000F04 if self.kind is Prepayment.ENERGY else 0x04001003
        count = self.parameters.count
        return count(first) * HUNDREDTH, count(first + 1) * HUNDREDTH, count(overdraft) * HUNDREDTH

    @property
    def may_close(self) -> bool:
        """Whether there is more than the close-permit limit."""
        least = 0 if self.kind is Prepayment.ENERGY else self.parameters.count(0x04001005)
        return self.left > least * HUNDREDTH

    @property
    def shown(self) -> tuple[Decimal, Decimal]:
        """What remains and what is overdrawn, to 0.01; one of them is zero."""
        remains, debt = max(0, self.left) // HUNDREDTH, -(min(0, self.left) // HUNDREDTH)
        return Decimal(remains).scaleb(-2), Decimal(debt).scaleb(-2)

    def buy(self, hundredths: int, count: int, events: Events, now: datetime) -> int:
        """0, or the bit that says why not. The count must be one more than the last."""
        if count == self.purchases:
            return REPEATED
        if count != self.purchases + 1:
            return WRONG_COUNT
        hoarding = 0x04000F03 if self.kind is Prepayment.ENERGY else 0x04001004
        most = self.parameters.count(hoarding)
        if most and self.left + hundredths * HUNDREDTH > most * HUNDREDTH:
            return TOO_MUCH
        before = max(0, self.left) // HUNDREDTH
        self.left += hundredths * HUNDREDTH
        self.purchases = count
        self.bought += hundredths
        amounts = (hundredths, before, max(0, self.left) // HUNDREDTH, self.bought)
        record = stamp(now, "%y%m%d%H%M") + bcd.from_digits(f"{count % 10**4:04d}")
        for amount in amounts:
            record += bcd.from_digits(f"{amount % 10**8:08d}")
        is_energy = self.kind is Prepayment.ENERGY
        events.add(records.ENERGY_BOUGHT if is_energy else records.MONEY_BOUGHT, record)
        return 0

    def state(self) -> State:
        return {
            "left": self.left,
            "purchases": self.purchases,
            "bought": self.bought,
            "is_open": self.is_open,
        }

    def resume(self, state: State) -> None:
        """Raises KeyError or ValueError if it is no state of a purse."""
        self.left = whole(state, "left")
        self.purchases = whole(state, "purchases")
        self.bought = whole(state, "bought")
        self.is_open = bool(state["is_open"])


OTHER, REPEATED, WRONG_MAC, NOT_AUTHENTICATED = 0x0001, 0x0002, 0x0004, 0x0008
WRONG_CUSTOMER, WRONG_COUNT, TOO_MUCH, SUSPENDED = 0x0010, 0x0020, 0x0040, 0x0100
BAD_MAC = b"\xff" * 4
MACS_A_DAY = 200
SERIAL = bytes.fromhex("5745534d00000001")
RANDOM = bytes.fromhex("10203040")


@dataclass(slots=True)
class Module:
    """The security module 安全模块 (ESAM) of a simulated meter. It has no keys: it takes every ciphertext and
    MAC but those of FF alone, and checks everything else as a meter does.

    `valid_until` is the instant of the clock at which the last authentication ends.
    """

    purse: Purse | None
    parameters: Parameters
    valid_until: int | None = None
    minutes: int = 5
    macs: int = 0
    macs_on: str = ""

    def ask(
        self,
        di: int,
        payload: bytes,
        *,
        at: int,
        now: datetime,
        events: Events,
        bought: Callable[[], None],
    ) -> bytes | int:
        """The reply's payload, or the bits of SERR. bought is called when a purchase was taken."""
        if self.is_suspended(now):
            return SUSPENDED
        is_valid = self.valid_until is not None and at < self.valid_until
        match di, len(payload):
            case 0x070000FF, 24:
                number = bytes(2) + self.parameters[METER_NUMBER][::-1]
                if payload[:8] == b"\xff" * 8 or payload[16:] not in (number[::-1], PUBLIC):
                    return NOT_AUTHENTICATED
                self.valid_until = at + self.minutes * MINUTE
                return RANDOM + SERIAL
            case _ if not is_valid:
                return NOT_AUTHENTICATED
            case 0x070001FF, 6:
                if (fault := self._check(payload[2:], now)) or not payload[:2].hex().isdecimal():
                    return fault or OTHER
                self.minutes = int(bcd.digits(payload[:2]))
                self.valid_until = at + self.minutes * MINUTE
                return b""
            case 0x070002FF, 0:
                self.valid_until = None
                purse = self.purse
                left = bytes(8) if purse is None else _left(purse) + _binary(purse.purchases)
                return self.parameters[CUSTOMER] + left + self.parameters[0x04000508]
            case ((0x070101FF | 0x070102FF), 22):
                return self._recharge(di, payload, now, events, bought)
            case 0x070103FF, 16 if self.purse is not None:
                if fault := self._check(payload[4:8], now) or self._check(payload[12:], now):
                    return fault
                self.purse.left = int.from_bytes(payload[:4], "little") * HUNDREDTH
                self.purse.purchases = int.from_bytes(payload[8:12], "little")
                bought()
                return b""
            case 0x078102FF, 0 if self.purse is not None:
                count = _binary(self.purse.purchases)
                tail = self.parameters[CUSTOMER] + self.parameters[0x04000508]
                return _left(self.purse) + MAC + count + MAC + tail
        return OTHER

    def _recharge(
        self,
        di: int,
        payload: bytes,
        now: datetime,
        events: Events,
        bought: Callable[[], None],
    ) -> bytes | int:
        """Amount, count, MAC, customer number, MAC; 070101 opens the account with that number."""
        if self.purse is None:
            return OTHER
        if fault := self._check(payload[8:12], now) or self._check(payload[18:], now):
            return fault
        customer = payload[12:18]
        if di == 0x070101FF:
            self.parameters.written[CUSTOMER] = customer
            self.purse.is_open = True
        elif not self.purse.is_open:
            return OTHER
        elif customer != self.parameters[CUSTOMER]:
            return WRONG_CUSTOMER
        amount, count = (int.from_bytes(payload[at : at + 4], "little") for at in (0, 4))
        fault = self.purse.buy(amount, count, events, now)
        if not fault:
            bought()
        return fault or b""

    def _check(self, mac: bytes, now: datetime) -> int:
        if mac != BAD_MAC:
            return 0
        if self.macs_on != f"{now:%y%m%d}":
            self.macs, self.macs_on = 0, f"{now:%y%m%d}"
        self.macs += 1
        return WRONG_MAC

    def is_suspended(self, now: datetime) -> bool:
        """Two hundred wrong MACs suspend the meter until its date changes."""
        return self.macs >= MACS_A_DAY and self.macs_on == f"{now:%y%m%d}"

    def accepts(self, mac: bytes, *, at: int, now: datetime) -> bool:
        """Whether an authentication is valid and the MAC is none of FF."""
        if self.is_suspended(now) or not self.minutes_left(at):
            return False
        return not self._check(mac, now)

    def minutes_left(self, at: int) -> int:
        return 0 if self.valid_until is None else max(0, -((at - self.valid_until) // MINUTE))

    def state(self) -> State:
        return {
            "valid_until": self.valid_until,
            "minutes": self.minutes,
            "macs": self.macs,
            "macs_on": self.macs_on,
        }

    def resume(self, state: State) -> None:
        """Raises KeyError or ValueError if it is no state of a module."""
        self.valid_until = whole_or_none(state, "valid_until")
        self.minutes = whole(state, "minutes")
        self.macs = whole(state, "macs")
        self.macs_on = str(state["macs_on"])


MAC = bytes.fromhex("4d414331")
PUBLIC = (1).to_bytes(8, "little")


def _left(purse: Purse) -> bytes:
    return _binary(max(0, purse.left) // HUNDREDTH)


def _binary(number: int) -> bytes:
    return (number % 2**32).to_bytes(4, "little")

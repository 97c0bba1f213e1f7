"""The relay of a simulated electricity meter: what orders, the button, the purse and time do to its contact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.dlt645.relay import RelayCommand
from protocols.dlt645.slave import NOBODY
from simulators import electricity_items, parameters, records
from simulators.physics import MINUTE
from simulators.purse import Level, Purse
from simulators.records import stamp

if TYPE_CHECKING:
    from simulators.electricity import ElectricityMeter


def see_purse(meter: ElectricityMeter, purse: Purse) -> None:
    """Trip once where the balance falls below the second alarm, and for good where nothing is left."""
    level = purse.level
    if level is Level.EXHAUSTED:
        if not meter.exhausted:
            meter.exhausted = True
            _trip_for_want(meter)
    elif level is Level.WARNED and not meter.warned:
        meter.warned = True
        _trip_for_want(meter)
        if meter.command_open:
            permit(meter)


def _trip_for_want(meter: ElectricityMeter) -> None:
    if not meter.keep_power and not meter.contact_open:
        meter.mover = NOBODY
        _trip(meter, None, delay=0)


def bought(meter: ElectricityMeter) -> None:
    """A purchase was taken: what it fills may close the relay again."""
    assert meter.purse is not None
    level = meter.purse.level
    meter.exhausted = level is Level.EXHAUSTED
    meter.warned = level in (Level.WARNED, Level.EXHAUSTED)
    if meter.contact_open and meter.purse.may_close:
        permit(meter)


def press(meter: ElectricityMeter) -> None:
    meter.mover = NOBODY
    _close(meter, delay=0)


def obey(meter: ElectricityMeter, command: RelayCommand, minutes: int) -> None:
    """Obey a relay command; minutes is the length of a timed trip."""
    meter.mover = meter.operator
    mine = meter.parameters
    match command:
        case RelayCommand.KEEP_POWER_ON | RelayCommand.KEEP_POWER_OFF:
            meter.keep_power = command is RelayCommand.KEEP_POWER_ON
            meter.warned = meter.exhausted = False  # what it kept from tripping is judged anew
        case RelayCommand.ALARM_ON | RelayCommand.ALARM_OFF:
            meter.alarm = command is RelayCommand.ALARM_ON
        case RelayCommand.CLOSE:
            _close(meter, delay=mine.count(parameters.CLOSE_DELAY) * MINUTE)
        case RelayCommand.ALLOW_CLOSE:
            permit(meter)
        case RelayCommand.TRIP:
            _trip(meter, None, delay=mine.count(parameters.TRIP_DELAY) * MINUTE)
        case RelayCommand.TRIP_THEN_CLOSE:
            _trip(meter, (meter.at + minutes * MINUTE, RelayCommand.CLOSE), delay=0)
        case RelayCommand.TRIP_THEN_ALLOW_CLOSE:
            _trip(meter, (meter.at + minutes * MINUTE, RelayCommand.ALLOW_CLOSE), delay=0)


def end_timed_trip(meter: ElectricityMeter) -> None:
    assert meter.restore is not None
    command = meter.restore[1]
    meter.restore = None
    if command is RelayCommand.CLOSE:
        _close(meter, delay=0)
    else:
        permit(meter)


def permit(meter: ElectricityMeter) -> None:
    meter.command_open = False
    meter.restore = None
    match meter.moving:
        case int(at), True if at > meter.at + meter.make.travel:
            meter.moving = None  # the trip was delayed; it is taken back
    will_be_open = meter.contact_open if meter.moving is None else meter.moving[1]
    if will_be_open and meter.armed_since is None:
        meter.armed_since = meter.at


def _close(meter: ElectricityMeter, *, delay: int) -> None:
    meter.command_open = False
    meter.armed_since = meter.restore = None
    _move(meter, to_open=False, delay=delay)


def _trip(meter: ElectricityMeter, restore: tuple[int, RelayCommand] | None, *, delay: int) -> None:
    meter.command_open = True
    meter.armed_since = None
    meter.restore = restore
    _move(meter, to_open=True, delay=delay)


def _move(meter: ElectricityMeter, *, to_open: bool, delay: int) -> None:
    if meter.contact_open is to_open:
        meter.moving = None
        return
    meter.moving = (meter.at + delay + meter.make.travel, to_open)
    if meter.moving[0] <= meter.at:
        arrive(meter)


def arrive(meter: ElectricityMeter) -> None:
    assert meter.moving is not None
    (_, is_open), meter.moving = meter.moving, None
    if meter.has_fault("stuck_relay"):
        return
    meter.contact_open = is_open
    record = (
        stamp(meter.now) + bytes.fromhex(meter.mover)[::-1] + electricity_items.six_energies(meter)
    )
    meter.events.add(records.TRIPPED if is_open else records.CLOSED, record)

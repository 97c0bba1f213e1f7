"""What survives of a simulated electricity meter when its program ends, as JSON has it."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from protocols.dlt645.relay import RelayCommand
from simulators.physics import State, whole, whole_or_none
from simulators.records import table, unhex

if TYPE_CHECKING:
    from simulators.electricity import Demand, ElectricityMeter

LOCAL = "%y%m%d%H%M%S"


def state(meter: ElectricityMeter) -> State:
    """All of it."""
    return {
        "total": meter.register.total,
        "by_tariff": meter.by_tariff,
        "at": meter.at,
        "local": f"{meter.now:{LOCAL}}",
        "clock": meter.own.state(),
        "relay": [getattr(meter, name) for name in RELAY],
        "armed_since": meter.armed_since,
        "moving": meter.moving and list(meter.moving),
        "restore": meter.restore and [meter.restore[0], meter.restore[1].value],
        "mover": meter.mover,
        "demand": [[one.w, one.at] for one in meter.demand],
        "settled": [[one.energy, [[d.w, d.at] for d in one.demand]] for one in meter.settled],
        "parameters": {f"{di:X}": data.hex() for di, data in meter.parameters.written.items()},
        "passwords": {str(level): text for level, text in meter.own_passwords.items()},
        "address": meter.address,
        "freeze_pattern": meter.freeze_pattern,
        "baud": meter.baud_feature,
        "happened": meter.happened,
        "begun": [[what.value, end, start.hex()] for what, (end, start) in meter.begun.items()],
        "wrong": [meter.wrong_passwords, meter.wrong_on and meter.wrong_on.isoformat()],
        "events": meter.events.state(),
        "freezes": meter.freezes.state(),
        "load": meter.load.state(),
        "module": meter.module.state(),
        "purse": meter.purse and meter.purse.state(),
    }


RELAY = (
    "contact_open",
    "command_open",
    "keep_power",
    "alarm",
    "warned",
    "exhausted",
    "was_reset",
    "second_zones",
    "second_periods",
)


def resume(meter: ElectricityMeter, state: State) -> None:
    """Raises KeyError, ValueError or TypeError if it is not the state of an electricity meter."""
    from simulators.electricity import Settled, What

    meter.register.total = whole(state, "total")
    by_tariff = [number(one) for one in rows(state["by_tariff"])]
    if len(by_tariff) == len(meter.by_tariff):  # else it has another number of tariffs now
        meter.by_tariff = by_tariff
    meter.at = whole(state, "at")
    meter.own.resume(state["clock"])
    for name, value in zip(RELAY, rows(state["relay"]), strict=True):
        setattr(meter, name, bool(value))
    meter.armed_since = whole_or_none(state, "armed_since")
    match state["moving"]:
        case [int(at), bool(is_open)]:
            meter.moving = (at, is_open)
        case None:
            meter.moving = None
        case other:
            raise ValueError(f"moving is {other!r}")
    match state["restore"]:
        case [int(at), int(command)]:
            meter.restore = (at, RelayCommand(command))
        case None:
            meter.restore = None
        case other:
            raise ValueError(f"restore is {other!r}")
    meter.mover = str(state["mover"])
    demand = _demands(state["demand"])
    if len(demand) == len(meter.demand):
        meter.demand = demand
    for energy, settled in map(rows, rows(state["settled"])):
        meter.settled.append(Settled([number(one) for one in rows(energy)], _demands(settled)))
    meter.parameters.written = {
        int(di, 16): unhex(data) for di, data in table(state["parameters"]).items()
    }
    meter.parameters.revision += 1
    meter.own_passwords = {int(k): str(v) for k, v in table(state["passwords"]).items()}
    meter.address = str(state["address"])
    meter.freeze_pattern = str(state["freeze_pattern"])
    meter.baud_feature = whole_or_none(state, "baud")
    meter.happened = whole(state, "happened")
    meter.begun = {
        What(what): (number(end), unhex(start))
        for what, end, start in map(rows, rows(state["begun"]))
    }
    count, day = rows(state["wrong"])
    meter.wrong_passwords = number(count)
    meter.wrong_on = None if day is None else date.fromisoformat(str(day))
    meter.events.resume(state["events"])
    meter.freezes.resume(state["freezes"])
    meter.load.resume(state["load"])
    meter.module.resume(table(state["module"]))
    if meter.purse is not None and state["purse"] is not None:
        meter.purse.resume(table(state["purse"]))
    meter.see_power_cut(datetime.strptime(str(state["local"]), LOCAL))  # noqa: DTZ007


def _demands(state: object) -> list[Demand]:
    from simulators.electricity import Demand

    return [Demand(number(w), str(at)) for w, at in map(rows, rows(state))]


def rows(state: object) -> list[object]:
    """Raises ValueError if a part of a state is not a list."""
    if not isinstance(state, list):
        raise ValueError(f"{state!r} is not a list")
    return state


def number(state: object) -> int:
    """Raises ValueError if a part of a state is not a whole number."""
    if not isinstance(state, int):
        raise ValueError(f"{state!r} is not a whole number")
    return state

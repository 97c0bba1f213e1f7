"""Register profiles 寄存器档案: what the registers of a real meter mean, as data, and how such a meter is asked.

A profile is a TOML file in `protocols/modbus/profiles/`; its comments and notes say what is
confirmed and what inferred. Addresses are those on the wire, from 0. Its parts are in `layout`, how it is
parsed in `profile_file`, how registers become values in `values`.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from struct import unpack

from protocols.exchange import Exchange, Refused, Unexpected
from protocols.modbus import frame as frames
from protocols.modbus import master
from protocols.modbus.fetch import Fetched, ask, fetch
from protocols.modbus.frame import Frame
from protocols.modbus.layout import (
    DIRECT,
    Command,
    Condition,
    Flow,
    Kind,
    Order,
    Profile,
    Ratio,
    RatioRule,
    Register,
    Supply,
    Switch,
    Type,
    Value,
    Words,
)
from protocols.modbus.plan import Cost, Read, plan
from protocols.modbus.profile_file import BadProfile, parse
from protocols.modbus.values import decode, float32, value_of

__all__ = [
    "DIRECT",
    "BadProfile",
    "Command",
    "Condition",
    "Cost",
    "Fetched",
    "Kind",
    "Order",
    "Profile",
    "Ratio",
    "RatioRule",
    "Read",
    "Register",
    "Supply",
    "Switch",
    "Type",
    "Value",
    "Words",
    "decode",
    "fetch",
    "float32",
    "judge_supply",
    "load",
    "names",
    "parse",
    "plan",
    "ratio_of",
    "read_clock",
    "read_energy",
    "read_ratio",
    "read_supply",
    "read_values",
    "release",
    "says",
    "supply_registers",
    "switch",
    "value_of",
]


def names() -> tuple[str, ...]:
    """All profiles, sorted."""
    files = resources.files("protocols.modbus.profiles").iterdir()
    return tuple(sorted(file.name[:-5] for file in files if file.name.endswith(".toml")))


@cache
def load(name: str) -> Profile:
    """The profile of that name, for example "acrel_ddsy1352".

    Raises ValueError if there is none, and BadProfile if its file is wrong.
    """
    if name not in names():
        raise ValueError(f"no register profile {name!r}")
    file = resources.files("protocols.modbus.profiles") / f"{name}.toml"
    return parse(file.read_text("utf-8"), name=name)


def read_values(
    unit: int, profile: Profile, wanted: Collection[str], ratio: Ratio
) -> Exchange[Frame, dict[str, Value]]:
    """The wanted registers by name, as `decode` gives them.

    Raises ValueError as `plan`, and what `master` raises.
    """
    words = yield from _fetch(unit, profile, wanted)
    values = decode(profile, words, ratio)
    return {name: values[name] for name in wanted}


def read_energy(unit: int, profile: Profile, ratio: Ratio) -> Exchange[Frame, Decimal]:
    """The cumulative total that is charged by: kWh, or m3 of a water meter.

    Where generations of a model keep it in different places, the first that is neither refused
    nor zero nor no number.

    Raises Unexpected if no place has a number, Refused if the last of them is refused and none
    has one.
    """
    zero: Decimal | None = None
    refused: Refused | None = None
    for name in profile.energy:
        try:
            values = yield from read_values(unit, profile, [name], ratio)
        except Refused as error:
            refused = error
            continue
        value = values[name]
        if isinstance(value, Decimal):
            if value:
                return value
            zero = value
    if zero is not None:
        return zero
    if refused is not None:
        raise refused
    raise Unexpected("the meter gives no total")


def read_ratio(unit: int, profile: Profile) -> Exchange[Frame, Ratio]:
    """The ratios that are set in the meter and must be multiplied with.

    DIRECT, without asking, where nothing is to be multiplied. Raises ValueError where that is
    unclear or the place of the ratios is not known: then a person decides.
    """
    match profile.ratio_rule:
        case RatioRule.DIRECT | RatioRule.PRIMARY:
            return DIRECT
        case RatioRule.UNCLEAR:
            raise ValueError(f"{profile.name}: try on the bench whether to multiply by the ratios")
    if profile.pt is None or profile.ct is None:
        raise ValueError(f"{profile.name}: where the meter keeps its ratios is not known")
    words = yield from _fetch(unit, profile, [profile.pt, profile.ct])
    return ratio_of(profile, words)


def ratio_of(profile: Profile, words: Words) -> Ratio:
    """The ratios that are set in the meter, by its words. Raises Unexpected if those are none, or not there."""
    pt, ct = (
        value_of(profile, name, words, DIRECT) if name is not None else None
        for name in (profile.pt, profile.ct)
    )
    if not isinstance(pt, Decimal) or not isinstance(ct, Decimal) or pt <= 0 or ct <= 0:
        raise Unexpected(f"ratios PT {pt} and CT {ct}")
    return Ratio(pt, ct)


def read_supply(unit: int, profile: Profile) -> Exchange[Frame, Supply | None]:
    """How the meter says its relay or valve stands; None, perhaps without asking, where it cannot.

    What still flows contradicts an OFF: then the contact is stuck, and the supply is ON. Otherwise see
    `Switch.is_measured` for what it is worth.
    """
    words = yield from _fetch(unit, profile, supply_registers(profile))
    return (yield from judge_supply(unit, profile, words))


def supply_registers(profile: Profile) -> frozenset[str]:
    """What must be read to know how the relay or valve stands; nothing where the meter cannot say."""
    switch = profile.switch
    if switch is None or not switch.is_on:
        return frozenset()
    return frozenset(condition.register for condition in (*switch.is_on, *switch.is_off))


def judge_supply(unit: int, profile: Profile, words: Words) -> Exchange[Frame, Supply | None]:
    """As `read_supply`, by words that were read; what flows is asked only after an OFF, if it is not among them."""
    switch = profile.switch
    if switch is None or not switch.is_on:
        return None
    if says(profile, switch.is_on, words):
        return Supply.ON
    if not says(profile, switch.is_off, words):
        return None
    return Supply.ON if (yield from _does_flow(unit, profile, switch.flows, words)) else Supply.OFF


CLOCK = "clock"


def read_clock(unit: int, profile: Profile) -> Exchange[Frame, datetime | None]:
    """The meter's date and time, its own local time without a zone; None where the profile has no clock that is
    understood, or what it shows is no date.

    Three registers with a byte each for year, month, day, hour, minute and second; or six registers with
    the second first and the year last.
    """
    if CLOCK not in profile.registers:
        return None
    (said,) = (yield from read_values(unit, profile, [CLOCK], DIRECT)).values()
    data = bytes.fromhex(said) if isinstance(said, str) else b""
    match len(data):
        case 6:
            year, month, day, hour, minute, second = data
        case 12:
            second, minute, hour, day, month, year = unpack(">6H", data)
        case _:
            return None
    try:
        return datetime(2000 + year % 100, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None


def switch(unit: int, profile: Profile, supply: Supply) -> Exchange[Frame, None]:
    """Tell the relay or valve to let the supply on or off. The reply says only that the order was
    taken: read the supply, and the current or flow, after it.

    Raises ValueError if no command is known for this model.
    """
    known = profile.switch
    command = None
    if known is not None:
        command = known.on if supply is Supply.ON else known.off
    yield from _give(unit, profile, command)


def release(unit: int, profile: Profile) -> Exchange[Frame, None]:
    """Leave the relay to the meter's own rules again.

    Raises ValueError if no command is known for this model.
    """
    known = profile.switch
    yield from _give(unit, profile, known.automatic if known else None)


def _give(unit: int, profile: Profile, command: Command | None) -> Exchange[Frame, None]:
    if command is None:
        raise ValueError(f"{profile.name}: no such command is known")
    values = []
    for value in command.values:
        values.append((yield from _fineco_key(unit, profile)) if value == "key" else value)
    if command.function == frames.WRITE_REGISTER:
        yield from master.write_single_register(unit, address=command.address, value=values[0])
    else:
        yield from master.write_registers(unit, address=command.address, values=values)


def _fineco_key(unit: int, profile: Profile) -> Exchange[Frame, int]:
    """The word that must stand before a relay state, made of the meter's serial number."""
    words = yield from _fetch(unit, profile, ["serial_number"])
    high, low = (words[key] for key in profile.registers["serial_number"].keys)
    serial = high << 16 | low
    return (serial >> 24) + (serial >> 8) & 0x1234


def _fetch(unit: int, profile: Profile, wanted: Collection[str]) -> Exchange[Frame, Words]:
    words: dict[tuple[int, int], int] = {}
    for read in plan(profile, wanted):
        words |= yield from ask(unit, read)
    return words


def _does_flow(
    unit: int, profile: Profile, flows: Collection[Flow], words: Words
) -> Exchange[Frame, bool]:
    names = [flow.register for flow in flows]
    read = {name: value_of(profile, name, words, DIRECT) for name in names}
    if None in read.values():
        read = yield from read_values(unit, profile, names, DIRECT)
    return any(
        isinstance(value := read[flow.register], Decimal) and abs(value) > flow.most
        for flow in flows
    )


def says(profile: Profile, conditions: Collection[Condition], words: Words) -> bool | None:
    """Whether all conditions hold; None where there are none, or a word of them is missing."""
    keys = [profile.registers[one.register].keys[0] for one in conditions]
    if not keys or not all(key in words for key in keys):
        return None
    pairs = zip(conditions, keys, strict=True)
    return all(words[key] & one.mask == one.value for one, key in pairs)

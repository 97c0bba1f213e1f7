"""Electricity and water meters that speak Modbus, by their register profile.

Meter.address is the unit, 1 to 247, up to 255 over TCP. Meter.settings: "profile" (a name in
protocols/modbus/profiles), and "pt" and "ct", decimals, where a person says by which ratios 互感器变比 to
multiply; both or none. Without them it is done as the profile says: not at all where the meter has
multiplied, else by what is set in the meter, read with every total. Where the profile knows neither, they
must be given. With both "1" the total is the register's own, for Meter.multiplier to multiply what it moves by;
only one of the two may multiply. A register that may roll over is better left as it is.

A line is asked alike whether its frames travel as on a serial line or framed for TCP: that is the port's.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

from edge.drivers.meter import BadMeter, Seen, number
from prepaid.point import Meter, Restore
from prepaid.reading import Supply
from protocols.exchange import Exchange, Refused
from protocols.modbus import profile as profiles
from protocols.modbus.frame import Frame, ReplyDecoder
from protocols.modbus.profile import DIRECT, Kind, Profile, Ratio, RatioRule

REPLY_S = 1.0  # no limit of the standard is known here; meters need far less
TRAVEL_S = 10.0
CURRENTS = ("current", "current_a", "current_b", "current_c")


def decoder(request: bytes) -> ReplyDecoder:
    """Only a reply to this request passes. A write of one register is answered by the same bytes, so its
    echo is not told from its reply here: the bus takes the echo away."""
    return ReplyDecoder(request, echoes=False)


def read(meter: Meter) -> Exchange[Frame, Seen]:
    """The cumulative total in kWh or m3, multiplied as the profile says, and the supply."""
    unit, profile = _unit(meter), _profile(meter)
    ratio = yield from _ratio(meter, unit, profile)
    if meter.multiplier != 1 and ratio.pt * ratio.ct != 1:
        raise BadMeter(
            f"meter {meter.meter_no} would be multiplied twice: by PT {ratio.pt} and CT {ratio.ct}, and by its "
            f'multiplier {meter.multiplier}; set "pt" and "ct" to "1", or the multiplier'
        )
    total = yield from profiles.read_energy(unit, profile, ratio)
    return Seen(total, (yield from state(meter)))


def state(meter: Meter) -> Exchange[Frame, Supply | None]:
    """ON or OFF as the relay or valve says, ON in any case while something flows.

    None where it cannot say, or refuses to.
    """
    try:
        said = yield from profiles.read_supply(_unit(meter), _profile(meter))
    except Refused:
        return None
    match said:
        case profiles.Supply.ON:
            return Supply.ON
        case profiles.Supply.OFF:
            return Supply.OFF
        case None:
            return None


def current(meter: Meter) -> Exchange[Frame, Decimal | None]:
    """The largest of the phases' currents, as it flows through the meter itself."""
    profile = _profile(meter)
    known = [name for name in CURRENTS if name in profile.registers]
    if not known:
        return None
    try:
        values = yield from profiles.read_values(_unit(meter), profile, known, DIRECT)
    except Refused:
        return None
    phases = (values[name] for name in known)
    return max((abs(a) for a in phases if isinstance(a, Decimal)), default=None)


def hides_armed(meter: Meter) -> bool:
    """None of these has a close permit: it is never armed."""
    return False


def switch(meter: Meter, supply: Supply, restore: Restore, now: datetime) -> Exchange[Frame, None]:
    """The profile's command. A valve has no button, so both kinds of restore open it; a relay closes at
    once, which is done only where the site has consented (Restore.DIRECT)."""
    profile = _profile(meter)
    known = profile.switch
    match supply:
        case Supply.ON:
            command, wanted = known and known.on, profiles.Supply.ON
            if profile.kind is not Kind.WATER and restore is not Restore.DIRECT:
                raise BadMeter(
                    f"meter {meter.meter_no} ({profile.vendor} {profile.model}) has no close permit "
                    "合闸允许, it can only be closed from here: where the site has consented, its point must "
                    f"say restore {Restore.DIRECT}"
                )
        case Supply.OFF:
            command, wanted = known and known.off, profiles.Supply.OFF
        case _:
            raise ValueError(f"a relay or valve is not told to be {supply}")
    if command is None:
        raise BadMeter(
            f"no command to go {supply} is known for meter {meter.meter_no} ({profile.vendor} "
            f"{profile.model}): say that it has no switch, or switch it by another device"
        )
    yield from profiles.switch(_unit(meter), profile, wanted)


def _unit(meter: Meter) -> int:
    unit = number(meter, "address", meter.address, base=10, most=255)
    if not unit:
        raise BadMeter(
            f"address of meter {meter.meter_no} must be a unit from 1 to 247, not everybody's 0"
        )
    return unit


def _profile(meter: Meter) -> Profile:
    try:
        return profiles.load(meter.settings.get("profile", ""))
    except ValueError as error:
        raise BadMeter(
            f"profile of meter {meter.meter_no} cannot be used: {error}; there are "
            f"{', '.join(profiles.names())}"
        ) from error


def _ratio(meter: Meter, unit: int, profile: Profile) -> Exchange[Frame, Ratio]:
    given = meter.settings.get("pt"), meter.settings.get("ct")
    if given != (None, None):
        pt, ct = (
            _positive(meter, name, text) for name, text in zip(("pt", "ct"), given, strict=True)
        )
        return Ratio(pt, ct)
    if profile.ratio_rule in (RatioRule.DIRECT, RatioRule.PRIMARY):
        return DIRECT
    if profile.ratio_rule is RatioRule.UNCLEAR or profile.pt is None or profile.ct is None:
        raise BadMeter(
            f"meter {meter.meter_no} ({profile.vendor} {profile.model}) does not say by which ratios to "
            'multiply: its settings must say "pt" and "ct", both "1" where it is connected directly'
        )
    return (yield from profiles.read_ratio(unit, profile))


def _positive(meter: Meter, name: str, text: str | None) -> Decimal:
    try:
        value = Decimal(text or "")
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise BadMeter(f"{name} of meter {meter.meter_no} must be a number above 0")
    return value

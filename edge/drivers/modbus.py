"""Electricity and water meters that speak Modbus, by their register profile.

Meter.address is the unit, 1 to 247, up to 255 over TCP. Meter.settings: "profile" (a name in
protocols/modbus/profiles), and "pt" and "ct", decimals, where a person says by which ratios 互感器变比 to
multiply; both or none. Without them it is done as the profile says: not at all where the meter has
multiplied, else by what is set in the meter, read with every total. Where the profile knows neither, they
must be given. With both "1" the total is the register's own, for Meter.multiplier to multiply what it moves by;
only one of the two may multiply. A register that may roll over is better left as it is.

"bands" names the tariff's band of each rate number, as of DL/T 645; needed to read them where the profile has but
their numbers.

A line is asked alike whether its frames travel as on a serial line or framed for TCP: that is the port's.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

from edge.drivers.meter import (
    STRANGER,
    BadMeter,
    Known,
    Measured,
    Seen,
    band_names,
    number,
)
from prepaid.momentary import Measurand
from prepaid.point import Meter, Restore
from prepaid.reading import Supply
from protocols.exchange import Exchange, Refused
from protocols.modbus import profile as profiles
from protocols.modbus.frame import Frame, ReplyDecoder
from protocols.modbus.profile import (
    DIRECT,
    Cost,
    Fetched,
    Kind,
    Profile,
    Ratio,
    RatioRule,
    Words,
)

REPLY_S = 1.0  # no limit of the standard is known here; meters need far less
TRAVEL_S = 10.0
CURRENTS = ("current", "current_a", "current_b", "current_c")
MEASURED = {
    "voltage": Measurand.VOLTAGE_A,
    "voltage_a": Measurand.VOLTAGE_A,
    "voltage_b": Measurand.VOLTAGE_B,
    "voltage_c": Measurand.VOLTAGE_C,
    "current": Measurand.CURRENT_A,
    "current_a": Measurand.CURRENT_A,
    "current_b": Measurand.CURRENT_B,
    "current_c": Measurand.CURRENT_C,
    "power": Measurand.POWER,
    "power_active": Measurand.POWER,
    "power_total": Measurand.POWER,
    "power_a": Measurand.POWER_A,
    "power_b": Measurand.POWER_B,
    "power_c": Measurand.POWER_C,
    "power_factor": Measurand.POWER_FACTOR,
    "pf_total": Measurand.POWER_FACTOR,
    "frequency": Measurand.FREQUENCY,
    "flow_rate": Measurand.FLOW,
    "battery": Measurand.BATTERY,
}
"""What the registers of these names measure."""


def decoder(request: bytes) -> ReplyDecoder:
    """Only a reply to this request passes. A write of one register is answered by the same bytes, so its
    echo is not told from its reply here: the bus takes the echo away."""
    return ReplyDecoder(request, echoes=False)


def read(
    meter: Meter, known: Known = STRANGER, *, with_bands: bool = False
) -> Exchange[Frame, Seen]:
    """The cumulative total in kWh or m3, multiplied as the profile says, and the supply; with the bands if it has
    registers of them. All is fetched together where that is cheaper."""
    unit, profile = _unit(meter), _profile(meter)
    given, rates = _ratio(meter, profile), _rates(meter, profile) if with_bands else {}
    if given is not None:
        _check_once(meter, given)
    wanted = {profile.energy[0], *rates.values(), *profiles.supply_registers(profile)}
    fetched = yield from _fetch(unit, profile, wanted | _ratio_registers(profile, given), known)
    words = fetched.words
    ratio = given or (yield from _ratio_read(unit, profile, words))
    _check_once(meter, ratio)
    total = profiles.value_of(profile, profile.energy[0], words, ratio)
    if not isinstance(total, Decimal) or (not total and len(profile.energy) > 1):
        total = yield from profiles.read_energy(unit, profile, ratio)
    bands: dict[str, Decimal] = {}
    for band, register in rates.items():
        value = profiles.value_of(profile, register, words, ratio)
        if isinstance(value, Decimal):
            bands[band] = value
    try:
        supply = _supply((yield from profiles.judge_supply(unit, profile, words)))
    except Refused:
        supply = None
    return Seen(total, supply, bands or None, fetched.refused)


def measure(meter: Meter, known: Known = STRANGER) -> Exchange[Frame, Measured]:
    """The registers that measure something now, powers in kW, and what valve and battery say of themselves."""
    unit, profile = _unit(meter), _profile(meter)
    given = _ratio(meter, profile)
    low, switch = profile.is_battery_low, profile.switch
    abnormal = switch.is_abnormal if switch is not None else ()
    measured = {name for name in MEASURED if name in profile.registers}
    states = {condition.register for condition in (*low, *abnormal)}
    wanted = measured | states | _ratio_registers(profile, given)
    fetched = yield from _fetch(unit, profile, wanted, known)
    words = fetched.words
    ratio = given or (yield from _ratio_read(unit, profile, words))
    values: dict[Measurand, Decimal] = {}
    for name in measured:
        value = profiles.value_of(profile, name, words, ratio)
        if isinstance(value, Decimal):
            in_watts = profile.registers[name].unit == "W"
            values[MEASURED[name]] = value.scaleb(-3) if in_watts else value
    return Measured(
        values,
        is_battery_low=profiles.says(profile, low, words),
        is_valve_abnormal=profiles.says(profile, abnormal, words),
        refused=fetched.refused,
    )


def state(meter: Meter) -> Exchange[Frame, Supply | None]:
    """ON or OFF as the relay or valve says, ON in any case while something flows.

    None where it cannot say, or refuses to.
    """
    try:
        return _supply((yield from profiles.read_supply(_unit(meter), _profile(meter))))
    except Refused:
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


def clock(meter: Meter) -> Exchange[Frame, datetime | None]:
    """The profile's clock, where it has one that is understood."""
    return (yield from profiles.read_clock(_unit(meter), _profile(meter)))


def clock_broadcast(at: datetime) -> None:
    """None is known."""
    return


def set_clock(meter: Meter, at: datetime) -> None:
    """How is known of few profiles, and tried on none."""
    return


def buzz(meter: Meter, now: datetime, *, is_on: bool) -> None:
    """No profile has one."""
    return


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
                    "meter %(meter_no)s (%(model)s) has no close permit 合闸允许, it can only be closed from here: "
                    "where the site has consented, its point must say restore direct",
                    meter_no=meter.meter_no,
                    model=_model(profile),
                )
        case Supply.OFF:
            command, wanted = known and known.off, profiles.Supply.OFF
        case _:
            raise ValueError(f"a relay or valve is not told to be {supply}")
    if command is None:
        raise BadMeter(
            "no command to go %(supply)s is known for meter %(meter_no)s (%(model)s): say that it has no switch, or "
            "switch it by another device",
            supply=supply,
            meter_no=meter.meter_no,
            model=_model(profile),
        )
    yield from profiles.switch(_unit(meter), profile, wanted)


def _unit(meter: Meter) -> int:
    unit = number(meter, "address", meter.address, base=10, most=255)
    if not unit:
        raise BadMeter(
            "address of meter %(meter_no)s must be a unit from 1 to 247, not everybody's 0",
            meter_no=meter.meter_no,
        )
    return unit


def _profile(meter: Meter) -> Profile:
    try:
        return profiles.load(meter.settings.get("profile", ""))
    except ValueError as error:
        raise BadMeter(
            "profile of meter %(meter_no)s cannot be used: %(why)s; there are %(names)s",
            meter_no=meter.meter_no,
            why=error,
            names=", ".join(profiles.names()),
        ) from error


def _model(profile: Profile) -> str:
    return f"{profile.vendor} {profile.model}"


def _fetch(unit: int, profile: Profile, wanted: set[str], known: Known) -> Exchange[Frame, Fetched]:
    cost = Cost(known.byte_us, known.turn_us)
    return profiles.fetch(
        unit, profile, wanted, cost=cost, refused=known.refused, is_bold=known.is_bold
    )


def _supply(said: profiles.Supply | None) -> Supply | None:
    match said:
        case profiles.Supply.ON:
            return Supply.ON
        case profiles.Supply.OFF:
            return Supply.OFF
        case None:
            return None


def _rates(meter: Meter, profile: Profile) -> dict[str, str]:
    """The registers of the meter's own bands, by the names of the tariff's; none where the profile knows none."""
    names = band_names(meter)
    if names is None:
        if any(rate.band is None for rate in profile.bands):
            raise BadMeter(
                "meter %(meter_no)s (%(model)s) counts %(count)s rates by number alone: its settings must say "
                '"bands", the tariff\'s band of each, from rate 1 on',
                meter_no=meter.meter_no,
                model=_model(profile),
                count=len(profile.bands),
            )
        return {rate.band: rate.register for rate in profile.bands if rate.band is not None}
    if len(names) > len(profile.bands):
        raise BadMeter(
            "bands of meter %(meter_no)s names %(named)s, but its profile (%(model)s) has registers for %(count)s",
            meter_no=meter.meter_no,
            named=len(names),
            model=_model(profile),
            count=len(profile.bands),
        )
    return {name: rate.register for name, rate in zip(names, profile.bands, strict=False)}


def _ratio(meter: Meter, profile: Profile) -> Ratio | None:
    """What to multiply by; None where it must be read from the meter."""
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
            "meter %(meter_no)s (%(model)s) does not say by which ratios to multiply: its settings must say "
            '"pt" and "ct", both "1" where it is connected directly',
            meter_no=meter.meter_no,
            model=_model(profile),
        )
    return None


def _ratio_registers(profile: Profile, given: Ratio | None) -> set[str]:
    """What must be read to know the ratios that nobody has given."""
    if given is not None:
        return set()
    return {name for name in (profile.pt, profile.ct) if name is not None}


def _ratio_read(unit: int, profile: Profile, words: Words) -> Exchange[Frame, Ratio]:
    """The ratios by what was read. Where the meter refused them, they are asked for once more, to be told why."""
    registers = [profile.registers[name] for name in _ratio_registers(profile, None)]
    if all(key in words for register in registers for key in register.keys):
        return profiles.ratio_of(profile, words)
    return (yield from profiles.read_ratio(unit, profile))


def _check_once(meter: Meter, ratio: Ratio) -> None:
    """What is read is multiplied by the driver or by the books, never by both. Raises BadMeter."""
    if meter.multiplier != 1 and ratio.pt * ratio.ct != 1:
        raise BadMeter(
            "meter %(meter_no)s would be multiplied twice: by PT %(pt)s and CT %(ct)s, and by its multiplier "
            '%(multiplier)s; set "pt" and "ct" to "1", or the multiplier',
            meter_no=meter.meter_no,
            pt=ratio.pt,
            ct=ratio.ct,
            multiplier=meter.multiplier,
        )


def _positive(meter: Meter, name: str, text: str | None) -> Decimal:
    try:
        value = Decimal(text or "")
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise BadMeter(
            "%(setting)s of meter %(meter_no)s must be a number above 0",
            setting=name,
            meter_no=meter.meter_no,
        )
    return value

"""Meters as meters.toml describes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from protocols.dlt645.relay import Prepayment
from protocols.modbus import profile as profiles
from simulators import electricity, modbus_meter, water
from simulators.configuration import (
    AnyMeterConfig,
    Config,
    ElectricityConfig,
    ModbusConfig,
    PurseConfig,
    WaterConfig,
    WaterPurseConfig,
)
from simulators.electricity import ElectricityMeter, Happening, What
from simulators.faults import Faults, OwnFaults, drawn
from simulators.modbus_meter import ModbusMeter
from simulators.parameters import PRICES, encoded, from_hex
from simulators.physics import SECOND, Clock, Load, LocalTime, Register, Resident
from simulators.water import WaterMeter

MILLISECOND = SECOND // 1000
Meter = ElectricityMeter | WaterMeter | ModbusMeter
TWIN_USED = Decimal("1234.56")


def make(
    config: AnyMeterConfig, bench: Config, line: Faults, *, clock: Clock, local_time: LocalTime
) -> Meter:
    """A meter on a line with these faults."""
    faults = own_faults(config, bench, line)
    match config:
        case ElectricityConfig():
            return _electricity(config, bench, faults, clock, local_time)
        case WaterConfig():
            return _water(config, bench, faults, clock, local_time)
        case ModbusConfig():
            return _modbus(config, bench, faults, clock, local_time)


def own_faults(config: AnyMeterConfig, bench: Config, line: Faults) -> OwnFaults:
    """What is wrong inside a meter, by the seed of the bench and its own."""
    seed = f"{bench.seed}:{config.seed}:{config.address}"
    return drawn(line, config.faults.faults(), seed=seed, after=config.faults_after_s * SECOND)


def twin_of(config: AnyMeterConfig) -> AnyMeterConfig:
    """Another meter with the same address, as is on a line by mistake: it has used more."""
    more = (config.opening + TWIN_USED) % 1_000_000
    return replace(config, opening=more, seed=config.seed + 1)


def _electricity(
    config: ElectricityConfig,
    bench: Config,
    faults: OwnFaults,
    clock: Clock,
    local_time: LocalTime,
) -> ElectricityMeter:
    after = bench.resident_presses_after_s
    purse = config.purse
    happenings = sorted(
        (
            Happening(What(one.what), one.after_s * SECOND, one.lasts_s * SECOND)
            for one in config.happens
        ),
        key=lambda one: one.at,
    )
    return ElectricityMeter(
        config.address,
        clock=clock,
        local_time=local_time,
        register=Register(
            config.opening, Load(config.base_w, config.varying_w, config.seed), bench.time_scale
        ),
        passwords={int(level): text for level, text in config.passwords.items()},
        resident=None if after is None else Resident(after * SECOND),
        make=electricity.Make(
            edition=config.protocol.removeprefix("dlt645-"),
            phases=config.phases,
            tariffs=config.tariffs,
            periods={at.replace(":", ""): t for at, t in sorted(config.periods.items())},
            travel=config.relay_travel_ms * MILLISECOND,
            answers_with_word=config.answers_with_word,
            key_held=config.programming_key,
            lockout_after=config.lockout_after,
            prepayment=Prepayment.NONE if purse is None else SELLS[purse.sells],
            balance=Decimal(0) if purse is None else purse.balance,
            account_open=purse is None or purse.account_open,
            parameters=_parameters(config),
            clock_error=timedelta(seconds=config.clock_error_s),
            drift_ppb=_drift_ppb(config.drift_s_per_day),
            battery_days=config.battery_days,
            happenings=tuple(happenings),
            faults=faults,
        ),
    )


SELLS = {"money": Prepayment.MONEY, "energy": Prepayment.ENERGY}
LIMITS = {
    # Limit: its identifier in a meter that sells money, and in one that sells energy
    "alarm_1": (0x04001001, 0x04000F01),
    "alarm_2": (0x04001002, 0x04000F02),
    "overdraft": (0x04001003, 0x04000F04),
    "hoarding": (0x04001004, 0x04000F03),
    "close_permit": (0x04001005, None),
}


def _parameters(config: ElectricityConfig) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    if config.purse is not None:
        found = _limits(config.purse)
        for tariff, price in enumerate(config.purse.prices, start=1):
            found[PRICES + tariff] = encoded(PRICES + tariff, price)
    for name, text in config.parameters.items():
        found[int(name, 16)] = from_hex(int(name, 16), text)
    return found


def _limits(purse: PurseConfig) -> dict[int, bytes]:
    found = {}
    for name, places in LIMITS.items():
        di = places[purse.sells == "energy"]
        if di is not None:
            found[di] = encoded(di, getattr(purse, name))
    return found


def _drift_ppb(seconds_per_day: float) -> int:
    return round(seconds_per_day / 86_400 * 10**9)


def _water(
    config: WaterConfig,
    bench: Config,
    faults: OwnFaults,
    clock: Clock,
    local_time: LocalTime,
) -> WaterMeter:
    load = Load(config.base_l_per_h, config.varying_l_per_h, config.seed)
    return WaterMeter(
        config.address,
        clock=clock,
        local_time=local_time,
        register=Register(config.opening, load, bench.time_scale),
        make=water.Make(
            kind=int(config.type, 16),
            travel=config.valve_travel_ms * MILLISECOND,
            prepaid=None if config.purse is None else _prepaid(config.purse),
            settlement_day=config.settlement_day,
            exercise_day=config.exercise_day,
            clock_error=timedelta(seconds=config.clock_error_s),
            drift_ppb=_drift_ppb(config.drift_s_per_day),
            battery_days=config.battery_days,
            battery_low=config.battery_low,
            faults=faults,
        ),
    )


def _prepaid(purse: WaterPurseConfig) -> water.Prepaid:
    """A price that is not there is the one before; the step to it then never begins."""
    prices = [int(price * 100) for price in purse.prices]
    steps = [*purse.steps_m3, *[NEVER_M3] * (2 - len(purse.steps_m3))]
    last = prices[-1]
    first, second, third = [*prices, last, last][:3]
    return water.Prepaid((first, second, third), (steps[0], steps[1]), int(purse.balance * 100))


NEVER_M3 = 999_999


def _modbus(
    config: ModbusConfig,
    bench: Config,
    faults: OwnFaults,
    clock: Clock,
    local_time: LocalTime,
) -> ModbusMeter:
    return ModbusMeter(
        int(config.address),
        profiles.load(config.profile),
        clock=clock,
        local_time=local_time,
        register=Register(
            config.opening, Load(config.base, config.varying, config.seed), bench.time_scale
        ),
        make=modbus_meter.Make(
            travel=config.travel_ms * MILLISECOND,
            values=config.values,
            periods={at.replace(":", ""): rate for at, rate in config.periods.items()},
            fills_gaps=config.fills_gaps,
            battery_days=config.battery_days,
            faults=faults,
        ),
    )

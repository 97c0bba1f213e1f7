"""A building: its lines and the meters on them, from building.toml. `python -m simulators.building FILE`."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from simulators.line import End, Faults, Line, LineUnavailable, PtyEnd, TcpEnd
from simulators.meters import (
    SECOND,
    Clock,
    ElectricityMeter,
    Load,
    Meter,
    Register,
    Resident,
    State,
    WaterMeter,
)
from simulators.stations import Cj188Station, Dlt645Station

log = logging.getLogger(__name__)

MILLISECOND = SECOND // 1000
_STRICT = ConfigDict(extra="forbid")


class BadConfig(Exception):
    """A building.toml or a state that cannot be used. The text names the file and what to mend."""


Often = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[int, Field(ge=0, le=60_000)]
Name = Annotated[str, Field(min_length=1)]
Opening = Annotated[
    Decimal, Field(ge=0, lt=1_000_000, decimal_places=2, allow_inf_nan=False, strict=False)
]


@checked(frozen=True, slots=True, config=_STRICT)
class FaultsConfig:
    silence: Often = 0.0
    noise: Often = 0.0
    truncated: Often = 0.0
    echo: Often = 0.0


@checked(frozen=True, slots=True, config=_STRICT)
class LineConfig:
    """One line: pty is the path of its device, tcp its port on 127.0.0.1; one of the two."""

    name: Name
    baud: Literal[600, 1200, 2400, 4800, 9600, 19200]
    delay_ms: tuple[Milliseconds, Milliseconds]
    pty: Path | None = None
    tcp: Annotated[int, Field(ge=0, le=65535)] | None = None
    faults: FaultsConfig = field(default_factory=FaultsConfig)


@checked(frozen=True, slots=True, config=_STRICT)
class ElectricityConfig:
    """base_w and varying_w make the load; passwords are 6 digits by permission level."""

    protocol: Literal["dlt645"]
    room: Name
    line: str
    address: Annotated[str, Field(pattern=r"^\d{12}$")]
    opening: Opening
    base_w: Annotated[int, Field(ge=0)]
    varying_w: Annotated[int, Field(ge=0)]
    seed: int
    passwords: dict[
        Annotated[str, Field(pattern=r"^\d$")], Annotated[str, Field(pattern=r"^\d{6}$")]
    ]


@checked(frozen=True, slots=True, config=_STRICT)
class WaterConfig:
    """base_l_per_h and varying_l_per_h make the flow; the valve takes valve_travel_ms."""

    protocol: Literal["cj188"]
    room: Name
    line: str
    address: Annotated[str, Field(pattern=r"^\d{14}$")]
    opening: Opening
    base_l_per_h: Annotated[int, Field(ge=0)]
    varying_l_per_h: Annotated[int, Field(ge=0)]
    seed: int
    valve_travel_ms: Annotated[int, Field(ge=0, le=120_000)]
    battery_low: bool = False


MeterConfig = Annotated[ElectricityConfig | WaterConfig, Field(discriminator="protocol")]


@checked(frozen=True, slots=True, config=_STRICT)
class Config:
    """building.toml, checked whole. Paths in it are relative to its folder.

    time_scale seconds of consumption pass in one second; resident_presses_after_s is how long after
    allow-close somebody presses the button, left out where nobody does.
    """

    seed: int
    time_scale: Annotated[int, Field(ge=1, le=86_400)]
    timezone: str
    state: Path
    line: Annotated[list[LineConfig], Field(min_length=1)]
    meter: Annotated[list[MeterConfig], Field(min_length=1)]
    resident_presses_after_s: Annotated[int, Field(ge=0)] | None = None


_CONFIG = TypeAdapter(Config)


def load(path: Path) -> Config:
    """Raises BadConfig with one line for each thing to mend."""
    try:
        config = _CONFIG.validate_python(tomllib.loads(path.read_text()))
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise BadConfig("\n".join(f"{path}: {fault}" for fault in faults)) from error
    if faults := _contradictions(config):
        raise BadConfig("\n".join(f"{path}: {fault}" for fault in faults))
    return config


def _contradictions(config: Config) -> list[str]:
    faults = []
    names = [line.name for line in config.line]
    for line in config.line:
        if (line.pty is None) == (line.tcp is None):
            faults.append(f"line {line.name}: give it either pty or tcp")
        if line.delay_ms[0] > line.delay_ms[1]:
            faults.append(f"line {line.name}: delay_ms is the least and the most, in this order")
        if names.count(line.name) > 1:
            faults.append(f"line {line.name}: there are two of this name")
    addresses = [(meter.protocol, meter.address) for meter in config.meter]
    for meter in config.meter:
        if meter.line not in names:
            faults.append(f"meter {meter.address}: there is no line {meter.line}")
        if addresses.count((meter.protocol, meter.address)) > 1:
            faults.append(f"meter {meter.address}: there are two of this address")
    try:
        ZoneInfo(config.timezone)
    except (ValueError, OSError, KeyError):
        faults.append(f"timezone: there is no {config.timezone}")
    return list(dict.fromkeys(faults))


@dataclass(slots=True)
class _Ticking:
    """The building's clock: goes on from the stored instant; stands still while nothing runs."""

    resumed_at: int
    _started: int = field(default_factory=time.monotonic_ns)

    def __call__(self) -> int:
        return self.resumed_at + (time.monotonic_ns() - self._started) // 1000


class Building:
    """The meters of a building, and the file that keeps their state."""

    def __init__(self, config: Config, folder: Path, clock: Clock | None = None) -> None:
        """Goes on from the state file, if there is one; clock is for simulated time.

        Raises BadConfig if the file cannot be read, or is in use by another building.
        """
        self.config = config
        self.path = folder / config.state
        self._lock = _lock(self.path)
        states = _read_state(self.path)
        self.clock = clock or _Ticking(max((_at(state) for state in states.values()), default=0))
        self.meters = {_key(meter): self._make(meter) for meter in config.meter}
        # A meter that has been taken out of building.toml keeps its register for when it returns.
        self._absent = {key: state for key, state in states.items() if key not in self.meters}
        for key, meter in self.meters.items():
            if key in states:
                try:
                    meter.resume(states[key])
                except (KeyError, ValueError, TypeError) as error:
                    raise BadConfig(f"{self.path}: {key} cannot be resumed: {error!r}") from error

    def _make(self, config: ElectricityConfig | WaterConfig) -> Meter:
        scale = self.config.time_scale
        match config:
            case ElectricityConfig():
                load = Load(config.base_w, config.varying_w, config.seed)
                after = self.config.resident_presses_after_s
                return ElectricityMeter(
                    config.address,
                    clock=self.clock,
                    register=Register(config.opening, load, scale),
                    passwords={int(level): text for level, text in config.passwords.items()},
                    resident=None if after is None else Resident(after * SECOND),
                )
            case WaterConfig():
                load = Load(config.base_l_per_h, config.varying_l_per_h, config.seed)
                return WaterMeter(
                    config.address,
                    clock=self.clock,
                    register=Register(config.opening, load, scale),
                    travel=config.valve_travel_ms * MILLISECOND,
                    battery_low=config.battery_low,
                )

    def close(self) -> None:
        """Let another program have the state. Nothing is saved."""
        self._lock.close()

    def save(self) -> None:
        """Keep every meter as it is now, so that nothing told from here on is ever taken back.

        The file is replaced as a whole. Raises OSError if it cannot be written.
        """
        for meter in self.meters.values():
            meter.advance()
        kept = self._absent | {key: meter.state() for key, meter in self.meters.items()}
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(json.dumps(kept))
        os.replace(new, self.path)

    def line(self, config: LineConfig) -> Line:
        """The line with the meters that building.toml puts on it."""
        here = [
            self.meters[_key(meter)] for meter in self.config.meter if meter.line == config.name
        ]
        zone = ZoneInfo(self.config.timezone)

        def local_time() -> datetime:
            return datetime.now(zone).replace(tzinfo=None)

        return Line(
            config.name,
            [
                Dlt645Station([m for m in here if isinstance(m, ElectricityMeter)], local_time),
                Cj188Station([m for m in here if isinstance(m, WaterMeter)], local_time),
            ],
            baud=config.baud,
            delay_s=(config.delay_ms[0] / 1000, config.delay_ms[1] / 1000),
            faults=Faults(
                config.faults.silence,
                config.faults.noise,
                config.faults.truncated,
                config.faults.echo,
            ),
            seed=self.config.seed,
            before_answer=self.save,
        )


def _key(meter: ElectricityConfig | WaterConfig) -> str:
    return f"{meter.protocol}:{meter.address}"


def _lock(path: Path) -> IO[str]:
    """A lock that ends with the program, however it ends."""
    lock = path.with_name(path.name + ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise BadConfig(f"{path} is in use: this building is running already") from error
    return lock


def _at(state: State) -> int:
    at = state.get("at")
    return at if isinstance(at, int) else 0


def _read_state(path: Path) -> dict[str, State]:
    try:
        states = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path} cannot be read: {error}") from error
    if not isinstance(states, dict) or not all(isinstance(s, dict) for s in states.values()):
        raise BadConfig(f"{path} does not hold the state of meters")
    return states


async def run(config_path: Path) -> int:
    """Serve the building until SIGTERM or SIGINT. The exit status: 0, or 1 after one clear sentence."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    folder = config_path.parent
    try:
        config = load(config_path)
        building = Building(config, folder)
        try:
            building.save()
            await _serve(building, folder, stopped)
            building.save()
        finally:
            building.close()
    except (BadConfig, LineUnavailable) as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("the state of the meters cannot be kept: %s", error)
        return 1
    log.info("building %s has stopped", config_path)
    return 0


async def _serve(building: Building, folder: Path, stopped: asyncio.Event) -> None:
    """Returns when stopped; a line that fails brings the building down with its error."""
    ends: list[End] = []
    waiting = asyncio.create_task(stopped.wait())
    lines: list[asyncio.Task[None]] = []
    try:
        for config in building.config.line:
            line = building.line(config)
            line.ends.append(await _open(config, folder, line.hear))
            ends += line.ends
            lines.append(asyncio.create_task(line.run(), name=f"line {line.name}"))
        done, _ = await asyncio.wait([waiting, *lines], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (waiting, *lines):
            task.cancel()
        for end in ends:
            await end.close()


async def _open(config: LineConfig, folder: Path, hear: Callable[[bytes], None]) -> End:
    if config.pty is not None:
        path = folder / config.pty
        log.info("line %s: %s at %s baud", config.name, path, config.baud)
        return PtyEnd(path, hear)
    end = await TcpEnd.open(config.tcp or 0, hear)
    log.info("line %s: port %s of 127.0.0.1 at %s baud", config.name, end.port, config.baud)
    return end


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if len(sys.argv) != 2:
        sys.exit("usage: python -m simulators.building path/to/building.toml")
    sys.exit(asyncio.run(run(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()

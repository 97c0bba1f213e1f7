"""A bench 试验台: lines with meters on them, from meters.toml. The demonstration's building is one.

`python -m simulators.building FILE`, or `wattwell simulate --meters FILE`.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TypeVar
from zoneinfo import ZoneInfo

from simulators.configuration import (
    PROTOCOLS,
    AnyMeterConfig,
    BadConfig,
    Config,
    LineConfig,
    key,
    load,
)
from simulators.electricity import ElectricityMeter
from simulators.faults import ON_THE_LINE, Faults
from simulators.line import End, Kept, Line, LineUnavailable, PtyEnd, TcpEnd
from simulators.making import Meter, make, own_faults, twin_of
from simulators.modbus_meter import ModbusMeter
from simulators.modbus_tcp import ModbusTcpServer
from simulators.physics import Clock, State
from simulators.stations import (
    Cj188Station,
    Dlt645Station,
    ModbusStation,
    Served,
    Station,
)
from simulators.water import WaterMeter

__all__ = ["BadConfig", "Building", "load", "run", "serve"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Ticking:
    """The bench's clock: goes on from the stored instant; stands still while nothing runs."""

    resumed_at: int
    _started: int = field(default_factory=time.monotonic_ns)

    def __call__(self) -> int:
        return self.resumed_at + (time.monotonic_ns() - self._started) // 1000


class Building:
    """The meters of a bench, and the file that keeps their state, if there is one."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        clock: Clock | None = None,
        local_time: Callable[[], datetime] | None = None,
    ) -> None:
        """Goes on from the state file, if there is one; clock and local_time are for simulated time.

        Raises BadConfig if the file cannot be read, or is in use by another bench.
        """
        self.config = config
        self.folder = folder.absolute()
        self.path = None if config.state is None else folder / config.state
        self._lock = None if self.path is None else _lock(self.path)
        states = {} if self.path is None else _read_state(self.path)
        self.clock = clock or _Ticking(max((_at(state) for state in states.values()), default=0))
        zone = ZoneInfo(config.timezone)
        self.local_time = local_time or (lambda: datetime.now(zone).replace(tzinfo=None))
        self._faults = {line.name: line.faults.faults() for line in config.line}
        self.meters: dict[str, Meter] = {}
        for one in config.meter:
            self.meters[key(one)] = self._make(one)
            if self._has_twin(one):
                self.meters[key(one) + TWIN] = self._make(twin_of(one))
        # A meter that has been taken out of the file keeps its register for when it returns.
        self._absent = {
            name: json.dumps(state) for name, state in states.items() if name not in self.meters
        }
        self._texts: dict[str, str] = {}
        self._names = {id(meter): name for name, meter in self.meters.items()}
        for name, meter in self.meters.items():
            if name in states:
                try:
                    meter.resume(states[name])
                except (KeyError, ValueError, TypeError) as error:
                    raise BadConfig(f"{self.path}: {name} cannot be resumed: {error!r}") from error

    def _make(self, config: AnyMeterConfig) -> Meter:
        line = self._faults[config.line]
        return make(config, self.config, line, clock=self.clock, local_time=self.local_time)

    def _has_twin(self, config: AnyMeterConfig) -> bool:
        faults = own_faults(config, self.config, self._faults[config.line])
        return "two_on_one_address" in faults.names

    def close(self) -> None:
        """Let another program have the state. Nothing is saved."""
        if self._lock is not None:
            self._lock.close()

    def advance(self) -> None:
        """Let every meter live up to now."""
        for meter in self.meters.values():
            meter.advance()

    def save(self) -> None:
        """Keep every meter as it is now. Raises OSError if the file cannot be written."""
        self.advance()
        if self.path is not None:
            self._texts = {name: json.dumps(meter.state()) for name, meter in self.meters.items()}
            self._write(self.path)

    def keep(self, meters: Sequence[object]) -> None:
        """Keep these meters as they are now, so that nothing they tell from here on is ever taken back.

        The others are kept as they were: what they use since then follows from their load again.
        Raises OSError if the file cannot be written.
        """
        if self.path is None:
            return
        if len(self._texts) < len(self.meters):
            self.save()
        for meter in meters:
            name = self._names[id(meter)]
            self._texts[name] = json.dumps(self.meters[name].state())
        self._write(self.path)

    def _write(self, path: Path) -> None:
        """The file is replaced as a whole."""
        texts = self._absent | self._texts
        rows = (f"{json.dumps(name)}: {text}" for name, text in texts.items())
        new = path.with_name(path.name + ".new")
        new.write_text("{" + ",\n".join(rows) + "}")
        os.replace(new, path)

    def line(self, config: LineConfig) -> Line:
        """The line of wire with the meters that are on it."""
        babbling = [
            config.faults.babbling,
            *(faults.babbling for _, faults in self._served(config)),
        ]
        return Line(
            config.name,
            self.stations(config),
            baud=config.baud,
            delay_s=_delay_s(config),
            faults=replace(self._faults[config.name], babbling=max(babbling)),
            seed=self.config.seed,
            before_answer=self.keep,
        )

    def stations(self, config: LineConfig) -> list[Station]:
        """The meters of a line by what they speak: for who carries bytes himself."""
        here = self._served(config)
        return [
            Dlt645Station(_of(ElectricityMeter, here), self.local_time),
            Cj188Station(_of(WaterMeter, here), self.local_time),
            ModbusStation(_of(ModbusMeter, here)),
        ]

    def modbus_tcp(self, config: LineConfig) -> ModbusTcpServer:
        """The gateway with the meters behind it."""
        return ModbusTcpServer(
            config.name,
            _of(ModbusMeter, self._served(config)),
            delay_s=_delay_s(config),
            faults=self._faults[config.name],
            seed=self.config.seed,
            is_kept=Kept(config.name, self.keep),
        )

    def _served(self, config: LineConfig) -> list[tuple[Meter, Faults]]:
        here = []
        for one in self.config.meter:
            if one.line == config.name:
                for name in (key(one), key(one) + TWIN):
                    if name in self.meters:
                        here.append((self.meters[name], one.faults.faults()))
        return here

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Line, protocol, address, register and faults of each meter, as text."""
        found: list[tuple[str, str, str, str, str]] = []
        for one in self.config.meter:
            own = own_faults(one, self.config, self._faults[one.line]).names
            spoken = {
                name
                for name in ON_THE_LINE
                for faults in (self._faults[one.line], one.faults)
                if getattr(faults, name)
            }
            unit = "m3" if _is_water(self.meters[key(one)]) else "kWh"
            shown = f"{self.meters[key(one)].register.shown} {unit}"
            faults = ", ".join(sorted(own | spoken)).replace("_", " ")
            found.append((one.line, one.protocol, one.address, shown, faults or "none"))
        return found


def _is_water(meter: Meter) -> bool:
    return isinstance(meter, WaterMeter) or (isinstance(meter, ModbusMeter) and meter.is_water)


TWIN = ":twin"
M = TypeVar("M", bound=Meter)


def _of(kind: type[M], served: list[tuple[Meter, Faults]]) -> list[Served[M]]:
    return [Served(meter, faults) for meter, faults in served if isinstance(meter, kind)]


def _delay_s(config: LineConfig) -> tuple[float, float]:
    return config.delay_ms[0] / 1000, config.delay_ms[1] / 1000


def _lock(path: Path) -> IO[str]:
    """A lock that ends with the program, however it ends."""
    try:
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise BadConfig(f"{path} cannot be written: {error.strerror}") from error
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
    if not all(name.partition(":")[0] in PROTOCOLS for name in states):
        raise BadConfig(f"{path} was written by an older version; move it away to begin anew")
    return states


Ready = Callable[[Building, dict[str, str]], None]
"""Told once all lines listen: the bench, and by line where."""


async def run(config_path: Path, ready: Ready = lambda building, places: None) -> int:
    """Serve a bench until SIGTERM or SIGINT. The exit status: 0, or 1 after one clear sentence."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await serve(config_path, stopped, ready)
    except (BadConfig, LineUnavailable) as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("the state of the meters cannot be kept: %s", error)
        return 1
    log.info("building %s has stopped", config_path)
    return 0


async def serve(config_path: Path, stopped: asyncio.Event, ready: Ready) -> None:
    """Until stopped; a line that fails brings the bench down with its error.

    Raises BadConfig, LineUnavailable, OSError where the state cannot be kept.
    """
    building = Building(load(config_path), config_path.parent)
    ends: list[End | ModbusTcpServer] = []
    waiting = asyncio.create_task(stopped.wait(), name="stop")
    tasks = [asyncio.create_task(_live(building), name="meters")]
    places: dict[str, str] = {}
    try:
        building.save()
        for config in building.config.line:
            end, task, places[config.name] = await _open(building, config)
            ends.append(end)
            if task is not None:
                tasks.append(task)
            log.info("line %s: %s", config.name, places[config.name])
        ready(building, places)
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
        building.save()
    finally:
        for one in (waiting, *tasks):
            one.cancel()
        for opened in ends:
            await opened.close()
        building.close()


LOOK_S = 10.0


async def _live(building: Building) -> None:
    """Look at the meters now and then: what nobody asks for days would hold up the first answer."""
    while True:
        await asyncio.sleep(LOOK_S)
        building.advance()


async def _open(
    building: Building, config: LineConfig
) -> tuple[End | ModbusTcpServer, asyncio.Task[None] | None, str]:
    """The end of a line, what carries its characters, and where it is as a master's settings have it."""
    if config.modbus_tcp is not None:
        server = building.modbus_tcp(config)
        await server.open(config.modbus_tcp)
        return server, None, f"modbus-tcp:127.0.0.1:{server.port}"
    line = building.line(config)
    end: PtyEnd | TcpEnd
    if config.pty is not None:
        end = PtyEnd(building.folder / config.pty, line.hear)
        place = f"serial:{building.folder / config.pty},{config.baud},8N1"
    else:
        end = await TcpEnd.open(config.tcp or 0, line.hear)
        place = f"tcp:127.0.0.1:{end.port}"
    line.ends.append(end)
    return end, asyncio.create_task(line.run(), name=f"line {line.name}"), place


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if len(sys.argv) != 2:
        sys.exit("usage: python -m simulators.building path/to/meters.toml")
    sys.exit(asyncio.run(run(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()

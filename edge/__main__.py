"""The gateway program: `python -m edge gateway.toml`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

from edge.agent import Agent
from edge.clocks.meter_clocks import MeterClocks
from edge.clocks.timekeeping import Timekeeper, clock_of
from edge.field.room import LineAtHand, MeterRoom
from edge.field.status import STUCK_S
from edge.field.tap import Tap
from edge.ledger.ledger_file import StoreFull, StoreTaken, StoreUnusable
from edge.ledger.rebuild import link_of
from edge.ledger.store import Store
from edge.ledger.upkeep import Upkeep, open_ledger
from edge.lines.bus import bus_at
from edge.lines.line_settings import LineSettings
from edge.lines.pace import Pace
from edge.lines.ports import port_to
from edge.page.logbook import Logbook
from edge.page.served import page
from edge.settings import LogSettings, Settings, load
from edge.settings_file import BadSettings
from edge.uplink.credentials import learn
from edge.uplink.renewal import Renewal
from edge.uplink.sync import Sync
from edge.watchdog import feed

log = logging.getLogger("edge")

FIRST_WORD_S = (
    5.0  # the cloud is waited for at the start, as it may know that the ledger is an old one
)
FIRST_WORD_REFUSED_S = 60.0  # the same where the broker refuses us: the cloud is asked why
LEAST_S = 1.0  # between two ordinary visits of one point, where poll_s is not shorter still


def run(config_path: Path) -> int:
    """Serve until SIGTERM or SIGINT. Exit status: 0 after a signal, 2 wrong settings, 1 no usable ledger."""
    _log_to(None)
    try:
        settings = load(config_path, os.environ)
    except BadSettings as error:
        for sentence in error.errors:
            log.critical("%s", sentence)
        return 2
    try:
        _log_to(settings.log)
    except OSError as error:
        log.critical("the log file cannot be written: %s", error)
        return 2
    try:
        store = open_ledger(settings.ledger, settings.gateway_no, now=_wall())
    except (StoreTaken, StoreUnusable, StoreFull) as error:
        log.critical("%s", error)
        return 1
    try:
        asyncio.run(_serve(config_path, settings, store))
    except BaseExceptionGroup as group:
        unusable, others = group.split(StoreUnusable)
        if unusable is None or others is not None:
            raise
        log.critical("%s", _first(unusable))
        return 1
    finally:
        store.close()
    return 0


def _first(group: BaseExceptionGroup[StoreUnusable]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def _serve(config: Path, settings: Settings, store: Store) -> None:
    lines = {line.name: _line(line) for line in settings.lines}
    buses = {name: line.bus for name, line in lines.items()}
    pace = Pace(
        settings.poll_s,
        min(LEAST_S, settings.poll_s / 2),
        share=settings.poll_share,
        measure_s=settings.measure_s,
    )
    clock = clock_of(store, settings.clock, _wall)
    agent = Agent(store, buses, clock, pace)
    agent.wait_with_cuts()
    if store.hold is not None:
        agent.pause()
    link = link_of(settings)
    sync = Sync(
        store,
        agent,
        link,
        keys=settings.cloud_keys,
        resend_s=settings.resend_s,
        heartbeat_s=settings.heartbeat_s,
        credential=settings.credential,
        now=lambda: clock.now().at,
        on_time=clock.hear_cloud,
        learn=partial(learn, config.parent) if settings.credentials is not None else None,
    )
    store.on_append = sync.stir
    logbook = Logbook()
    logging.getLogger().addHandler(logbook)
    upkeep = Upkeep(
        store,
        settings.ledger,
        kept=settings.kept,
        reserve_bytes=settings.reserve_bytes,
        now=lambda: clock.now().at,
    )
    meter_clocks = MeterClocks(
        store, buses, clock, settings.clock.meters, points=agent.points, alarm=agent.alarm
    )
    log.info(
        "gateway %s: %s lines, %s service points",
        settings.gateway_no,
        len(buses),
        len(store.points()),
    )
    room = MeterRoom(store, agent, lines, lambda: clock.now().at)
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    link.start(sync)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(agent.run(), name="agent")
            group.create_task(sync.run(), name="sync")
            group.create_task(
                sync.first_word(
                    within_s=FIRST_WORD_S,
                    refused_s=FIRST_WORD_REFUSED_S,
                    is_refused=lambda: link.is_refused,
                ),
                name="first word",
            )
            group.create_task(upkeep.run(), name="upkeep")
            renewal = Renewal(config, settings, link, sync, now=lambda: clock.now().at)
            group.create_task(renewal.run(), name="renewal")
            group.create_task(Timekeeper(store, clock, wake=agent.wake).run(), name="time")
            group.create_task(meter_clocks.run(), name="clocks of the meters")
            group.create_task(page(settings, room, link, logbook), name="page")
            group.create_task(feed(lambda: agent.stuck_lines(STUCK_S)), name="watchdog")
    except asyncio.CancelledError:
        log.info("gateway %s ends", settings.gateway_no)
    finally:
        await room.jobs.close()
        await link.stop()
        for bus in buses.values():
            bus.close()


def _wall() -> datetime:
    return datetime.now(UTC)


def _line(line: LineSettings) -> LineAtHand:
    tap = Tap(port_to(line.at), _wall)
    return LineAtHand(line.place, bus_at(line.place, name=line.name, port=tap), tap, bus_at)


def _log_to(settings: LogSettings | None) -> None:
    """The standard error, which systemd keeps; or a file that begins anew when it is full. Raises OSError."""
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)-8s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    form.converter = time.gmtime
    handler: logging.Handler
    if settings is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = RotatingFileHandler(
            settings.file,
            maxBytes=settings.size_bytes,
            backupCount=settings.kept,
            encoding="utf-8",
        )
    handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="edge", description="The gateway in the meter room.")
    parser.add_argument("config", type=Path, help="gateway.toml")
    return run(parser.parse_args().config)


if __name__ == "__main__":
    sys.exit(main())

"""`wattwell meter time`: a meter's clock, compared and set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

import typer

from edge.technician.cj188_meters import Cj188
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.meters import Credentials, Meter
from edge.technician.modbus_meters import ModbusMeter
from protocols.dlt645 import master as dlt645
from wattwell.technician.asked import (
    Address,
    Baud,
    Delay,
    Level,
    Line,
    LowFirst,
    MeterType,
    Operator,
    Password,
    ProtocolOption,
    ShowBytes,
    ask_password,
    given_password,
    meter_asked,
    run_on_line,
    wrong,
)
from wattwell.technician.line import Live, Status


def time(
    line: Line,
    address: Address,
    sets: Annotated[bool, typer.Option("--set", help="Set the meter's clock to ours.")] = False,
    broadcast: Annotated[
        bool,
        typer.Option("--broadcast", help="With --set: by broadcast 08H, which every meter hears."),
    ] = False,
    password: Password = None,
    level: Level = 4,
    operator: Operator = "00000000",
    protocol: ProtocolOption = None,
    baud: Baud = None,
    delay: Delay = None,
    meter_type: MeterType = "AA",
    low_first: LowFirst = False,
    shows_bytes: ShowBytes = False,
) -> None:
    """Show the meter's clock beside ours, and set it if it is at most 5 minutes off.

    A larger difference moves tariff periods and freezes, so it is refused: find out why first. Our
    clock is this machine's, in its own time zone.
    """
    asked = meter_asked(
        line,
        address,
        protocol,
        baud=baud,
        delay=delay,
        meter_type=meter_type,
        low_first=low_first,
        profile=None,
        ratio=("1", "1"),
        shows_bytes=shows_bytes,
    )
    meter = asked.meter
    if broadcast and not sets:
        wrong("--broadcast goes with --set")
    if broadcast and isinstance(meter, Cj188 | ModbusMeter):
        wrong("only DL/T 645 has a broadcast of the time")
    needs_password = sets and not broadcast and isinstance(meter, Dlt2007 | Dlt1997)
    credentials = given_password(password, level, operator) if needs_password else None
    off = run_on_line(asked, lambda live: clock_error(live, meter, _now))
    typer.echo(_clocks(meter, off))
    if not sets:
        return
    if refusal := why_not(off, _now()):
        typer.echo(refusal, err=True)
        raise typer.Exit(Status.WRONG)
    if needs_password and credentials is None:
        credentials = ask_password(level, operator)
    unsure = "The clock may have been set: read it again."
    if broadcast:
        left = run_on_line(asked, lambda live: broadcast_clock(live, meter, _now), unsure=unsure)
    else:
        left = run_on_line(
            asked, lambda live: set_clock(live, meter, credentials, _now), unsure=unsure
        )
    typer.echo(f"After setting: {_clocks(meter, left)}")
    if abs(left) > PROVED:
        typer.echo(
            "The clock was not taken: many meters take a broadcast once a day only, and not around "
            "midnight.",
            err=True,
        )
        raise typer.Exit(Status.UNPROVED)


LARGEST_CORRECTION = timedelta(minutes=5)
PROVED = timedelta(seconds=10)
LONGEST_WAY = timedelta(seconds=3)
Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now().astimezone().replace(tzinfo=None)


def _clocks(meter: Meter, off: timedelta) -> str:
    now = _now()
    return f"{meter.title}: {now + off:%Y-%m-%d %H:%M:%S}, ours {now:%Y-%m-%d %H:%M:%S}: {_ahead(off)}."


def _ahead(off: timedelta) -> str:
    seconds = round(abs(off).total_seconds())
    if not seconds:
        return "the same"
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"))
    text = " ".join(f"{number} {unit}" for number, unit in (*parts, (seconds % 60, "s")) if number)
    return f"the meter is {text} {'ahead' if off > timedelta(0) else 'behind'}"


def why_not(off: timedelta, now: datetime) -> str:
    """Why a clock that is `off` may not be set `now`, or "" where it may."""
    if abs(off) > LARGEST_CORRECTION:
        return (
            f"Not set: {_ahead(off)}, more than the 5 minutes that may be corrected. Tariff periods and "
            "freezes hang on this clock: find out why it is wrong (battery? time zone?) first."
        )
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if min(now - midnight, midnight + timedelta(days=1) - now) < LARGEST_CORRECTION:
        return (
            "Not set: within 5 minutes of midnight a correction can repeat or skip the daily freeze. "
            "Try again at 00:05."
        )
    return ""


async def clock_error(live: Live, meter: Meter, now: Now) -> timedelta:
    """How far the meter's clock is ahead of ours, to the second."""
    shown: datetime = await live.ask(meter, meter.clock)
    off = shown - now()
    return timedelta(seconds=round(off.total_seconds()))


async def set_clock(
    live: Live, meter: Meter, credentials: Credentials | None, now: Now
) -> timedelta:
    """Set it by a write to this meter, and how far it is ahead then.

    What is written is later by as long as a reading takes: about so long the time is on its way.
    """
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await live.ask(meter, meter.clock)
    way = min(timedelta(seconds=loop.time() - asked), LONGEST_WAY)
    await live.ask(meter, lambda: meter.set_clock(now() + way, credentials))
    return await clock_error(live, meter, now)


async def broadcast_clock(live: Live, meter: Meter, now: Now) -> timedelta:
    """Set all clocks on the line, and how far this one is ahead then."""
    await live.bus.hear(dlt645.broadcast_time(now()), reply_s=0.1)
    return await clock_error(live, meter, now)

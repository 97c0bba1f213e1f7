"""`wattwell meter supply`: a meter's relay or valve, switched and read back."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from edge.technician.cj188_meters import Cj188
from edge.technician.meters import SUPPLIES, CannotDo, Command, Credentials, Meter
from edge.technician.modbus_meters import ModbusMeter
from prepaid.reading import Supply
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
    ProfileName,
    ProtocolOption,
    ShowBytes,
    ask_password,
    fail,
    given_password,
    is_confirmed,
    meter_asked,
    run_on_line,
)
from wattwell.technician.line import Live, Status


def supply(
    line: Line,
    address: Address,
    command: Annotated[Command, typer.Argument(help="off, allow (by the button) or on.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it acts.")] = False,
    password: Password = None,
    level: Level = 2,
    operator: Operator = "00000000",
    protocol: ProtocolOption = None,
    baud: Baud = None,
    delay: Delay = None,
    meter_type: MeterType = "AA",
    low_first: LowFirst = False,
    profile: ProfileName = None,
    shows_bytes: ShowBytes = False,
) -> None:
    """Cut the supply, allow it, or restore it; asks first, and proves it by reading back."""
    asked = meter_asked(
        line,
        address,
        protocol,
        baud=baud,
        delay=delay,
        meter_type=meter_type,
        low_first=low_first,
        profile=profile,
        ratio=("1", "1"),
        shows_bytes=shows_bytes,
    )
    meter = asked.meter
    try:
        words = meter.command(command)
    except CannotDo as error:
        fail(error, meter, asked.place)
    credentials = given_password(password, level, operator) if meter.needs_password else None
    before = run_on_line(asked, lambda live: live.ask(meter, meter.supply))
    typer.echo(f"The {meter.title} on {asked.place}: supply {SUPPLIES[before]}.")
    typer.echo(f"To send: {words}. {MEANT[command]}")
    if not yes and not is_confirmed():
        typer.echo("Nothing was sent.")
        return
    if meter.needs_password and credentials is None:
        credentials = ask_password(level, operator)
    after = run_on_line(
        asked,
        lambda live: switch(live, meter, command, credentials),
        unsure="The command may have been carried out: read the meter's supply.",
    )
    if after in REACHED[command]:
        typer.echo(f"Proved by reading back: supply {SUPPLIES[after]}.")
        return
    typer.echo(
        f"The meter took the command, but after {meter.travel_s:.0f} s it reports: supply "
        f"{SUPPLIES[after]}. {_what_holds(meter)}",
        err=True,
    )
    raise typer.Exit(Status.UNPROVED)


def _what_holds(meter: Meter) -> str:
    if isinstance(meter, Cj188):
        return "Look at the meter: a valve that is stuck halfway, or a battery too weak to move it."
    if isinstance(meter, ModbusMeter) and meter.profile and meter.profile.switch:
        return f"Look at the meter. {meter.profile.switch.note}".rstrip()
    return (
        "Look at the meter: a large current, keep power 保电 or a stuck contact may hold it; or its "
        "relay is not wired through."
    )


MEANT = {
    Command.OFF: "The customer loses the supply.",
    Command.ALLOW: "The customer may close it by the meter's button.",
    Command.ON: "The supply comes back at once: make sure that nobody is at the wires.",
}
REACHED = {
    Command.OFF: (Supply.OFF,),
    Command.ALLOW: (Supply.ARMED, Supply.ON),
    Command.ON: (Supply.ON,),
}
POLL_S = 1.0


async def switch(
    live: Live, meter: Meter, command: Command, credentials: Credentials | None
) -> Supply | None:
    """The supply as read back: when it has arrived, or when it should have. Raises as `Live.ask`."""
    await live.ask(meter, lambda: meter.switch(command, credentials))
    loop = asyncio.get_running_loop()
    last = loop.time() + meter.travel_s
    while True:
        seen: Supply | None = await live.ask(meter, meter.supply)
        if seen in REACHED[command] or loop.time() >= last:
            return seen
        await asyncio.sleep(POLL_S)

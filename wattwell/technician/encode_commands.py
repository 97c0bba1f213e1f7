"""`wattwell frame encode`: the bytes of a request, made by the codecs that the gateway uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NoReturn

import typer

from edge.technician.answers import NoFrame, Protocol, read_hex
from edge.technician.modbus_frames import register_address
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import master as cj188
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import master as dlt645
from protocols.dlt645 import master97
from protocols.exchange import Exchange
from protocols.modbus import frame as modbus_frame
from protocols.modbus import master as modbus

app = typer.Typer(
    no_args_is_help=True,
    help="Make a request: its bytes in hexadecimal. Exit status: 0 made, 2 wrong arguments.",
)

DLT645 = (Protocol.DLT645_2007, Protocol.DLT645_1997)
MODBUS = (Protocol.MODBUS_RTU,)
CONTROLS = {
    "trip": dlt645.RelayCommand.TRIP,
    "allow-close": dlt645.RelayCommand.ALLOW_CLOSE,
    "close": dlt645.RelayCommand.CLOSE,
    "trip-then-close": dlt645.RelayCommand.TRIP_THEN_CLOSE,
    "trip-then-allow-close": dlt645.RelayCommand.TRIP_THEN_ALLOW_CLOSE,
    "alarm-on": dlt645.RelayCommand.ALARM_ON,
    "alarm-off": dlt645.RelayCommand.ALARM_OFF,
    "keep-power-on": dlt645.RelayCommand.KEEP_POWER_ON,
    "keep-power-off": dlt645.RelayCommand.KEEP_POWER_OFF,
}

Address = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="12 digits (DL/T 645; AA for leading pairs), 14 (CJ/T 188) or a unit.",
    ),
]
Item = Annotated[str, typer.Argument(metavar="ITEM", help="The identifier: 00010000, 9010, 901F.")]
Data = Annotated[str, typer.Argument(metavar="DATA", help="As sent, low byte first, without 33H.")]
Password = Annotated[str | None, typer.Option(help="6 digits, as shown on paper.")]
Level = Annotated[int, typer.Option(min=0, max=9, help="Permission of the password, 0 highest.")]
Operator = Annotated[str, typer.Option(help="8 digits, kept in the meter's records.")]
MeterType = Annotated[
    str, typer.Option("--type", help="T of CJ/T 188 in hexadecimal: 10 cold water.")
]
LowFirst = Annotated[bool, typer.Option("--low-first", help="CJ/T 188 identifier as 1F 90.")]
Serial = Annotated[int, typer.Option(min=0, max=255, help="SER of CJ/T 188.")]
Moment = Annotated[
    datetime,
    typer.Argument(
        formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"], help="The meter's local time."
    ),
]
Unit = Annotated[int, typer.Argument(metavar="UNIT", min=0, max=247)]
Register = Annotated[str, typer.Argument(metavar="REGISTER", help="From 0: 11, 0x000B or 000BH.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options of `encode` itself say."""

    protocol: Protocol
    preamble: int | None
    spaced: bool


@app.callback()
def encode(
    context: typer.Context,
    protocol: Annotated[Protocol, typer.Option(help="The language of the meter.")],
    preamble: Annotated[
        int | None, typer.Option(min=0, max=64, help="How many FE stand before; 4 if not said.")
    ] = None,
    spaced: Annotated[bool, typer.Option("--spaced", help="A blank between bytes.")] = False,
) -> None:
    if preamble is not None and protocol is Protocol.MODBUS_RTU:
        _wrong("Modbus has no preamble; leave --preamble out")
    context.obj = Wanted(protocol, preamble, spaced)


@app.command()
def read(
    context: typer.Context,
    address: Address,
    item: Item,
    blocks: Annotated[int | None, typer.Option(min=1, max=99, help="Load records wanted.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])
    ] = None,
    meter_type: MeterType = "10",
    low_first: LowFirst = False,
    serial: Serial = 0,
) -> None:
    """Read an item (11H; 01H of 1997 and of CJ/T 188)."""
    wanted = _wanted(context, *DLT645, Protocol.CJT188)
    if since is not None and blocks is None:
        _wrong("--since goes with --blocks")
    match wanted.protocol:
        case Protocol.DLT645_2007 if blocks is not None:
            _send(
                wanted,
                lambda: dlt645.read_load_record(
                    _dlt645(address), _number(item, 8), blocks=blocks, since=since
                ),
            )
        case Protocol.DLT645_2007:
            _send(wanted, lambda: dlt645.read(_dlt645(address), _number(item, 8)))
        case Protocol.DLT645_1997:
            _send(wanted, lambda: master97.read(_dlt645(address), _number(item, 4)))
        case _:
            _send(
                wanted,
                lambda: cj188.read(
                    _cj188(address),
                    _number(item, 4),
                    meter_type=_number(meter_type, 2),
                    high_first=not low_first,
                    serial=serial,
                ),
            )


@app.command("read-more")
def read_more(
    context: typer.Context,
    address: Address,
    item: Item,
    sequence: Annotated[int, typer.Option(min=1, max=255, help="Of the part wanted (2007).")] = 1,
) -> None:
    """Ask for the data that follows a reply (12H; 02H of 1997)."""
    wanted = _wanted(context, *DLT645)

    def exchange() -> Exchange[Any, Any]:
        if wanted.protocol is Protocol.DLT645_1997:
            data = _number(item, 4).to_bytes(2, "little")
            return master97.ask(_dlt645(address), master97.READ_MORE, data)
        data = _number(item, 8).to_bytes(4, "little") + bytes([sequence])
        return dlt645.ask(_dlt645(address), dlt645.READ_MORE, data)

    _send(wanted, exchange)


@app.command("read-address")
def read_address(
    context: typer.Context,
    meter_type: MeterType = "AA",
    low_first: LowFirst = False,
    serial: Serial = 0,
) -> None:
    """Ask the one meter on the line for its address (13H; 03H of CJ/T 188)."""
    wanted = _wanted(context, Protocol.DLT645_2007, Protocol.CJT188)
    if wanted.protocol is Protocol.DLT645_2007:
        _send(wanted, dlt645.read_address)
    else:
        _send(
            wanted,
            lambda: cj188.read_address(
                meter_type=_number(meter_type, 2), high_first=not low_first, serial=serial
            ),
        )


@app.command()
def control(
    context: typer.Context,
    address: Address,
    command: Annotated[str, typer.Argument(metavar="COMMAND", help=", ".join(CONTROLS) + ".")],
    password: Password = None,
    level: Level = 2,
    operator: Operator = "00000000",
    deadline: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"],
            help="After it the meter refuses the command; its local time. None if not said.",
        ),
    ] = None,
    trip_minutes: Annotated[
        int, typer.Option(help="Length of a timed trip, a multiple of 5, at most 1275.")
    ] = 0,
) -> None:
    """Tell relay, alarm or keep-power something (1CH)."""
    wanted = _wanted(context, Protocol.DLT645_2007)
    if command not in CONTROLS:
        _wrong(f"{command!r} is no command; there are {', '.join(CONTROLS)}")
    _send(
        wanted,
        lambda: dlt645.control(
            _dlt645(address),
            CONTROLS[command],
            password=_password(password),
            level=level,
            operator=operator,
            deadline=deadline,
            trip_minutes=trip_minutes,
        ),
    )


@app.command()
def write(
    context: typer.Context,
    address: Address,
    item: Item,
    data: Data,
    password: Password = None,
    level: Level = 4,
    operator: Operator = "00000000",
    meter_type: MeterType = "10",
    low_first: LowFirst = False,
    serial: Serial = 0,
) -> None:
    """Set an item (14H; 04H of 1997 and of CJ/T 188)."""
    wanted = _wanted(context, *DLT645, Protocol.CJT188)

    def exchange() -> Exchange[Any, Any]:
        match wanted.protocol:
            case Protocol.DLT645_2007:
                return dlt645.write(
                    _dlt645(address),
                    _number(item, 8),
                    _bytes(data),
                    level=level,
                    password=_password(password),
                    operator=operator,
                )
            case Protocol.DLT645_1997:
                permission = None if password is None else (level, password)
                return master97.write(
                    _dlt645(address), _number(item, 4), _bytes(data), permission=permission
                )
        return cj188.write(
            _cj188(address),
            _number(item, 4),
            _bytes(data),
            meter_type=_number(meter_type, 2),
            high_first=not low_first,
            serial=serial,
        )

    _send(wanted, exchange)


@app.command()
def valve(
    context: typer.Context,
    address: Address,
    command: Annotated[str, typer.Argument(metavar="open|close")],
    meter_type: MeterType = "10",
    low_first: LowFirst = False,
    serial: Serial = 0,
) -> None:
    """Open or close the valve of a CJ/T 188 meter (A017)."""
    wanted = _wanted(context, Protocol.CJT188)
    commands = {"open": cj188.ValveCommand.OPEN, "close": cj188.ValveCommand.CLOSE}
    if command not in commands:
        _wrong(f"{command!r} is no command; a valve is told open or close")
    _send(
        wanted,
        lambda: cj188.write_valve(
            _cj188(address),
            commands[command],
            meter_type=_number(meter_type, 2),
            high_first=not low_first,
            serial=serial,
        ),
    )


@app.command("write-address")
def write_address(
    context: typer.Context,
    new_address: Address,
    meter_type: MeterType = "10",
    low_first: LowFirst = False,
    serial: Serial = 0,
) -> None:
    """Give the one meter on the line a new address (15H; 0AH of 1997; A018 of CJ/T 188)."""
    wanted = _wanted(context, *DLT645, Protocol.CJT188)

    def exchange() -> Exchange[Any, Any]:
        match wanted.protocol:
            case Protocol.DLT645_2007:
                return dlt645.write_address(_digits(new_address, 12))
            case Protocol.DLT645_1997:
                return master97.write_address(_digits(new_address, 12))
        return cj188.write_address(
            _digits(new_address, 14),
            meter_type=_number(meter_type, 2),
            high_first=not low_first,
            serial=serial,
        )

    _send(wanted, exchange)


@app.command()
def freeze(
    context: typer.Context,
    when: Annotated[str, typer.Argument(metavar="MMDDhhmm", help="99 for every; 99999999 is now.")],
    address: Annotated[
        str | None, typer.Option(help="One meter; all on the line where it is left out.")
    ] = None,
) -> None:
    """Freeze the registers (16H)."""
    wanted = _wanted(context, Protocol.DLT645_2007)
    _digits(when, 8)
    if address is None:
        _print(wanted, dlt645.broadcast_freeze(when))
    else:
        _send(wanted, lambda: dlt645.freeze(_dlt645(address), when))


@app.command("broadcast-time")
def broadcast_time(context: typer.Context, at: Moment) -> None:
    """Set all clocks on the line (08H); a meter takes it if it is at most 5 minutes off."""
    _print(_wanted(context, *DLT645), dlt645.broadcast_time(at))


@app.command()
def clock(
    context: typer.Context,
    address: Address,
    at: Moment,
    meter_type: MeterType = "10",
    low_first: LowFirst = False,
    serial: Serial = 0,
) -> None:
    """Set the clock of one CJ/T 188 meter (A015). DL/T 645 writes 04000101 and 04000102."""
    wanted = _wanted(context, Protocol.CJT188)
    _send(
        wanted,
        lambda: cj188.write_clock(
            _cj188(address),
            at,
            meter_type=_number(meter_type, 2),
            high_first=not low_first,
            serial=serial,
        ),
    )


@app.command("change-baud")
def change_baud(context: typer.Context, address: Address, baud: int) -> None:
    """Change the rate of a meter's port (17H; 0CH of 1997)."""
    wanted = _wanted(context, *DLT645)
    is_old = wanted.protocol is Protocol.DLT645_1997
    rates = master97.BAUD_BITS if is_old else dlt645.BAUD_BITS
    if baud not in rates:
        _wrong(f"{baud} is no rate of this edition; there are {', '.join(map(str, sorted(rates)))}")
    change = master97.change_baud if is_old else dlt645.change_baud
    _send(wanted, lambda: change(_dlt645(address), baud))


@app.command("change-password")
def change_password(
    context: typer.Context,
    address: Address,
    new_password: Annotated[str, typer.Argument(metavar="NEW", help="6 digits.")],
    password: Password = None,
    level: Level = 2,
) -> None:
    """Change the password of a level, by the password of the same level (18H; 0FH of 1997)."""
    wanted = _wanted(context, *DLT645)
    is_old = wanted.protocol is Protocol.DLT645_1997
    change = master97.change_password if is_old else dlt645.change_password
    _send(
        wanted,
        lambda: change(
            _dlt645(address),
            level=level,
            old=(level, _password(password)),
            new_password=_digits(new_password, 6),
        ),
    )


@app.command()
def registers(
    context: typer.Context,
    unit: Unit,
    register: Register,
    count: Annotated[int, typer.Argument()] = 1,
    is_input: Annotated[bool, typer.Option("--input", help="Input registers, 04H.")] = False,
) -> None:
    """Read Modbus registers (03H)."""
    wanted = _wanted(context, *MODBUS)
    ask = modbus.read_input if is_input else modbus.read_holding
    _send(wanted, lambda: ask(unit, address=register_address(register), count=count))


@app.command()
def coils(
    context: typer.Context,
    unit: Unit,
    coil: Register,
    count: Annotated[int, typer.Argument()] = 1,
    is_discrete: Annotated[bool, typer.Option("--discrete", help="Discrete inputs, 02H.")] = False,
) -> None:
    """Read Modbus coils (01H)."""
    wanted = _wanted(context, *MODBUS)
    ask = modbus.read_discrete if is_discrete else modbus.read_coils
    _send(wanted, lambda: ask(unit, address=register_address(coil), count=count))


@app.command("write-registers")
def write_registers(
    context: typer.Context,
    unit: Unit,
    register: Register,
    values: Annotated[list[int], typer.Argument(metavar="VALUE...", help="0 to 65535 each.")],
    single: Annotated[
        bool, typer.Option("--single", help="One value by 06H instead of 10H.")
    ] = False,
) -> None:
    """Set Modbus holding registers (10H; 06H with --single). Unit 0 is everybody."""
    wanted = _wanted(context, *MODBUS)
    if single and len(values) != 1:
        _wrong(f"--single writes one value, not {len(values)}")

    def exchange() -> Exchange[Any, Any]:
        at = register_address(register)
        if single:
            return modbus.write_single_register(unit or 1, address=at, value=values[0])
        return modbus.write_registers(unit or 1, address=at, values=values)

    _send(wanted, exchange, unit=unit)


@app.command("write-coils")
def write_coils(
    context: typer.Context,
    unit: Unit,
    coil: Register,
    values: Annotated[list[str], typer.Argument(metavar="on|off...")],
) -> None:
    """Set Modbus coils: one by 05H, several by 0FH. Unit 0 is everybody."""
    wanted = _wanted(context, *MODBUS)
    if wrong := [value for value in values if value not in ("on", "off")]:
        _wrong(f"{wrong[0]!r} is neither on nor off")
    bits = [value == "on" for value in values]

    def exchange() -> Exchange[Any, Any]:
        at = register_address(coil)
        if len(bits) == 1:
            return modbus.write_single_coil(unit or 1, address=at, on=bits[0])
        return modbus.write_coils(unit or 1, address=at, values=bits)

    _send(wanted, exchange, unit=unit)


@app.command()
def raw(
    context: typer.Context,
    address: Address,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Control C, or the Modbus function.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="As sent, without 33H and CRC.")] = "",
    meter_type: MeterType = "10",
) -> None:
    """Any frame: address, control code and data as they are."""
    wanted = _wanted(context, *Protocol)

    def sent() -> bytes:
        body, control_code = _bytes(data), _number(code, 2)
        match wanted.protocol:
            case Protocol.CJT188:
                return cj188_frame.encode(
                    cj188_frame.Frame(_number(meter_type, 2), _cj188(address), control_code, body)
                )
            case Protocol.MODBUS_RTU:
                unit = int(_digits(address, len(address)))
                return modbus_frame.encode(modbus_frame.Frame(unit, control_code, body))
        return dlt645_frame.encode(dlt645_frame.Frame(_dlt645(address), control_code, body))

    _print(wanted, _checked(sent))


def _wanted(context: typer.Context, *allowed: Protocol) -> Wanted:
    wanted = context.obj
    assert isinstance(wanted, Wanted)
    if wanted.protocol not in allowed:
        known = ", ".join(protocol.value for protocol in allowed)
        _wrong(f"{context.info_name} is not made for {wanted.protocol.value}, but for {known}")
    return wanted


def _send(wanted: Wanted, start: Callable[[], Exchange[Any, Any]], unit: int | None = None) -> None:
    """Print the first request of an exchange. unit 0, which no exchange asks, is put in after it."""

    def first() -> bytes:
        exchange = start()
        try:
            request = next(exchange)
        finally:
            exchange.close()
        if unit == 0:
            frame = modbus_frame.decode(request)
            request = modbus_frame.encode(modbus_frame.Frame(0, frame.function, frame.data))
        return request

    _print(wanted, _checked(first))


def _checked(make: Callable[[], bytes]) -> bytes:
    try:
        return make()
    except ValueError as error:
        _wrong(str(error))


def _print(wanted: Wanted, request: bytes) -> None:
    if wanted.preamble is not None:
        request = b"\xfe" * wanted.preamble + request.lstrip(b"\xfe")
    shown = request.hex(" ") if wanted.spaced else request.hex()
    typer.echo(shown.upper())


def _dlt645(address: str) -> str:
    """12 digits, of which leading pairs may be AA. Raises ValueError."""
    address = address.upper()
    known = address
    while known.startswith("AA"):
        known = known[2:]
    if len(address) != 12 or not (known.isdecimal() or not known) or not address.isascii():
        raise ValueError(
            f"address {address!r} is not 12 digits, or AA for leading pairs and digits"
        )
    return address


def _cj188(address: str) -> str:
    """14 hexadecimal digits. Raises ValueError."""
    if len(address) != 14 or set(address.upper()) - set("0123456789ABCDEF"):
        raise ValueError(f"address {address!r} is not 14 digits")
    return address.upper()


def _digits(text: str, count: int) -> str:
    if len(text) != count or not (text.isascii() and text.isdecimal()):
        _wrong(f"{text!r} is not {count} digits")
    return text


def _number(text: str, digits: int) -> int:
    """A hexadecimal number of so many digits. Raises ValueError."""
    if len(text) != digits or set(text.upper()) - set("0123456789ABCDEF"):
        raise ValueError(f"{text!r} is not {digits} hexadecimal digits")
    return int(text, 16)


def _bytes(text: str) -> bytes:
    try:
        return read_hex(text)
    except NoFrame:
        raise ValueError(f"data {text!r} is not hexadecimal") from None


def _password(password: str | None) -> str:
    if password is None:
        raise ValueError("this request carries a password; give --password, 6 digits")
    if len(password) != 6 or not (password.isascii() and password.isdecimal()):
        raise ValueError("the password is not 6 digits")
    return password


def _wrong(sentence: str) -> NoReturn:
    typer.echo(f"{sentence[0].upper()}{sentence[1:]}.", err=True)
    raise typer.Exit(2)

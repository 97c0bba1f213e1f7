"""A meter that was found on a line becomes that of a service point whose own does not answer."""

from __future__ import annotations

import re
from dataclasses import replace

from edge.drivers import DRIVERS
from edge.entered import enter
from edge.field.room import MeterRoom
from edge.field.said import CannotDo, Tone, said, why_not
from edge.lines.place import SerialAt
from edge.technician.answers import Protocol
from edge.technician.search.found import Found
from prepaid.point import Meter, ServicePoint
from prepaid.wire import UNREAD, MeterLinked, Work
from protocols.modbus import profile as profiles

DRIVER_OF = {
    Protocol.DLT645_2007: "dlt645-2007",
    Protocol.DLT645_1997: "dlt645-1997",
    Protocol.CJT188: "cjt188-2004",
    Protocol.MODBUS_RTU: "modbus",
}
PROTOCOL_OF = {driver: protocol for protocol, driver in DRIVER_OF.items()}


class NotAsEntered(CannotDo):
    """The found meter is not the one that the office has entered, by kind or number. Look at it, then be sure."""


def is_open(room: MeterRoom, point: ServicePoint) -> bool:
    """Whether a point waits for its meter: it was never read, or cannot be read now."""
    never = room.store.position(point.id) is None
    return never or any(room.store.alarm_since(point.id, kind) is not None for kind in UNREAD)


def open_points(room: MeterRoom) -> list[ServicePoint]:
    return [point for point in room.store.points().values() if is_open(room, point)]


def of_label(room: MeterRoom, text: str) -> ServicePoint | None:
    """The point whose meter has the number on a label; a label's code may say more than the number."""
    label = text.strip()
    points = list(room.store.points().values())
    for point in points:
        if point.meter.meter_no == label:
            return point
    numbers = re.findall(r"\d{6,}", label)
    for point in points:
        if any(same_number(point.meter.meter_no, number) for number in numbers):
            return point
    return None


def same_number(one: str, other: str) -> bool:
    """Labels leave out zeros in front, and addresses are filled up with them."""
    return bool(one.strip("0")) and one.lstrip("0") == other.lstrip("0")


def suggested(points: list[ServicePoint], found: Found) -> ServicePoint | None:
    """The open point whose meter's number or address is what the found one answers to."""
    for point in points:
        if same_number(point.meter.meter_no, found.address) or (
            point.meter.address == found.address
            and PROTOCOL_OF.get(point.meter.protocol) is found.protocol
        ):
            return point
    return None


def link(
    room: MeterRoom,
    line: str,
    found: Found,
    point: ServicePoint,
    *,
    profile: str,
    meter_no: str,
    is_sure: bool,
    by: str,
) -> Meter:
    """The point is read where the meter was found, from now on, and the cloud is told. Where it was charged before,
    the office compares the registers first (edge.entered).

    profile is the register profile of a Modbus meter, meter_no its number as on the label; what was read
    before keeps its number, as another one would be a change of meters. is_sure that somebody has looked at the
    meter where it is not what the office has entered: whoever takes the wrong point from a list would have the
    supply of another customer cut. Raises NotAsEntered, CannotDo, StoreFull, StoreHeld.
    """
    was = point.meter
    if not is_open(room, point):
        raise why_not(
            "%(point)s is read already: a change of meters is the office's.", point=point.name
        )
    if found.protocol not in DRIVER_OF:
        raise why_not("Meters of %(protocol)s cannot be charged.", protocol=found.protocol.value)
    here = room.line(line).place.at
    if isinstance(here, SerialAt) and found.place.at != here:
        raise why_not(
            "It answers at %(there)s, the line runs at %(here)s: set the meter's rate, or the line's.",
            there=_rate(found.place.at),
            here=_rate(here),
        )
    number = meter_no.strip() or was.meter_no
    if not is_sure:
        _check_entered(point, found, number)
    settings = {**was.settings, **found.settings}
    if found.protocol is Protocol.MODBUS_RTU:
        settings["profile"] = profile or was.settings.get("profile", "")
        if settings["profile"] not in profiles.names():
            raise why_not("Choose the register profile of this Modbus meter.")
    if number != was.meter_no and room.store.position(point.id) is not None:
        raise why_not(
            "%(point)s was read as meter %(meter_no)s: a change of meters is the office's.",
            point=point.name,
            meter_no=was.meter_no,
        )
    meter = replace(
        was,
        meter_no=number,
        protocol=DRIVER_OF[found.protocol],
        line=line,
        address=found.address,
        settings=settings,
    )
    assert meter.protocol in DRIVERS
    for other in room.store.points().values():
        if other.id != point.id and (
            other.meter.meter_no == number
            or (other.meter.line, other.meter.address) == (meter.line, meter.address)
        ):
            raise why_not("%(point)s has this number or address already.", point=other.name)
    with room.store.transaction():
        enter(room.store, replace(point, meter=meter))
        for work in (Work.CUT_TEST, Work.BLINK_TEST):  # what was tested was another meter
            room.store.save_check(point.id, work, None)
        room.store.append(MeterLinked(point.id, room.now(), by, meter, was))
    room.agent.take_up(point.id)
    return meter


def _check_entered(point: ServicePoint, found: Found, number: str) -> None:
    was = point.meter
    if was.protocol != DRIVER_OF[found.protocol]:
        raise NotAsEntered(
            said(
                "The office has entered %(point)s with a meter that speaks %(entered)s; this one speaks %(found)s."
                " Is it the meter of this point?",
                Tone.BAD,
                point=point.name,
                entered=was.protocol,
                found=found.protocol.value,
            )
        )
    is_numbered = found.protocol is not Protocol.MODBUS_RTU  # a unit says nothing of the meter
    if is_numbered and not same_number(number, found.address) and was.address != found.address:
        raise NotAsEntered(
            said(
                "%(point)s is to have meter %(meter_no)s; this one answers to %(address)s."
                " Is it the meter of this point?",
                Tone.BAD,
                point=point.name,
                meter_no=number,
                address=found.address,
            )
        )


def _rate(at: object) -> str:
    return f"{at.baud} {at.format}" if isinstance(at, SerialAt) else str(at)

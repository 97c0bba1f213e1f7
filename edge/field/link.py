"""A meter that was found on a line becomes that of a service point whose own does not answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from edge.drivers import DRIVERS
from edge.entered import enter
from edge.field.room import MeterRoom
from edge.field.said import CannotDo, Tone, said, why_not
from edge.ledger.rows import Linked
from edge.lines.place import SerialAt
from edge.technician.answers import Protocol
from edge.technician.search.found import Found
from prepaid.money import ZERO, Money
from prepaid.point import Meter, ServicePoint
from prepaid.rating import Position
from prepaid.wire.uplog import UNREAD, FieldWork, MeterLinked, Work
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
    """Whether a point waits for its meter: it was not read since it got it, or cannot be read now."""
    if not _was_charged(room, point):
        return True
    return any(room.store.alarm_since(point.id, kind) is not None for kind in UNREAD)


def _was_charged(room: MeterRoom, point: ServicePoint) -> bool:
    """Whether it was charged by a register of its own."""
    linked = room.store.linked(point.id)
    counts_anew = linked is not None and linked.counts_anew
    return room.store.position(point.id) is not None and not counts_anew


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


@dataclass(frozen=True, slots=True)
class Plate:
    """What a technician reads off a meter 铭牌: its number, the whole digits of its register, and the most that can
    pass it in an hour, in the register's unit. None: as the office has entered it."""

    meter_no: str | None = None
    digits: int | None = None
    max_per_hour: Decimal | None = None


DIGITS = {"modbus": 8}
USUAL_DIGITS = 6
"""Whole digits of a register: DL/T 645 and CJ/T 188 carry six, Modbus profiles eight at the least."""


def link(
    room: MeterRoom,
    line: str,
    found: Found,
    point: ServicePoint,
    *,
    profile: str,
    plate: Plate,
    is_sure: bool,
    by: str,
) -> Meter:
    """The point is read where the meter was found, from now on, and the cloud is told. Where it was charged before,
    the office compares the registers first (edge.entered).

    profile is the register profile of a Modbus meter. What was read before keeps its number, as another one would be
    a change of meters. is_sure that somebody has looked at the meter where it is not what the office has entered:
    whoever takes the wrong point from a list would have the supply of another customer cut. undo() takes it back.
    Raises NotAsEntered, CannotDo, StoreFull, StoreHeld.
    """
    was = point.meter
    if not is_open(room, point):
        raise why_not(
            "%(point)s is read already: a change of meters is the office's.", point=point.name
        )
    _check_reachable(room, line, found)
    number = plate.meter_no or was.meter_no
    if not is_sure:
        _check_entered(point, found, number)
    if number != was.meter_no and _was_charged(room, point):
        raise why_not(
            "%(point)s was read as meter %(meter_no)s: a change of meters is the office's.",
            point=point.name,
            meter_no=was.meter_no,
        )
    protocol = DRIVER_OF[found.protocol]
    assert protocol in DRIVERS
    meter = replace(
        was,
        meter_no=number,
        protocol=protocol,
        line=line,
        address=found.address,
        digits=plate.digits or _digits(was, protocol),
        max_per_hour=plate.max_per_hour or was.max_per_hour,
        settings=_settings(was, found, profile),
    )
    _check_free(room, point, meter)
    store = room.store
    linked = Linked(
        room.now(),
        by,
        meter,
        instead_of=was,
        was_charged=_was_charged(room, point),
        counts_anew=store.position(point.id) is not None and not _was_charged(room, point),
    )
    with store.transaction():
        _make_its(room, point, meter, by=by)
        store.save_linked(point.id, linked)
    room.agent.take_up_linked(point.id)
    return meter


def _make_its(room: MeterRoom, point: ServicePoint, meter: Meter, *, by: str) -> None:
    """Inside a transaction."""
    enter(room.store, replace(point, meter=meter))
    for work in (Work.CUT_TEST, Work.BLINK_TEST):  # what was tested was another meter
        room.store.save_check(point.id, work, None)
    room.store.append(MeterLinked(point.id, room.now(), by, meter, point.meter))


def _check_reachable(room: MeterRoom, line: str, found: Found) -> None:
    """Whether a driver and the line as it runs can ask it. Raises CannotDo."""
    if found.protocol not in DRIVER_OF:
        raise why_not("Meters of %(protocol)s cannot be charged.", protocol=found.protocol.value)
    here = room.line(line).place.at
    if isinstance(here, SerialAt) and found.place.at != here:
        raise why_not(
            "It answers at %(there)s, the line runs at %(here)s: set the meter's rate, or the line's.",
            there=_rate(found.place.at),
            here=_rate(here),
        )


def _digits(was: Meter, protocol: str) -> int:
    """As entered, but for a meter that speaks another protocol than was entered."""
    return was.digits if protocol == was.protocol else DIGITS.get(protocol, USUAL_DIGITS)


def _settings(was: Meter, found: Found, profile: str) -> dict[str, str]:
    """What its driver needs. Raises CannotDo."""
    settings = {**was.settings, **found.settings}
    if found.protocol is Protocol.MODBUS_RTU:
        settings["profile"] = profile or was.settings.get("profile", "")
        if settings["profile"] not in profiles.names():
            raise why_not("Choose the register profile of this Modbus meter.")
    return settings


def _check_free(room: MeterRoom, point: ServicePoint, meter: Meter) -> None:
    """Whether no other point has the meter. Raises CannotDo."""
    for other in room.store.points().values():
        if other.id != point.id and (
            other.meter.meter_no == meter.meter_no
            or (other.meter.line, other.meter.address) == (meter.line, meter.address)
        ):
            raise why_not("%(point)s has this number or address already.", point=other.name)


def undoable(room: MeterRoom, point: ServicePoint) -> Linked | None:
    """What was linked to a point here and can be taken back: until the office gives it another meter."""
    linked = room.store.linked(point.id)
    is_its = linked is not None and linked.undone is None and linked.meter == point.meter
    return linked if is_its else None


def undo(room: MeterRoom, point: ServicePoint, *, by: str) -> Money:
    """撤销对号: the point has the meter again that it had before; and what the wrong one has been charged.

    A register that was charged before the link is charged on from there, and nothing of it was charged meanwhile
    (edge.entered). A point that never had one counts from the next reading: what the wrong meter was charged stays
    booked, as a gateway gives no money back, and the cloud is told of it for the office to correct.
    Raises CannotDo, StoreFull, StoreHeld.
    """
    linked = undoable(room, point)
    if linked is None:
        raise why_not(
            "No meter was linked to %(point)s here that could be undone.", point=point.name
        )
    _check_free(room, point, linked.instead_of)
    store = room.store
    charged = ZERO if linked.was_charged else _posted(store.position(point.id))
    with store.transaction():
        _make_its(room, point, linked.instead_of, by=by)
        told = store.last_seq()
        counts_anew = not linked.was_charged and store.position(point.id) is not None
        store.save_linked(point.id, replace(linked, counts_anew=counts_anew, undone=told))
        text = (
            f"the meter at {linked.meter.address} on line {linked.meter.line} was not its own; {charged} that it was "
            "charged since stay booked until the office corrects it"
        )
        store.append(FieldWork(point.id, room.now(), Work.UNLINK, True, by, text))
    room.agent.take_up_linked(point.id)
    return charged


def _posted(position: Position | None) -> Money:
    running = position.running if position is not None else ()
    return sum((each.posted for each in running), ZERO)


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

"""Rooms by rule: so many on each floor, named by a pattern, looked at before they are made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import insert, select
from sqlmodel import Session, col

from cloud import events
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, scopes
from cloud.tables import Building, Room

MOST = 3000
LONGEST_NAME = 40
_PART = re.compile(r"\{(F{1,3}|R{1,4})\}")
_SPAN = re.compile(r"(-?\d{1,3})(?:\s*(?:\.\.|~|～|至|到|-)\s*(-?\d{1,3}))?")


class BadSpan(CloudError):
    status = 422
    sentence = "“{text}” is no list of floors or rooms. Write for example 1-6, or 1-3, 5, 7-9."


class BadPattern(CloudError):
    status = 422
    field = "pattern"
    sentence = (
        "The pattern “{pattern}” gives two rooms one name. Write {floor} where the floor stands and {room} where the"
        " number of the room on its floor stands, each letter for a digit."
    )


class TooMany(CloudError):
    status = 422
    field = "floors"
    sentence = "That is more than {most} rooms. Make them in several steps."


@dataclass(frozen=True, slots=True)
class Rule:
    """floors and rooms are lists like "1-6, 8"; rooms are the numbers on each floor. In pattern {FF} stands for the
    floor and {RR} for the room, with so many digits at least: {FF}{RR} makes 0301 of floor 3 and room 1."""

    floors: str
    rooms: str
    pattern: str = "{FF}{RR}"


@dataclass(frozen=True, slots=True)
class Planned:
    """A room that a rule makes; is_known: there is one of that name in the building already, which stays as it is."""

    floor: int
    name: str
    is_known: bool


def plan(session: Session, building_id: UUID, rule: Rule, *, by: SignedIn) -> list[Planned]:
    """What a rule would make, by floor. Raises scopes.NoSuchBuilding, BadSpan, BadPattern or TooMany."""
    building = scopes.check_building(session, by, building_id)
    named = list(_named(rule))
    names = {name for _, name in named}
    if len(names) != len(named) or any(not 0 < len(n) <= LONGEST_NAME for n in names):
        raise BadPattern(pattern=rule.pattern, floor="{FF}", room="{RR}")
    known = set(
        session.execute(
            select(col(Room.name)).where(col(Room.building_id) == building.id)
        ).scalars()
    )
    return [Planned(floor, name, name in known) for floor, name in named]


def make(
    session: Session, building_id: UUID, rule: Rule, *, by: SignedIn, now: datetime
) -> list[Planned]:
    """Makes the rooms that are not there yet; what was planned. Asked twice it makes them once.

    Raises as plan does.
    """
    building = scopes.check_building(session, by, building_id)
    session.execute(
        select(col(Building.id)).where(col(Building.id) == building.id).with_for_update()
    )
    planned = plan(session, building_id, rule, by=by)
    new = [each for each in planned if not each.is_known]
    if new:
        session.execute(
            insert(Room),
            [
                {
                    "id": uuid4(),
                    "organization_id": building.organization_id,
                    "building_id": building.id,
                    "name": each.name,
                    "floor": each.floor,
                }
                for each in new
            ],
        )
        after = {
            "floors": rule.floors,
            "rooms": rule.rooms,
            "pattern": rule.pattern,
            "made": len(new),
        }
        audit.record(session, by, "rooms-made", of="building", id=building.id, after=after, now=now)
        events.changed(session, building.organization_id)
    return planned


def numbers(text: str, *, field: str) -> list[int]:
    """The numbers of a list like "1-3, 5". Raises BadSpan, of that field."""
    found: list[int] = []
    for part in re.split(r"[,，、;；\s]+(?![~～至到-])", text.strip()):
        span = _SPAN.fullmatch(part.strip())
        if span is None:
            raise BadSpan(field=field, text=text)
        first = int(span[1])
        last = int(span[2]) if span[2] is not None else first
        if last < first:
            raise BadSpan(field=field, text=text)
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def _named(rule: Rule) -> Iterator[tuple[int, str]]:
    floors, rooms = numbers(rule.floors, field="floors"), numbers(rule.rooms, field="rooms")
    if len(floors) * len(rooms) > MOST:
        raise TooMany(most=MOST)
    if "\x00" in rule.pattern or not rule.pattern.isprintable():
        raise BadPattern(pattern="", floor="{FF}", room="{RR}")
    for floor in floors:
        for room in rooms:
            name = rule.pattern
            for part in _PART.finditer(rule.pattern):
                name = name.replace(part[0], _number(part[1], floor, room))
            yield floor, name.strip()


def _number(letters: str, floor: int, room: int) -> str:
    number = floor if letters[0] == "F" else room
    sign = "B" if number < 0 else ""  # a basement's rooms are B101
    return f"{sign}{abs(number):0{len(letters)}d}"

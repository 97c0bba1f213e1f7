"""What a run of a gateway's entries comes to, written in a few statements however many entries there are.

Rows go to the database as columns, each the text of an array: to make arrays of values takes the driver several times
as long, and to read JSON the database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.db import execute
from cloud.services import measurements
from prepaid.momentary import Momentary
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.register.evidence import Evidence, Kind
from prepaid.wire.uplog import Alarm, AlarmKind, SupplyChanged

_POSITION = TypeAdapter(Position)


@dataclass(slots=True)
class Arrivals:
    """The readings, positions, supplies and alarms of points, in the order in which they were told.

    Of so many readings each look into a dictionary costs: one keeps all of a reading, with the entry of our log up to
    which the gateway had it.
    """

    readings: dict[tuple[UUID, datetime], tuple[Reading, int | None]] = field(default_factory=dict)
    evidence: dict[tuple[UUID, datetime, Kind], Evidence] = field(default_factory=dict)
    latest: dict[UUID, Reading] = field(default_factory=dict)
    positions: dict[UUID, Position] = field(default_factory=dict)
    starts: dict[tuple[UUID, datetime], Position] = field(default_factory=dict)
    places: dict[UUID, tuple[str, ...] | None] = field(default_factory=dict)
    supplies: dict[UUID, SupplyChanged] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    measured: dict[tuple[UUID, datetime], Momentary] = field(default_factory=dict)

    def read(self, point: UUID, reading: Reading, *, known: int | None) -> None:
        """The latest is so by the order of the log, not by a clock that may be set."""
        self.readings.setdefault((point, reading.at), (reading, known))
        self.latest[point] = reading


def save(session: Session, organization_id: UUID, told: Arrivals) -> list[Alarm]:
    """Writes all of it, and gives the alarms that are new.

    A reading, evidence, measurement or alarm that is there already stays as it is.
    """
    if told.latest:
        _save_readings(session, organization_id, told)
    if told.starts:
        _save_starts(session, organization_id, told)
    if told.places:
        _save_places(session, told.places)
    if told.evidence:
        _save_evidence(session, organization_id, told)
    if told.measured:
        measurements.keep(session, organization_id, told.measured)
    if told.supplies:
        _save_supplies(session, told.supplies)
    return _save_alarms(session, organization_id, told.alarms) if told.alarms else []


_READINGS = """
    WITH kept AS (
        INSERT INTO readings (organization_id, point_id, at, meter_no, total, supply, bands, known, number)
        SELECT %(organization)s, r.*, nextval('readings_number')
        FROM unnest(
            CAST(%(points)s AS uuid[]), CAST(%(times)s AS timestamptz[]), CAST(%(meter_nos)s AS text[]),
            CAST(%(totals)s AS numeric[]), CAST(%(supplies)s AS text[]), CAST(%(bands)s AS jsonb[]),
            CAST(%(known)s AS bigint[])
        ) AS r
        ON CONFLICT DO NOTHING
    )
    UPDATE point_states s
    SET total = n.total, read_at = n.at, bands = n.bands,
        first_read_at = least(s.first_read_at, n.first_at),
        position = coalesce(n.position, s.position)
    FROM unnest(
        CAST(%(last_points)s AS uuid[]), CAST(%(last_totals)s AS numeric[]),
        CAST(%(last_times)s AS timestamptz[]), CAST(%(first_times)s AS timestamptz[]),
        CAST(%(last_bands)s AS jsonb[]), CAST(%(positions)s AS jsonb[])
    ) AS n (point, total, at, first_at, bands, position)
    WHERE s.point_id = n.point
"""


def _save_readings(session: Session, organization_id: UUID, told: Arrivals) -> None:
    """The readings, and in the states of their points the last of each."""
    readings, last = [reading for reading, _ in told.readings.values()], told.latest.values()
    first: dict[UUID, datetime] = {}
    for point, at in told.readings:
        if first.setdefault(point, at) > at:
            first[point] = at
    positions = [told.positions.get(point) for point in told.latest]
    execute(
        session,
        _READINGS,
        organization=organization_id,
        points=_array([str(point) for point, _ in told.readings]),
        times=_array([at.isoformat() for _, at in told.readings]),
        meter_nos=_array([_quoted(reading.meter_no) for reading in readings]),
        totals=_array([str(reading.total) for reading in readings]),
        supplies=_array([text_of(reading.supply) for reading in readings]),
        bands=_array([_json(reading.bands) for reading in readings]),
        known=_array([_number(known) for _, known in told.readings.values()]),
        last_points=_array([str(point) for point in told.latest]),
        last_totals=_array([str(reading.total) for reading in last]),
        last_times=_array([reading.at.isoformat() for reading in last]),
        first_times=_array([first[point].isoformat() for point in told.latest]),
        last_bands=_array([_json(reading.bands) for reading in last]),
        positions=_array([_position(position) for position in positions]),
    )


def _array(texts: Sequence[str | None]) -> str:
    """As PostgreSQL reads an array (Arrays, Array Input and Output Syntax): what has to be is quoted already."""
    return f"{{{','.join(['NULL' if text is None else text for text in texts])}}}"


def _quoted(text: str) -> str:
    """Any text as an array's element."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _number(number: int | None) -> str | None:
    return str(number) if number is not None else None


def _json(bands: Mapping[str, Decimal] | None) -> str | None:
    return _quoted(json.dumps(_texts(bands))) if bands is not None else None


def _save_starts(session: Session, organization_id: UUID, told: Arrivals) -> None:
    """From where rating goes on; a position that was told later of the same instant replaces the one before."""
    rows = [
        {
            "organization_id": organization_id,
            "point_id": point,
            "at": at,
            "position": _POSITION.dump_python(position, mode="json"),
        }
        for (point, at), position in told.starts.items()
    ]
    start = insert(tables.RatingStart).values(rows)
    session.execute(
        start.on_conflict_do_update(
            index_elements=["point_id", "at"], set_={"position": start.excluded.position}
        )
    )


_PLACES = """
    UPDATE point_states s SET place = n.place
    FROM json_to_recordset(CAST(%(rows)s AS json)) AS n (point uuid, place jsonb)
    WHERE s.point_id = n.point
"""


def _save_places(session: Session, places: Mapping[UUID, tuple[str, ...] | None]) -> None:
    """Where what points are charged from was read."""
    rows = [{"point": str(point), "place": place} for point, place in places.items()]
    execute(session, _PLACES, rows=json.dumps(rows))


def _position(position: Position | None) -> str | None:
    return _quoted(_POSITION.dump_json(position).decode()) if position is not None else None


def _save_evidence(session: Session, organization_id: UUID, told: Arrivals) -> None:
    session.execute(
        insert(tables.Evidence).on_conflict_do_nothing(),
        [
            {
                "organization_id": organization_id,
                "point_id": point,
                "at": at,
                "kind": kind.value,
                "confidence": evidence.confidence.value,
                "effect": evidence.effect.value,
                "moved": evidence.moved,
                "against": evidence.limit,
                "text": evidence.text,
            }
            for (point, at, kind), evidence in told.evidence.items()
        ],
    )


_SUPPLIES = """
    UPDATE point_states s
    SET supply = n.supply, wanted = n.wanted, why = n.why, supply_at = n.at,
        commanded_at = coalesce(n.commanded_at, s.commanded_at)
    FROM json_to_recordset(CAST(%(rows)s AS json)) AS n (
        point uuid, supply text, wanted text, why text, at timestamptz, commanded_at timestamptz
    )
    WHERE s.point_id = n.point
"""


def _save_supplies(session: Session, supplies: Mapping[UUID, SupplyChanged]) -> None:
    rows = [
        {
            "point": str(point),
            "supply": text_of(change.supply),
            "wanted": text_of(change.wanted),
            "why": change.why.value,
            "at": change.at.isoformat(),
            "commanded_at": change.commanded_at and change.commanded_at.isoformat(),
        }
        for point, change in supplies.items()
    ]
    execute(session, _SUPPLIES, rows=json.dumps(rows))


_ALARMS = """
    INSERT INTO alarms (organization_id, point_id, kind, at, is_over, text)
    SELECT %(organization)s, n.point, n.kind, n.at, n.is_over, n.text
    FROM json_to_recordset(CAST(%(rows)s AS json)) AS n (
        point uuid, kind text, at timestamptz, is_over boolean, text text
    )
    ON CONFLICT DO NOTHING
    RETURNING point_id, kind, at, is_over
"""


def _save_alarms(session: Session, organization_id: UUID, alarms: Sequence[Alarm]) -> list[Alarm]:
    """Those that are new."""
    rows = [
        {
            "point": str(alarm.point),
            "kind": alarm.alarm.value,
            "at": alarm.at.isoformat(),
            "is_over": alarm.is_over,
            "text": alarm.text,
        }
        for alarm in alarms
    ]
    kept = execute(session, _ALARMS, organization=organization_id, rows=json.dumps(rows))
    new = {tuple(row) for row in kept}
    shown: dict[tuple[UUID, str], datetime | None] = {}
    for alarm in alarms:
        column = _column_of(alarm.alarm)
        if column is not None:
            shown[alarm.point, column] = None if alarm.is_over else alarm.at
    for (point, column), since in shown.items():
        state = tables.PointState
        session.execute(update(state).where(col(state.point_id) == point).values({column: since}))
    found = []
    for alarm in alarms:
        key = (alarm.point, alarm.alarm.value, alarm.at, alarm.is_over)
        if key in new:
            new.discard(key)  # told twice in one message it is new once
            found.append(alarm)
    return found


def _column_of(kind: AlarmKind) -> str | None:
    """Where the state of a point shows since when the alarm is on, None where it does not."""
    match kind:
        case AlarmKind.SILENT | AlarmKind.WRONG_ENTRY:
            return "silent_since"
        case AlarmKind.IMPLAUSIBLE:
            return "held_since"
        case (
            AlarmKind.STUCK
            | AlarmKind.USED_WHILE_OFF
            | AlarmKind.LEAK
            | AlarmKind.SWITCH_FAILED
            | AlarmKind.CANNOT_SWITCH
            | AlarmKind.NO_TARIFF
            | AlarmKind.CUT_WAITS
            | AlarmKind.CLOCK_WRONG
            | AlarmKind.FINAL_BALANCE
            | AlarmKind.LOW_BALANCE
        ):
            return None  # kept in alarms; the state itself shows in supply and balance
        case _:
            raise AssertionError(f"not a kind of alarm: {kind}")


def _texts(bands: Mapping[str, Decimal] | None) -> dict[str, str] | None:
    return {band: str(total) for band, total in bands.items()} if bands is not None else None


def text_of(supply: Supply | None) -> str | None:
    """As tables keep it."""
    return supply.value if supply is not None else None

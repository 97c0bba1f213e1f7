"""What meters measured beside their registers 瞬时量: a history, and the last of each point."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from prepaid.momentary import Momentary

MOMENTARY = TypeAdapter(Momentary)


def keep(
    session: Session, organization_id: UUID, measured: Mapping[tuple[UUID, datetime], Momentary]
) -> None:
    """Keeps what was measured at points, in the order in which it was told; what is there already stays."""
    rows = {key: MOMENTARY.dump_python(one, mode="json") for key, one in measured.items()}
    session.execute(
        insert(tables.Measurement).on_conflict_do_nothing(),
        [
            {
                "organization_id": organization_id,
                "point_id": point,
                "at": at,
                "meter_no": row["meter_no"],
                "measured": row["values"],
                "is_battery_low": row["is_battery_low"],
                "is_valve_abnormal": row["is_valve_abnormal"],
            }
            for (point, at), row in rows.items()
        ],
    )
    state = tables.PointState
    for point, row in {point: row for (point, _), row in rows.items()}.items():
        session.execute(update(state).where(col(state.point_id) == point).values(measured=row))

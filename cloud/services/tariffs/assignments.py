"""Assignment 适用: which tariff prices a point. The point's own counts first, then its class's, then its site's.

Where none is assigned, the point keeps the tariff that it was set up with. An assignment holds from an instant on;
the job that looks every minute moves the points that it changes and tells their gateways.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import delete, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, pointsets, scopes

LONGEST_CLASS = 40


class NoSuchAssignment(CloudError):
    status = 404
    sentence = "There is no such assignment, or it has ended."


class NoSuchTariffHere(CloudError):
    status = 404
    sentence = "There is no such tariff."


class WrongTarget(CloudError):
    status = 422
    sentence = "Please say what the tariff is for: one service point, one class, or one site."


class WrongCommodity(CloudError):
    status = 422
    sentence = "This tariff prices something else than what the service point supplies."


class BadClass(CloudError):
    status = 422
    sentence = "A class has a name of 1 to {most} characters."


class Through(StrEnum):
    """By what a point has its tariff."""

    POINT = "point"
    CLASS = "class"
    SITE = "site"
    SET_UP = "set-up"


@dataclass(frozen=True, slots=True)
class Assigned:
    """An assignment that holds, or will; what names the point, class or site."""

    id: UUID
    tariff_id: UUID
    code: str
    commodity: str
    through: Through
    what: str
    points: int
    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Priced:
    """A point, the tariff that prices it, and by what."""

    point_id: UUID
    point: str
    room: str
    building: str
    site: str
    class_: str | None
    code: str
    through: Through


def assign(
    session: Session,
    by: SignedIn,
    tariff_id: UUID,
    *,
    point_id: UUID | None,
    class_: str | None,
    site_id: UUID | None,
    since: datetime,
    now: datetime,
) -> tables.TariffAssignment:
    """From since on the tariff is for the point, class or site; the one that was for it ends then.

    Raises NoSuchTariffHere, WrongTarget, WrongCommodity, scopes.NoSuchPoint or NoSuchSite.
    """
    tariff = session.get(tables.TariffDocument, tariff_id)
    if tariff is None:
        raise NoSuchTariffHere
    class_ = class_.strip() if class_ else None
    if sum(each is not None and each != "" for each in (point_id, class_, site_id)) != 1:
        raise WrongTarget
    if point_id is not None:
        point = scopes.check_point(session, by, point_id)
        if point.commodity != tariff.commodity:
            raise WrongCommodity
    if site_id is not None:
        scopes.check_site(session, by, site_id, whole=True)
    row = tables.TariffAssignment
    since = max(since, now)
    session.execute(
        update(row)
        .where(
            col(row.organization_id) == by.organization_id,
            col(row.commodity) == tariff.commodity,
            col(row.point_id).is_not_distinct_from(point_id),
            col(row.class_).is_not_distinct_from(class_ or None),
            col(row.site_id).is_not_distinct_from(site_id),
            col(row.ended_at).is_(None),
        )
        .values(ended_at=since)
    )
    assigned = row(
        organization_id=by.organization_id,
        tariff_id=tariff.id,
        commodity=tariff.commodity,
        point_id=point_id,
        class_=class_ or None,
        site_id=site_id,
        since=since,
        assigned_by=by.user_id,
    )
    session.add(assigned)
    session.flush()
    audit.record(
        session,
        by,
        "assign",
        of="tariff",
        id=tariff.id,
        after={
            "code": tariff.code,
            "point": str(point_id or ""),
            "class": class_ or "",
            "site": str(site_id or ""),
            "since": since.isoformat(),
        },
        now=now,
    )
    apply_due(session, now=now, point_id=point_id)
    return assigned


def end(session: Session, by: SignedIn, assignment_id: UUID, *, now: datetime) -> None:
    """The point, class or site goes by the next in order again. Raises NoSuchAssignment."""
    row = session.get(tables.TariffAssignment, assignment_id)
    if row is None or (row.ended_at is not None and row.ended_at <= now):
        raise NoSuchAssignment
    if row.point_id is not None:
        scopes.check_point(session, by, row.point_id)
    if row.site_id is not None:
        scopes.check_site(session, by, row.site_id, whole=True)
    row.ended_at = now
    session.flush()
    audit.record(session, by, "end-assignment", of="tariff", id=row.tariff_id, now=now)
    apply_due(session, now=now)


def set_class(
    session: Session, by: SignedIn, point_id: UUID, class_: str, *, now: datetime
) -> None:
    """Puts a point into a class, or (empty) into none. Raises scopes.NoSuchPoint or BadClass."""
    point = scopes.check_point(session, by, point_id)
    class_ = class_.strip()
    if len(class_) > LONGEST_CLASS or not class_.isprintable():
        raise BadClass(most=LONGEST_CLASS)
    row = tables.PointClass
    if class_:
        session.execute(
            insert(row)
            .values(organization_id=point.organization_id, point_id=point.id, class_=class_)
            .on_conflict_do_update(index_elements=["point_id"], set_={"class": class_})
        )
    else:
        session.execute(delete(row).where(col(row.point_id) == point.id))
    audit.record(
        session, by, "set-class", of="point", id=point.id, after={"class": class_}, now=now
    )
    apply_due(session, now=now)


_BY_POINT = """
    SELECT p.id AS point_id, p.name AS point, p.gateway_id, p.tariff_id AS has, r.name AS room,
           b.name AS building, s.name AS site, c.class, a.tariff_id AS should,
           CASE WHEN a.point_id IS NOT NULL THEN 'point' WHEN a.class IS NOT NULL THEN 'class'
                WHEN a.site_id IS NOT NULL THEN 'site' ELSE 'set-up' END AS through,
           d.code
    FROM points p
    JOIN rooms r ON r.id = p.room_id JOIN buildings b ON b.id = r.building_id
    JOIN sites s ON s.id = b.site_id
    LEFT JOIN point_classes c ON c.point_id = p.id
    LEFT JOIN LATERAL (
        SELECT x.* FROM tariff_assignments x
        WHERE x.organization_id = p.organization_id AND x.commodity = p.commodity
          AND x.since <= :now AND (x.ended_at IS NULL OR x.ended_at > :now)
          AND (x.point_id = p.id OR x.class = c.class OR x.site_id = s.id)
        ORDER BY (x.point_id IS NOT NULL) DESC, (x.class IS NOT NULL) DESC, x.since DESC LIMIT 1
    ) a ON true
    JOIN tariffs d ON d.id = coalesce(a.tariff_id, p.tariff_id)
"""


def apply_due(session: Session, *, now: datetime, point_id: UUID | None = None) -> int:
    """Moves the points whose tariff is another by now, or only this one, and tells their gateways; how many. Does the
    same once.

    A gateway is sent the tariff before the point that names it: it must never know a point without.
    """
    rows = session.execute(
        text(
            f"SELECT * FROM ({_BY_POINT}) q WHERE should IS NOT NULL AND should <> has"
            " AND (CAST(:point AS uuid) IS NULL OR point_id = :point)"
        ),
        {"now": now, "point": point_id},
    ).all()
    gateways = {each.id: each for each in downlog.lock(session, [row.gateway_id for row in rows])}
    for row in sorted(rows, key=lambda row: (str(row.gateway_id), str(row.point_id))):
        gateway = gateways[row.gateway_id]
        point = session.get_one(tables.ServicePoint, row.point_id)
        tariff = session.get_one(tables.TariffDocument, row.should)
        point.tariff_id = tariff.id
        session.flush()
        pointsets.send_tariff(session, gateway, tariff, unless=point.id)
        pointsets.publish(session, gateway, point)
        events.changed(session, point.organization_id, room_id=point.room_id)
    return len(rows)


def priced(session: Session, user: SignedIn, tariff_id: UUID, *, now: datetime) -> list[Priced]:
    """The points that a tariff prices, of those that the user sees, and by what."""
    rows = session.execute(
        text(
            f"SELECT * FROM ({_BY_POINT} WHERE {scopes.BUILDING}) q WHERE has = :tariff"
            " ORDER BY building, room, point"
        ),
        {"now": now, "tariff": tariff_id, **scopes.given(user.scope)},
    )
    return [
        Priced(
            row.point_id,
            row.point,
            row.room,
            row.building,
            row.site,
            row[7],
            row.code,
            Through(row.through),
        )
        for row in rows
    ]


def listed(session: Session, tariff_id: UUID, *, now: datetime) -> list[Assigned]:
    """The assignments of a tariff that hold or will, in the order in which they count."""
    rows = session.execute(
        text("""
            SELECT a.id, a.tariff_id, d.code, a.commodity, a.since, u.name AS by,
                   CASE WHEN a.point_id IS NOT NULL THEN 'point' WHEN a.class IS NOT NULL THEN 'class'
                        ELSE 'site' END AS through,
                   coalesce(r.name || ' ' || p.name, a.class, s.name) AS what,
                   (SELECT count(*) FROM points n
                      JOIN rooms nr ON nr.id = n.room_id JOIN buildings nb ON nb.id = nr.building_id
                      LEFT JOIN point_classes nc ON nc.point_id = n.id
                    WHERE n.commodity = a.commodity AND n.organization_id = a.organization_id
                      AND (n.id = a.point_id OR nc.class = a.class OR nb.site_id = a.site_id)) AS points
            FROM tariff_assignments a JOIN tariffs d ON d.id = a.tariff_id JOIN users u ON u.id = a.assigned_by
            LEFT JOIN points p ON p.id = a.point_id LEFT JOIN rooms r ON r.id = p.room_id
            LEFT JOIN sites s ON s.id = a.site_id
            WHERE a.tariff_id = :tariff AND (a.ended_at IS NULL OR a.ended_at > :now)
            ORDER BY a.point_id IS NULL, a.class IS NULL, a.since
        """),
        {"tariff": tariff_id, "now": now},
    )
    return [
        Assigned(
            row.id,
            row.tariff_id,
            row.code,
            row.commodity,
            Through(row.through),
            row.what,
            row.points,
            row.since,
            row.by,
        )
        for row in rows
    ]


def classes(session: Session) -> list[str]:
    """The classes that points are in, or tariffs are for."""
    rows = session.execute(
        text(
            "SELECT class FROM point_classes UNION"
            " SELECT class FROM tariff_assignments WHERE class IS NOT NULL ORDER BY class"
        )
    )
    return list(rows.scalars())

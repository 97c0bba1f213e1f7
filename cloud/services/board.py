"""The room board 房间监控: rooms with their service points, as a property manager sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlmodel import Session

from cloud.auth import EVERYWHERE, Scope
from cloud.services import emergency, overrides, scopes, taps
from cloud.services.downlog import ONLINE
from cloud.services.emergency import Loan
from cloud.services.measurements import MOMENTARY
from cloud.services.overrides import Pin
from cloud.services.scopes import NoSuchRoom
from prepaid.credit import CreditState, credit_state
from prepaid.momentary import Momentary
from prepaid.money import Money
from prepaid.point import Meter, Policy
from prepaid.reading import Supply
from prepaid.supply import Why

RATE_OVER = timedelta(days=7)

_METER = TypeAdapter(Meter)
_POLICY = TypeAdapter(Policy)


@dataclass(frozen=True, slots=True)
class PointCard:
    """A service point as people see it.

    balance is its purse's; days_left what that lasts at the rate of the last days, None where no rate is
    known. total is the register in unit (kWh, m3). wanted and why are the gateway's decision; pin is what an
    operator has pinned the supply to, has_switch and is_protected whether one can. bands are the meter's own
    registers, measured is what it last measured. credit is where the purse stands for this point, lends what
    emergency credit would bring now, loan what is taken of it; is_taps_said: the customer has said that the
    taps are closed, and the gateway is yet to hear it.
    """

    point_id: UUID
    name: str
    commodity: str
    meter_no: str
    purse_id: UUID | None  # None: nobody pays
    balance: Money
    days_left: Decimal | None
    supply: Supply | None
    wanted: Supply | None
    why: Why | None
    total: Decimal | None
    unit: str
    read_at: datetime | None
    is_silent: bool
    is_held: bool
    gateway_online: bool
    alarm_at: Money
    pin: Pin | None
    has_switch: bool
    is_protected: bool
    bands: Mapping[str, Decimal] | None
    measured: Momentary | None
    credit: CreditState
    lends: Money | None
    loan: Loan | None
    is_taps_said: bool


@dataclass(frozen=True, slots=True)
class RoomCard:
    """holder is None where nobody has an account."""

    room_id: UUID
    name: str
    floor: int
    building: str
    holder: str | None
    account_id: UUID | None
    points: tuple[PointCard, ...]


def rooms(
    session: Session,
    organization_id: UUID,
    *,
    now: datetime,
    scope: Scope = EVERYWHERE,
    after: UUID | None = None,
    most: int | None = None,
) -> list[RoomCard]:
    """All rooms of what the asking user sees, by building, floor and name; or so many, those that follow one."""
    return cards(
        session, organization_id, now=now, room_ids=None, scope=scope, after=after, most=most
    )


def room(
    session: Session,
    organization_id: UUID,
    room_id: UUID,
    *,
    now: datetime,
    scope: Scope = EVERYWHERE,
) -> RoomCard:
    """Raises NoSuchRoom, also where it is out of scope."""
    found = cards(session, organization_id, now=now, room_ids=[room_id], scope=scope)
    if not found:
        raise NoSuchRoom
    return found[0]


def timezone_of(session: Session, room_id: UUID) -> str:
    """The time zone of the site that a room is in. Raises NoSuchRoom."""
    found: str | None = session.execute(_TIMEZONE, {"room": room_id}).scalar_one_or_none()
    if found is None:
        raise NoSuchRoom
    return found


_TIMEZONE = text("""
    SELECT s.timezone FROM rooms r
    JOIN buildings b ON b.id = r.building_id
    JOIN sites s ON s.id = b.site_id
    WHERE r.id = :room
""")

_ROOMS = text(f"""
    SELECT r.id, r.name, r.floor, b.name AS building, o.account_id, a.holder
    FROM rooms r
    JOIN buildings b ON b.id = r.building_id
    LEFT JOIN occupancies o ON o.room_id = r.id AND o.ended_at IS NULL
    LEFT JOIN accounts a ON a.id = o.account_id
    WHERE r.organization_id = :organization
      AND (CASE WHEN CAST(:rooms AS uuid[]) IS NULL THEN r.ended_at IS NULL ELSE r.id = ANY(:rooms) END)
      AND {scopes.BUILDING}
      AND (CAST(:after AS uuid) IS NULL OR (b.name, r.floor, r.name, r.id) > (
        SELECT lb.name, lr.floor, lr.name, lr.id FROM rooms lr JOIN buildings lb ON lb.id = lr.building_id
        WHERE lr.id = :after))
    ORDER BY b.name, r.floor, r.name, r.id
    LIMIT :most
""")

_POINTS = text("""
    SELECT p.id, p.room_id, p.name, p.commodity, p.meter_no, p.purse_id, p.meter, p.policy, t.unit,
           s.supply, s.wanted, s.why, s.total, s.read_at, s.first_read_at,
           s.bands, s.measured, s.taps_closed_at, s.silent_since, s.held_since, g.heard_at,
           coalesce(b.balance_fen, 0) AS balance_fen
    FROM points p
    JOIN tariffs t ON t.id = p.tariff_id
    JOIN gateways g ON g.id = p.gateway_id
    JOIN point_states s ON s.point_id = p.id
    LEFT JOIN balances b ON b.purse_id = p.purse_id
    WHERE p.organization_id = :organization AND p.room_id = ANY(:rooms) AND p.ended_at IS NULL
    ORDER BY p.commodity DESC, p.name
""")

# Charged since a midnight, and how long it took: from then, or from the first reading if that was later, to
# the last reading.
_RATES = text("""
    SELECT d.purse_id, sum(d.charged_fen) AS charged_fen, w.seconds
    FROM daily_charges d
    JOIN LATERAL (
        SELECT extract(epoch FROM max(s.read_at) - greatest(min(s.first_read_at), :since)) AS seconds
        FROM points p JOIN point_states s ON s.point_id = p.id
        WHERE p.purse_id = d.purse_id
    ) w ON true
    WHERE d.purse_id = ANY(:purses) AND d.day >= :day
    GROUP BY d.purse_id, w.seconds
""")


def cards(
    session: Session,
    organization_id: UUID,
    *,
    now: datetime,
    room_ids: list[UUID] | None,
    scope: Scope = EVERYWHERE,
    after: UUID | None = None,
    most: int | None = None,
) -> list[RoomCard]:
    """The cards of those of these rooms, or of all, that are in scope; of which so many that follow one."""
    asked = {"organization": organization_id, "rooms": room_ids, "after": after, "most": most}
    found = session.execute(_ROOMS, {**asked, **scopes.given(scope)}).all()
    of_room: defaultdict[UUID, list[PointCard]] = defaultdict(list)
    points = session.execute(
        _POINTS, {"organization": organization_id, "rooms": [row.id for row in found]}
    ).all()
    a_day = charges_per_day(session, {row.purse_id for row in points if row.purse_id}, now=now)
    pins = overrides.all_in_force(session, {row.id for row in points}, now=now)
    loans = emergency.open_loans(session, {row.purse_id for row in points if row.purse_id})
    for row in points:
        of_room[row.room_id].append(
            _card(
                row,
                a_day.get(row.purse_id),
                pin=pins.get(row.id),
                loan=loans.get(row.purse_id),
                now=now,
            )
        )
    return [
        RoomCard(
            room_id=row.id,
            name=row.name,
            floor=row.floor,
            building=row.building,
            holder=row.holder,
            account_id=row.account_id,
            points=tuple(of_room[row.id]),
        )
        for row in found
    ]


def charges_per_day(session: Session, purses: set[UUID], *, now: datetime) -> dict[UUID, Decimal]:
    """Fen a day that each purse was charged over the last days; no entry where nothing is known."""
    since = (now - RATE_OVER).replace(hour=0, minute=0, second=0, microsecond=0)
    found = session.execute(_RATES, {"purses": list(purses), "since": since, "day": since.date()})
    return {
        row.purse_id: Decimal(row.charged_fen) * 86400 / row.seconds
        for row in found
        if row.seconds is not None and row.seconds > 0 and row.charged_fen > 0
    }


def _card(
    row: Any, fen_a_day: Decimal | None, *, pin: Pin | None, loan: Loan | None, now: datetime
) -> PointCard:
    policy, balance = _POLICY.validate_python(row.policy), Money(row.balance_fen)
    days_left = None
    if row.purse_id is None:
        days_left = None
    elif row.balance_fen <= 0:
        days_left = Decimal(0)
    elif fen_a_day is not None:
        days_left = (Decimal(row.balance_fen) / fen_a_day).quantize(Decimal("0.0001"), ROUND_DOWN)
    return PointCard(
        point_id=row.id,
        name=row.name,
        commodity=row.commodity,
        meter_no=row.meter_no,
        purse_id=row.purse_id,
        balance=balance,
        days_left=days_left,
        supply=Supply(row.supply) if row.supply else None,
        wanted=Supply(row.wanted) if row.wanted else None,
        why=Why(row.why) if row.why else None,
        total=row.total,
        unit=row.unit,
        read_at=row.read_at,
        is_silent=row.silent_since is not None,
        is_held=row.held_since is not None,
        gateway_online=row.heard_at is not None and row.heard_at > now - ONLINE,
        alarm_at=policy.alarm_at,
        pin=pin,
        has_switch=_METER.validate_python(row.meter).has_switch,
        is_protected=overrides.is_protected(policy, now),
        bands={band: Decimal(total) for band, total in row.bands.items()} if row.bands else None,
        measured=MOMENTARY.validate_python(row.measured) if row.measured else None,
        credit=credit_state(policy, balance, is_emergency_taken=loan is not None)
        if row.purse_id
        else CreditState.OK,
        lends=emergency.lends(policy, balance) if loan is None and row.purse_id else None,
        loan=loan,
        is_taps_said=taps.is_said(row.taps_closed_at, heard_at=row.heard_at),
    )

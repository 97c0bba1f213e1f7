"""What meters measure beside their registers, and their own bands: kept, and shown on the room's page."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from cloud import tables
from cloud.services import board
from prepaid.momentary import Measurand, Momentary
from prepaid.reading import Reading, Supply
from prepaid.wire.uplog import Measured, Read
from tests.cloud.test_overrides import say, staff
from tests.cloud.test_uplog import NOON, at, entries, receive, rejected

pytestmark = pytest.mark.processes

__all__ = ["receive", "say", "staff"]  # fixtures

BANDS = {"peak": Decimal("60.00"), "valley": Decimal("40.00")}


def measured(minute: int, volts: str, meter_no: str = "M1") -> Momentary:
    values = {Measurand.VOLTAGE_A: Decimal(volts), Measurand.POWER: Decimal("1.6000")}
    return Momentary(meter_no, at(minute), values)


def card(database, home, point):
    with database.organization(home.organization_id) as session:
        room = board.room(session, home.organization_id, home.room_id, now=at(9))
    return next(one for one in room.points if one.point_id == point)


def test_what_was_measured_is_kept_and_the_last_of_it_shown(database, home, receive):
    point = home.electricity
    log = entries(
        Measured(point, measured(1, "220.1")),
        Measured(point, measured(2, "221.2")),
        Measured(point, measured(2, "999.9")),  # the same instant again: what is kept stays
    )

    assert receive(*log, now=at(3)) == 3
    receive(*log, now=at(4))

    with database.system() as session:
        rows = session.execute(select(tables.Measurement).order_by(tables.Measurement.at)).scalars()
        kept = [(row.at, row.measured["voltage-a"]) for row in rows]
    assert kept == [(at(1), "220.1"), (at(2), "221.2")]
    assert card(database, home, point).measured == measured(2, "221.2")


def test_the_meters_own_bands_stand_beside_each_reading(database, home, receive):
    point = home.electricity
    first = Reading("M1", at(1), Decimal("100.00"), Supply.ON, BANDS)
    receive(
        *entries(Read(point, first), Read(point, Reading("M1", at(2), Decimal("100.01"), None)))
    )

    with database.system() as session:
        rows = session.execute(select(tables.Reading).order_by(tables.Reading.at)).scalars()
        assert [row.bands for row in rows] == [{"peak": "60.00", "valley": "40.00"}, None]
    assert card(database, home, point).bands is None
    receive(*entries(Read(point, Reading("M1", at(3), first.total, None, BANDS)), first=3))
    assert card(database, home, point).bands == BANDS


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (lambda point: Measured(point, measured(1, "1E+40")), "a total that no register shows"),
        (lambda point: Measured(point, measured(1, "220", "M" * 300)), "a text of 300 characters"),
        (
            lambda point: Read(
                point, Reading("M1", at(1), Decimal(1), None, {"x" * 300: Decimal(1)})
            ),
            "a text of 300 characters",
        ),
        (
            lambda point: Read(
                point,
                Reading("M1", at(1), Decimal(1), None, {str(n): Decimal(1) for n in range(64)}),
            ),
            "64 bands, more than a meter has",
        ),
    ],
)
def test_what_no_meter_measures_is_rejected_with_its_reason(
    database, home, receive, message, reason
):
    assert receive(*entries(message(home.electricity)), now=NOON + timedelta(minutes=2)) == 1

    ((_, said),) = rejected(database)
    assert reason in said


def test_the_rooms_page_shows_them_with_their_units(staff, home, receive):
    water = Momentary("W1", at(2), {}, is_battery_low=True, is_valve_abnormal=False)
    receive(
        *entries(
            Read(
                home.electricity,
                Reading("M1", at(1), Decimal("100.00"), Supply.ON, {"a": Decimal(0), **BANDS}),
            ),
            Measured(home.electricity, measured(1, "220.1")),
            Measured(home.water, water),
        )
    )

    english = staff.get(f"/rooms/{home.room_id}", headers={"accept-language": "en"}).text
    chinese = staff.get(f"/rooms/{home.room_id}", headers={"accept-language": "zh"}).text

    # in the order of a day's price, whatever the database's is; a band of the site's own comes last
    assert english.index("Register, peak") < english.index("Register, valley")
    assert english.index("Register, valley") < english.index("Register, a")
    for text in ("Voltage A", "220.1 V", "1.6000 kW", "Register, peak", "60.00 kWh", "Valve"):
        assert text in english
    for text in ("A相电压", "有功功率", "峰示数", "电量低", "阀门"):
        assert text in chinese

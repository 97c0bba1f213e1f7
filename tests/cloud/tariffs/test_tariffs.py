"""A tariff from draft to the gateway: checked, tried, rehearsed, approved by another, assigned, delivered."""

from __future__ import annotations

import copy
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text

from cloud import auth, tables
from cloud.permissions import Role
from cloud.services import approvals, downlog, estate, uplog
from cloud.services.approvals import OwnProposal
from cloud.services.tariffs import assignments, checks, drafts, publication, rehearsal
from cloud.services.tariffs.assignments import Through
from cloud.tables import utc_now
from prepaid.point import Policy
from prepaid.wire.downlog import PointSet, TariffSet, read_down
from prepaid.wire.entry import Cursor
from prepaid.wire.envelope import Envelope
from tests.cloud.conftest import flat, meter
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

POWER = flat("power", "electricity", "kWh", "0.50")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def next_version(price, *, at="2099-01-01T00:00:00+08:00"):
    """The estate's tariff with another price from an instant on."""
    found = copy.deepcopy(POWER)
    components = [{"item": "electricity", "kind": "rate", "price": price}]
    found["versions"].append({"effective_from": at, "components": components})
    return found


@pytest.fixture
def people(database, home):
    """Who proposes, and who approves."""
    with database.system() as session:
        boss = estate.add_user(session, home.organization_id, "boss", "correct horse", "boss")
    roles = frozenset({Role.ADMINISTRATOR})
    return tuple(
        auth.SignedIn(id, home.organization_id, name, name, roles=roles)
        for id, name in ((home.user_id, "home"), (boss.id, "boss"))
    )


@pytest.fixture
def session(database, home):
    with database.organization(home.organization_id) as opened:
        yield opened


def publish(session, people, document) -> None:
    maker, checker = people
    draft = drafts.begin(session, maker, document, now=NOW)
    asked = drafts.propose(session, maker, draft.id, why="winter", now=NOW)
    approvals.decide(session, checker, asked.id, approved=True, why="", now=NOW)


def tariff_of(session, code="power") -> tables.TariffDocument:
    return session.execute(
        select(tables.TariffDocument).where(tables.TariffDocument.code == code)
    ).scalar_one()


def told(session, home) -> list:
    gateway = session.get(tables.Gateway, home.gateway_id)
    return [read_down(entry.body) for entry in downlog.after(session, gateway, 0)]


def test_a_draft_is_published_by_another_and_goes_down_to_the_gateway(session, people, home):
    maker, _ = people
    document = next_version("0.60")
    draft = drafts.begin(session, maker, document, now=NOW)
    asked = drafts.propose(session, maker, draft.id, why="winter", now=NOW)
    with pytest.raises(OwnProposal):
        approvals.decide(session, maker, asked.id, approved=True, why="", now=NOW)
    assert tariff_of(session).document == POWER

    approvals.decide(session, people[1], asked.id, approved=True, why="", now=NOW)

    row = tariff_of(session)
    assert row.document == document
    assert publication.newest(session, row.id) == 2
    assert told(session, home)[-1] == TariffSet(document)
    with pytest.raises(drafts.NoSuchDraft):
        drafts.one(session, maker, draft.id, now=NOW)


def test_it_is_delivered_when_the_gateways_cursor_has_passed_it_and_not_before(
    database, home, people
):
    with database.organization(home.organization_id) as session:
        publish(session, people, next_version("0.60"))
        tariff = tariff_of(session).id
        last = session.get(tables.Gateway, home.gateway_id).down_seq

    def hear(seq: int):
        with database.system() as session:
            gateway = uplog.gateway_of(session, home.gateway_no)
            uplog.receive(session, gateway, Envelope((), Cursor(home.down_log, seq)), now=NOW)
        with database.organization(home.organization_id) as session:
            return publication.deliveries(session, tariff)

    (before,) = hear(last - 1)
    assert (before.gateway_no, before.number, before.points) == (home.gateway_no, 2, 1)
    assert before.delivered_at is None
    (after,) = hear(last)
    assert after.delivered_at == NOW


def test_a_draft_of_an_older_version_is_not_published_over_a_newer_one(session, people):
    maker, checker = people
    older = drafts.begin(session, maker, next_version("0.70"), now=NOW)
    publish(session, people, next_version("0.60"))
    asked = drafts.propose(session, maker, older.id, why="late", now=NOW)
    with pytest.raises(publication.TariffMoved):
        approvals.decide(session, checker, asked.id, approved=True, why="", now=NOW)


def test_what_is_proposed_is_not_changed_meanwhile(session, people):
    maker, _ = people
    draft = drafts.begin(session, maker, next_version("0.60"), now=NOW)
    drafts.propose(session, maker, draft.id, why="winter", now=NOW)
    with pytest.raises(drafts.DraftProposed):
        drafts.change(session, maker, draft.id, next_version("6.00"), now=NOW)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (flat("power", "electricity", "kWh", "0.55"), "versions[0]: has begun"),
        (next_version("0.6", at="2026-03-01T00:00:00+08:00"), "must lie in the future"),
        (flat("power", "cold_water", "m3", "0.50"), "commodity: must stay electricity"),
        (flat("power", "electricity", "kWh", "-1"), "must not be negative"),
    ],
)
def test_what_rewrites_the_past_or_is_no_tariff_is_named(document, fault):
    found = checks.faults(document, POWER, now=NOW)
    assert any(fault in each for each in found), found
    assert checks.faults(next_version("0.6"), POWER, now=NOW) == []


def test_a_point_goes_by_its_own_tariff_then_its_classs_then_its_sites(session, people, home):
    maker, _ = people
    codes = {}
    for code in ("own", "class", "site"):
        estate.publish_tariff(
            session, home.organization_id, flat(code, "electricity", "kWh", "0.70")
        )
        codes[code] = tariff_of(session, code).id

    def assign(code, **target):
        given = {"point_id": None, "class_": None, "site_id": None} | target
        return assignments.assign(session, maker, codes[code], **given, since=NOW, now=NOW)

    def has() -> str:
        point = session.get(tables.ServicePoint, home.electricity, populate_existing=True)
        return session.get(tables.TariffDocument, point.tariff_id).code

    assign("site", site_id=home.site_id)
    assert has() == "site"
    assignments.set_class(session, maker, home.electricity, "shops", now=NOW)
    assign("class", class_="shops")
    assert has() == "class"
    own = assign("own", point_id=home.electricity)
    assert has() == "own"
    (shown,) = assignments.priced(session, maker, codes["own"], now=NOW)
    assert (shown.through, shown.class_) == (Through.POINT, "shops")
    messages = told(session, home)
    assert isinstance(messages[-2], TariffSet)
    assert isinstance(messages[-1], PointSet)
    assert messages[-1].point.tariff == "own"

    assignments.end(session, maker, own.id, now=NOW)
    assert has() == "class"
    count = len(told(session, home))
    assert assignments.apply_due(session, now=NOW) == 0
    assert len(told(session, home)) == count


def test_an_assignment_for_later_holds_from_then_on(session, people, home):
    maker, _ = people
    estate.publish_tariff(session, home.organization_id, flat("new", "electricity", "kWh", "1"))
    later = NOW + timedelta(days=3)
    assignments.assign(
        session,
        maker,
        tariff_of(session, "new").id,
        point_id=home.electricity,
        class_=None,
        site_id=None,
        since=later,
        now=NOW,
    )
    assert assignments.apply_due(session, now=later - timedelta(seconds=1)) == 0
    assert assignments.apply_due(session, now=later) == 1


def rows(*readings):
    return [
        SimpleNamespace(at=NOW + timedelta(minutes=minute), total=Decimal(total), meter_no=meter_no)
        for minute, total, meter_no in readings
    ]


def test_registers_at_the_hour_lie_on_the_line_and_a_changed_meter_counts_nothing():
    grid = [NOW + timedelta(hours=hour) for hour in range(5)]
    # 100 at 12:00, 101 at 14:00: 100.5 at 13:00. The next meter begins at 7 and moves 2 in the hour to 16:00.
    found = rehearsal.registers(
        rows((0, "100", "A"), (120, "101", "A"), (180, "7", "B"), (240, "9", "B")), grid
    )
    assert found.tolist() == [0, 500, 1000, 1000, 3000]


def test_a_rehearsal_says_who_pays_more_and_who_would_have_been_cut(database, home, people):
    maker, _ = people
    first = datetime(2026, 2, 1, tzinfo=UTC) - timedelta(hours=8)  # midnight in Shanghai
    with database.system() as session:
        session.execute(
            text(
                "INSERT INTO readings (organization_id, point_id, at, meter_no, total)"
                " SELECT :organization, :point, CAST(:first AS timestamptz) + n * interval '1 hour', 'M', n * 0.5"
                " FROM generate_series(0, 240) AS n"
            ),
            {"organization": home.organization_id, "point": home.electricity, "first": first},
        )
        session.execute(
            text("INSERT INTO balances VALUES (:organization, :purse, 1000)"),
            {"organization": home.organization_id, "purse": home.electricity_purse},
        )
    with database.organization(home.organization_id) as session:
        draft = drafts.begin(session, maker, next_version("0.70"), now=NOW)
        asked = rehearsal.request(
            session,
            maker,
            draft.id,
            site_id=home.site_id,
            since=date(2026, 2, 1),
            until=date(2026, 2, 11),
            now=NOW,
        )

    assert rehearsal.work(database, now=NOW, is_stopping=lambda: False) == 1

    with database.organization(home.organization_id) as session:
        row = rehearsal.one(session, asked.id)
    assert (row.done, row.total, row.error) == (1, 1, None)
    # 10 days of 12 kWh: 120 × 0.50 = 60.00, 120 × 0.70 = 84.00.
    assert (row.result["old"], row.result["new"]) == (6000, 8400)
    assert row.result["months"] == [{"month": "2026-02", "old": 6000, "new": 8400}]
    (point,) = row.result["points"]
    # ¥10 in the purse all the time; 2.40 more a day: 9.60 after four days, 12.00 on the fifth.
    assert point["cut_on"] == "2026-02-05"


def test_a_purse_that_pays_for_two_meters_is_cut_by_what_both_cost_more(database, home, people):
    maker, _ = people
    first = datetime(2026, 2, 1, tzinfo=UTC) - timedelta(hours=8)
    with database.system() as session:
        point = session.get(tables.ServicePoint, home.electricity)
        second = estate.add_point(
            session,
            room=session.get(tables.Room, point.room_id),
            gateway=session.get(tables.Gateway, point.gateway_id),
            purse=session.get(tables.Purse, home.electricity_purse),
            name="0301 空调",
            commodity="electricity",
            meter=meter("home-second", "000000000399"),
            tariff_code="power",
            policy=Policy(),
        )
        session.flush()
        for each in (home.electricity, second.id):
            session.execute(
                text(
                    "INSERT INTO readings (organization_id, point_id, at, meter_no, total) SELECT :organization,"
                    " :point, CAST(:first AS timestamptz) + n * interval '1 hour', 'M', n * 0.5"
                    " FROM generate_series(0, 240) AS n"
                ),
                {"organization": home.organization_id, "point": each, "first": first},
            )
        session.execute(
            text("INSERT INTO balances VALUES (:organization, :purse, 1000)"),
            {"organization": home.organization_id, "purse": home.electricity_purse},
        )
    result = rehearsed(
        database, home, maker, next_version("0.70"), date(2026, 2, 1), date(2026, 2, 11)
    )
    # Each 12 kWh a day, 2.40 more: 4.80 of both, 9.60 after two days, 14.40 on the third.
    assert [point["cut_on"] for point in result["points"]] == ["2026-02-03", "2026-02-03"]
    assert (result["old"], result["new"]) == (12000, 16800)


def test_a_rehearsal_over_the_turn_of_the_year_begins_the_tiers_of_the_year_anew(
    database, home, people
):
    maker, _ = people
    first = datetime(2025, 12, 30, tzinfo=UTC) - timedelta(hours=8)
    with database.system() as session:
        session.execute(
            text(
                "INSERT INTO readings (organization_id, point_id, at, meter_no, total)"
                " SELECT :organization, :point, CAST(:first AS timestamptz) + n * interval '1 hour', 'M', n"
                " FROM generate_series(0, 96) AS n"
            ),
            {"organization": home.organization_id, "point": home.electricity, "first": first},
        )
    document = next_version("0.50")
    document["versions"][-1]["components"] = [
        {
            "item": "electricity",
            "kind": "rate",
            "price": ["0.50", "1.00"],
            "tiers": {"period": "year", "bounds": ["30"]},
        }
    ]
    result = rehearsed(database, home, maker, document, date(2025, 12, 30), date(2026, 1, 3))
    # 24 kWh a day. 30 and 31 December: 30 × 0.50 + 18 × 1.00 = 33.00. 1 and 2 January begin again: 33.00.
    assert [(each["month"], each["old"], each["new"]) for each in result["months"]] == [
        ("2025-12", 2400, 3300),
        ("2026-01", 2400, 3300),
    ]


def test_a_rehearsal_begins_with_tiers_as_full_as_the_months_before_have_left_them(
    database, home, people
):
    maker, _ = people
    first = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=8)
    with database.system() as session:
        session.execute(
            text(
                "INSERT INTO readings (organization_id, point_id, at, meter_no, total)"
                " SELECT :organization, :point, CAST(:first AS timestamptz) + n * interval '8 hours', 'M',"
                " 200 + n * 8 FROM generate_series(0, 132) AS n"
            ),
            {"organization": home.organization_id, "point": home.electricity, "first": first},
        )
    document = next_version("0.50")
    document["versions"][-1]["components"] = [
        {
            "item": "electricity",
            "kind": "rate",
            "price": ["0.50", "1.00"],
            "tiers": {"period": "year", "bounds": ["1000"]},
        },
        {
            "item": "sewage",
            "kind": "rate",
            "price": ["0.10", "0.20"],
            "tiers": {"period": "month", "bounds": ["264"]},
        },
    ]
    result = rehearsed(database, home, maker, document, date(2026, 2, 11), date(2026, 2, 13))
    # 24 kWh a day. Of the year 41 days were before: 984 kWh, so 16 of 48 at 0.50 and 32 at 1.00: 40.00. Of the month
    # 10 days: 240 kWh, so 24 at 0.10 and 24 at 0.20: 7.20. Now, without tiers: 48 at 0.50.
    assert (result["old"], result["new"]) == (2400, 4720)
    assert [each["month"] for each in result["months"]] == ["2026-02"]


def rehearsed(database, home, maker, document, since, until):
    with database.organization(home.organization_id) as session:
        draft = drafts.begin(session, maker, document, now=NOW)
        asked = rehearsal.request(
            session, maker, draft.id, site_id=home.site_id, since=since, until=until, now=NOW
        )
    rehearsal.work(database, now=NOW, is_stopping=lambda: False)
    with database.organization(home.organization_id) as session:
        row = rehearsal.one(session, asked.id)
    assert row.error is None
    return row.result


def test_a_manager_writes_tries_rehearses_and_proposes_new_prices(staff, database, home):
    with database.organization(home.organization_id) as session:
        tariff = tariff_of(session).id
    assert "power" in staff.get("/tariffs").text
    begun = staff.post(f"/tariffs/{tariff}/draft").headers["location"]
    shown = staff.get(begun).text
    assert 'name="price0-all" value="0.50"' in shown
    fields = {
        "code": "power",
        "commodity": "electricity",
        "effective": "2099-01-01T00:00",
        "timed": "yes",
        "period": "month",
        "bound0": "100",
        "band0": "peak",
        "from0": "08:00",
        "to0": "22:00",
        "band1": "valley",
        "from1": "22:00",
        "to1": "08:00",
        "price0-peak": "0.6",
        "price0-valley": "0.3",
        "price1-peak": "0.9",
        "price1-valley": "",
    }
    faulty = staff.post(f"{begun}/form", data=fields, follow_redirects=True).text
    assert "处错误" in faulty
    good = staff.post(
        f"{begun}/form", data={**fields, "price1-valley": "0.5"}, follow_redirects=True
    ).text
    assert "没有错误" in good
    assert 'class="band band-peak"' in good
    # 720 kWh in 30 days, a kWh an hour, 14 hours of a day at peak. The first 100: until 04:00 of the fifth day.
    # 4 days: 56 at peak, 40 in the valley; then 4 in the valley: 56 × 0.6 + 44 × 0.3 = 46.80.
    # The other 620: 364 at peak, 256 in the valley: 364 × 0.9 + 256 × 0.5 = 455.60; together 502.40.
    # Before: 720 × 0.50 = 360.00.
    tried = staff.get(f"{begun}?used=720").text
    assert re.findall(r"<b>(¥[\d.,]+)</b>", tried)[-2:] == ["¥360.00", "¥502.40"]
    assert re.search(r">364\.00<.*?>¥0\.9<.*?>¥327\.60<", tried, re.DOTALL)  # 364 × 0.9
    asked = staff.post(f"{begun}/rehearse", data={"days": "30"}).headers["location"]
    assert "正在计算" in staff.get(asked).text
    rehearsal.work(database, now=utc_now(), is_stopping=lambda: False)
    assert "会被断供" in staff.get(asked).text
    proposed = staff.post(
        f"{begun}/propose", data={"why": "new grid prices"}, follow_redirects=True
    ).text
    assert "等待审批" in proposed
    assert staff.post(f"{begun}/withdraw").status_code == 303
    assert staff.post(f"{begun}/drop").headers["location"] == "/tariffs"
    assert staff.get(begun).status_code == 404


def test_the_document_itself_can_be_written_and_no_json_changes_nothing(staff):
    begun = staff.post("/tariffs/drafts").headers["location"]
    refused = staff.post(f"{begun}/document", data={"document": "{"})
    assert refused.status_code == 422
    assert "不是有效的 JSON" in refused.text
    assert staff.post(f"{begun}/document", data={"document": "[]"}).status_code == 422
    kept = staff.post(
        f"{begun}/document", data={"document": '{"code": "X"}'}, follow_redirects=True
    )
    assert "处错误" in kept.text


def test_a_tariff_is_assigned_on_its_page(staff, database, home):
    with database.organization(home.organization_id) as session:
        tariff = tariff_of(session).id
    page = f"/tariffs/{tariff}"
    staff.post(f"{page}/assign", data={"target": "site", "site": str(home.site_id)})
    staff.post(f"{page}/class", data={"point": str(home.electricity), "class_name": "商铺"})
    shown = staff.get(page).text
    assert 'value="商铺"' in shown
    (assignment,) = re.findall(r'name="assignment" value="([^"]+)"', shown)
    staff.post(f"{page}/end-assignment", data={"assignment": assignment})
    assert 'name="assignment"' not in staff.get(page).text

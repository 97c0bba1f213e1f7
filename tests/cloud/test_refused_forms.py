"""What cannot be is told at the field that it is about, form by form, and everything that was typed stays."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from cloud import auth, tables
from cloud.services import bulk_cuts, estate
from cloud.services.tariffs import drafts
from cloud.tables import utc_now
from cloud.web import COOKIE
from dashboards.mistake import Mistake
from prepaid.point import Policy
from tests.cloud.conftest import flat, meter
from tests.cloud.test_forms import wrong
from tests.cloud.test_overrides import HEADERS

pytestmark = pytest.mark.processes

LONG = "长" * 300


@dataclass(frozen=True)
class Sent:
    """A form that is refused: where it goes ({names} are of `ids`), what is typed into it, the field at which it is
    told (None: at the top of the page), and which of what was typed stays there."""

    path: str
    typed: dict[str, str]
    at: str | None
    kept: tuple[str, ...] = ()
    status: int = 422
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)


PERSON = {"name": "小李", "login": "li", "role": "cashier", "sees": "everything"}
HOLDER = {"room": "{vacant}", "holder": "王五", "phone": "13800000000"}
HOLDER |= {"do": "save", "purpose-{point}": "electricity"}
GONE = {"balance": "with-room", "holder": "王五", "why": "搬走"}
METER = {"room": "{vacant}", "name": "0901 灯", "model": "dlt645-2007-plain", "meter_no": "778899"}
METER |= {"gateway": "{gateway}", "line": "L1", "tariff": "power"}
KEY = {"name": "校园卡", "roles": "viewer", "days": "30", "per_minute": "60"}
OTHER = select(tables.User).where(tables.User.login == "other")
PIN = "/rooms/{room}/points/{power}/override"
STOREYS = {"building": "1 号楼", "first_floor": "1", "last_floor": "2", "on_each": "2"}
PRICES = {"kind": "tiers-peak-valley", "timed": "yes", "period": "year"}
PRICES |= {"band0": "peak", "from0": "06:00", "to0": "22:00", "bound0": "3120", "bound1": "4800"}
PRICES |= {"band1": "valley", "from1": "22:00", "to1": "06:00"}
PRICES |= {f"price{tier}-{band}": "0.5" for tier in range(3) for band in ("peak", "valley")}
HOME = {"room": "0101", "holder": "张三", "meter_no": "202600000001", "model": "dlt645-2007-plain"}
HOME |= {"line": "L1", "address": ""}
FORMS = {
    "a login with a space": Sent(
        "/people/new",
        PERSON | {"login": "li si", "most_topup": "500"},
        "login",
        ("name", "login", "most_topup"),
    ),
    "a login that is taken": Sent(
        "/people/new", PERSON | {"login": "home"}, "login", ("name",), 409
    ),
    "no name": Sent("/people/new", PERSON | {"name": ""}, "name", ("login",)),
    "no role": Sent("/people/new", PERSON | {"role": ""}, "role", ("name", "login")),
    "nothing to see": Sent("/people/new", PERSON | {"sees": "some"}, "sees", ("name",)),
    "a limit of nothing": Sent(
        "/people/new", PERSON | {"most_topup": "0"}, "most_topup", ("most_topup", "name")
    ),
    "a limit of a day": Sent(
        "/people/new", PERSON | {"most_a_day": "许多"}, "most_a_day", ("most_a_day",)
    ),
    "somebody's name": Sent("/people/{user}", PERSON | {"name": ""}, "name"),
    "a wrong old password": Sent(
        "/me/password", {"old": "x", "password": "a" * 12, "again": "a" * 12}, "old"
    ),
    "two passwords": Sent(
        "/me/password", {"old": "x", "password": "a" * 12, "again": "b" * 12}, "again"
    ),
    "a site": Sent("/estate/sites", {"name": LONG}, "name", ("name",)),
    "a building that is there": Sent(
        "/estate/sites/{site}/buildings", {"name": "A"}, "name", ("name",), 409
    ),
    "a site's name": Sent("/estate/sites/{site}/name", {"name": LONG}, "name", ("name",)),
    "a rule's floors": Sent(
        "/estate/buildings/{building}/plan",
        {"floors": "六", "rooms": "1-4"},
        "floors",
        ("floors", "rooms"),
    ),
    "a rule's rooms": Sent(
        "/estate/buildings/{building}/rooms",
        {"floors": "6", "rooms": "1–", "pattern": "{{FF}}{{RR}}"},
        "rooms",
        ("rooms",),
    ),
    "a rule's pattern": Sent(
        "/estate/buildings/{building}/plan",
        {"floors": "6", "rooms": "1-4", "pattern": "甲"},
        "pattern",
        ("pattern", "floors"),
    ),
    "a room's floor": Sent(
        "/estate/buildings/{building}/room",
        {"name": "0909", "floor": "九"},
        "floor",
        ("name", "floor"),
    ),
    "a room's name": Sent("/estate/rooms/{vacant}/name", {"name": LONG}, "name", ("name",)),
    "a building's name": Sent(
        "/estate/buildings/{building}/name", {"name": LONG}, "name", ("name",)
    ),
    "a line": Sent(
        "/gateways/{gateway}/lines", {"name": LONG, "note": "三楼弱电间"}, "name", ("name", "note")
    ),
    "where a line runs": Sent(
        "/gateways/{gateway}/lines", {"name": "L9", "note": LONG}, "note", ("name", "note")
    ),
    "a gateway's place": Sent("/gateways/{gateway}/place", {"place": LONG}, "place", ("place",)),
    "an opening without a name": Sent(
        "/accounts/new", HOLDER | {"holder": ""}, "holder", ("phone",)
    ),
    "a phone": Sent("/accounts/new", HOLDER | {"phone": "电话"}, "phone", ("phone", "holder")),
    "a contract": Sent(
        "/accounts/new",
        HOLDER | {"contract_from": "2026-05-01", "contract_until": "2026-04-01"},
        "contract_until",
        ("contract_from", "contract_until"),
    ),
    "a household": Sent(
        "/accounts/new", HOLDER | {"persons-0": "三"}, "persons-0", ("persons-0", "holder")
    ),
    "a first top-up": Sent(
        "/accounts/new",
        HOLDER | {"topup-electricity": "一百"},
        "topup-electricity",
        ("topup-electricity", "holder"),
    ),
    "an opening reading": Sent(
        "/accounts/new",
        HOLDER | {"total-{point}": "12O"},
        "total-{point}",
        ("total-{point}", "holder"),
    ),
    "an opening reading of too many digits": Sent(
        "/accounts/new",
        HOLDER | {"total-{point}": "99999999"},
        "total-{point}",
        ("total-{point}",),
    ),
    "a photo that is none": Sent(
        "/accounts/new",
        HOLDER | {"total-{point}": "12"},
        "photo-{point}",
        ("total-{point}",),
        files={"photo-{point}": ("a.jpg", b"GIF89a")},
    ),
    "levels": Sent(
        "/accounts/new",
        HOLDER | {"alarm_at": "5", "final_alarm_at": "10"},
        "alarm_at",
        ("alarm_at", "final_alarm_at"),
    ),
    "people of an account": Sent(
        "/accounts/{account}/household",
        {"persons": "许", "since": "2026-05-01"},
        "persons",
        ("persons", "since"),
    ),
    "the end of a link": Sent(
        "/accounts/{account}/link", {"until": "2020-01-01"}, "until", ("until",)
    ),
    "a closing without a reason": Sent("/accounts/{account}/close", {"why": " "}, "why"),
    "a closing reading": Sent(
        "/accounts/{account}/close",
        {"why": "退租", "total-{power}": "1 2"},
        "total-{power}",
        ("why", "total-{power}"),
    ),
    "a handover to nobody": Sent(
        "/accounts/{account}/transfer", GONE | {"holder": ""}, "holder", ("why",)
    ),
    "a handover of no balance": Sent(
        "/accounts/{account}/transfer", GONE | {"balance": ""}, "balance", ("holder",)
    ),
    "a handover without a reason": Sent(
        "/accounts/{account}/transfer", GONE | {"why": ""}, "why", ("holder",)
    ),
    "no room to go to": Sent(
        "/accounts/{account}/room", {"from": "{room}", "to": "", "why": "漏水"}, "to", ("why",)
    ),
    "the same room": Sent(
        "/accounts/{account}/room",
        {"from": "{room}", "to": "{room}", "why": "漏水"},
        "to",
        ("why",),
    ),
    "a stated register": Sent(
        "/accounts/{closed}/stated",
        {"why": "网关被盗", "total-{last}": "x"},
        "total-{last}",
        ("why", "total-{last}"),
    ),
    "no register stated": Sent(
        "/accounts/{closed}/stated", {"why": "网关被盗"}, "total-{last}", ("why",)
    ),
    "no draft to open": Sent("/accounts/drafts/open", {}, None),
    "a class without a name": Sent(
        "/tariffs/{tariff}/assign", {"target": "class", "class_name": ""}, "class_name"
    ),
    "a day of assignment": Sent(
        "/tariffs/{tariff}/assign",
        {"target": "class", "class_name": "商铺", "since": "明天"},
        "since",
        ("class_name", "since"),
    ),
    "a point of something else": Sent(
        "/tariffs/{tariff}/assign", {"target": "point", "point": "{water}"}, "point"
    ),
    "a class that is too long": Sent(
        "/tariffs/{tariff}/class",
        {"point": "{power}", "class_name": LONG},
        "class_name",
        ("class_name",),
    ),
    "an assignment that has ended": Sent(
        "/tariffs/{tariff}/end-assignment", {"assignment": "{user}"}, None, status=404
    ),
    "a document": Sent("/tariffs/drafts/{draft}/document", {"document": "{{"}, "document"),
    "a proposal with faults": Sent(
        "/tariffs/drafts/{draft}/propose", {"why": "涨价"}, None, ("why",)
    ),
    "days of a rehearsal": Sent("/tariffs/drafts/{sound}/rehearse", {"days": "4000"}, "days"),
    "a rehearsal of what is faulty": Sent("/tariffs/drafts/{draft}/rehearse", {"days": "30"}, None),
    "a publication without a reason": Sent("/tariffs/drafts/{sound}/propose", {"why": ""}, "why"),
    "a difference settled without a word": Sent(
        "/bills/differences/{difference}", {"note": " "}, "note"
    ),
    "a difference that is gone": Sent(
        "/bills/differences/{user}", {"note": "已退"}, None, status=404
    ),
    "a lost credit that is gone": Sent(
        "/lost-transfers/{user}/settle", {"note": "已退"}, None, status=404
    ),
    "an amount to take": Sent(
        "/counter/{purse}", {"typed": "一百", "remark": "两个月"}, "typed", ("typed", "remark")
    ),
    "more than is ever taken": Sent(
        "/counter/{purse}", {"typed": "1000001", "remark": "两个月"}, "typed", ("typed", "remark")
    ),
    "a slip that is missing": Sent(
        "/counter/{purse}", {"typed": "100", "way": "bank"}, "voucher", ("typed",)
    ),
    "a drawer below nothing": Sent("/shifts", {"float": "-5"}, "float", ("float",)),
    "a refund of more than there is": Sent(
        "/purses/{purse}/refund",
        {"key": "{user}", "typed": "1000", "why": "退租"},
        "typed",
        ("typed", "why"),
        409,
    ),
    "a refund without a reason": Sent(
        "/purses/{purse}/refund", {"key": "{user}", "typed": "1", "why": " "}, "why", ("typed",)
    ),
    "a move to nowhere": Sent(
        "/purses/{purse}/move", {"key": "{user}", "typed": "1", "why": "改投"}, "to", ("why",)
    ),
    "a gift of nothing": Sent(
        "/purses/{purse}/give",
        {"key": "{user}", "typed": "-1", "why": "补偿", "kind": "gift", "confirmed": "yes"},
        "typed",
        ("typed", "why"),
    ),
    "a gateway's number": Sent(
        "/gateways/new",
        {"site": "{site}", "gateway_no": "网关", "place": "夹层"},
        "gateway_no",
        ("gateway_no", "place"),
    ),
    "a gateway of no site": Sent(
        "/gateways/new", {"site": "", "gateway_no": "G-9"}, "site", ("gateway_no",), 404
    ),
    "a meter's multiplier": Sent(
        "/meters/new", METER | {"multiplier": "四十"}, "multiplier", ("name", "multiplier")
    ),
    "a meter that hangs already": Sent(
        "/meters/new",
        METER | {"meter_no": "F-0901", "address": "000000000901"},
        "meter_no",
        ("meter_no", "name"),
        409,
    ),
    "a meter of no gateway": Sent(
        "/meters/new", METER | {"gateway": ""}, "gateway", ("name",), 404
    ),
    "a meter's tariff": Sent("/meters/new", METER | {"tariff": "gone"}, "tariff", ("name",), 404),
    "a key without a name": Sent("/api-keys", KEY | {"name": ""}, "name", ("per_minute",)),
    "a key for nothing": Sent("/api-keys", KEY | {"roles": ""}, "roles", ("name",)),
    "a key for nowhere": Sent("/api-keys", KEY | {"where": "sites"}, "sites", ("name",), 404),
    "a key that asks too often": Sent(
        "/api-keys", KEY | {"per_minute": "0"}, "per_minute", ("name", "per_minute")
    ),
    "an address to send to": Sent(
        "/webhooks", {"url": "ftp://x", "events": "topup.credited"}, "url", ("url",)
    ),
    "no events to send": Sent("/webhooks", {"url": "https://x.example/a"}, "events", ("url",)),
    "nothing to cut off": Sent("/cuts", {"lasts": "24", "why": "欠费"}, "point", ("why",)),
    "how long many are cut off": Sent(
        "/cuts", {"point": "{power}", "lasts": "9", "why": "欠费"}, "lasts", ("why",)
    ),
    "why many are cut off": Sent("/cuts", {"point": "{power}", "lasts": "24", "why": " "}, "why"),
    "neither on nor off": Sent(PIN, {"lasts": "4", "why": "检修"}, "supply", ("why",)),
    "an end of a pin": Sent(
        PIN,
        {"supply": "on", "lasts": "other", "until": "2020-01-01T08:00", "why": "检修"},
        "until",
        ("until", "why"),
    ),
    "why a supply is pinned": Sent(PIN, {"supply": "on", "lasts": "4", "why": " "}, "why"),
    "a refusal without a reason": Sent(
        "/approvals/{approval}/decide", {"decision": "refuse", "why": " "}, "why"
    ),
    "no decision": Sent("/approvals/{approval}/decide", {"why": "再议"}, None, ("why",)),
    "a workbook that is none": Sent(
        "/estate/import", {}, "file", files={"file": ("a.xlsx", b"room,floor")}
    ),
    "meters of no workbook": Sent("/meters/import", {}, "file"),
    "a fee that is none": Sent("/months/rules", {"fee": "一", "alone": "200"}, "fee", ("alone",)),
    "a fee of more than is paid": Sent(
        "/months/rules", {"fee": "100", "alone": "200"}, "fee", ("fee", "alone")
    ),
    "a limit below nothing": Sent(
        "/months/rules", {"fee": "0", "alone": "-1"}, "alone", ("alone",)
    ),
    "a month that is not over": Sent("/months/close", {"month": "2099-01"}, None, status=409),
    "a month that is none": Sent("/months/reopen", {"month": "x", "why": "补记"}, None, status=409),
    "a wrong password": Sent(
        "/login", {"login": "home", "password": "x"}, "password", ("login",), 401
    ),
}


@pytest.fixture(scope="module")
def ids(office) -> dict[str, str]:
    """What the forms are about, by the names of the table; the client is signed in."""
    home = office.home
    with office.database.system() as session:
        token = auth.login(session, "home", "correct horse", now=utc_now())
    office.web.cookies.set(COOKIE, str(token))
    office.web.headers.update(HEADERS)
    made = {"user": home.user_id, "site": home.site_id, "gateway": home.gateway_id}
    made |= {"room": home.room_id, "account": home.account_id}
    made |= {"power": home.electricity, "water": home.water, "purse": home.electricity_purse}
    with office.database.organization(home.organization_id) as session:
        building = session.exec(select(tables.Building)).one()
        vacant = estate.add_room(session, building, "0901", 9)
        left = estate.add_room(session, building, "0902", 9)
        account = estate.open_account(session, left, "赵六")
        purse = estate.add_purse(session, account, "electricity")
        made |= {"building": building.id, "vacant": vacant.id, "closed": account.id}
        for name, room, whose in (("point", vacant, None), ("last", left, purse)):
            made[name] = estate.add_point(
                session,
                room=room,
                gateway=session.get_one(tables.Gateway, home.gateway_id),
                purse=whose,
                name=room.name,
                commodity="electricity",
                meter=meter(f"F-{room.name}", f"00000000{room.name}"),
                tariff_code="power",
                policy=Policy(),
            ).id
        by = auth.of_user(session, session.get_one(tables.User, home.user_id))
        power = session.exec(
            select(tables.TariffDocument).where(tables.TariffDocument.code == "power")
        ).one()
        made["tariff"] = power.id
        faulty = flat("new", "electricity", "kWh", "许多")
        made["draft"] = drafts.begin(session, by, faulty, now=utc_now()).id
        dear = flat("dear", "electricity", "kWh", "0.90")
        dear["versions"][0]["effective_from"] = f"{utc_now().year + 1}-01-01T00:00:00+08:00"
        made["sound"] = drafts.begin(session, by, dear, now=utc_now()).id
        difference = tables.BillDifference(
            organization_id=home.organization_id,
            channel="wechat",
            day=utc_now().date(),
            kind="theirs-only",
            number="4200",
            out_trade_no="W1",
            transaction_id="4200",
            theirs_fen=2000,
        )
        session.add(difference)
        made["difference"] = difference.id
        estate.add_user(session, home.organization_id, "other", "correct horse", "王五")
        other = auth.of_user(session, session.exec(OTHER).one())
        made["approval"] = bulk_cuts.propose(
            session,
            other,
            [home.water],
            until=utc_now() + timedelta(hours=4),
            why="检修",
            longest=timedelta(days=1),
            now=utc_now(),
        ).id
    closed = office.web.post(f"/accounts/{made['closed']}/close", data={"why": "退租"})
    assert closed.status_code == 303
    return {name: str(id) for name, id in made.items()}


@pytest.mark.parametrize("what", FORMS)
def test_what_cannot_be_is_told_at_its_field_and_what_was_typed_stays(office, ids, what):
    sent = FORMS[what]
    typed = {name.format(**ids): text.format(**ids) for name, text in sent.typed.items()}
    files = {name.format(**ids): file for name, file in sent.files.items()}

    answer = office.web.post(sent.path.format(**ids), data=typed, files=files or None)

    assert answer.status_code == sent.status
    (told,) = re.findall(r'class="problem" role="alert".*?</i>(.*?)</', answer.text)
    assert re.search("[一-鿿]", told)
    assert not re.search("[a-z]+ [a-z]+ [a-z]+", told)
    assert wrong(answer.text) == ([] if sent.at is None else [sent.at.format(**ids)])
    for name in (each.format(**ids) for each in sent.kept):
        assert f'value="{typed[name]}"' in answer.text, name


STEPS = (
    ("site", {"name": LONG, "timezone": "Asia/Shanghai"}, "name"),
    ("site", {"name": "听雨小区", "timezone": "Asia/Suzhou"}, "timezone"),
    ("site", {"name": "听雨小区", "timezone": "Asia/Shanghai"}, None),
    ("rooms", STOREYS | {"building": LONG}, "building"),
    ("rooms", STOREYS | {"first_floor": "一"}, "first_floor"),
    ("rooms", STOREYS | {"last_floor": "0"}, "last_floor"),
    ("rooms", STOREYS | {"on_each": "400"}, "on_each"),
    ("rooms", STOREYS, None),
    ("tariff", PRICES | {"price1-valley": "0.2x"}, "price1-valley"),
    ("tariff", PRICES | {"bound1": "100"}, "bound1"),
    ("tariff", PRICES | {"from0": "6"}, "from0"),
    ("tariff", PRICES, None),
    ("gateway", {"gateway_no": "网关"}, "gateway_no"),
    ("gateway", {"gateway_no": "GW-NEW"}, None),
    ("room", HOME | {"room": "0404"}, "room"),
    ("room", HOME | {"holder": " "}, "holder"),
    ("room", HOME | {"meter_no": ""}, "meter_no"),
    ("room", HOME | {"model": "abacus"}, "model"),
    ("room", HOME, None),
    ("money", {"amount": "五十"}, "amount"),
    ("money", {"amount": "-50"}, "amount"),
    ("money", {"amount": "50", "drawer": "-1"}, "drawer"),
)


def test_each_step_of_the_setup_tells_at_its_field_what_cannot_be(office):
    with office.database.system() as session:
        company = estate.add_organization(session, "江南物业")
        estate.add_user(session, company.id, "new", "correct horse", "赵经理")
        token = auth.login(session, "new", "correct horse", now=utc_now())
    web = TestClient(office.web.app, office.web.base_url, follow_redirects=False, headers=HEADERS)
    web.headers["Accept-Language"] = "zh-CN"
    web.cookies.set(COOKIE, str(token))

    for step, typed, at in STEPS:
        answer = web.post(f"/setup/{step}", data=typed)

        assert wrong(answer.text) == ([] if at is None else [at]), (step, typed)
        assert answer.status_code == (422 if at else 200 if step == "gateway" else 303)
        kept = typed.keys() - {"timezone", "room", "model"} if at else ()  # a list shows its own
        for name, text in ((name, typed[name]) for name in kept):
            assert f'value="{text}"' in answer.text, name


def test_a_refusal_that_a_page_would_not_show_is_a_mistake_of_the_page():
    mistake = Mistake("no such day", "since", status=422)

    with pytest.raises(ValueError, match="no place for what was refused: no such day"):
        mistake.placed("<main></main>")


def test_a_refusal_is_told_once_at_its_field_or_else_at_the_top():
    mistake = Mistake("no <such> day", "since", "days", {"since": "x"}, 422)
    page = f"{mistake.top()}<input{mistake.marks('since')}>{mistake.told('since')}"
    assert mistake.placed(page).count("no &lt;such&gt; day") == 1

    other = Mistake("too late", "until", "days", {}, 422)
    page = f"{other.top()}<input{other.marks('since')}>{other.told('since')}"
    assert "too late" in other.placed(page)
    assert "aria-invalid" not in page
    assert other.within("days") is other
    assert not other.within("weeks").said

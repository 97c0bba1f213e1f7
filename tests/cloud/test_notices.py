"""Customers are told once, and a message whose fate is not known is not sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from cloud import auth, tables
from cloud.app import create_app
from cloud.notices import Forged, NotTaken, ProviderAway, State
from cloud.notices.twilio import Twilio
from cloud.services import news, notices, topups
from cloud.services.accounts import told
from cloud.services.news import Event
from simulators import twilio as simulated
from tests.cloud.conftest import NOON
from tests.cloud.test_overrides import staff
from tests.serving import listening, serve, url_of

__all__ = ["staff"]  # a fixture

SID, TOKEN, PHONE = "AC" + "0" * 32, "token" * 6, "13800000000"
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[simulated.Twilio, str]]:
    company = simulated.Twilio(account_sid=SID, token=TOKEN)
    company.answer_within_s = 60.0  # a busy machine is slow, not wrong
    bound = listening()
    with serve(company.app, bound):
        yield company, url_of(bound)


@pytest.fixture
def company(served) -> simulated.Twilio:
    company, _ = served
    company.messages.clear()
    company.refuses.clear()
    company.is_away = company.loses_answers = False
    return company


def provider_at(url: str, *, token: str = TOKEN) -> Twilio:
    return Twilio(
        url=url,
        account_sid=SID,
        auth_token=token,
        sender="+15005550006",
        report_url="http://cloud.test/api/notices/twilio",
    )


@pytest.fixture
def provider(served, company) -> Twilio:
    return provider_at(served[1])


@pytest.mark.processes
def test_a_message_goes_out_by_the_sdk_and_is_found_again(company, provider):
    sent = provider.send(to="+8613800000000", text="余额不足")

    (message,) = company.messages
    assert (message.to, message.body, message.sender) == (
        "+8613800000000",
        "余额不足",
        "+15005550006",
    )
    assert (sent.number, sent.state, sent.said) == (message.sid, State.UNDER_WAY, "queued")
    since = datetime.now(UTC) - timedelta(hours=1)
    assert provider.find(to="+8613800000000", text="余额不足", since=since) == sent
    assert provider.find(to="+8613800000000", text="other", since=since) is None
    assert provider.find(to="+8613900000000", text="余额不足", since=since) is None


@pytest.mark.processes
def test_a_refused_message_is_told_from_one_whose_fate_is_not_known(served, company, provider):
    company.refuses.add("+8613800000000")
    with pytest.raises(NotTaken, match="21211"):
        provider.send(to="+8613800000000", text="x")
    with pytest.raises(NotTaken, match="20003"):
        provider_at(served[1], token="other").send(to="+8613900000000", text="x")
    company.loses_answers = True
    with pytest.raises(ProviderAway):
        provider.send(to="+8613900000000", text="x")
    assert len(company.messages) == 1
    with pytest.raises(ProviderAway):
        provider_at("http://127.0.0.1:1").send(to="+8613900000000", text="x")


def test_a_report_counts_only_with_the_providers_signature():
    provider = provider_at("http://127.0.0.1:1")
    url = "http://cloud.test/api/notices/twilio"
    form = {"AccountSid": SID, "MessageSid": "SM1", "MessageStatus": "undelivered"}

    said = provider.read_report(simulated.signature(TOKEN, url, form), form)
    assert said is not None
    assert (said.number, said.state) == ("SM1", State.FAILED)

    for token, changed in (("other", form), (TOKEN, {**form, "MessageStatus": "delivered"})):
        with pytest.raises(Forged):
            provider.read_report(simulated.signature(token, url, form | {"x": "y"}), changed)
    strange = {**form, "AccountSid": "AC" + "1" * 32}
    with pytest.raises(Forged):
        provider.read_report(simulated.signature(TOKEN, url, strange), strange)
    new = {**form, "MessageStatus": "partially_delivered"}
    assert provider.read_report(simulated.signature(TOKEN, url, new), new) is None


@pytest.mark.parametrize(
    ("phone", "number"),
    [
        ("138 0000-0000", "+8613800000000"),
        ("+44 20 7946 0000", "+442079460000"),
        ("0755-8000000", None),
        ("", None),
    ],
)
def test_a_phone_as_people_write_it_becomes_a_number_with_its_country(phone, number):
    assert news.number_of(phone) == number


@pytest.mark.parametrize(
    ("event", "now", "sent"),
    [
        (Event.LOW, "2026-03-02 21:59", "2026-03-02 21:59"),
        (Event.LOW, "2026-03-02 22:00", "2026-03-03 07:00"),
        (Event.LOW, "2026-03-03 06:59", "2026-03-03 07:00"),
        (Event.FINAL, "2026-03-02 23:00", "2026-03-02 23:00"),
        (Event.CUT, "2026-03-02 23:00", "2026-03-02 23:00"),
    ],
)
def test_what_is_not_urgent_waits_for_the_morning(event, now, sent):
    at = datetime.fromisoformat(now).replace(tzinfo=SHANGHAI)
    expected = datetime.fromisoformat(sent).replace(tzinfo=SHANGHAI)
    assert news.due(event, at, SHANGHAI) == expected


@pytest.fixture
def customer(database, home):
    """Gives the account a phone and ¥4.20."""
    with database.system() as session:
        session.execute(text("UPDATE accounts SET phone = :phone"), {"phone": PHONE})
        session.execute(
            text("INSERT INTO balances VALUES (:organization, :purse, 420)"),
            {"organization": home.organization_id, "purse": home.electricity_purse},
        )
    return home


@pytest.fixture
def alarm(database, customer):
    def alarm(kind: str, at: datetime = NOON, *, is_over: bool = False) -> None:
        with database.system() as session:
            session.add(
                tables.Alarm(
                    organization_id=customer.organization_id,
                    point_id=customer.electricity,
                    kind=kind,
                    at=at,
                    is_over=is_over,
                    text="x",
                )
            )

    return alarm


@pytest.fixture
def write(database, settings):
    def write(now: datetime = NOON) -> int:
        with database.system() as session:
            return news.write(session, settings, now=now)

    return write


@pytest.fixture
def send(database, provider):
    def send(now: datetime = NOON) -> int:
        return notices.send_all(database, provider, now=now, is_stopping=lambda: False)

    return send


def rows(database) -> list[tables.Notice]:
    with database.system() as session:
        found = session.execute(text("SELECT * FROM notices ORDER BY created_at")).all()
        return list(found)  # type: ignore[arg-type]


@pytest.mark.processes
def test_a_low_balance_is_told_once_with_room_balance_and_link(
    database, customer, alarm, write, send, company
):
    alarm("low-balance")
    assert (write(), write()) == (1, 0)
    assert (send(), send()) == (1, 0)

    (message,) = company.messages
    assert message.to == "+8613800000000"
    for expected in ("电费余额不足", "¥4.20", "http://cloud.test/t/"):
        assert expected in message.body
    alarm("low-balance", NOON + timedelta(minutes=1), is_over=True)
    alarm("low-balance", NOON + timedelta(minutes=2))
    assert write(NOON + timedelta(minutes=3)) == 1  # another time is told again


@pytest.mark.processes
def test_a_cut_for_want_of_credit_is_told_and_one_by_hand_is_not(
    database, customer, write, send, company
):
    with database.system() as session:
        for point, why in ((customer.electricity, "no-credit"), (customer.water, "forced-off")):
            session.execute(
                text(
                    "UPDATE point_states SET supply='off', why=:why, supply_at=:at WHERE point_id=:point"
                ),
                {"why": why, "at": NOON - timedelta(seconds=5), "point": point},
            )
            session.execute(
                text(
                    "INSERT INTO point_states (organization_id, point_id, supply, why, supply_at)"
                    " VALUES (:organization, :point, 'off', :why, :at) ON CONFLICT DO NOTHING"
                ),
                {
                    "organization": customer.organization_id,
                    "point": point,
                    "why": why,
                    "at": NOON - timedelta(seconds=5),
                },
            )
    write()
    send()

    assert ["已停供" in message.body for message in company.messages] == [True]


@pytest.mark.processes
def test_old_news_what_is_over_and_customers_without_a_phone_are_left(database, alarm, write):
    alarm("low-balance", NOON - timedelta(hours=3))
    alarm("final-balance", NOON - timedelta(minutes=5))
    alarm("final-balance", NOON - timedelta(minutes=4), is_over=True)
    assert write() == 0

    alarm("low-balance")
    with database.system() as session:
        session.execute(text("UPDATE accounts SET phone = '0755-8000000'"))
    assert write() == 0


@pytest.mark.processes
def test_a_message_whose_answer_was_lost_is_looked_up_and_not_sent_again(
    database, alarm, write, send, company
):
    alarm("final-balance")
    write()
    company.loses_answers = True
    assert send() == 0
    company.loses_answers = False

    assert send(NOON + timedelta(seconds=59)) == 0  # not before its pause is over
    assert send(NOON + timedelta(minutes=1)) == 1

    assert len(company.messages) == 1
    (notice,) = rows(database)
    assert (notice.number, notice.attempts) == (company.messages[0].sid, 2)


@pytest.mark.processes
def test_a_provider_that_stays_away_is_given_up_after_a_while(
    database, alarm, write, send, company
):
    alarm("final-balance")
    write()
    company.is_away = True
    now = NOON
    for pause in notices.PAUSES:
        send(now)
        now += pause
    assert rows(database)[0].failed_at is None
    send(now)

    (notice,) = rows(database)
    assert (notice.failed_at, notice.attempts) == (now, 5)


@pytest.mark.processes
def test_reports_by_the_web_program_are_taken_twice_late_and_never_forged(
    served, database, settings, company, alarm, write
):
    alarm("final-balance")
    write()
    bound = listening()
    changed = {
        "public_url": url_of(bound),
        "twilio_account_sid": SID,
        "twilio_auth_token": TOKEN,
        "twilio_sender": "+15005550006",
        "twilio_url": served[1],
    }
    app = create_app(settings.model_copy(update=changed))
    with serve(app, bound):
        notices.send_all(database, app.state.notices, now=NOON, is_stopping=lambda: False)
        (message,) = company.messages
        assert company.report(message, "delivered", is_forged=True) == [401]
        assert rows(database)[0].delivered_at is None

        assert company.report(message, "delivered", times=2) == [204, 204]
        assert company.report(message, "failed") == [204]  # late: it has arrived
        app.state.events.close()
    (notice,) = rows(database)
    assert (notice.delivered_at is not None, notice.failed_at) == (True, None)


@pytest.mark.processes
def test_without_a_provider_there_is_no_address_for_reports(web: TestClient):
    assert web.post("/api/notices/twilio", data={"MessageSid": "SM1"}).status_code == 404


@pytest.mark.processes
def test_who_has_asked_is_told_of_a_top_up_with_its_fee_and_by_the_link_that_is_good(
    database, customer, order, write, company, settings
):
    with database.organization(customer.organization_id) as session:
        session.add(
            tables.MoneyRules(
                organization_id=customer.organization_id,
                fee_basis_points=100,
                is_fee_refunded=False,
                alone_fen=0,
            )
        )
    for yuan in ("50", "100"):
        payment = order(yuan)
        with database.system() as session:
            topups.confirm(session, payment, channel="sandbox", now=NOON)
        if yuan == "50":  # that is not told: nobody has asked yet
            assert write() == 0
            with database.organization(customer.organization_id) as session:
                session.execute(
                    text("UPDATE topups SET credited_at = credited_at - interval '1 day'")
                )
                told.by_customer(session, customer.account_id, wanted=True)
                session.execute(text("UPDATE accounts SET link_number = 2"))

    assert (write(), write()) == (1, 0)

    (row,) = rows(database)
    # 4.20 + 49.50 + 99.00
    assert "电费充值 ¥100.00 已到账（含服务费 ¥1.00），现有 ¥152.70" in row.body
    assert auth.tenant_url(settings, customer.account_id, number=2) in row.body
    with database.organization(customer.organization_id) as session:
        told.by_customer(session, customer.account_id, wanted=False)
        session.execute(text("DELETE FROM notices"))
    assert write() == 0


@pytest.mark.processes
def test_a_message_whose_report_never_came_is_asked_about_with_what_it_cost(
    database, alarm, write, send, provider, company
):
    alarm("low-balance")
    write()
    send()
    (message,) = company.messages
    message.status = "delivered"  # and Twilio never says so

    def look(minutes: int) -> int:
        now = NOON + timedelta(minutes=minutes)
        return notices.look_up(database, provider, now=now, is_stopping=lambda: False)

    assert (look(9), look(11), look(12)) == (0, 1, 0)
    (row,) = rows(database)
    assert row.delivered_at is not None
    # 70 letters of Chinese go into one message, 67 into each of several.
    assert (str(row.cost), row.currency) == ("0.02310", "USD")
    assert row.segments == -(-len(row.body) // 67)
    assert look(60 * 24) == 0  # nothing is left to be asked


@pytest.mark.processes
def test_staff_see_to_whom_what_was_sent_and_what_became_of_it(
    staff, database, alarm, write, send, company
):
    alarm("low-balance")
    write()
    send()
    said = staff.get("/notices", headers={"Accept-Language": "en"}).text
    assert "138****0000" in said
    assert PHONE not in said
    assert "sent, no report yet" in said
    for q, is_found in (
        ("0000", True),
        ("13800000000", True),
        ("张三", True),
        ("0301", True),
        ("1234", False),
    ):
        assert ("138****0000" in staff.get("/notices", params={"q": q}).text) is is_found, q
    assert "138****0000" not in staff.get("/notices", params={"state": "failed"}).text

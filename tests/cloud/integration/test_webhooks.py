"""Webhooks: what happened is written with it, signed, sent until it is taken, and never to where it must not go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from cloud.auth import SignedIn
from cloud.services import topups
from cloud.services.integration import addresses, deliveries, outbox, signing, webhooks
from cloud.services.integration.addresses import BadUrl, Forbidden, NeedsHttps, NotReachable
from cloud.services.integration.deliveries import PAUSES, Fault
from cloud.services.integration.outbox import Event, Happened
from cloud.services.integration.webhooks import Delivery
from cloud.tables import WebhookDelivery, utc_now
from prepaid.money import Money
from simulators.webhook_receiver import Receiver, receiving

pytestmark = pytest.mark.processes

ALL = frozenset(Event) - {Event.TEST}
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def receiver():
    with receiving() as listening:
        yield listening


@dataclass(frozen=True, slots=True)
class Desk:
    """One webhook of the estate's, to the receiver."""

    by: SignedIn
    id: UUID
    secret: str
    receiver: Receiver
    send: Callable[..., int]
    last: Callable[[], Delivery]
    top_up: Callable[[], None]
    session: Callable[[], object]


@pytest.fixture
def desk(database, home, settings, receiver) -> Desk:
    by = SignedIn(home.user_id, home.organization_id, "home", "home")
    receiver.heard.clear()
    receiver.answers.clear()
    receiver.headers.clear()
    allowed = settings.model_copy(update={"webhook_networks": LOOPBACK})

    def session():
        return database.organization(home.organization_id)

    with session() as opened:
        id = webhooks.add(opened, url=receiver.url, events=ALL, by=by, now=utc_now())
    with session() as opened:
        secret = webhooks.secret(settings.code_secret, webhooks.one(opened, by, id))

    def send(*, at: datetime | None = None, by_settings=allowed) -> int:
        return deliveries.deliver(
            database, by_settings, now=at or utc_now(), is_stopping=lambda: False
        )

    def last() -> Delivery:
        with session() as opened:
            return webhooks.deliveries(opened, by, id)[0]

    def top_up() -> None:
        with session() as opened:
            topups.record_cash(
                opened,
                purse_id=home.electricity_purse,
                amount=Money.yuan("50"),
                by=by,
                idempotency_key=uuid4(),
            )

    return Desk(by, id, secret, receiver, send, last, top_up, session)


def test_a_signature_is_as_standard_webhooks_has_it():
    # The secret is "abc", YWJj in base64:
    #   printf %s '00000000-0000-0000-0000-000000000000.1674087231.{}' |
    #   openssl dgst -sha256 -hmac abc -binary | base64
    headers = signing.headers(
        ["whsec_YWJj"],
        message_id=UUID(int=0),
        at=datetime.fromtimestamp(1674087231, tz=utc_now().tzinfo),
        body=b"{}",
    )
    assert headers["webhook-timestamp"] == "1674087231"
    assert headers["webhook-signature"] == "v1,usyibGmkPQL8uqRB3szIbGYlhgOZ5boHloFrxB4rK3Y="


def test_a_credited_top_up_is_told_once_signed_and_with_what_the_api_calls_it(desk, home):
    desk.top_up()

    assert desk.send() == 1
    assert desk.send() == 0  # and not again

    (heard,) = desk.receiver.heard
    assert heard.is_signed_by(desk.secret, now=utc_now().timestamp())
    assert heard.said["type"] == "topup.credited"
    said = heard.said["data"]
    assert (said["amount_fen"], said["channel"]) == (5000, "cash")
    assert said["purse_id"] == str(home.electricity_purse)
    done = desk.last()
    assert (done.status, done.fault, done.attempts) == (204, None, 1)


def test_what_did_not_happen_is_not_told(desk):
    with desk.session() as session:
        opened = Happened(Event.ACCOUNT_OPENED, utc_now(), {})
        outbox.tell(session, desk.by.organization_id, [opened])
        session.rollback()
    assert desk.send() == 0


def test_a_receiver_that_fails_is_asked_again_ever_more_rarely_and_then_given_up(desk):
    desk.top_up()
    at = utc_now()
    for number, pause in enumerate((*PAUSES, None), start=1):
        desk.receiver.answers[:] = [500]
        assert desk.send(at=at) == 0
        tried = desk.last()
        assert (tried.attempts, tried.status, tried.fault) == (number, 500, Fault.REFUSED)
        if pause is None:
            break
        assert pause <= tried.due_at - tried.tried_at <= pause * 1.1
        assert desk.send(at=tried.due_at - pause / 10) == 0  # too early: nobody is asked
        at = tried.due_at
    assert len(desk.receiver.heard) == len(PAUSES) + 1
    assert len({heard.id for heard in desk.receiver.heard}) == 1  # one event, always the same
    given_up = desk.last()
    assert (given_up.due_at, given_up.dead_at is None) == (None, False)

    with desk.session() as session:
        assert webhooks.resend(session, desk.id, None, by=desk.by, now=utc_now()) == 1
    assert desk.send() == 1
    assert desk.receiver.heard[-1].id == desk.receiver.heard[0].id


def test_those_behind_one_that_failed_wait_without_an_attempt(desk):
    for _ in range(3):
        desk.top_up()
    desk.receiver.answers[:] = [503]
    desk.receiver.headers["Retry-After"] = "120"
    assert desk.send() == 0
    assert len(desk.receiver.heard) == 1
    with desk.session() as session:
        attempts = session.execute(select(WebhookDelivery.attempts)).scalars()
        assert sorted(attempts) == [0, 0, 1]
    assert (
        desk.send(at=utc_now() + timedelta(seconds=90)) == 2
    )  # the first waits as it was asked to
    assert desk.send(at=utc_now() + timedelta(seconds=130)) == 1


def test_a_receiver_that_is_gone_is_asked_no_more(desk):
    desk.top_up()
    desk.receiver.answers[:] = [410]
    desk.send()
    with desk.session() as session:
        card = webhooks.one(session, desk.by, desk.id)
    assert card.ended_at is not None
    assert (card.ended_by, card.dead) == (None, 1)
    desk.top_up()
    assert desk.send() == 0
    assert len(desk.receiver.heard) == 1


def test_a_redirect_is_not_followed(desk):
    desk.top_up()
    desk.receiver.answers[:] = [307]
    desk.receiver.headers["Location"] = desk.receiver.url
    desk.send()
    assert len(desk.receiver.heard) == 1
    assert desk.last().fault is Fault.REFUSED


def test_for_a_day_after_a_change_of_secret_both_sign(desk, settings):
    with desk.session() as session:
        webhooks.rotate(session, desk.id, by=desk.by, now=utc_now())
        new = webhooks.secret(settings.code_secret, webhooks.one(session, desk.by, desk.id))
    desk.top_up()
    desk.send()
    (heard,) = desk.receiver.heard
    now = utc_now().timestamp()
    assert new != desk.secret
    assert heard.is_signed_by(desk.secret, now=now)
    assert heard.is_signed_by(new, now=now)
    assert not heard.is_signed_by(new, now=now + 3600)

    desk.top_up()
    desk.send(at=utc_now() + timedelta(days=1, seconds=1))
    later = desk.receiver.heard[-1]
    assert later.is_signed_by(new, now=now + 86_401)
    assert not later.is_signed_by(desk.secret, now=now + 86_401)


def test_nothing_is_sent_to_a_private_address_unless_the_settings_allow_it(desk, settings):
    desk.top_up()
    assert desk.send(by_settings=settings) == 0
    assert desk.receiver.heard == []
    assert desk.last().fault is Fault.FORBIDDEN
    assert desk.send(at=utc_now() + timedelta(minutes=1)) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # a cloud provider's own services
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.1.2.3]",
        "[64:ff9b::a01:203]",
        "2130706433",  # 127.0.0.1 as one number
        "0x7f.1",
        "localhost",
    ],
)
def test_an_address_that_is_not_public_is_refused_however_it_is_written(address):
    url = addresses.check(f"https://{address}/x")
    with pytest.raises(Forbidden):
        addresses.resolve(url, ())


def test_a_public_address_needs_https_and_is_the_one_that_is_asked():
    found = addresses.resolve("https://8.8.8.8:8443/x", ())
    assert found == addresses.Target(ip_address("8.8.8.8"), "8.8.8.8")
    with pytest.raises(NeedsHttps):
        addresses.resolve("http://8.8.8.8/x", ())
    with pytest.raises(NotReachable, match="no address of the name nowhere"):
        addresses.resolve("https://nowhere.invalid/x", ())
    allowed = addresses.resolve("http://10.1.2.3/x", [ip_network("10.0.0.0/8")])
    assert str(allowed.address) == "10.1.2.3"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://user:pw@example.com",
        "https://example.com:99999",
        "https://",
        "https://例.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com/#part",
        "https://example.com/" + "x" * 500,
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url):
    with pytest.raises(BadUrl):
        addresses.check(url)


def test_another_organization_hears_nothing_and_sees_nothing(desk, build, database):
    theirs = build("theirs")
    stranger = SignedIn(theirs.user_id, theirs.organization_id, "x", "x")
    desk.top_up()
    with database.organization(theirs.organization_id) as session:
        assert webhooks.of_organization(session, stranger) == []
        assert webhooks.deliveries(session, stranger, desk.id) == []
        for act in (
            lambda: webhooks.one(session, stranger, desk.id),
            lambda: webhooks.end(session, desk.id, by=stranger, now=utc_now()),
            lambda: webhooks.resend(session, desk.id, None, by=stranger, now=utc_now()),
        ):
            with pytest.raises(webhooks.NoSuchWebhook):
                act()
        topups.record_cash(
            session,
            purse_id=theirs.electricity_purse,
            amount=Money.yuan("50"),
            by=stranger,
            idempotency_key=uuid4(),
        )
    desk.send()
    assert [heard.said["data"]["account_id"] for heard in desk.receiver.heard] == [
        str(desk_account(database, desk))
    ]


def desk_account(database, desk) -> UUID:
    with database.organization(desk.by.organization_id) as session:
        return session.execute(text("SELECT id FROM accounts")).scalar_one()


def test_what_was_done_a_month_ago_is_forgotten(desk, database):
    desk.top_up()
    desk.send()
    with database.system() as session:
        assert deliveries.forget(session, now=utc_now() + timedelta(days=29)) == 0
        assert deliveries.forget(session, now=utc_now() + timedelta(days=31)) == 1

"""Enrolment, renewal and revocation: the gateway's own code against the web program and the services."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import bcrypt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from cloud import tables
from cloud.attempts import Attempts
from cloud.auth import SignedIn
from cloud.services import answers, downlog, enrolment, gateways, scopes, signing_keys, uplog
from cloud.services.challenges import StaleChallenge
from cloud.services.gateway_keys import code_key
from cloud.settings import BadSettings, Settings
from cloud.tables import utc_now
from edge.uplink import credentials as files
from edge.uplink import enrol as edge
from edge.uplink.cloud_http import Refused, Unreachable, checked
from edge.uplink.enrol import CannotEnrol, NoMore
from prepaid.enrolment import Enrol, Renew, Token, open_first_grant, written_key
from prepaid.seal import KeySet
from prepaid.wire.downlog import CloudKeys, read_down
from prepaid.wire.envelope import Envelope
from tests.cloud.conftest import NOON

pytestmark = pytest.mark.processes

CLOUD = "http://cloud.test"


@pytest.fixture
def by(home) -> SignedIn:
    return SignedIn(home.user_id, home.organization_id, "home", "home")


@pytest.fixture
def issue(database, settings, home, by):
    """A token for the gateway of `home`."""

    def issue(*, now=None, gateway_id=home.gateway_id) -> Token:
        with database.system() as session:
            return enrolment.issue_token(session, settings, gateway_id, by=by, now=now or utc_now())

    return issue


@pytest.fixture
def post(web):
    """As the gateway's program posts, to the web program in this process."""

    def post(path, body):
        answer = web.post(path, json=dict(body))
        return checked(CLOUD, answer.status_code, answer.content)

    return post


@pytest.fixture
def enrol(post, home, tmp_path):
    """What `wattwell edge enrol` does in the folder of a machine."""

    def enrol(token, *, machine="one", gateway_no=home.gateway_no, post=post):
        folder = tmp_path / machine
        folder.mkdir(exist_ok=True)
        return edge.enrol(
            folder, token, gateway_no=gateway_no, post=post, cloud_url=CLOUD, https_ca=None
        )

    return enrol


@pytest.fixture
def users(database):
    """Whom the broker is to admit."""

    def users(*, now=None) -> dict[str, str]:
        with database.system() as session:
            return enrolment.broker_users(session, now=now or utc_now())

    return users


@pytest.fixture
def speak(database, home):
    """The gateway says something by its credentials of this number."""

    def speak(number: int) -> None:
        with database.system() as session:
            gateway = uplog.gateway_of(session, home.gateway_no)
            answers.answer(session, gateway, Envelope(credential=number), now=utc_now())

    return speak


def test_a_gateway_is_enrolled_by_a_token_and_gets_all_it_needs(
    issue, enrol, users, settings, home, keys, tmp_path
):
    credentials = enrol(issue())

    assert credentials == files.read(tmp_path / "one")
    assert (credentials.gateway_no, credentials.number) == (home.gateway_no, 1)
    assert (credentials.cloud_url, credentials.brokers) == (CLOUD, ("mqtt://127.0.0.1:1",))
    assert credentials.cloud_keys == (written_key(keys.cloud.public_key()),)
    assert credentials.code_key == code_key(settings.code_secret, gateway_no=home.gateway_no)
    assert credentials.expires_at - credentials.issued_at == timedelta(days=90)
    (kept,) = users().values()
    assert list(users()) == [credentials.user] == [f"{home.gateway_no}.1"]
    assert bcrypt.checkpw(credentials.password.encode(), kept.encode())


def test_neither_token_nor_password_can_be_read_from_the_database(issue, enrol, database, settings):
    token = issue()
    credentials = enrol(token)
    with database.system() as session:
        rows = [
            *session.execute(select(tables.EnrolmentToken)).scalars(),
            *session.execute(select(tables.GatewayCredential)).scalars(),
        ]
    kept = " ".join(str(row.model_dump()) for row in rows)
    assert len(rows) == 2
    for secret in (token.secret, credentials.password):
        assert secret not in kept


def test_the_files_of_a_gateway_are_its_owners_alone(issue, enrol, tmp_path):
    enrol(issue())
    for name in (files.CREDENTIALS, files.KEY):
        assert (tmp_path / "one" / name).stat().st_mode & 0o777 == 0o600


def test_a_token_serves_one_machine(issue, enrol, tmp_path, users):
    token = issue()
    enrol(token)
    with pytest.raises(Refused, match="Another machine was enrolled with this token"):
        enrol(token, machine="other")
    assert files.read(tmp_path / "other") is None
    assert len(users()) == 1


def test_after_a_power_cut_before_anything_was_written_the_same_token_helps_again(
    issue, enrol, post, tmp_path, users
):
    def dies(path, body):
        post(path, body)
        raise KeyboardInterrupt

    token = issue()
    with pytest.raises(KeyboardInterrupt):
        enrol(token, post=dies)
    assert files.read(tmp_path / "one") is None

    again = enrol(token)

    assert again.number == 2
    assert list(users()) == [again.user]  # nobody ever had the first password


def test_a_token_is_good_for_a_day(issue, enrol):
    with pytest.raises(Refused, match="a day has passed"):
        enrol(issue(now=utc_now() - timedelta(hours=24, seconds=1)))
    assert enrol(issue(now=utc_now() - timedelta(hours=23, minutes=59))).number == 1


def test_a_newer_token_ends_the_one_before(issue, enrol):
    first, second = issue(), issue()
    with pytest.raises(Refused, match="a newer one was issued"):
        enrol(first)
    assert enrol(second).number == 1


def test_a_token_that_this_cloud_never_gave_is_refused(enrol, keys):
    with pytest.raises(Refused, match="has given no such token"):
        enrol(Token.new(keys.cloud.public_key()))


def test_another_cloud_cannot_answer(issue, enrol, tmp_path):
    token = replace(issue(), fingerprint="0" * 16)  # as given by a cloud with another key
    with pytest.raises(CannotEnrol, match="not the cloud that gave this token"):
        enrol(token)
    assert files.read(tmp_path / "one") is None


def test_an_answer_that_was_altered_on_the_way_is_not_taken(issue, enrol, post, tmp_path):
    def altered(path, body):
        return post(path, body).replace(b"mqtt://127.0.0.1:1", b"mqtt://127.0.0.2:1")

    with pytest.raises(CannotEnrol):
        enrol(issue(), post=altered)
    assert files.read(tmp_path / "one") is None


def test_a_token_that_was_typed_at_the_wrong_gateway_is_still_good_at_the_right_one(
    issue, enrol, users, tmp_path
):
    enrol(issue(), machine="serving")
    token = issue()

    with pytest.raises(Refused, match="The token is for gateway GW-home, and this is GW-0002"):
        enrol(token, machine="wrong", gateway_no="GW-0002")

    assert files.read(tmp_path / "wrong") is None
    assert list(users()) == ["GW-home.1"]  # the machine that serves goes on
    assert enrol(token, machine="right").number == 2


def test_the_credentials_of_another_gateway_are_not_written(issue, enrol, post, home, tmp_path):
    def for_home(path, body):
        asked = Enrol.by(token, files.own_key(tmp_path / "one"), gateway_no=home.gateway_no)
        return post(path, {**asdict(asked)})

    token = issue()
    with pytest.raises(CannotEnrol):
        enrol(token, gateway_no="GW-0002", post=for_home)
    assert files.read(tmp_path / "one") is None


def test_who_has_not_the_key_that_he_shows_gets_nothing(issue, post, home):
    key = Ed25519PrivateKey.generate()
    asked = asdict(Enrol.by(issue(), key, gateway_no=home.gateway_no))
    other = written_key(Ed25519PrivateKey.generate().public_key())
    with pytest.raises(Refused, match="not signed with the key"):
        post("/api/enrol", {**asked, "public_key": other})


@pytest.mark.parametrize(
    "body",
    [{}, {"secret": 1}, {"secret": "x" * 1000, "public_key": "", "nonce": "", "signature": ""}],
)
def test_a_request_of_another_shape_is_refused(post, body):
    with pytest.raises(Refused, match="not as it should be") as refused:
        post("/api/enrol", body)
    assert refused.value.code == "BadInput"


def test_renewed_credentials_are_good_beside_the_old_until_they_are_used(
    issue, enrol, post, users, speak, tmp_path
):
    first = enrol(issue())
    speak(1)

    second = edge.renew(tmp_path / "one", first, post=post)

    assert list(users()) == [first.user, second.user]
    assert (second.number, second.password != first.password) == (2, True)
    speak(2)
    assert list(users()) == [second.user]


def test_a_renewal_whose_answer_was_lost_is_asked_again(issue, enrol, post, users, speak, tmp_path):
    first = enrol(issue())
    speak(1)
    edge.renew(tmp_path / "one", first, post=post)  # lost
    third = edge.renew(tmp_path / "one", first, post=post)
    assert list(users()) == [first.user, third.user]


def test_credentials_run_out_and_the_gateways_key_gets_others(
    issue, enrol, post, users, speak, tmp_path, database
):
    first = enrol(issue())
    speak(1)
    later = utc_now() + timedelta(days=90, seconds=1)
    assert users(now=later) == {}
    with database.system() as session:
        row = session.execute(select(tables.GatewayCredential)).scalar_one()
        row.expires_at = utc_now() - timedelta(days=1)

    renewed = edge.renew(tmp_path / "one", first, post=post)

    assert list(users()) == [renewed.user]


def test_a_challenge_is_good_for_five_minutes_and_for_one_gateway(
    issue, enrol, database, settings, home, tmp_path
):
    enrol(issue())
    key = files.own_key(tmp_path / "one")
    challenge = enrolment.challenge(settings, home.gateway_no, now=NOON)
    other = enrolment.challenge(settings, "GW-other", now=NOON)

    def renew(challenge: str, *, after: timedelta) -> None:
        asked = Renew.by(home.gateway_no, challenge, key)
        with database.system() as session:
            enrolment.renew(session, settings, asked, now=NOON + after)

    renew(challenge, after=timedelta(minutes=4, seconds=59))
    for wrong, after in (
        (challenge, timedelta(minutes=5)),
        (other, timedelta(0)),
        ("", timedelta(0)),
        ("1.2.3", timedelta(0)),
    ):
        with pytest.raises(StaleChallenge):
            renew(wrong, after=after)


def test_nobody_else_can_renew_a_gateways_credentials(issue, enrol, post, tmp_path):
    first = enrol(issue())
    thief = tmp_path / "thief"
    thief.mkdir()
    for whose in (first, replace(first, gateway_no="GW-none")):
        with pytest.raises(NoMore, match="not signed with the key of an enrolled gateway") as no:
            edge.renew(thief, whose, post=post)
        assert no.value.code == "NotTheGateway"


def test_a_spare_that_is_enrolled_puts_the_first_machine_out(
    issue, enrol, post, users, speak, tmp_path
):
    first = enrol(issue())
    speak(1)
    spare = enrol(issue(), machine="spare")

    assert list(users()) == [spare.user]
    with pytest.raises(NoMore, match="Another machine has been enrolled") as no:
        edge.renew(tmp_path / "one", first, post=post)
    assert no.value.code == "Replaced"


def test_a_revoked_gateway_is_admitted_no_more_and_cannot_renew(
    issue, enrol, post, users, speak, database, home, by, tmp_path
):
    first, token = enrol(issue()), issue()
    speak(1)
    for _ in range(2):
        with database.system() as session:
            enrolment.revoke(session, home.gateway_id, by=by, now=utc_now())

    assert users() == {}
    with pytest.raises(NoMore, match="were revoked") as no:
        edge.renew(tmp_path / "one", first, post=post)
    assert no.value.code == "Revoked"
    with pytest.raises(Refused, match="or the gateway was revoked"):
        enrol(token)
    with database.system() as session:
        gateway = session.get_one(tables.Gateway, home.gateway_id)
        assert gateway.revoked_by == home.user_id
        gateway.heard_at = utc_now()
        assert downlog.claim(session, now=utc_now(), gateway_id=gateway.id) == []

    again = enrol(issue())
    assert list(users()) == [again.user]
    with database.system() as session:
        assert session.get_one(tables.Gateway, home.gateway_id).revoked_at is None


def test_staff_of_another_organization_enrol_and_revoke_nothing_here(
    issue, database, build, home, settings
):
    theirs = build("theirs")
    stranger = SignedIn(theirs.user_id, theirs.organization_id, "theirs", "theirs")
    with database.organization(theirs.organization_id) as session:
        with pytest.raises(scopes.NoSuchGateway):
            enrolment.issue_token(session, settings, home.gateway_id, by=stranger, now=NOON)
        with pytest.raises(scopes.NoSuchGateway):
            enrolment.revoke(session, home.gateway_id, by=stranger, now=NOON)


def test_gateways_are_told_once_that_another_key_is_to_follow_and_keep_it(
    issue, enrol, database, settings, home, tmp_path, keys
):
    enrol(issue())
    folder, old = tmp_path / "one", keys.cloud.public_key()
    new = Ed25519PrivateKey.generate().public_key()
    more = settings.model_copy(update={"further_keys": (new,)})
    with database.system() as session:
        assert (
            signing_keys.announce(session, settings) == 0
        )  # it was given these with its credentials
    with database.system() as session:
        assert signing_keys.announce(session, more) == 1
    with database.system() as session:
        assert signing_keys.announce(session, more) == 0
        row = tables.DownEntry
        last = session.execute(select(row).order_by(row.seq.desc()).limit(1)).scalar_one()
        assert not gateways.one(session, home.organization_id, home.gateway_id, now=NOON).knows_keys
        session.get_one(tables.Gateway, home.gateway_id).down_acked = last.seq
        session.flush()
        assert gateways.one(session, home.organization_id, home.gateway_id, now=NOON).knows_keys
    message = read_down(last.body)
    assert message == CloudKeys(last.seq, (written_key(old), written_key(new)))

    assert files.learn(folder, message).ids == KeySet([old, new]).ids
    kept = files.read(folder)
    assert kept is not None
    assert kept.cloud_keys == message.keys
    assert files.learn(folder, message) is None  # as when the whole log is sent again
    assert files.learn(folder, CloudKeys(last.seq - 1, (written_key(old),))) is None
    with pytest.raises(ValueError, match="without a key"):
        files.learn(folder, CloudKeys(last.seq + 1, ()))


def test_an_old_number_that_is_claimed_ends_nothing(issue, enrol, users, speak, post, tmp_path):
    first = enrol(issue())
    speak(1)
    second = edge.renew(tmp_path / "one", first, post=post)
    speak(2)
    for claimed in (1, 3, 2):
        speak(claimed)
    assert list(users()) == [second.user]


def test_too_many_requests_from_one_address_are_put_off(web, post):
    web.app.state.attempts = Attempts(most=3)
    body = {"gateway_no": "GW-home"}
    for _ in range(3):
        post("/api/gateways/challenge", body)
    with pytest.raises(Unreachable, match=r"Too many requests.*Try again in \d+ seconds"):
        post("/api/gateways/challenge", body)


def test_attempts_are_counted_for_each_address_and_forgotten_after_ten_minutes():
    attempts = Attempts(most=2)
    for address in ("a", "b", "a", "b"):
        attempts.count(address, now=NOON)
    with pytest.raises(Exception, match="in 300 seconds"):
        attempts.count("a", now=NOON + timedelta(minutes=5))
    attempts.count("a", now=NOON + timedelta(minutes=10))


def test_the_answer_is_kept_by_nobody_on_the_way(issue, web, home):
    token = issue()
    asked = Enrol.by(token, Ed25519PrivateKey.generate(), gateway_no=home.gateway_no)
    answer = web.post("/api/enrol", json=asdict(asked))
    assert answer.headers["cache-control"] == "no-store"
    assert open_first_grant(answer.content, token, nonce=asked.nonce).number == 1


def test_settings_without_a_broker_for_gateways_are_refused(settings_file: Path):
    text = settings_file.read_text()
    for wrong in ("[]", '["127.0.0.1:1883"]', '["mqtt://host"]', '["mqtt://host:x"]'):
        settings_file.write_text(text.replace('["mqtt://127.0.0.1:1"]', wrong))
        with pytest.raises(BadSettings, match="brokers"):
            Settings.load(settings_file)

"""The token that is typed, and the cloud's answer to it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from prepaid.enrolment import (
    BadToken,
    Enrol,
    Grant,
    OtherCloud,
    Refusal,
    Renew,
    Token,
    open_first_grant,
    open_grant,
    open_refusal,
    seal_grant,
    seal_refusal,
    written_key,
)
from prepaid.seal import KeySet, NotSigned
from prepaid.wire.message import BadMessage
from tests.prepaid.values import EVENING

CLOUD, OTHER, GATEWAY, THIEF = (
    Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(1, 5)
)
GRANT = Grant(
    gateway_no="GW-0001",
    public_key=written_key(GATEWAY.public_key()),
    brokers=("mqtt://127.0.0.1:1883",),
    broker_ca=None,
    number=1,
    user="GW-0001.1",
    password="p",
    cloud_keys=(written_key(OTHER.public_key()), written_key(CLOUD.public_key())),
    keys_number=0,
    code_key="",
    issued_at=EVENING,
    expires_at=EVENING + timedelta(days=90),
)


def test_a_token_is_seven_groups_of_five_letters_and_digits_without_lookalikes():
    text = Token.new(CLOUD.public_key()).text
    assert [len(group) for group in text.split("-")] == [5] * 7
    assert not set("ILOU") & set(text)


@given(st.randoms(use_true_random=False))
def test_a_token_is_understood_however_it_is_typed(random):
    token = Token.new(CLOUD.public_key())
    typed = token.text.replace("-", random.choice(["", " ", "-"])).lower()
    typed = typed.replace("0", random.choice("0oO")).replace("1", random.choice("1iIlL"))
    assert Token.read(typed) == token


def test_a_slip_of_the_finger_is_found():
    text = Token.new(CLOUD.public_key()).text
    wrong = text[:-1] + ("2" if text[-1] != "2" else "3")
    for typed, what in (
        (wrong, "mistyped"),
        (text[:-1], "34 were given"),
        (text + "A", "36 were given"),
        ("U" + text[1:], "U does not occur"),
        ("", "0 were given"),
    ):
        with pytest.raises(BadToken, match=what):
            Token.read(typed)


def test_two_tokens_of_a_cloud_differ_and_bear_the_same_fingerprint():
    one, other = Token.new(CLOUD.public_key()), Token.new(CLOUD.public_key())
    assert one.secret != other.secret
    assert one.fingerprint == other.fingerprint != Token.new(OTHER.public_key()).fingerprint


def test_who_asks_has_the_private_key():
    token = Token.new(CLOUD.public_key())
    asked = Enrol.by(token, GATEWAY, gateway_no="GW-0001")
    asked.verify()
    for forged in (
        replace(asked, public_key=written_key(THIEF.public_key())),
        replace(asked, nonce="another"),
        replace(asked, gateway_no="GW-0002"),
        replace(asked, secret="0" * 16),
        replace(asked, signature=""),
        replace(asked, public_key="?"),
    ):
        with pytest.raises(NotSigned):
            forged.verify()


def test_a_challenge_is_signed_by_the_gateway_it_was_given_to():
    renew = Renew.by("GW-0001", "c", GATEWAY)
    renew.verify(GRANT.public_key)
    for forged, key in (
        (renew, written_key(THIEF.public_key())),
        (replace(renew, challenge="d"), GRANT.public_key),
        (replace(renew, gateway_no="GW-0002"), GRANT.public_key),
    ):
        with pytest.raises(NotSigned):
            forged.verify(key)


def test_a_grant_is_opened_by_the_token_of_the_cloud_that_gave_it():
    token = Token.new(CLOUD.public_key())
    assert open_first_grant(seal_grant(GRANT, CLOUD, nonce="n"), token, nonce="n") == GRANT


@pytest.mark.parametrize("what", ["another cloud", "another request", "altered", "nonsense"])
def test_what_another_answers_in_its_place_is_not_taken(what: str):
    token = Token.new(CLOUD.public_key())
    answer = {
        "another cloud": seal_grant(GRANT, OTHER, nonce="n"),
        "another request": seal_grant(GRANT, CLOUD, nonce="m"),
        "altered": seal_grant(GRANT, CLOUD, nonce="n").replace(b"127.0.0.1", b"127.0.0.2"),
        "nonsense": b"<html>\n",
    }[what]
    with pytest.raises(OtherCloud):
        open_first_grant(answer, token, nonce="n")


def test_a_later_grant_is_opened_by_the_keys_that_the_gateway_has():
    sealed = seal_grant(GRANT, CLOUD, nonce="n")
    assert open_grant(sealed, KeySet([CLOUD.public_key()]), nonce="n") == GRANT
    with pytest.raises(NotSigned):
        open_grant(sealed, KeySet([OTHER.public_key()]), nonce="n")
    with pytest.raises(BadMessage):
        open_grant(b"nonsense", KeySet([CLOUD.public_key()]), nonce="n")


def test_a_refusal_holds_for_the_very_request_that_it_answers():
    key, keys = Ed25519PrivateKey.generate(), KeySet([CLOUD.public_key()])
    asked = Renew.by("GW-0001", "challenge", key)
    refusal = Refusal("GW-0001", "NotTheGateway", "Enrol it again.")
    proof = seal_refusal(refusal, CLOUD, asked=asked)
    assert open_refusal(proof, keys, asked=asked) == refusal

    # Somebody asked the cloud in our name, without our key, to be refused.
    not_ours = replace(asked, signature=Renew.by("GW-0001", "challenge", OTHER).signature)
    for other in (not_ours, Renew.by("GW-0001", "another", key)):
        with pytest.raises(NotSigned):
            open_refusal(proof, keys, asked=other)
    with pytest.raises(NotSigned):
        open_refusal(seal_refusal(refusal, OTHER, asked=asked), keys, asked=asked)
    of_another = seal_refusal(replace(refusal, gateway_no="GW-0002"), CLOUD, asked=asked)
    with pytest.raises(BadMessage, match="GW-0002 is refused, and GW-0001 had asked"):
        open_refusal(of_another, keys, asked=asked)

"""What the cloud says to one gateway, and nobody else can."""

import base64
from dataclasses import replace
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from prepaid.seal import KeySet, NotSigned, key_id, seal
from prepaid.wire.entry import Cursor, Entry, sign
from prepaid.wire.envelope import Envelope, Halt, pack
from prepaid.wire.message import BadMessage
from tests.prepaid.values import EVENING

LOG = UUID("00000000-0000-0000-0000-0000000000cc")
KEY, NEXT_KEY, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
KEYS = KeySet([KEY.public_key()])
SAID = Envelope((Entry(LOG, 1, "{}", "c2ln"),), Cursor(LOG, 7), nonce="n1", at=EVENING)


def test_a_sealed_envelope_arrives_as_it_was_sent():
    assert KEYS.unseal(seal(SAID, KEY, gateway_no="GW-1"), gateway_no="GW-1") == SAID


def test_the_payload_is_one_line_of_text_and_the_envelope_as_it_was_written():
    line, written = seal(SAID, KEY, gateway_no="GW-1").split(b"\n")
    assert line.startswith(b"wattwell 1 " + key_id(KEY.public_key()).encode() + b" ")
    assert written == pack(SAID)


@pytest.mark.parametrize(
    "other",
    [
        replace(SAID, cursor=Cursor(LOG, 8)),
        replace(SAID, cursor=None),
        replace(SAID, halt=Halt.REPLACED),
        replace(SAID, nonce="n2"),
        replace(SAID, at=EVENING.replace(year=2030)),
        replace(SAID, entries=()),
    ],
)
def test_nothing_in_it_can_be_another_than_was_signed(other: Envelope):
    line = seal(SAID, KEY, gateway_no="GW-1").partition(b"\n")[0]
    with pytest.raises(NotSigned, match="does not verify"):
        KEYS.unseal(line + b"\n" + pack(other), gateway_no="GW-1")


def test_what_is_said_to_one_gateway_says_nothing_to_another():
    with pytest.raises(NotSigned):
        KEYS.unseal(seal(SAID, KEY, gateway_no="GW-1"), gateway_no="GW-10")


def test_another_clouds_key_is_named():
    with pytest.raises(NotSigned, match=key_id(STRANGER.public_key())):
        KEYS.unseal(seal(SAID, STRANGER, gateway_no="GW-1"), gateway_no="GW-1")


def test_while_one_key_follows_another_both_are_good():
    both = KeySet([KEY.public_key(), NEXT_KEY.public_key()])
    entry = Entry(LOG, 1, "{}")
    for key in (KEY, NEXT_KEY):
        assert both.unseal(seal(SAID, key, gateway_no="GW-1"), gateway_no="GW-1") == SAID
        both.verify(sign(entry, key))
    with pytest.raises(NotSigned):
        both.verify(sign(entry, STRANGER))


def test_what_was_signed_and_is_no_envelope_is_told_apart_from_a_forgery():
    signed = KEY.sign(b"wattwell envelope 1\nGW-1\n[]")
    payload = b"wattwell 1 %s %s\n[]" % (
        key_id(KEY.public_key()).encode(),
        base64.b64encode(signed),
    )
    with pytest.raises(BadMessage) as caught:
        KEYS.unseal(payload, gateway_no="GW-1")
    assert not isinstance(caught.value, NotSigned)


def test_without_a_key_nothing_is_verified():
    with pytest.raises(ValueError, match="without a key"):
        KeySet([])


@given(st.binary(max_size=300) | st.binary(max_size=200).map(b"wattwell 1 ".__add__))
def test_bytes_that_nobody_signed_are_refused_in_one_way(payload: bytes):
    with pytest.raises(NotSigned):
        KEYS.unseal(payload, gateway_no="GW-1")

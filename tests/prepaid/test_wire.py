from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from prepaid.money import Money
from prepaid.rating import transfers
from prepaid.resolution import Accepted, Dismissed, Estimated, Exchanged, Restarted
from prepaid.supply import Supply, Why
from prepaid.wire.downlog import (
    CodeVoided,
    Credited,
    Debited,
    Decided,
    Down,
    Lent,
    PointEnded,
    PointSet,
    Recall,
    TapsClosed,
    TariffSet,
    Visit,
    read_down,
    write_down,
)
from prepaid.wire.entry import Cursor, Entry, sign, verify
from prepaid.wire.envelope import Envelope, pack, unpack
from prepaid.wire.message import BadMessage
from prepaid.wire.uplog import (
    Alarm,
    AlarmKind,
    Charged,
    CodeEntered,
    DecisionTaken,
    EmergencyRepaid,
    EmergencyTaken,
    Read,
    Recalled,
    SupplyChanged,
    Up,
    read_up,
    write_up,
)
from tests.prepaid.test_ledger import TOP_UP
from tests.prepaid.values import EVENING, POINT, WATER, flat, open_position, rate, read

LOG = UUID("00000000-0000-0000-0000-0000000000cc")


def test_every_message_arrives_as_it_was_sent():
    tariff, reading = flat("0.56"), read("101.00", after_s=3600)
    position, charges = rate(tariff, open_position(tariff, read("100.00")), reading)
    up: list[Up] = [
        Read(POINT.id, reading),
        Charged(POINT.id, position, transfers(POINT, position, charges)),
        SupplyChanged(POINT.id, EVENING, Supply.OFF, Supply.OFF, Why.NO_CREDIT, EVENING),
        Alarm(POINT.id, EVENING, AlarmKind.SILENT, is_over=False, text="no answer"),
        CodeEntered(POINT.purse, 7, Money.yuan("50.00"), EVENING),
        EmergencyTaken(POINT.purse, EVENING, "at the gateway"),
        EmergencyRepaid(POINT.purse, EVENING),
        Recalled(POINT.purse, 7, (TOP_UP, TOP_UP), debits=(TOP_UP,), points=(POINT.id,)),
        DecisionTaken(LOG, POINT.id, EVENING, "100.00 is less than 101.00, which is charged"),
    ]
    down: list[Down] = [
        PointSet(POINT),
        PointEnded(POINT.id),
        *(
            Decided(LOG, POINT, POINT.meter, decision, reading)
            for decision in (
                Accepted(1),
                Exchanged(reading, reading, 0, Decimal("0.5"), estimate_stands=True),
                Restarted(Decimal(101), Decimal(0), EVENING),
                Estimated(None),
                Dismissed(),
            )
        ),
        TariffSet(WATER),
        Credited(TOP_UP),
        Credited(TOP_UP, 7),
        Visit(POINT.id),
        EmergencyTaken(POINT.purse, EVENING, "customer"),
        TapsClosed(POINT.id, EVENING),
        CodeVoided(POINT.purse, 7),
        Recall({POINT.purse: TOP_UP.id}, taken={POINT.purse: TOP_UP.id}),
        Debited(None, TOP_UP),
        Lent(LOG, POINT.purse, EVENING, "customer"),
    ]
    assert [read_up(write_up(message)) for message in up] == up
    assert [read_down(write_down(message)) for message in down] == down


def test_an_envelope_arrives_as_it_was_sent():
    envelope = Envelope((Entry(LOG, 1, "{}"), Entry(LOG, 2, "{}", "c2ln")), Cursor(LOG, 7))
    assert unpack(pack(envelope)) == envelope


@given(st.binary(max_size=200))
def test_bytes_that_are_no_envelope_are_refused_in_one_way(payload: bytes):
    try:
        unpack(payload)
    except BadMessage:
        return
    assert payload.strip().startswith(b"{")


@pytest.mark.parametrize("body", ["", "{}", '{"kind":"open-sesame"}', '{"kind":"visit","point":1}'])
def test_a_body_that_is_no_message_is_refused(body: str):
    with pytest.raises(BadMessage):
        read_down(body)


def test_a_signed_entry_verifies_and_an_altered_one_does_not():
    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    entry = sign(Entry(LOG, 5, write_down(Credited(TOP_UP))), key)

    verify(entry, key.public_key())

    for forged in (
        replace(entry, seq=6),
        replace(entry, log=POINT.id),
        replace(entry, body=entry.body.replace("5000", "9000")),
        replace(entry, signature=None),
        replace(entry, signature="*"),
        sign(entry, stranger),
    ):
        with pytest.raises(BadMessage, match="not signed"):
            verify(forged, key.public_key())

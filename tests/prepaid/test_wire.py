from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from prepaid import wire
from prepaid.money import Money
from prepaid.rating import transfers
from prepaid.resolution import Accepted, Dismissed, Estimated, Exchanged, Restarted
from prepaid.supply import Supply, Why
from prepaid.wire import AlarmKind, BadMessage, Cursor, Entry, Envelope
from tests.prepaid.test_ledger import TOP_UP
from tests.prepaid.values import EVENING, POINT, WATER, flat, open_position, rate, read

LOG = UUID("00000000-0000-0000-0000-0000000000cc")


def test_every_message_arrives_as_it_was_sent():
    tariff, reading = flat("0.56"), read("101.00", after_s=3600)
    position, charges = rate(tariff, open_position(tariff, read("100.00")), reading)
    up: list[wire.Up] = [
        wire.Read(POINT.id, reading),
        wire.Charged(POINT.id, position, transfers(POINT, position, charges)),
        wire.SupplyChanged(POINT.id, EVENING, Supply.OFF, Supply.OFF, Why.NO_CREDIT, EVENING),
        wire.Alarm(POINT.id, EVENING, AlarmKind.SILENT, is_over=False, text="no answer"),
        wire.CodeEntered(POINT.purse, 7, Money.yuan("50.00"), EVENING),
        wire.EmergencyTaken(POINT.purse, EVENING, "at the gateway"),
        wire.EmergencyRepaid(POINT.purse, EVENING),
        wire.Recalled(POINT.purse, 7, (TOP_UP, TOP_UP), debits=(TOP_UP,), points=(POINT.id,)),
        wire.DecisionTaken(LOG, POINT.id, EVENING, "100.00 is less than 101.00, which is charged"),
    ]
    down: list[wire.Down] = [
        wire.PointSet(POINT),
        wire.PointEnded(POINT.id),
        *(
            wire.Decided(LOG, POINT, POINT.meter, decision, reading)
            for decision in (
                Accepted(1),
                Exchanged(reading, reading, 0, Decimal("0.5"), estimate_stands=True),
                Restarted(Decimal(101), Decimal(0), EVENING),
                Estimated(None),
                Dismissed(),
            )
        ),
        wire.TariffSet(WATER),
        wire.Credited(TOP_UP),
        wire.Credited(TOP_UP, 7),
        wire.Visit(POINT.id),
        wire.EmergencyTaken(POINT.purse, EVENING, "customer"),
        wire.TapsClosed(POINT.id, EVENING),
        wire.CodeVoided(POINT.purse, 7),
        wire.Recall({POINT.purse: TOP_UP.id}, taken={POINT.purse: TOP_UP.id}),
        wire.Debited(None, TOP_UP),
        wire.Lent(LOG, POINT.purse, EVENING, "customer"),
    ]
    assert [wire.read_up(wire.write_up(message)) for message in up] == up
    assert [wire.read_down(wire.write_down(message)) for message in down] == down


def test_an_envelope_arrives_as_it_was_sent():
    envelope = Envelope((Entry(LOG, 1, "{}"), Entry(LOG, 2, "{}", "c2ln")), Cursor(LOG, 7))
    assert wire.unpack(wire.pack(envelope)) == envelope


@given(st.binary(max_size=200))
def test_bytes_that_are_no_envelope_are_refused_in_one_way(payload: bytes):
    try:
        wire.unpack(payload)
    except BadMessage:
        return
    assert payload.strip().startswith(b"{")


@pytest.mark.parametrize("body", ["", "{}", '{"kind":"open-sesame"}', '{"kind":"visit","point":1}'])
def test_a_body_that_is_no_message_is_refused(body: str):
    with pytest.raises(BadMessage):
        wire.read_down(body)


def test_a_signed_entry_verifies_and_an_altered_one_does_not():
    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    entry = wire.sign(Entry(LOG, 5, wire.write_down(wire.Credited(TOP_UP))), key)

    wire.verify(entry, key.public_key())

    for forged in (
        replace(entry, seq=6),
        replace(entry, log=POINT.id),
        replace(entry, body=entry.body.replace("5000", "9000")),
        replace(entry, signature=None),
        replace(entry, signature="*"),
        wire.sign(entry, stranger),
    ):
        with pytest.raises(BadMessage, match="not signed"):
            wire.verify(forged, key.public_key())

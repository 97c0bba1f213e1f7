"""Status words bit by bit."""

import pytest

from protocols.dlt645 import items, items97, status
from protocols.dlt645.relay import Prepayment, RelayState


def said(name, word):
    return [meaning.english for meaning in status.meanings(name, word)]


@pytest.mark.parametrize(
    ("name", "word", "meanings"),
    [
        ("status word 1", 0x4204, ["clock battery low", "ESAM fault", "overdraft"]),
        (
            "status word 2",
            0x0041,
            ["active power of phase A reverse", "reactive power of phase C reverse"],
        ),
        # A log of a concentrator: contact and command open
        ("status word 3", 0x0050, ["contact open", "last command open"]),
        ("status word 3", 0x0000, ["contact closed", "last command close"]),
        # 0001 0010 1000 0100: keep power, sells money, alarm, on battery
        (
            "status word 3",
            0x1284,
            [
                "battery supply",
                "contact closed",
                "last command close",
                "alarm before a trip",
                "prepaid by money",
                "keep power",
            ],
        ),
        ("status word 5", 0x0081, ["voltage loss", "phase break"]),
        ("status word 7", 0x0040, ["demand limit exceeded"]),
        ("meter status", 0x04, ["battery low"]),
        ("grid status", 0x21, ["phase A cut", "phase B over-voltage"]),
        # Sunday is bit 0, and 1 is work
        ("weekly rest word", 0x3E, ["Sunday is a rest day", "Saturday is a rest day"]),
        ("forward active energy total", 0xFFFF, []),
    ],
)
def test_each_bit_of_a_status_word_is_said(name, word, meanings):
    assert said(name, word) == meanings


def test_every_status_word_is_an_item_of_its_edition():
    named = {
        f.name for table in (items.SINGLE, items97.SINGLE) for i in table.values() for f in i.fields
    }
    assert set(status.WORDS) <= named


@pytest.mark.parametrize("raw", [0x0000, 0x0010, 0x0050, 0x1080, 0x0100, 0x0200])
def test_word_3_says_what_the_relay_state_is_read_from(raw):
    state, meant = RelayState.from_word(raw), said("status word 3", raw)

    assert ("contact open" in meant) is state.contact_open
    assert ("last command open" in meant) is state.command_open
    assert ("alarm before a trip" in meant) is state.alarm
    assert ("keep power" in meant) is state.keep_power
    assert ("prepaid by energy" in meant) is (state.prepayment is Prepayment.ENERGY)
    assert ("prepaid by money" in meant) is (state.prepayment is Prepayment.MONEY)

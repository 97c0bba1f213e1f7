"""Both ends against an implementation that is not ours: the PyPI package dlt645 3.2.0, over TCP.

Where it leaves the standard, a test says how, and what our side does then. Its own ways: it keeps
addresses and passwords in the order of the wire ("123456781012" is printed 121078563412 on a
meter), writes rates of baud as decimal digits (only 1200 and 2400 agree with the bit they should
be), and broadcasts the time with the year first.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Thread
from typing import Any

import pytest
from dlt645 import MeterClientService, MeterServerService
from dlt645.model.types.dlt645_type import Demand

from protocols import bcd
from protocols.dlt645 import frame, master, slave
from protocols.exchange import Refused

NOW = datetime.fromisoformat("2026-06-15 18:30:05")
METER, THEIR_WORD_FOR_IT = "121078563412", "123456781012"
THEIR_PASSWORD = "02345678"  # level 2, then the bytes as sent: printed 785634
OURS: dict[str, Any] = {"level": 2, "password": "785634", "operator": "00000007"}
PATIENCE_S = 5

pytestmark = pytest.mark.processes


# Our master, their meter


@pytest.fixture(scope="module")
def their_server() -> Iterator[MeterServerService]:
    """One for all tests: it takes seconds to copy its tables."""
    server = MeterServerService.new_tcp_server("127.0.0.1", 0)
    assert server.start()
    yield server
    server.stop()


@pytest.fixture
def theirs(their_server):
    their_server.set_address(THEIR_WORD_FOR_IT)
    their_server.set_password(THEIR_PASSWORD)
    return their_server


@pytest.fixture
def ask(theirs):
    with socket.create_connection(("127.0.0.1", theirs.server.port), PATIENCE_S) as line:

        def ask(exchange):
            request = next(exchange)
            while True:
                line.sendall(request)
                decoder = frame.Decoder(replies_only=True)
                found: list[frame.Frame] = []
                while not found:
                    data = line.recv(1024)
                    assert data, "the meter hung up"
                    found = decoder.feed(data)
                try:
                    request = exchange.send(found[0])
                except StopIteration as done:
                    return done.value

        yield ask


def test_our_master_reads_their_energies_and_variables(theirs, ask):
    theirs.set_00(0x00010000, 123456.78)
    theirs.set_00(0x00000000, -12.34)  # combined, and fed back
    theirs.set_02(0x02010100, 230.5)
    theirs.set_02(0x02030000, -0.1681)

    assert ask(master.read_energy(METER)) == Decimal("123456.78")
    for di, shown in ((0x00000000, "-12.34"), (0x02010100, "230.5"), (0x02030000, "-0.1681")):
        (value,) = ask(master.read_values(METER, di))
        assert value.value == Decimal(shown)


def test_our_master_reads_their_demand_with_its_time(theirs, ask):
    theirs.set_01(0x01010000, Demand(12.3456, datetime.fromisoformat("2026-06-15 18:30")))

    demand, occurred = ask(master.read_values(METER, 0x01010000))

    assert (demand.value, occurred.value) == (Decimal("12.3456"), "2026-06-15 18:30")


def test_our_master_reads_their_clock_status_and_address(theirs, ask):
    theirs.set_04(0x04000101, "26061501")  # 15 June 2026, a Monday
    theirs.set_04(0x04000102, "183005")
    theirs.set_04(0x04000503, "0050")

    assert ask(master.read_clock(METER)) == NOW
    assert ask(master.read_status(METER)).contact_open
    assert ask(master.read_address()) == METER


def test_our_master_writes_what_their_meter_keeps(theirs, ask):
    pulse_width = bcd.encode(80, size=2)

    ask(master.write(METER, 0x04000105, pulse_width, **OURS))

    (value,) = ask(master.read_values(METER, 0x04000105))
    assert value.value == Decimal(80)


def test_their_meter_refuses_in_words_that_our_master_knows(ask):
    with pytest.raises(Refused) as unknown:
        ask(master.read(METER, 0x0001FF00))
    with pytest.raises(Refused) as wrong:
        ask(master.write(METER, 0x04000105, bytes(2), **(OURS | {"password": "000001"})))

    assert unknown.value.reasons == ("no such data",)
    assert wrong.value.reasons == ("password wrong or not authorised",)


def test_our_master_does_at_their_meter_what_an_installer_does(theirs, ask):
    ask(master.freeze(METER, "99999999"))
    ask(master.change_baud(METER, 2400))
    ask(master.change_password(METER, level=4, old=(2, "785634"), new_password="123456"))
    ask(master.clear_events(METER, **OURS))

    assert theirs.last_freeze_time == bytes.fromhex("99999999")
    assert theirs.baud_rate == 2400
    assert theirs.password_manager.get_password(4) == bytes.fromhex("04563412")


def test_our_master_gives_their_meter_a_new_address(theirs, ask):
    theirs.set_00(0x00010000, 1.29)

    ask(master.write_address("000000112233"))

    assert ask(master.read_address()) == "000000112233"
    assert ask(master.read_energy("000000112233")) == Decimal("1.29")


def test_a_rate_that_they_spell_their_own_way_is_refused_by_name(ask):
    with pytest.raises(Refused) as refused:
        ask(master.change_baud(METER, 9600))
    assert refused.value.reasons == ("baud rate cannot change",)


# Their master, our meter


@pytest.fixture
def ours():
    return slave.MeterState(
        METER,
        passwords={2: "785634", 4: "123456"},
        registers={
            0x00010000: bcd.encode(Decimal("123456.78"), size=4, decimals=2),
            0x00000000: bcd.encode(Decimal("-12.34"), size=4, decimals=2, signed=True),
            0x02010100: bcd.encode(Decimal("230.5"), size=2, decimals=1),
            0x02030000: bcd.encode(Decimal("-0.1681"), size=3, decimals=4, signed=True),
            0x04000105: bcd.encode(80, size=2),
        },
    )


@pytest.fixture(scope="module")
def their_client() -> MeterClientService:
    """One for all tests, as the server; each test connects it to a meter of its own."""
    return MeterClientService.new_tcp_client("127.0.0.1", 1, timeout=PATIENCE_S)


@pytest.fixture
def client(their_client, ours) -> Iterator[MeterClientService]:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = listening.accept()
        with line:
            decoder = frame.Decoder()
            while data := line.recv(1024):
                for heard in decoder.feed(data):
                    reply = slave.answer(ours, heard, NOW)
                    if reply is not None:
                        line.sendall(frame.encode(reply))

    serving = Thread(target=serve, daemon=True)
    serving.start()
    their_client.client.port = listening.getsockname()[1]
    their_client.set_address(THEIR_WORD_FOR_IT)
    assert their_client.connect()
    yield their_client
    their_client.disconnect()
    serving.join(PATIENCE_S)
    listening.close()


def test_their_master_reads_our_energies_and_variables(client):
    assert client.read_00(0x00010000).value == 123456.78
    assert client.read_00(0x00000000).value == -12.34
    assert client.read_02(0x02010100).value == 230.5
    assert client.read_02(0x02030000).value == -0.1681


def test_their_master_reads_our_clock_status_and_address(client, ours):
    ours.contact_open = True

    assert client.read_04(0x04000101).value == "26061501"
    assert client.read_04(0x04000102).value == "183005"
    assert client.read_04(0x04000503).value == "0010"
    assert client.read_address().value == THEIR_WORD_FOR_IT


def test_their_master_writes_what_our_meter_keeps(client, ours):
    client.write_04(0x04000105, "0120", THEIR_PASSWORD)
    assert ours.registers[0x04000105] == bcd.encode(120, size=2)

    client.write_04(0x04000105, "0999", "02000000")  # a wrong password
    assert ours.registers[0x04000105] == bcd.encode(120, size=2)


def test_their_master_is_refused_what_our_meter_does_not_have(client):
    assert client.read_00(0x00020000) is None


def test_their_master_does_at_our_meter_what_an_installer_does(client, ours):
    assert client.freeze(99, 99, 99, 99) is not None
    assert client.change_baud_rate(1200).value == 1200
    assert client.clear_event(THEIR_PASSWORD, "00000007") is not None

    assert ours.frozen == ["99999999"]
    assert ours.baud_feature == 0x04
    assert ours.cleared == [(0x1B, 0xFFFFFFFF)]


def test_their_master_gives_our_meter_a_new_address(client, ours):
    assert client.write_address("332211000000") is not None
    assert ours.address == "000000112233"


def test_a_clear_in_their_own_form_clears_nothing(client, ours):
    """They send an identifier and a password where the standard has a password and an operator."""
    assert client.clear_meter(THEIR_PASSWORD) is None
    assert client.clear_demand(0x01010000, THEIR_PASSWORD) is None
    assert ours.cleared == []


def test_a_password_under_an_identifier_of_their_own_is_not_changed(client, ours):
    """They name 40000C0n where the standard has 04000C01 + n."""
    client.set_password(THEIR_PASSWORD)
    client.change_password(THEIR_PASSWORD, "04111111")
    assert ours.passwords[4] == "123456"


def test_a_broadcast_time_with_the_year_first_sets_no_wrong_clock(client, ours):
    ours.clock_error = timedelta(minutes=2)

    assert client.broadcast_time_sync(NOW)

    # Read as the standard has it, that is second 26 of the 5th minute of another day.
    assert client.read_04(0x04000102).value == "183205"
    assert ours.clock_error == timedelta(minutes=2)

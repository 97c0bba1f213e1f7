"""One exchange at a time, on a line that answers late, twice, with noise or not at all."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from edge.drivers import dlt645 as driver
from edge.lines.bus import Bus, Garbled, NoReply, Unwanted, bus_at
from edge.lines.place import Place, SerialAt
from prepaid.reading import Supply
from protocols.dlt645 import frame, master
from protocols.exchange import Exchange, Refused, Unexpected
from protocols.modbus import frame as modbus_frame
from protocols.modbus import master as modbus
from protocols.modbus.frame import ReplyDecoder
from simulators.clock import SimulatedLoop
from tests.edge.simulated import (
    ELECTRICITY,
    ElectricityMeter,
    ModbusMeter,
    Wire,
    simulated,
)

METER = ELECTRICITY.meter


def line(total: str) -> tuple[Bus, Wire, ElectricityMeter]:
    meter = ElectricityMeter(METER.address, total)
    wire = Wire([meter])
    return Bus("L1", wire, baud=2400, delay_s=0), wire, meter


async def read(bus: Bus) -> Decimal:
    return (await bus.run(lambda: driver.read(METER), driver.decoder)).total


@simulated
async def test_our_own_request_sent_back_by_the_adapter_is_not_taken_for_the_answer():
    bus, wire, _ = line("123.45")
    wire.echoes = True

    assert await read(bus) == Decimal("123.45")
    assert len(wire.requests) == 2


@simulated
async def test_noise_before_an_answer_is_stepped_over():
    bus, wire, _ = line("123.45")
    wire.noise = bytes.fromhex("00ff68a0166868")

    assert await read(bus) == Decimal("123.45")


@simulated
async def test_a_damaged_answer_is_asked_for_again():
    bus, wire, _ = line("123.45")
    wire.delay_s = 2  # too late to be heard: all but the damaged one below
    wire.before_write = lambda: wire.arrive_later(0.1, b"\x68\x72\x00")

    with pytest.raises(NoReply):
        await read(bus)
    wire.before_write = lambda: None
    wire.delay_s = 0.1
    await asyncio.sleep(5)

    assert await read(bus) == Decimal("123.45")


@simulated
async def test_silence_is_believed_after_three_requests():
    bus, wire, _ = line("123.45")
    wire.is_silent = True
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(NoReply, match="L1"):
        await read(bus)

    assert len(wire.requests) == 3
    # Each: 20 bytes × 11 bits / 2400 = 0.092 s, and 0.5 s for the meter to begin
    assert 3 * 0.59 < loop.time() - began < 3 * 0.70


@simulated
async def test_an_answer_that_comes_late_is_not_taken_for_the_next_question():
    bus, wire, meter = line("123.45")
    wire.delay_s = 0.75  # after the wait of 0.59 s, while the question is asked again

    seen = await bus.run(lambda: driver.read(METER), driver.decoder)
    wire.delay_s = 0.05
    meter.show("200.00")

    assert (seen.total, seen.supply) == (Decimal("123.45"), Supply.ON)
    assert await read(bus) == Decimal("200.00")


@simulated
async def test_an_answer_that_came_while_the_loop_was_busy_is_heard():
    bus, wire, _ = line("123.45")
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    wire.delay_s = 0.3

    def a_slow_disk_holds_the_loop() -> None:
        loop.call_later(0.2, loop.block, 2)  # past the wait of 0.59 s

    wire.before_write = a_slow_disk_holds_the_loop

    assert await read(bus) == Decimal("123.45")
    assert len(wire.requests) == 2


@simulated
async def test_the_rest_of_an_answer_whose_beginning_came_while_the_loop_was_busy_is_waited_for():
    bus, wire, _ = line("123.45")
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    answer = frame.encode(frame.Frame(METER.address, 0x91, bytes.fromhex("0000010045230100")))
    wire.is_silent = True

    def answer_in_two_parts() -> None:
        wire.arrive_later(0.3, answer[:9])
        loop.call_later(0.2, loop.block, 0.5)
        wire.arrive_later(0.9, answer[9:])

    wire.before_write = answer_in_two_parts

    assert await bus.run(lambda: master.read_energy(METER.address), driver.decoder) == Decimal(
        "123.45"
    )
    assert len(wire.requests) == 1


@simulated
async def test_what_is_wanted_no_longer_is_not_sent_again():
    bus, wire, _ = line("123.45")
    wire.is_silent = True

    with pytest.raises(Unwanted):
        await bus.run(
            lambda: driver.read(METER), driver.decoder, still=lambda: len(wire.requests) < 2
        )

    assert len(wire.requests) == 2


@simulated
async def test_another_meters_answer_is_not_believed_and_the_question_is_asked_again():
    bus, wire, _ = line("123.45")
    stranger = frame.encode(frame.Frame("000000000001", 0x91, bytes.fromhex("0000010099999900")))

    def interrupt() -> None:
        if len(wire.requests) == 0:
            wire.arrive_later(0.01, stranger)

    wire.before_write = interrupt

    assert await read(bus) == Decimal("123.45")
    assert len(wire.requests) == 3  # energy twice, status once


@simulated
async def test_an_answer_to_another_question_three_times_is_given_up():
    bus, wire, _ = line("123.45")
    wire.is_silent = True
    voltage = frame.encode(frame.Frame(METER.address, 0x91, bytes.fromhex("000101020022")))
    wire.before_write = lambda: wire.arrive_later(0.05, voltage)

    with pytest.raises(Unexpected):
        await read(bus)

    assert len(wire.requests) == 3


@simulated
async def test_a_refusal_is_not_asked_again():
    bus, wire, meter = line("123.45")
    meter.registers.clear()

    with pytest.raises(Refused, match="no such data"):
        await read(bus)

    assert len(wire.requests) == 1


@simulated
async def test_noise_without_end_does_not_hold_the_line():
    bus, wire, _ = line("123.45")
    wire.is_silent = True

    async def babble() -> None:
        while True:
            await asyncio.sleep(0.1)
            wire.arrive(b"\x55")

    babbling = asyncio.create_task(babble())
    async with asyncio.timeout(10):
        with pytest.raises(NoReply):
            await read(bus)
    babbling.cancel()


@simulated
async def test_two_who_ask_at_once_are_served_one_after_the_other():
    bus, wire, _ = line("123.45")

    totals = await asyncio.gather(read(bus), read(bus))

    assert totals == [Decimal("123.45")] * 2
    assert len(wire.requests) == 4


@simulated
async def test_the_line_rests_between_an_answer_and_the_next_request():
    bus, wire, _ = line("123.45")
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    wire.before_write = lambda: sent.append(loop.time())

    await read(bus)

    # 0.05 s until the answer, then 30 ms of rest
    assert sent[1] - sent[0] == pytest.approx(0.08, abs=0.002)


@simulated
async def test_bytes_that_are_no_frame_are_told_from_silence():
    bus, wire, _ = line("123.45")
    wire.is_silent = True
    wire.before_write = lambda: wire.arrive_later(0.05, b"\x00\x55\xff")

    with pytest.raises(Garbled, match="no frame in what line L1 answered"):
        await read(bus)


@simulated
async def test_our_own_echo_alone_is_silence():
    bus, wire, _ = line("123.45")
    wire.is_silent = True
    wire.echoes = True

    with pytest.raises(NoReply) as silence:
        await read(bus)

    assert not isinstance(silence.value, Garbled)


@simulated
async def test_the_decoder_is_told_the_request_that_it_answers():
    bus, wire, _ = line("123.45")
    told: list[bytes] = []

    def decoder(request: bytes) -> frame.Decoder:
        told.append(request)
        return driver.decoder(request)

    await bus.run(lambda: driver.read(METER), decoder)

    assert told == wire.requests


def write_06(address: int) -> bytes:
    """Acknowledged by the same bytes."""
    return next(modbus.write_single_register(1, address=address, value=2))


@simulated
async def test_a_line_that_echoes_is_known_by_an_answer_that_comes_behind_our_own_bytes():
    meter = ModbusMeter("xintai_water_valve")
    wire = Wire([meter])
    bus = Bus("L1", wire, baud=9600, delay_s=0)
    wire.echoes = True

    def ask(exchange: Exchange[Any, Any]) -> Any:
        return bus.run(lambda: exchange, lambda request: ReplyDecoder(request, echoes=False))

    await ask(modbus.read_holding(1, address=1, count=2))
    wire.is_silent = True
    with pytest.raises(NoReply):
        await ask(modbus.write_single_register(1, address=0x1C, value=2))
    wire.is_silent = wire.echoes = False
    # Another adapter: the next answer comes without our own bytes before it.
    await ask(modbus.read_holding(1, address=1, count=2))
    await ask(modbus.write_single_register(1, address=0x1C, value=2))

    assert wire.requests.count(write_06(0x1C)) == 3 + 1


@simulated
async def test_an_echo_that_comes_in_pieces_and_with_the_answer_is_taken_away():
    wire = Wire([])
    bus = Bus("L1", wire, baud=9600, delay_s=0)
    request = write_06(0x1C)

    def echo_in_pieces() -> None:
        wire.arrive(request[:3])
        wire.arrive_later(0.01, request[3:])
        wire.arrive_later(0.05, request)

    read = next(modbus.read_holding(1, address=1, count=1))
    reply = modbus_frame.encode(modbus_frame.Frame(1, 3, b"\x02\x00\x07"))
    wire.before_write = lambda: wire.arrive_later(0.01, read + reply)
    await bus.run(
        lambda: modbus.read_holding(1, address=1, count=1),
        lambda request: ReplyDecoder(request, echoes=False),
    )
    wire.before_write = echo_in_pieces
    began = asyncio.get_running_loop().time()
    await bus.run(
        lambda: modbus.write_single_register(1, address=0x1C, value=2),
        lambda request: ReplyDecoder(request, echoes=False),
    )

    # The gap of 0.03 s, then the second copy after 0.05 s: the first was not believed.
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.08, abs=0.002)


@pytest.mark.parametrize(("baud", "gap_s"), [(9600, 0.03), (1200, 0.03208), (300, 0.12833)])
@simulated
async def test_three_and_a_half_bytes_of_silence_lie_between_two_frames(baud: int, gap_s: float):
    # 3.5 × 11 bits / 1200 = 0.03208 s; above, the transceivers need longer than that
    meter = ElectricityMeter(METER.address, "123.45")
    wire = Wire([meter])
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    wire.before_write = lambda: sent.append(loop.time())

    await read(Bus("L1", wire, baud=baud, delay_s=0))

    assert sent[1] - sent[0] == pytest.approx(wire.delay_s + gap_s, abs=0.0001)


@pytest.mark.parametrize(("wanted_s", "gap_s"), [(0.12, 0.12), (0.0, 0.00401)])
@simulated
async def test_a_line_may_want_another_gap_but_never_less_than_three_and_a_half_bytes(
    wanted_s: float, gap_s: float
):
    # 3.5 × 11 bits / 9600 = 0.00401 s
    wire = Wire([ElectricityMeter(METER.address, "123.45")])
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    wire.before_write = lambda: sent.append(loop.time())
    place = Place(SerialAt("/dev/none", 9600, "8E1"), 0, gap_s=wanted_s)

    await read(bus_at(place, port=wire))

    assert sent[1] - sent[0] == pytest.approx(wire.delay_s + gap_s, abs=0.0001)


@simulated
async def test_where_it_is_said_that_a_line_echoes_not_even_the_first_echo_is_taken_for_an_answer():
    wire = Wire([ModbusMeter("xintai_water_valve")])
    wire.echoes = wire.is_silent = True
    bus = bus_at(Place(SerialAt("/dev/none", 9600, "8E1"), 0, echoes=True), port=wire)

    with pytest.raises(NoReply):
        await bus.run(
            lambda: modbus.write_single_register(1, address=0x1C, value=2),
            lambda request: ReplyDecoder(request, echoes=False),
        )

    assert wire.requests.count(write_06(0x1C)) == 3


@simulated
async def test_all_that_answers_one_request_can_be_heard():
    bus, wire, _ = line("123.45")
    wire.is_silent = True

    def answer() -> None:
        wire.arrive_later(0.10, b"\x01")
        wire.arrive_later(0.25, b"\x02")  # 0.15 s after the first
        wire.arrive_later(0.60, b"\x03")  # too late: 0.35 s after the second

    wire.before_write = answer

    assert await bus.hear(b"?", reply_s=0.2) == b"\x01\x02"
    assert len(wire.requests) == 1


@simulated
async def test_a_line_that_talks_unasked_is_heard_without_a_request():
    bus, wire, _ = line("123.45")
    wire.arrive_later(0.1, b"\x55")

    assert await bus.hear(b"") == b"\x55"


async def read_known(bus: Bus, *, tries: int = 3) -> Decimal:
    seen = await bus.run(lambda: driver.read(METER), driver.decoder, whom="ours", tries=tries)
    return seen.total


async def time_of(asking: Any) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(NoReply):
        await asking
    return loop.time() - began


@simulated
async def test_a_meter_that_has_answered_soon_is_not_waited_for_as_long_as_the_standard_allows():
    bus, wire, _ = line("123.45")
    wire.delay_s = 0.15  # of which 0.0917 s are our own request: 20 bytes × 11 / 2400
    for _ in range(3):
        await read_known(bus)
    wire.is_silent = True

    # The answers began 0.0583 s behind the request: 2 × 0.0583 + 0.03 = 0.1467 s
    assert await time_of(read_known(bus, tries=1)) == pytest.approx(
        0.03 + 0.0917 + 0.1467, abs=0.001
    )
    # and the next time twice as long
    assert await time_of(read_known(bus, tries=1)) == pytest.approx(
        0.03 + 0.0917 + 0.2933, abs=0.001
    )


@simulated
async def test_a_meter_that_is_met_for_the_first_time_is_given_all_that_its_standard_allows():
    bus, wire, _ = line("123.45")
    await read_known(bus)
    wire.is_silent = True

    waited = await time_of(
        bus.run(lambda: driver.read(METER), driver.decoder, whom="new", reply_s=3, tries=1)
    )

    assert waited == pytest.approx(0.03 + 0.0917 + 3, abs=0.001)


@simulated
async def test_what_adapter_and_network_may_add_is_waited_for_however_soon_answers_came():
    meter = ElectricityMeter(METER.address, "123.45")
    wire = Wire([meter])
    bus = Bus("L1", wire, baud=115200, delay_s=1)
    for _ in range(3):
        await read_known(bus)
    wire.is_silent = True

    assert await time_of(read_known(bus, tries=1)) > 1


@simulated
async def test_a_meter_that_is_no_longer_on_the_line_is_forgotten():
    bus, wire, _ = line("123.45")
    for _ in range(3):
        await read_known(bus)
    bus.remember(["another"])
    wire.is_silent = True

    assert bus.metrics().delays == ()
    assert await time_of(read_known(bus, tries=1)) == pytest.approx(0.03 + 0.0917 + 0.5, abs=0.001)


@simulated
async def test_a_meter_that_has_become_slow_is_learned_anew():
    bus, wire, _ = line("123.45")
    for _ in range(10):
        await read_known(bus)
    wire.delay_s = 0.4  # 0.308 s behind the request
    totals = []
    for _ in range(6):
        with suppress(NoReply):
            totals.append(await read_known(bus))
        await asyncio.sleep(1)
    asked = len(wire.requests)

    await read_known(bus)

    assert totals[-1] == Decimal("123.45")
    assert len(wire.requests) == asked + 2  # energy and status, each once


@simulated
async def test_what_an_adapter_echoes_is_not_taken_for_a_quick_meter():
    bus, wire, _ = line("123.45")
    wire.echoes = True
    wire.delay_s = 0.3
    for _ in range(3):
        await read_known(bus)

    ((_, delay_s),) = bus.metrics().delays

    assert delay_s == pytest.approx(0.3 - 0.0917, abs=0.001)


@simulated
async def test_the_metrics_of_a_line_tell_what_it_did():
    bus, wire, _ = line("123.45")
    wire.delay_s = 0.2
    await read_known(bus)
    early = bus.metrics()
    wire.is_silent = True
    await time_of(read_known(bus, tries=2))
    wire.is_silent = False
    await read_known(bus)

    now = bus.metrics()
    later = now.after(early)

    assert (early.requests, early.answers, early.timeouts, early.retries) == (2, 2, 0, 0)
    assert (later.requests, later.answers, later.timeouts, later.retries) == (4, 2, 2, 1)
    assert (now.garbled, now.silent, now.gap_s) == (0, (), 0.03)
    # Bytes at once after 0.2 s, so that their time on the line is in the 0.2 s: 2 × (0.2 + 0.03) s
    assert early.useful_s == pytest.approx(2 * 0.23, abs=0.01)
    assert early.busy_s == pytest.approx(2 * 0.23, abs=0.01)
    assert early.yielding == pytest.approx(1, abs=0.02)
    assert later.yielding < 0.6
    assert later.busy_s == pytest.approx(later.since_s, abs=0.04)


@simulated
async def test_a_line_tells_who_is_silent_and_what_was_garbled_until_an_answer_comes():
    bus, wire, _ = line("123.45")
    wire.is_silent = True
    await time_of(read_known(bus, tries=1))
    wire.before_write = lambda: wire.arrive_later(0.05, b"\x00\x55\xff")
    with pytest.raises(Garbled):
        await read_known(bus, tries=1)
    silent = bus.metrics()
    wire.is_silent, wire.before_write = False, lambda: None
    await read_known(bus)

    assert (silent.silent, silent.garbled, silent.timeouts) == (("ours",), 1, 1)
    assert bus.metrics().silent == ()
    assert "2 answers, 1 time-outs, 1 garbled" in str(bus.metrics())


@simulated
async def test_what_nobody_must_answer_is_no_request_without_an_answer():
    bus, wire, _ = line("123.45")
    wire.is_silent = True

    await bus.hear(b"\x68", reply_s=0.1)  # whoever looks for meters calls where nobody may be
    await bus.tell(lambda: b"\x68")
    listened = bus.metrics()

    assert len(wire.requests) == 2
    assert (listened.requests, listened.timeouts) == (0, 0)
    assert listened.busy_s > 0.1


@simulated
async def test_metrics_of_two_lines_are_not_mixed():
    bus, _, _ = line("123.45")
    other = Bus("L2", Wire([]), baud=2400, delay_s=0)

    with pytest.raises(ValueError, match="L2"):
        bus.metrics().after(other.metrics())


@simulated
async def test_no_request_is_sent_into_an_answer_that_was_given_up():
    bus, wire, _ = line("123.45")
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    wire.is_silent = True

    def begin_to_answer_and_pause_too_long() -> None:
        sent.append(loop.time())
        if len(sent) == 1:
            wire.arrive_later(0.1, b"\x68")  # then silence until 0.6 s, when it is given up
            for late in range(20):
                wire.arrive_later(0.61 + 0.01 * late, b"\x00")  # and it goes on until 0.80 s

    wire.before_write = begin_to_answer_and_pause_too_long
    with pytest.raises(NoReply):
        await read(bus)

    assert 0.80 + 0.03 <= sent[1] < 0.80 + 2 * 0.03 + 0.01  # a gap of 30 ms after the last of it


@simulated
async def test_somebody_who_never_stops_talking_does_not_keep_a_line_for_ever():
    bus, wire, _ = line("123.45")
    loop = asyncio.get_running_loop()
    for late in range(2000):
        wire.arrive_later(0.01 * late, b"\x00")

    assert await read(bus) == Decimal("123.45")

    # 300 bytes × 11 bits / 2400 = 1.375 s at the most, before each of two requests
    assert 1.375 < loop.time() < 2 * 1.375 + 1

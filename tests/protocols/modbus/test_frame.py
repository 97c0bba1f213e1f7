from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu import bit_message as bits
from pymodbus.pdu import register_message as registers

from protocols.modbus import tcp
from protocols.modbus.frame import (
    LONGEST,
    BadFrame,
    Decoder,
    Frame,
    ReplyDecoder,
    crc16,
    decode,
    encode,
    silent_interval_s,
)

units = st.integers(1, 247)
words = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=123)
switches = st.lists(st.booleans(), min_size=8, max_size=400).filter(lambda s: len(s) % 8 == 0)
addresses = st.integers(0, 0xFFFF)


def _reply(unit, values):
    data = bytes([2 * len(values)]) + pack(f">{len(values)}H", *values)
    return Frame(unit, 0x03, data)


def _request(unit, address, count):
    return Frame(unit, 0x03, pack(">HH", address, count))


replies = st.one_of(
    st.builds(_reply, units, words),
    st.builds(
        lambda unit, function, data: Frame(unit, function, data),
        units,
        st.sampled_from([0x05, 0x06, 0x0F, 0x10]),
        st.binary(min_size=4, max_size=4),
    ),
    st.builds(
        lambda unit, function, code: Frame(unit, function | 0x80, bytes([code])),
        units,
        st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16]),
        st.integers(1, 11),
    ),
)
requests = st.one_of(
    st.builds(_request, units, addresses, st.integers(1, 125)),
    st.builds(
        lambda unit, address, values: Frame(
            unit,
            0x10,
            pack(f">HHB{len(values)}H", address, len(values), 2 * len(values), *values),
        ),
        units,
        addresses,
        words,
    ),
)

READ = encode(_request(1, 0x0000, 2))
ANSWER = _reply(1, [0x0001, 0xE240])


def test_the_crc_is_that_of_the_printed_examples():
    assert crc16(bytes.fromhex("01 04 00 00 00 02")) == 0xCB71
    assert encode(Frame(1, 0x04, bytes(3) + b"\2")).hex(" ") == "01 04 00 00 00 02 71 cb"


@given(st.binary(max_size=256))
def test_the_crc_is_that_of_pymodbus(data):
    assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@given(st.one_of(replies, requests))
def test_a_frame_survives_the_line(frame):
    assert decode(encode(frame)) == frame


@given(st.lists(replies, max_size=3), st.lists(st.integers(0, 800)))
@settings(max_examples=50)
def test_replies_are_found_wherever_the_stream_is_cut(sent, cuts):
    stream = b"".join(encode(frame) for frame in sent)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    decoder = Decoder(requests=False)

    found = [f for a, b in pairwise(edges) for f in decoder.feed(stream[a:b])]

    assert found == sent


@given(st.lists(requests, max_size=3), st.lists(st.integers(0, 800)))
@settings(max_examples=50)
def test_requests_are_found_wherever_the_stream_is_cut(sent, cuts):
    stream = b"".join(encode(frame) for frame in sent)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    decoder = Decoder(requests=True)

    found = [f for a, b in pairwise(edges) for f in decoder.feed(stream[a:b])]

    assert found == sent


@given(st.binary(max_size=400), st.integers(1, 50))
def test_a_good_reply_behind_any_noise_is_found(noise, step):
    decoder = ReplyDecoder(READ, echoes=False)
    stream = noise + encode(ANSWER)

    found = [f for at in range(0, len(stream), step) for f in decoder.feed(stream[at : at + step])]

    assert found[-1:] == [ANSWER]


@given(st.binary(max_size=200), replies)
def test_a_good_frame_behind_noise_is_found_without_knowing_the_request(noise, frame):
    found = Decoder(requests=False).feed(noise + encode(frame))

    assert found[-1:] == [frame]


@given(st.binary(max_size=1200), st.integers(1, 300), st.booleans())
def test_no_bytes_make_a_decoder_fail_or_grow(noise, step, is_slave):
    decoders = [
        Decoder(requests=is_slave),
        ReplyDecoder(READ, echoes=is_slave),
        tcp.Decoder(),
    ]
    for decoder in decoders:
        for at in range(0, len(noise), step):
            decoder.feed(noise[at : at + step])
            assert len(decoder._tail) <= LONGEST + 4


def test_two_frames_in_one_chunk_are_both_found():
    other = _reply(2, [7, 8, 9])

    found = Decoder(requests=False).feed(encode(ANSWER) + encode(other))

    assert found == [ANSWER, other]


def test_a_false_start_that_asks_for_many_bytes_does_not_hold_up_the_frame_behind_it():
    # given the head of a reply of 250 bytes, then silence and another reply
    found = Decoder(requests=False).feed(b"\x01\x03\xfa" + encode(ANSWER))

    assert found == [ANSWER]


BROKEN = encode(ANSWER)[:-1] + b"\0"
SECOND = _reply(1, [5])


@pytest.mark.parametrize(
    "before",
    [BROKEN, b"\x01\x03\xfa", b"\x01\x01\x03", b"\x55\x10"],
    ids=["a bad CRC", "a false start", "bytes that shift it", "noise like a function"],
)
def test_a_frame_that_pymodbus_loses_is_found(before):
    stream = before + encode(SECOND)

    _, lost = FramerRTU(DecodePDU(is_server=False)).handleFrame(stream, 1, 0)
    found = Decoder(requests=False).feed(stream)

    assert lost is None
    assert found[-1:] == [SECOND]


def test_a_second_frame_that_pymodbus_drops_with_the_buffer_is_found():
    stream = encode(ANSWER) + encode(SECOND)

    # It says that it used every byte, and gives one reply.
    used, reply = FramerRTU(DecodePDU(is_server=False)).handleFrame(stream, 1, 0)
    found = Decoder(requests=False).feed(stream)

    assert (used, reply.registers) == (len(stream), [0x0001, 0xE240])
    assert found == [ANSWER, SECOND]


def test_the_reply_decoder_lets_no_other_answer_pass():
    decoder = ReplyDecoder(READ, echoes=False)

    other_unit = encode(_reply(2, [1, 2]))
    other_count = encode(_reply(1, [1, 2, 3]))
    other_function = encode(Frame(1, 0x06, b"\0\0\0\2"))

    assert decoder.feed(other_unit + other_count + other_function) == []
    assert decoder.feed(encode(ANSWER)) == [ANSWER]


def test_the_reply_decoder_finds_the_exception():
    refused = Frame(1, 0x83, b"\2")
    assert ReplyDecoder(READ, echoes=False).feed(encode(refused)) == [refused]


@pytest.mark.parametrize("echoes", [False, True])
@pytest.mark.parametrize("step", [1, 5, 300])
def test_the_echo_of_a_read_is_never_taken_for_its_reply(echoes, step):
    # Coils from 0314H on: the request reads like a reply of three bytes to itself.
    request = encode(Frame(1, 0x01, pack(">HH", 0x0314, 20)))
    reply = Frame(1, 0x01, b"\3\xaa\x55\x01")
    decoder = ReplyDecoder(request, echoes=echoes)
    stream = request + encode(reply)

    found = [f for at in range(0, len(stream), step) for f in decoder.feed(stream[at : at + step])]

    assert found == [reply]


def test_on_a_line_that_echoes_the_second_copy_of_a_single_write_is_the_reply():
    request = encode(Frame(1, 0x06, pack(">HH", 0x1C, 2)))
    decoder = ReplyDecoder(request, echoes=True)

    assert decoder.feed(request) == []
    assert decoder.feed(request) == [Frame(1, 0x06, pack(">HH", 0x1C, 2))]


def test_on_a_line_without_echo_the_first_copy_of_a_single_write_is_the_reply():
    request = encode(Frame(1, 0x06, pack(">HH", 0x1C, 2)))
    assert ReplyDecoder(request, echoes=False).feed(request) == [decode(request)]


@pytest.mark.parametrize("echoes", [False, True])
def test_the_echo_of_a_write_of_many_is_not_its_reply(echoes):
    request = encode(Frame(1, 0x10, bytes.fromhex("0057 0002 04 0001 0001")))
    reply = Frame(1, 0x10, bytes.fromhex("0057 0002"))
    assert ReplyDecoder(request, echoes=echoes).feed(request + encode(reply)) == [reply]


def test_a_request_for_more_than_a_frame_holds_has_no_reply():
    with pytest.raises(ValueError, match="no reply holds the 200"):
        ReplyDecoder(encode(_request(1, 0, 200)), echoes=False)


def test_a_frame_inside_another_does_not_swallow_it():
    # A reply of four registers, three of which are, by their CRC, another reply of this unit.
    inner = encode(Frame(1, 0x83, b"\2")) + b"\0"
    outer = Frame(1, 0x03, bytes([8]) + b"\0\0" + inner)
    stream = encode(outer)

    whole = Decoder(requests=False).feed(stream)
    decoder = Decoder(requests=False)
    piecemeal = [f for at in range(len(stream)) for f in decoder.feed(stream[at : at + 1])]

    assert whole == [outer]
    assert piecemeal[-1] == outer


def test_a_silence_ends_what_is_unfinished():
    decoder = Decoder(requests=False)
    decoder.feed(b"\x01\x03\xfa")
    decoder.gap()
    assert decoder._tail == b""


def test_a_device_hears_also_functions_that_it_does_not_serve():
    report = Frame(1, 0x11)
    mask = Frame(1, 0x16, bytes(6))
    exchange = Frame(1, 0x17, pack(">HHHHBH", 0, 1, 0, 1, 2, 9))
    stream = b"".join(encode(frame) for frame in (report, mask, exchange))
    assert Decoder(requests=True).feed(stream) == [report, mask, exchange]


@pytest.mark.parametrize(
    ("baud", "milliseconds"), [(9600, 4.0104), (19200, 2.0052), (38400, 1.75), (115200, 1.75)]
)
def test_the_silence_between_frames_is_three_and_a_half_characters(baud, milliseconds):
    # 3.5 × 11 bits / 9600 = 4.0104 ms; above 19200 always 1.750 ms
    assert silent_interval_s(baud) * 1000 == pytest.approx(milliseconds, abs=1e-4)


@pytest.mark.parametrize(
    ("data", "kind"),
    [("01 03 04", "truncated"), ("01 04 00 00 00 02 71 CC", "bad_crc"), ("00" * 257, "too_long")],
)
def test_bytes_that_are_no_frame_are_refused(data, kind):
    with pytest.raises(BadFrame) as refused:
        decode(bytes.fromhex(data))
    assert refused.value.kind == kind


def test_more_data_than_a_frame_holds_is_not_sent():
    for encoder in (encode, tcp.encode):
        with pytest.raises(ValueError):
            encoder(Frame(1, 0x10, bytes(253)))


pymodbus_requests = st.one_of(
    st.builds(
        registers.ReadHoldingRegistersRequest, dev_id=units, address=addresses, count=st.just(7)
    ),
    st.builds(
        registers.ReadInputRegistersRequest, dev_id=units, address=addresses, count=st.just(9)
    ),
    st.builds(bits.ReadCoilsRequest, dev_id=units, address=addresses, count=st.just(20)),
    st.builds(bits.ReadDiscreteInputsRequest, dev_id=units, address=addresses, count=st.just(3)),
    st.builds(
        registers.WriteSingleRegisterRequest,
        dev_id=units,
        address=addresses,
        registers=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=1),
    ),
    st.builds(
        bits.WriteSingleCoilRequest,
        dev_id=units,
        address=addresses,
        bits=st.lists(st.booleans(), min_size=1, max_size=1),
    ),
    st.builds(
        registers.WriteMultipleRegistersRequest, dev_id=units, address=addresses, registers=words
    ),
    st.builds(bits.WriteMultipleCoilsRequest, dev_id=units, address=addresses, bits=switches),
)
pymodbus_replies = st.one_of(
    st.builds(registers.ReadHoldingRegistersResponse, dev_id=units, registers=words),
    st.builds(bits.ReadCoilsResponse, dev_id=units, bits=switches),
    st.builds(
        ExceptionResponse,
        st.sampled_from([1, 3, 16]),
        exception_code=st.integers(1, 11),
        device_id=units,
    ),
)


@given(pymodbus_requests)
def test_every_request_of_pymodbus_is_found(pdu):
    theirs = FramerRTU(DecodePDU(is_server=True)).buildFrame(pdu)
    assert [encode(f) for f in Decoder(requests=True).feed(theirs)] == [theirs]


@given(pymodbus_replies)
def test_every_reply_of_pymodbus_is_found(pdu):
    theirs = FramerRTU(DecodePDU(is_server=False)).buildFrame(pdu)
    assert [encode(f) for f in Decoder(requests=False).feed(theirs)] == [theirs]


@given(replies)
def test_pymodbus_reads_our_replies(frame):
    sent = encode(frame)
    used, pdu = FramerRTU(DecodePDU(is_server=False)).handleFrame(sent, frame.unit, 0)
    assert used == len(sent)
    assert pdu is not None
    assert pdu.function_code == frame.function
    assert pdu.encode()[:2] == frame.data[:2]


@given(requests, st.integers(1, 0xFFFF))
def test_pymodbus_reads_our_requests_over_tcp(frame, number):
    sent = tcp.encode(Frame(frame.unit, frame.function, frame.data, number))
    framer = FramerSocket(DecodePDU(is_server=True))

    used, pdu = framer.handleFrame(sent, frame.unit, number)

    assert used == len(sent)
    assert framer.buildFrame(pdu) == sent


@given(st.lists(requests, max_size=3), st.lists(st.integers(0, 800)))
@settings(max_examples=50)
def test_frames_over_tcp_are_found_wherever_the_stream_is_cut(frames, cuts):
    sent = [Frame(f.unit, f.function, f.data, n) for n, f in enumerate(frames, start=65000)]
    stream = b"".join(tcp.encode(frame) for frame in sent)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    decoder = tcp.Decoder()

    found = [f for a, b in pairwise(edges) for f in decoder.feed(stream[a:b])]

    assert found == sent
    assert all(tcp.decode(tcp.encode(frame)) == frame for frame in sent)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("0001 0001 0006 01 03", "bad_header"),
        ("0001 0000 0006 01 03", "truncated"),
        ("", "truncated"),
    ],
)
def test_bytes_that_are_no_frame_over_tcp_are_refused(data, kind):
    with pytest.raises(BadFrame) as refused:
        tcp.decode(bytes.fromhex(data))
    assert refused.value.kind == kind


def test_the_search_over_tcp_goes_on_behind_a_false_header():
    frame = Frame(1, 0x03, b"\0\0\0\2", 9)
    assert tcp.Decoder().feed(b"\xff\xff\xff" + tcp.encode(frame)) == [frame]

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.cj188.frame import LONGEST, BadFrame, Decoder, Frame, decode, encode

frames = st.builds(
    Frame,
    type=st.integers(0, 255),
    address=st.text("0123456789", min_size=14, max_size=14),
    control=st.integers(0, 255),
    data=st.binary(max_size=255),
)
READ = Frame(0x10, "78330011223344", 0x01, bytes.fromhex("901F00"))


@given(frames, st.integers(0, 8))
def test_a_frame_survives_the_line(frame, preamble):
    assert decode(encode(frame, preamble)) == frame


@given(st.lists(frames, max_size=3), st.lists(st.integers(0, 900)))
def test_frames_are_found_wherever_the_stream_is_cut(sent, cuts):
    stream = b"".join(encode(frame) for frame in sent)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    decoder = Decoder()

    found = [f for a, b in pairwise(edges) for f in decoder.feed(stream[a:b])]

    assert found == sent


@given(st.binary(max_size=600), frames)
def test_a_good_frame_behind_any_noise_is_found(noise, frame):
    assert Decoder().feed(noise + encode(frame))[-1:] == [frame]


def test_a_false_start_with_a_large_length_does_not_hide_the_frame_behind_it():
    # given a start whose length byte asks for 255 more bytes
    false_start = bytes.fromhex("68 10 01020304050607 81 FF")

    found = Decoder().feed(false_start + encode(READ))

    assert found == [READ]


def test_a_frame_inside_another_does_not_swallow_it():
    # given a reply whose data, as it is on the line, is a frame itself
    inner = encode(READ, preamble=0)
    outer = Frame(0x10, READ.address, 0x81, inner)
    stream = encode(outer)

    whole = Decoder().feed(stream)
    decoder = Decoder()
    piecemeal = [f for at in range(len(stream)) for f in decoder.feed(stream[at : at + 1])]

    assert whole == [outer]
    assert piecemeal == [READ, outer]


def test_a_master_does_not_take_its_own_echo_for_the_reply():
    reply = Frame(0x10, READ.address, 0x81, READ.data)

    found = Decoder(replies_only=True).feed(encode(READ) + encode(reply))

    assert found == [reply]


@given(st.binary(max_size=3 * LONGEST))
def test_a_decoder_holds_no_more_than_the_longest_frame(noise):
    decoder = Decoder()
    decoder.feed(noise)
    assert len(decoder._tail) <= LONGEST


@given(st.binary(max_size=40))
def test_bytes_that_are_no_frame_are_refused_and_nothing_else(data):
    with pytest.raises(BadFrame) as refused:
        decode(data)
    assert refused.value.kind in {"no_start", "checksum", "bad_end", "truncated"}


@pytest.mark.parametrize("address", ["12345", "0123456789012X", "012345678901234"])
def test_an_address_that_is_not_fourteen_digits_is_not_sent(address):
    with pytest.raises(ValueError):
        encode(Frame(0x10, address, 0x01))

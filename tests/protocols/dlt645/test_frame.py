from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.dlt645.frame import LONGEST, BadFrame, Decoder, Frame, decode, encode

frames = st.builds(
    Frame,
    address=st.text("0123456789", min_size=12, max_size=12),
    control=st.integers(0, 255),
    data=st.binary(max_size=255),
)
READ = Frame("012345678901", 0x11, bytes([0, 0, 1, 0]))


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
    false_start = bytes.fromhex("68 010203040506 68 91 FF")

    found = Decoder().feed(false_start + encode(READ))

    assert found == [READ]


def test_a_frame_inside_another_does_not_swallow_it():
    # given a reply whose data, as it is on the line, is a frame itself
    inner = bytes((byte - 0x33) & 0xFF for byte in encode(READ, preamble=0))
    outer = Frame("012345678901", 0x91, inner)
    stream = encode(outer)

    whole = Decoder().feed(stream)
    decoder = Decoder()
    piecemeal = [f for at in range(len(stream)) for f in decoder.feed(stream[at : at + 1])]

    assert whole == [outer]
    assert piecemeal == [READ, outer]


def test_a_master_does_not_take_its_own_echo_for_the_reply():
    reply = Frame(READ.address, 0x91, READ.data)

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
    assert refused.value.kind in {"bad_start", "bad_start2", "bad_checksum", "bad_end", "truncated"}


@pytest.mark.parametrize("address", ["12345", "01234567890X", "0123456789012"])
def test_an_address_that_is_not_twelve_digits_is_not_sent(address):
    with pytest.raises(ValueError):
        encode(Frame(address, 0x11))

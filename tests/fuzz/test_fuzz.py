"""A sample of what `python -m tests.fuzz` runs for long, and the tests of its own measures."""

from __future__ import annotations

import pytest

from protocols.cj188 import frame as cj188
from protocols.dlt645 import frame as dlt645
from protocols.modbus import frame as modbus
from protocols.modbus import tcp
from tests.fuzz.__main__ import seeded
from tests.fuzz.streams import DLT645
from tests.fuzz.targets import TARGETS, Broken, Steps, line_decoder

STREAMS = 500


@pytest.mark.parametrize("name", TARGETS)
def test_no_stream_makes_a_decoder_break_its_promises(name):
    named = TARGETS[name]
    for index in range(STREAMS):
        try:
            named.target(seeded(named, 0, index))
        except Exception as error:
            error.add_note(f"again: python -m tests.fuzz --decoder {name} --seed 0 --only {index}")
            raise


class Forgetful(dlt645.Decoder):
    """Starts anew with every chunk."""

    def feed(self, data):
        self._tail = dlt645.Decoder()._tail
        return super().feed(data)


class Credulous(dlt645.Decoder):
    """Takes every length at its word and believes what comes."""

    def feed(self, data):
        found = [dlt645.Frame("0" * 12, 0x91, bytes(len(data)))] if data[:1] == b"\x68" else []
        return found + super().feed(data)


class Hoarding(dlt645.Decoder):
    def feed(self, data):
        found = super().feed(data)
        self._tail._bytes[:0] = data
        return found


@pytest.mark.parametrize(
    ("decoder", "complaint"),
    [(Forgetful, "was lost"), (Credulous, "is no frame"), (Hoarding, "bytes are kept|no frame")],
)
def test_a_decoder_that_breaks_a_promise_is_caught(decoder, complaint):
    target = line_decoder(DLT645, decoder, lambda frame: dlt645.encode(frame, preamble=0))

    def some_streams() -> None:
        for index in range(STREAMS):
            target(seeded(TARGETS["dlt645"], 0, index))

    with pytest.raises(Broken, match=complaint):
        some_streams()


DECODERS = {
    "dlt645": dlt645.Decoder,
    "cj188": cj188.Decoder,
    "modbus requests": lambda: modbus.Decoder(requests=True),
    "modbus replies": lambda: modbus.Decoder(requests=False),
    "modbus answers": lambda: modbus.ReplyDecoder(
        modbus.encode(modbus.Frame(1, 3, b"\0\0\0\x7d")), echoes=False
    ),
    "modbus tcp": tcp.Decoder,
}
HARD = {
    "starts": b"\x68",
    "starts and ends": b"\x68\x16",
    "reads of many": b"\x01\x03\xfa",
    "long false frames": b"\x68\xaa\xaa\xaa\xaa\xaa\xaa\x68\x91\xff",
    "headers": b"\0\0\0\0\0\xfe",
    "zeros": b"\0",
}


@pytest.mark.parametrize("pattern", HARD.values(), ids=HARD)
@pytest.mark.parametrize("start", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("step", [4, 64])
def test_twice_the_bytes_are_twice_the_work(start, pattern, step):
    def work(size: int) -> int:
        decoder = start()
        line = (pattern * size)[:size]
        with Steps() as steps:
            for at in range(0, size, step):
                decoder.feed(line[at : at + step])
        return steps.taken

    # The first 320 bytes fill what is kept; from there on every chunk costs the same.
    before, once, twice = work(320), work(448), work(576)
    assert twice - once <= 1.1 * (once - before) + 200

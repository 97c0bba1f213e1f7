"""The same promises, with streams that libFuzzer steers by coverage.

    pip install atheris
    python -m tests.fuzz.atheris_decoders -runs=200000

Atheris is not among the dependencies: it has wheels for few versions of Python, and none but for Linux.
Tried with atheris 3.0.0 on Python 3.11, in an environment of its own: this file needs nothing else.
"""

from __future__ import annotations

import sys
from random import Random

import atheris

with atheris.instrument_imports(include=["protocols"]):
    from protocols.cj188 import frame as cj188
    from protocols.dlt645 import frame as dlt645
    from protocols.modbus import frame as modbus
    from protocols.modbus import tcp

from tests.fuzz.streams import CJ188, DLT645, MODBUS_REPLIES, MODBUS_REQUESTS
from tests.fuzz.targets import Broken, check_stream

LINES = (
    (DLT645, dlt645.Decoder, lambda frame: dlt645.encode(frame, preamble=0)),
    (CJ188, cj188.Decoder, lambda frame: cj188.encode(frame, preamble=0)),
    (MODBUS_REQUESTS, lambda: modbus.Decoder(requests=True), modbus.encode),
    (MODBUS_REPLIES, lambda: modbus.Decoder(requests=False), modbus.encode),
)


def one(data: bytes) -> None:
    """The first byte chooses the decoder, the second how the rest is cut."""
    if len(data) < 2:
        return
    line, stream = data[2:], data[0] % (len(LINES) + 1)
    step = data[1] or len(line) or 1
    cut = [line[at : at + step] for at in range(0, len(line), step)]
    if stream == len(LINES):
        decoder = tcp.Decoder()
        for chunk in cut:
            decoder.feed(chunk)
            if len(decoder._tail) > 260:
                raise Broken("too much is kept", line)
        return
    codec, start, encode = LINES[stream]
    check_stream(codec, start, encode, line, placed=(), cuts=([line], cut), random=Random(0))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()

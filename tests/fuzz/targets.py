"""What is tried on a stream, one function for each decoder and for each layer above it.

A target makes its own stream from the `Random` it is given and raises `Broken`, or whatever the code
under test raised and must not, when a promise is not kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from random import Random
from types import FrameType
from typing import Any

from protocols.cj188 import explain as cj188_explain
from protocols.cj188 import frame as cj188
from protocols.cj188 import items as cj188_items
from protocols.cj188 import master as cj188_master
from protocols.cj188 import slave as cj188_slave
from protocols.dlt645 import explain as dlt645_explain
from protocols.dlt645 import frame as dlt645
from protocols.dlt645 import freeze, items, items97, load_record, master97
from protocols.dlt645 import master as dlt645_master
from protocols.dlt645 import slave as dlt645_slave
from protocols.exchange import Exchange, ProtocolError
from protocols.modbus import frame as modbus
from protocols.modbus import master as modbus_master
from protocols.modbus import slave as modbus_slave
from protocols.modbus import tcp
from tests.fuzz.streams import (
    CJ188,
    DLT645,
    MODBUS_REPLIES,
    MODBUS_REQUESTS,
    Codec,
    Span,
    Stream,
    chunks,
    modbus_reply,
    stream,
    with_crc,
)

Target = Callable[[Random], None]
NOW = datetime.fromisoformat("2026-06-15 18:30:05")


class Broken(AssertionError):
    """A promise that was not kept; the stream is in `data`."""

    def __init__(self, what: str, data: bytes) -> None:
        super().__init__(f"{what}; stream {data.hex()}")


# Decoders of a line


def line_decoder(codec: Codec, start: Callable[[], Any], encode: Callable[[Any], bytes]) -> Target:
    """Every promise of a decoder, on the stream whole and on the stream cut."""

    def attempt(random: Random) -> None:
        made = stream(random, codec)
        data = bytes(made.data)
        cuts = ([data], list(chunks(random, made)))
        check_stream(codec, start, encode, data, placed=made.placed, cuts=cuts, random=random)

    return attempt


def check_stream(
    codec: Codec,
    start: Callable[[], Any],
    encode: Callable[[Any], bytes],
    data: bytes,
    *,
    placed: Iterable[Span],
    cuts: Iterable[Sequence[bytes]],
    random: Random,
) -> None:
    """Raises Broken where a decoder does not deliver what it must, or delivers what it must not."""
    spans = codec.spans(data)
    replies_only = getattr(start(), "_replies_only", False)
    wanted = [data[a:b] for a, b in _required(spans, placed)]
    for cut in cuts:
        found = [encode(frame) for frame in _feed(start(), cut, longest=300, random=random)]
        _all_are_frames(found, data, spans)
        if replies_only and any(not _is_reply(one, codec) for one in found):
            raise Broken("a request passed for a reply", data)
        expected = [one for one in wanted if not replies_only or _is_reply(one, codec)]
        _all_are_found(expected, found, data)


def _is_reply(frame: bytes, codec: Codec) -> bool:
    return bool(frame[8 if codec is DLT645 else 9] & 0x80)


def _required(spans: Sequence[Span], placed: Iterable[Span]) -> list[Span]:
    """The frames that must come however the stream is cut: all that touch no other, and those
    that were put in unless one that began before them covers their beginning."""
    intact = set(placed)
    needed = []
    for span in spans:
        others = [o for o in spans if o != span and o[0] < span[1] and span[0] < o[1]]
        begins_in_another = any(o[0] <= span[0] for o in others)
        if not others or (span in intact and not begins_in_another):
            needed.append(span)
    return needed


def _all_are_frames(found: Sequence[bytes], data: bytes, spans: Sequence[Span]) -> None:
    """Each delivered frame is a piece of the stream with a right sum, in the order of their ends."""
    left = iter(sorted(spans, key=lambda span: (span[1], -span[0])))
    for one in found:
        if not any(data[a:b] == one for a, b in left):
            raise Broken(f"{one.hex()} is no frame of the stream", data)


def _all_are_found(wanted: Sequence[bytes], found: Sequence[bytes], data: bytes) -> None:
    left = iter(found)
    for one in wanted:
        if one not in left:
            raise Broken(f"{one.hex()} was lost", data)


def _feed(decoder: Any, cut: Sequence[bytes], *, longest: int, random: Random) -> list[Any]:
    """All frames; checks that the decoder keeps little, and now and then that it does little."""
    found: list[Any] = []
    is_counted = random.random() < 0.01
    for chunk in cut:
        at_hand = len(decoder._tail) + len(chunk)
        if is_counted:
            with Steps() as steps:
                found += decoder.feed(chunk)
            if steps.taken > STEPS_A_BYTE * at_hand + 60:
                raise Broken(f"{steps.taken} steps for {at_hand} bytes", b"".join(cut))
        else:
            found += decoder.feed(chunk)
        if len(decoder._tail) > longest:
            raise Broken(f"{len(decoder._tail)} bytes are kept", b"".join(cut))
    return found


STEPS_A_BYTE = 70
"""Lines of Python for each byte that a call has at hand. A byte may be a start: then its length is
worked out, and once its sum, a line or two for each two of at most 40 bytes (longer ones are one
division). Sums and searches that take one line run over a frame at most."""


class Steps:
    """Counts the lines that run inside `protocols`: work without a clock."""

    def __init__(self) -> None:
        self.taken = 0

    def __enter__(self) -> Steps:
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._step if "protocols" in frame.f_code.co_filename else None

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        self.taken += event == "line"
        return self._step


def reply_decoder(random: Random) -> None:
    """A Modbus master's own: nothing but answers to its request, and each of them."""
    unit, count = random.choice((1, 2, 247)), random.choice((1, 2, 10, 125))
    place = random.choice((b"\0\0", b"\x03\x14", random.randbytes(2)))
    function = random.choice((1, 2, 3, 4, 5, 6, 15, 16))
    is_read = function <= 4
    match function:
        case 15 | 16:
            size = 2 * min(count, 123)
            body = place + bytes([0, size // 2, size]) + random.randbytes(size)
            good = with_crc(bytes([unit, function]) + body[:4])
        case 5 | 6:
            body = place + random.randbytes(2)
            good = with_crc(bytes([unit, function]) + body)
        case _:
            body = place + bytes([0, count])
            size = (count + 7) // 8 if function < 3 else 2 * count
            good = with_crc(bytes([unit, function, size]) + random.randbytes(size))
    request = with_crc(bytes([unit, function]) + body)
    refusal = with_crc(bytes([unit, function | 0x80, 2]))
    answer = random.choice((good, good, refusal))
    echoes = random.random() < 0.5

    made = Stream()
    if echoes:
        made.add(request)
    for _ in range(random.randint(0, 3)):
        other = random.choice((modbus_reply(random), random.randbytes(random.randrange(12))))
        made.add(other[: random.randint(0, len(other))])
    # What was there before may, by its CRC, be an answer too, or hold the place of the echo.
    before = _answers(bytes(made.data), request, len(good), is_read=is_read)
    made.place(answer)
    data = bytes(made.data)
    answers = _answers(data, request, len(good), is_read=is_read)
    for cut in ([data], list(chunks(random, made))):
        decoder = modbus.ReplyDecoder(request, echoes=echoes)
        found = [modbus.encode(f) for f in _feed(decoder, cut, longest=300, random=random)]
        for one in found:
            if one not in answers:
                raise Broken(f"{one.hex()} does not answer {request.hex()}", data)
        is_echo_like = not is_read and request.startswith(answer)
        if not (is_echo_like and echoes and not before) and answer not in found:
            if answer == request and is_read:
                continue  # by chance the reply is the request: a copy of a read is never taken
            raise Broken(f"the answer {answer.hex()} to {request.hex()} was lost", data)


def _answers(data: bytes, request: bytes, size: int, *, is_read: bool) -> list[bytes]:
    """Pieces of the stream that could answer the request, by unit, function, size and CRC."""
    found = []
    for at in range(len(data) - 4):
        if data[at] != request[0]:
            continue
        if data[at + 1] == request[1]:
            piece = data[at : at + size]
            begins = request[:2] + bytes([size - 5]) if is_read else request[:6]
            fits = len(piece) == size and piece.startswith(begins)
        elif data[at + 1] == request[1] | 0x80:
            piece, fits = data[at : at + 5], True
        else:
            continue
        if fits and MODBUS_REPLIES.is_sealed(piece):
            found.append(piece)
    return found


def tcp_decoder(random: Random) -> None:
    """Clean connections give all their frames; dirty ones pieces of the stream, or nothing."""
    made = Stream()
    sent = []
    is_clean = random.random() < 0.5
    for number in range(random.randint(0, 5)):
        if not is_clean and random.random() < 0.4:
            made.add(random.randbytes(random.randrange(20)))
            made.add(bytes(random.choices(b"\0\0\0\1\2\6", k=random.randrange(12))))
        data = random.randbytes(random.choice((0, 1, 4, 30, 252)))
        frame = modbus.Frame(random.randrange(256), random.randrange(256), data, number)
        sent.append(frame)
        made.place(tcp.encode(frame))
    data = bytes(made.data)
    for cut in ([data], list(chunks(random, made))):
        found = _feed(tcp.Decoder(), cut, longest=260, random=random)
        if is_clean and found != sent:
            raise Broken("a frame of a clean connection was lost", data)
        at = 0
        for frame in found:
            piece = tcp.encode(frame)
            at = data.find(piece, at)
            if at < 0:
                raise Broken(f"{piece.hex()} is not in the stream", data)
            at += len(piece)


# Layers above


def dlt645_layers(random: Random) -> None:
    made = stream(random, DLT645)
    data = bytes(made.data)
    edition = random.choice((None, *dlt645_explain.Edition))
    with suppress(dlt645.BadFrame):
        dlt645_explain.explain(data, edition)
    for frame in dlt645.Decoder().feed(data)[:4]:
        dlt645_explain.explain(dlt645.encode(frame), edition)
        _read_items(random, frame.data)
        _answer(random, frame)
        _converse(random.choice(DLT645_EXCHANGES)(), _frames_like(random, frame), data)


def _read_items(random: Random, data: bytes) -> None:
    di = int.from_bytes(data[:4], "little")
    if random.random() < 0.3:
        di = random.choice(KNOWN)
    with suppress(items.NoSuchItem, items.BadValue):
        items.decode_item(di, data[4:])
    with suppress(items.NoSuchItem, items.BadValue):
        items97.decode_item(di & 0xFFFF, data[2:])
    with suppress(items.NoSuchItem, items.BadValue):
        items97.decode_set(random.choice((0x90FF, 0x9FF0, 0xA1FF)), data[2:])
    with suppress(items.BadValue):
        freeze.decode_record(data[4:], mode=random.randrange(256))
    with suppress(items.BadValue):
        load_record.decode_records(b"\xa0\xa0" + data[4:])


KNOWN = [*items.SINGLE, 0x0001FF00, 0x0101FF00, 0x05060101, 0x0501FF01, 0x0504FF01, 0x03300801]


def _answer(random: Random, frame: dlt645.Frame) -> None:
    meter = dlt645_slave.MeterState(
        frame.address if frame.address.isdecimal() else "012345678901",
        passwords={2: "000000", 4: "333333"},
        registers={di: bytes(4) for di in (0x00010000, 0x9010, 0x04001001)},
    )
    request = dlt645.Frame(frame.address, random.choice((frame.control & 0x7F, 0x11)), frame.data)
    reply = dlt645_slave.answer(meter, request, NOW)
    if reply is not None:
        dlt645.encode(reply)


METER = "100123456701"
WORDS: dict[str, Any] = {"level": 2, "password": "000000", "operator": "00000001"}
DLT645_EXCHANGES: list[Callable[[], Exchange[dlt645.Frame, Any]]] = [
    lambda: dlt645_master.read_energy(METER),
    lambda: dlt645_master.read_values(METER, 0x0201FF00),
    lambda: dlt645_master.read_values(METER, 0x0001FF00),
    lambda: dlt645_master.read_freeze(METER, 6, 1),
    lambda: dlt645_master.read_status(METER),
    lambda: dlt645_master.read_clock("AAAAAAAAAAAA"),
    lambda: dlt645_master.read_address(),
    lambda: dlt645_master.read("AAAAAAAAAAAA", 0x03300801),
    lambda: dlt645_master.read_load_record(METER, 0x06000002, blocks=1),
    lambda: dlt645_master.control(METER, dlt645_master.RelayCommand.TRIP, deadline=None, **WORDS),
    lambda: dlt645_master.write(METER, 0x04001001, bytes(4), **WORDS),
    lambda: dlt645_master.change_baud(METER, 9600),
    lambda: dlt645_master.authenticate(METER, 0x070000FF, bytes(24), operator="00000001"),
    lambda: master97.read_energy(METER),
    lambda: master97.read("AAAAAAAAAAAA", 0x901F),
    lambda: master97.read_values(METER, 0x90FF),
    lambda: master97.reread(METER),
    lambda: master97.change_baud(METER, 1200),
]


def _frames_like(random: Random, frame: dlt645.Frame) -> Iterable[dlt645.Frame]:
    """Replies that nearly fit: the right address and function more often than not."""
    while True:
        control = random.choice((0x91, 0x91, 0xB1, 0x92, 0xB2, 0x81, 0xA1, 0xD1, frame.control))
        di = random.choice((b"\0\0\1\0", b"\x01\x08\x30\x03", b"\x03\x05\0\4", b"\x10\x90"))
        sequence = bytes([random.choice((1, 2, 3, 255))])
        data = random.choice((frame.data, di + frame.data, di + bytes(4), di + sequence))
        yield dlt645.Frame(random.choice((METER, METER, frame.address)), control, data[:255])


def _converse(exchange: Exchange[Any, Any], replies: Iterable[Any], data: bytes) -> None:
    """Feeds an exchange until it ends. Only documented errors may come out, and it must end."""
    try:
        next(exchange)
        for reply in islice(replies, 600):
            exchange.send(reply)
    except StopIteration:
        return
    except (ProtocolError, items.NoSuchItem):
        return
    raise Broken("an exchange does not end", data)


def cj188_layers(random: Random) -> None:
    made = stream(random, CJ188)
    data = bytes(made.data)
    quirks = random.choice(((), ("unit_first",), ("time_be", "time_binary")))
    with suppress(cj188.BadFrame):
        cj188_explain.explain(data, quirks)
    for frame in cj188.Decoder().feed(data)[:4]:
        cj188_explain.explain(cj188.encode(frame), quirks)
        meter = cj188_slave.MeterState(
            frame.address, frame.type, registers={0x8105: bytes(15), 0xA016: bytes(5)}
        )
        control = random.choice((frame.control & 0x3F, 0x01, 0x04, 0x15, 0x16))
        request = cj188.Frame(frame.type, frame.address, control, frame.data)
        reply = cj188_slave.answer(meter, request, NOW)
        if reply is not None:
            cj188.encode(reply)
        _converse(random.choice(CJ188_EXCHANGES)(), _readings_like(random, frame), data)


WATER_METER = "78330011223344"
CJ188_EXCHANGES: list[Callable[[], Exchange[cj188.Frame, Any]]] = [
    lambda: cj188_master.read_water(WATER_METER, serial=1),
    lambda: cj188_master.read_address(),
    lambda: cj188_master.write_valve(WATER_METER, cj188_master.ValveCommand.CLOSE, serial=1),
    lambda: cj188_master.write_clock(WATER_METER, NOW, serial=1),
    lambda: cj188_master.read_heat(WATER_METER, serial=1),
    lambda: cj188_master.buy(WATER_METER, Decimal("1.00"), serial=1),
    lambda: cj188_master.in_either_order(
        lambda order: cj188_master.read_water(WATER_METER, high_first=order, serial=1),
        high_first=True,
    ),
]


def _readings_like(random: Random, frame: cj188.Frame) -> Iterable[cj188.Frame]:
    water = cj188_items.encode_water(
        Decimal("1.00"), Decimal(0), NOW, cj188_items.ValveStatus.from_bytes(b"\0\0")
    )
    while True:
        control = random.choice((0x81, 0x81, 0x83, 0x84, 0xC1, 0xC4, frame.control))
        head = random.choice((b"\x90\x1f\1", b"\x1f\x90\1", b"\xa0\x17\1", b"\x81\x05\1", b""))
        body = random.choice(
            (frame.data, water, water[:-1], random.randbytes(19), bytes(15), bytes(43), b"")
        )
        address = random.choice((WATER_METER, WATER_METER, frame.address))
        yield cj188.Frame(0x10, address, control, (head + body)[:255])


def modbus_layers(random: Random) -> None:
    made = stream(random, MODBUS_REQUESTS)
    data = bytes(made.data)
    device = modbus_slave.Registers(1)
    for table in modbus_slave.Table:
        device.tables[table].update(dict.fromkeys(range(20), 0))
    for frame in modbus.Decoder(requests=True).feed(data)[:4]:
        reply = modbus_slave.answer(device, frame)
        if reply is not None:
            modbus.encode(reply)
        exchange = random.choice(MODBUS_EXCHANGES)()
        if random.random() < 0.3:
            exchange = tcp.over_tcp(exchange, 0)
        _converse(exchange, _replies_like(random, frame), data)


MODBUS_EXCHANGES: list[Callable[[], Exchange[modbus.Frame, Any]]] = [
    lambda: modbus_master.read_holding(1, address=0, count=2),
    lambda: modbus_master.read_coils(1, address=0, count=9),
    lambda: modbus_master.write_single_register(1, address=0, value=9),
    lambda: modbus_master.write_registers(1, address=0, values=[1, 2]),
    lambda: modbus_master.write_coils(1, address=0, values=[True, False]),
]


def _replies_like(random: Random, frame: modbus.Frame) -> Iterable[modbus.Frame]:
    while True:
        function = random.choice((3, 1, 6, 16, 15, 0x83, 0x90, frame.function))
        data = random.choice((b"\4\0\0\0\0", b"\2\0\0", b"\0\0\0\2", frame.data, b"", b"\6"))
        yield modbus.Frame(random.choice((1, 1, frame.unit)), function, data, random.choice((0, 1)))


@dataclass(frozen=True, slots=True)
class Named:
    name: str
    target: Target
    is_decoder: bool


TARGETS = {
    named.name: named
    for named in (
        Named(
            "dlt645",
            line_decoder(DLT645, dlt645.Decoder, lambda f: dlt645.encode(f, preamble=0)),
            True,
        ),
        Named(
            "dlt645-replies",
            line_decoder(
                DLT645,
                lambda: dlt645.Decoder(replies_only=True),
                lambda f: dlt645.encode(f, preamble=0),
            ),
            True,
        ),
        Named(
            "cj188",
            line_decoder(CJ188, cj188.Decoder, lambda f: cj188.encode(f, preamble=0)),
            True,
        ),
        Named(
            "cj188-replies",
            line_decoder(
                CJ188,
                lambda: cj188.Decoder(replies_only=True),
                lambda f: cj188.encode(f, preamble=0),
            ),
            True,
        ),
        Named(
            "modbus-requests",
            line_decoder(MODBUS_REQUESTS, lambda: modbus.Decoder(requests=True), modbus.encode),
            True,
        ),
        Named(
            "modbus-replies",
            line_decoder(MODBUS_REPLIES, lambda: modbus.Decoder(requests=False), modbus.encode),
            True,
        ),
        Named("modbus-answers", reply_decoder, True),
        Named("modbus-tcp", tcp_decoder, True),
        Named("dlt645-layers", dlt645_layers, False),
        Named("cj188-layers", cj188_layers, False),
        Named("modbus-layers", modbus_layers, False),
    )
}

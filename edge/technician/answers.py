"""What `wattwell frame decode` answers: one JSON object for the bytes of one or more frames."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from edge.technician import modbus_frames
from edge.technician.modbus_frames import Registers, Way
from protocols.cj188 import explain as cj188
from protocols.cj188 import frame as cj188_frame
from protocols.delimited import PREAMBLE, START
from protocols.dlt645 import explain as dlt645
from protocols.dlt645 import frame as dlt645_frame
from protocols.exchange import FrameDecoder
from protocols.modbus import frame as modbus_frame


class Protocol(StrEnum):
    """As they are named on the command line."""

    DLT645_2007 = "dlt645-2007"
    DLT645_1997 = "dlt645-1997"
    CJT188 = "cjt188"
    MODBUS_RTU = "modbus-rtu"


EDITIONS = {
    Protocol.DLT645_2007: dlt645.Edition.Y2007,
    Protocol.DLT645_1997: dlt645.Edition.Y1997,
}


OF_EDITION = {
    "1997": Protocol.DLT645_1997,
    "2007": Protocol.DLT645_2007,
    "2004": Protocol.CJT188,
    "2018": Protocol.CJT188,
    "vendor": Protocol.CJT188,
    "any": Protocol.CJT188,
}
"""As the collections of test frames name them; only that of CJ/T 188 has the last two."""


@dataclass(frozen=True, slots=True)
class How:
    """What is known of the bytes. quirks are for CJ/T 188; told and registers for Modbus; is_stream
    asks for `frames` of DL/T 645 even where there is only one. Where the protocol is not told but only
    supposed, the edition of a line decides."""

    protocol: Protocol
    is_told: bool = True
    is_stream: bool = False
    quirks: tuple[str, ...] = ()
    told: Way | None = None
    registers: Registers | None = None


class NoFrame(ValueError):
    """The bytes are no frame. `kind` says why, as in the collections of test frames; `detail`, where
    there is one, goes on after it."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind + detail)
        self.kind = kind
        self.detail = detail


def read_hex(text: str) -> bytes:
    """The bytes in hexadecimal text; blanks, colons, commas, hyphens and 0x may lie between.

    Raises NoFrame, of kind odd_hex, where it is not that.
    """
    for between in ("0x", "0X", ":", ",", "-"):
        text = text.replace(between, " ")
    try:
        return bytes.fromhex("".join(text.split()))
    except ValueError:
        raise NoFrame("odd_hex") from None


def answer(data: bytes, how: How) -> dict[str, object]:
    """The object for these bytes: of one frame its fields; of several, `frames` in order.

    DL/T 645 gives the frames of a stream as hexadecimal text without preamble, CJ/T 188 and Modbus
    as objects. Raises NoFrame.
    """
    try:
        match how.protocol:
            case Protocol.CJT188:
                return cj188.explain(data, how.quirks)
            case Protocol.MODBUS_RTU:
                return _modbus(data, how)
            case _:
                return _dlt645(data, EDITIONS[how.protocol], how.is_stream)
    except (dlt645_frame.BadFrame, cj188_frame.BadFrame, modbus_frame.BadFrame) as error:
        raise NoFrame(error.kind, _detail(data, error.kind)) from error


def _detail(data: bytes, kind: str) -> str:
    """What a wrong checksum would have to be."""
    if kind == "bad_crc":
        return f": {data[-2:].hex(' ').upper()} is sent, {_crc(data[:-2])} would be right"
    if kind not in ("checksum", "bad_checksum"):
        return ""
    body = data[max(0, data.find(START)) :]
    length_at, shortest = (
        (9, dlt645_frame.SHORTEST) if kind == "bad_checksum" else (10, cj188_frame.SHORTEST)
    )
    end = shortest + body[length_at] - 2
    return f": {body[end]:02X} is sent, {sum(body[:end]) & 0xFF:02X} would be right"


def _crc(body: bytes) -> str:
    return modbus_frame.crc16(body).to_bytes(2, "little").hex(" ").upper()


def _dlt645(data: bytes, edition: dlt645.Edition, is_stream: bool) -> dict[str, object]:
    found = dlt645_frame.Decoder().feed(data)
    sent = [dlt645_frame.encode(frame, preamble=0) for frame in found]
    is_one = bool(found) and data.lstrip(bytes([PREAMBLE])) == sent[0]
    if not found or (is_one and not is_stream):
        return dlt645.explain(data, edition)
    return {"frames": [one.hex().upper() for one in sent]}


def _modbus(data: bytes, how: How) -> dict[str, object]:
    try:
        frame = modbus_frame.decode(data)
    except modbus_frame.BadFrame:
        found = [frame for frame, _ in modbus_frames.split(data) if frame is not None]
        if not found:
            raise
        return {
            "frames": [modbus_frames.explain(frame, how.told, how.registers) for frame in found]
        }
    return modbus_frames.explain(frame, how.told, how.registers)


def answer_lines(lines: Iterable[str], how: How) -> Iterator[dict[str, object]]:
    """For each line of JSON that has `id` and `hex`, its answer with the id, or its error.

    `edition` and `quirks` of the line win over those of `how`, `kind` says whether it is a stream;
    `dir` tells requests from replies of Modbus. A line that cannot be read has the error bad_line, and
    its number as id; so has one without edition where nothing else says the protocol.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            text, quirks = given["hex"], tuple(given.get("quirks", ()))
            if not isinstance(text, str):
                raise TypeError(text)
        except (ValueError, KeyError, TypeError, AttributeError):
            yield {"id": number, "error": "bad_line"}
            continue
        name = {"id": given.get("id", number)}
        if not how.is_told and str(given.get("edition")) not in OF_EDITION:
            yield name | {"error": "bad_line"}
            continue
        try:
            yield name | answer(read_hex(text), _of_line(how, given, quirks))
        except NoFrame as error:
            yield name | {"error": error.kind}


def _of_line(how: How, given: dict[str, object], quirks: Collection[str]) -> How:
    protocol = how.protocol
    named = OF_EDITION.get(str(given.get("edition")))
    if named is not None and (not how.is_told or {named, protocol} <= set(EDITIONS)):
        protocol = named
    told = {"request": Way.REQUEST, "response": Way.REPLY}.get(str(given.get("dir")), how.told)
    return replace(
        how,
        protocol=protocol,
        is_stream=how.is_stream or given.get("kind") == "stream",
        quirks=tuple(quirks) or how.quirks,
        told=told,
    )


F = TypeVar("F", dlt645_frame.Frame, cj188_frame.Frame)


def split(data: bytes, decoder: FrameDecoder[F], shortest: int) -> list[tuple[F | None, bytes]]:
    """Frames with their preambles, and what lies between them, in order."""
    pieces: list[tuple[F | None, bytes]] = []
    before = 0
    for at in range(len(data)):
        for frame in decoder.feed(data[at : at + 1]):
            end = at + 1
            start = end - shortest - len(frame.data)
            start = before + len(data[before:start].rstrip(b"\xfe"))
            if start > before:
                pieces.append((None, data[before:start]))
            pieces.append((frame, data[start:end]))
            before = end
    if before < len(data):
        pieces.append((None, data[before:]))
    return pieces


def split_dlt645(data: bytes) -> list[tuple[dlt645_frame.Frame | None, bytes]]:
    return split(data, dlt645_frame.Decoder(), dlt645_frame.SHORTEST)


def split_cj188(data: bytes) -> list[tuple[cj188_frame.Frame | None, bytes]]:
    return split(data, cj188_frame.Decoder(), cj188_frame.SHORTEST)

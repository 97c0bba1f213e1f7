"""A part of a frame: some of its bytes, what they are called, what they say."""

from __future__ import annotations

from dataclasses import dataclass

from edge.technician.both import Both


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes as sent, what they are in English and Chinese, and what they say, line by line."""

    data: bytes
    name: str
    chinese: str
    meaning: tuple[Both, ...]


def preamble(sent: bytes, body: bytes) -> Part:
    data = sent[: len(sent) - len(body)]
    said = Both(f"{len(data)} × FE, wakes the receiver", f"{len(data)} × FE，唤醒接收方")
    return Part(data, "preamble", "前导字节", (said,))


def tail(body: bytes) -> list[Part]:
    right = Both("right: the sum of all bytes from the first 68", "正确：自首个 68 起各字节之和")
    return [
        Part(body[-2:-1], "checksum CS", "校验码", (right,)),
        Part(body[-1:], "end", "结束符", ()),
    ]


def count_of(data: bytes) -> Both:
    english = "1 byte" if len(data) == 1 else f"{len(data)} bytes"
    return Both(english, f"{len(data)} 字节")

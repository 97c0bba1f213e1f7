"""A part of a frame: some of its bytes, what they are called, what they say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes as sent, what they are in English and Chinese, and what they say."""

    data: bytes
    name: str
    chinese: str
    meaning: str


def preamble(sent: bytes, body: bytes) -> Part:
    data = sent[: len(sent) - len(body)]
    return Part(data, "preamble", "前导字节", f"{len(data)} × FE, wakes the receiver")


def tail(body: bytes) -> list[Part]:
    return [
        Part(body[-2:-1], "checksum CS", "校验码", "right: the sum of all bytes from the first 68"),
        Part(body[-1:], "end", "结束符", ""),
    ]


def count_of(data: bytes) -> str:
    return "1 byte" if len(data) == 1 else f"{len(data)} bytes"

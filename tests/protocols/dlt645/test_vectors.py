"""Every collected DL/T 645 frame, captured, printed or made up, says what its line expects."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocols.dlt645 import explain, frame

LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "vectors" / "dlt645.jsonl").read_text().splitlines()
]


def lines(wanted: str) -> pytest.MarkDecorator:
    """The lines of one kind: frame, refused or stream."""
    chosen = [line for line in LINES if kind(line) == wanted]
    assert chosen
    return pytest.mark.parametrize("line", chosen, ids=[line["id"] for line in chosen])


def kind(line: dict[str, Any]) -> str:
    if "expect_error" in line:
        return "refused"
    return "stream" if line.get("kind") == "stream" else "frame"


@lines("frame")
def test_a_frame_is_explained(line):
    explained = explain.explain(bytes.fromhex(line["hex"]), explain.Edition(line["edition"]))
    assert explained == line["expect"]


@lines("frame")
def test_a_frame_is_encoded_again_as_it_was(line):
    data = bytes.fromhex(line["hex"])
    assert frame.encode(frame.decode(data), preamble=line["expect"]["preamble"]) == data


@lines("frame")
def test_a_frame_is_found_byte_by_byte(line):
    decoder = frame.Decoder()
    found = [f for byte in bytes.fromhex(line["hex"]) for f in decoder.feed(bytes([byte]))]
    assert found == [frame.decode(bytes.fromhex(line["hex"]))]


@lines("refused")
def test_a_bad_frame_is_refused_with_its_reason(line):
    with pytest.raises(frame.BadFrame) as refused:
        frame.decode(bytes.fromhex(line["hex"]))
    assert refused.value.kind == line["expect_error"]


@lines("refused")
def test_a_bad_frame_is_not_delivered(line):
    assert frame.Decoder().feed(bytes.fromhex(line["hex"])) == []


@lines("stream")
def test_the_frames_of_a_stream_are_found_in_order(line):
    found = frame.Decoder().feed(bytes.fromhex(line["hex"]))
    assert [frame.encode(f, preamble=0).hex().upper() for f in found] == line["expect"]["frames"]

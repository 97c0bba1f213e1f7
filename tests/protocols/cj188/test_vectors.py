"""Every collected CJ/T 188 frame, captured, printed or made up, says what its line expects."""

import json
from pathlib import Path

import pytest

from protocols.cj188 import explain, frame, quirks

LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "vectors" / "cjt188.jsonl").read_text().splitlines()
]
GOOD = [line for line in LINES if "expect" in line]
REFUSED = [line for line in LINES if "expect_error" in line]


def ids(lines):
    return [line["id"] for line in lines]


@pytest.mark.parametrize("line", GOOD, ids=ids(GOOD))
def test_a_frame_is_explained(line):
    explained = explain.explain(bytes.fromhex(line["hex"]), line.get("quirks", ()))
    assert explained == line["expect"]


@pytest.mark.parametrize("line", GOOD, ids=ids(GOOD))
def test_a_frame_is_found_byte_by_byte(line):
    data = bytes.fromhex(line["hex"])
    decoder = frame.Decoder()
    found = [f for byte in data for f in decoder.feed(bytes([byte]))]
    assert found == frame.Decoder().feed(data)
    assert found


@pytest.mark.parametrize("line", GOOD, ids=ids(GOOD))
def test_a_frame_is_encoded_again_as_it_was(line):
    data = bytes.fromhex(line["hex"])
    for found in frame.Decoder().feed(data):
        assert frame.encode(found, preamble=0) in data


@pytest.mark.parametrize("line", REFUSED, ids=ids(REFUSED))
def test_bytes_without_a_frame_are_refused_with_their_reason(line):
    allowed = {line["expect_error"]["kind"], *line["expect_error"]["also_ok"]}
    try:
        data = bytes.fromhex(line["hex"])
    except ValueError:
        assert "odd_hex" in allowed  # not bytes at all: nothing for a codec to see
        return
    with pytest.raises(frame.BadFrame) as refused:
        explain.explain(data)
    assert refused.value.kind in allowed


def test_every_quirk_that_a_model_has_is_explained_and_seen_in_a_frame():
    described = {quirk for line in LINES for quirk in line.get("quirks", ())}
    assert set(quirks.EFFECTS) == set(quirks.Quirk)
    assert {quirk.value for quirk in quirks.Quirk} <= described


def test_a_frame_is_read_by_its_model():
    (line,) = (line for line in LINES if line["id"] == "ad1-binary-time")
    explained = explain.explain(bytes.fromhex(line["hex"]), quirks.names("sdqr-energy-node"))
    assert explained["data"]["time"] == "2017-11-23T12:15:10"

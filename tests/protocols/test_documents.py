"""The frames that the documents show are frames, and mean what stands beside them."""

import re
from pathlib import Path

import pytest

from protocols.cj188 import frame as cj188
from protocols.cj188 import items as cj188_items
from protocols.dlt645 import frame as dlt645

DOCUMENTS = Path(__file__).parents[2] / "docs" / "protocols"
WHOLE = re.compile(r"(?:FE )*68(?: [0-9A-F]{2})+ 16(?=  |$|`)", re.MULTILINE)


def shown(name: str) -> list[bytes]:
    """Every frame that is written out whole: hexadecimal, from 68 to 16, spaces alone between."""
    return [bytes.fromhex(found) for found in WHOLE.findall((DOCUMENTS / name).read_text())]


@pytest.mark.parametrize("hexadecimal", [data.hex(" ") for data in shown("dlt645.md")])
def test_a_frame_in_the_document_of_dlt645_is_one(hexadecimal):
    assert len(dlt645.Decoder().feed(bytes.fromhex(hexadecimal))) == 1


@pytest.mark.parametrize("hexadecimal", [data.hex(" ") for data in shown("cjt188.md")])
def test_a_frame_in_the_document_of_cjt188_is_one(hexadecimal):
    assert len(cj188.Decoder().feed(bytes.fromhex(hexadecimal))) == 1


def test_the_documents_show_frames():
    assert len(shown("dlt645.md")) >= 6
    assert len(shown("cjt188.md")) >= 2


def test_the_heat_reading_in_the_document_says_what_stands_beside_it():
    text = (DOCUMENTS / "cjt188.md").read_text()
    lines = text[text.index("11 74 02 00 05") :].split("```")[0].splitlines()
    data = b"".join(bytes.fromhex(re.match(r"[ 0-9A-F]+?(?=   )", line)[0]) for line in lines)

    reading = cj188_items.decode_heat(data)

    for value in (reading.energy.value, reading.volume.value, reading.supply_temperature):
        assert f" {value} " in text
    assert f"{reading.clock} ".strip() in text

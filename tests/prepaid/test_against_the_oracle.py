"""The rating is the same as the oracle's, which was written from the description of the document alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.prepaid import oracle

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "tariffs").glob("*.json"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_oracle_answers_every_collected_case(path: Path):
    case = json.loads(path.read_text())

    bill, charges = oracle.rate(
        case["tariff"],
        case["usage"],
        persons=case.get("persons"),
        households=case.get("households", 1),
    )

    assert bill == case["expect"]
    assert len(charges) == len(case["usage"]) - 1

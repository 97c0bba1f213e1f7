"""The world finds bugs that are planted in it. All of them: make mutants."""

from __future__ import annotations

import pytest

from simulators.world.mutants import MUTANTS, ROOT, SAMPLE, UNFORESEEN, catch


def test_each_planted_bug_replaces_a_text_that_stands_once_in_the_tree():
    counts = {mutant.name: (ROOT / mutant.file).read_text().count(mutant.old) for mutant in MUTANTS}

    assert len(MUTANTS) == len(counts) >= 20
    assert set(counts.values()) == {1}, counts
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_bug_is_found_by_its_seed(worlds: list[str], name: str):
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)

    caught = catch(mutant, worlds, seeds=0, days=3)

    assert caught.seed == mutant.seed, f"{name} survives"
    assert caught.invariant != UNFORESEEN

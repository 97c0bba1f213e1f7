"""The world finds bugs that are planted in it. All of them: make mutants."""

from __future__ import annotations

import pytest

from simulators.world.mutants import MUTANTS, ROOT, SAMPLE, catch
from tests.world.test_world import databases
from wattwell.postgres import Postgres


def test_each_planted_bug_replaces_a_text_that_stands_once_in_the_tree():
    counts = {mutant.name: (ROOT / mutant.file).read_text().count(mutant.old) for mutant in MUTANTS}

    assert len(MUTANTS) == len(counts) >= 20
    assert set(counts.values()) == {1}, counts
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_bug_is_found_within_a_few_seeds(postgres: Postgres, name: str):
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    with databases(postgres, 1) as urls:
        caught = catch(mutant, urls, seeds=5, days=1)

    assert caught.seed is not None, f"{name} survives"

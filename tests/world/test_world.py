"""The world of gateways and cloud under weather, as a program: simulators.world. Its seeds are in test_seeds_…"""

from __future__ import annotations

import pickle
from contextlib import closing

import pytest

from cloud.db import Database
from simulators.world import campaign
from simulators.world.broken import Broken
from simulators.world.forecast import plan
from simulators.world.story import tell
from tests.world.playing import DAYS, quietly

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def test_a_campaign_plays_its_seeds_on_processes_of_its_own(world: str):
    told: list[int] = []

    failed = campaign.run((7009, 7010), [world], days=1, on_told=lambda one: told.append(one.seed))

    assert failed is None
    assert sorted(told) == [7009, 7010]


def test_a_seed_tells_the_same_story_each_time(worlds: list[str]):
    with quietly():
        with closing(Database(worlds[0], connections=3)) as database:
            first, other = tell(7007, database, days=1), tell(7008, database, days=1)
        with closing(Database(worlds[1], connections=3)) as database:
            again = tell(7007, database, days=1)

    assert first.broken is None
    assert first.counts["visits"] > 0
    assert (first.digest, first.counts) == (again.digest, again.counts)
    assert other.digest != first.digest


def test_the_weather_of_many_seeds_is_of_every_kind():
    seen = {happening.what.value for seed in range(100) for happening in plan(seed, DAYS).weather}

    assert {"power-cut", "cut-at-commit", "disk-full", "clock", "old-copy", "spare"} <= seen
    assert any(len(estate.points) > 5 for seed in range(100) for estate in plan(seed, 1).estates)


def test_a_seed_that_fails_is_told_in_one_line_that_plays_it_again():
    told = campaign.Told(1234, Broken("charges", "a fen is missing"), "", {}, 1.0)

    told = pickle.loads(pickle.dumps(told))  # as it comes from another process
    assert campaign.line(told) == (
        "seed 1234 breaks charges: a fen is missing; again: "
        ".venv/bin/python -m simulators.world --seed 1234 --tell"
    )

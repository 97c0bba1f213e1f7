"""The first third of the seeds of the daily run: simulators.world. docs/world.md says what it checks.

More of them: make world SEEDS=10000.
"""

from __future__ import annotations

import pytest

from tests.world.playing import play_share


@pytest.mark.processes
@pytest.mark.timeout(900)
def test_whatever_the_weather_the_books_agree_with_what_really_flowed(world: str):
    play_share(1, world)

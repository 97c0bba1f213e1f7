"""Seeds played in this process, for the test files that share them out: each file is another process's work."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from cloud.db import Database
from simulators.world import campaign
from simulators.world.story import tell

SEEDS = int(os.environ.get("WATTWELL_SEEDS", "100"))
SHARES = 3
DAYS = 3


def play_share(share: int, url: str) -> None:
    """Plays every third seed, from share on; the first that does not hold fails the test, with its line."""
    seeds = range(share, SEEDS + 1, SHARES)
    with quietly(), closing(Database(url, connections=3)) as database:
        for seed in seeds:
            told = tell(seed, database, days=DAYS)
            assert told.broken is None, campaign.line(told)


@contextmanager
def quietly() -> Iterator[None]:
    """What thousands of simulated hours log is not kept, and garbage is looked for rarely."""
    before = gc.get_threshold()
    logging.disable(logging.CRITICAL)
    campaign.spare_the_collector()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        logging.disable(logging.NOTSET)

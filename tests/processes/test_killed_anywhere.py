"""The gateway and the cloud's worker are killed at random moments; the books do not notice."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from uuid import UUID

import psycopg
import pytest

from prepaid.reading import Supply
from wattwell.programs import Programs, wait_for
from wattwell.story import TOP_UP, Story

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

KILLS = 20
TOP_UPS = 5
SEED = 20261121


def test_nothing_is_lost_or_doubled_however_often_gateway_and_worker_are_killed(
    programs: Programs, story: Story
):
    chance = random.Random(SEED)
    paid: list[UUID] = []
    stop = threading.Event()
    broken: list[BaseException] = []

    def tenant() -> None:
        """Tops up once the lights are out, and then now and then, whatever else happens."""
        try:
            wait_for(story.cut, 120, "the first cut")
            while not stop.wait(2):
                paid.append(story.pay())
        except BaseException as error:
            broken.append(error)

    payer = threading.Thread(target=tenant)
    payer.start()
    kills = 0
    try:
        while kills < KILLS or (len(paid) < TOP_UPS and not broken):
            time.sleep(chance.uniform(0.2, 3))
            name = chance.choice(["gateway", "worker"])
            programs.kill(name)
            programs.launch(name)
            kills += 1
    finally:
        stop.set()
        payer.join()
    assert broken == []

    wait_for(
        lambda: all(story.stages(topup).delivered_at is not None for topup in paid),
        90,
        "the delivery of every top-up",
    )
    cloud, gateway = wait_for(
        story.balances, 60, "a moment at which both ledgers have all news of each other"
    )
    assert cloud == gateway
    assert credits(programs) == len(paid)
    assert rejected(programs) == (0, 0)
    wait_for(
        lambda: story.point().supply in (Supply.ON, Supply.ARMED) or story.point().balance.fen <= 0,
        60,
        "light for who has paid",
    )


def credits(programs: Programs) -> int:
    """How many top-ups of the sandbox channel are booked; the two sides must agree on each."""
    booked = "SELECT cast(id AS text), amount_fen FROM transfer{} WHERE cause LIKE 'sandbox:%' ORDER BY 1"
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        cloud = database.execute(booked.format("s")).fetchall()
    ledger = sqlite3.connect(f"file:{programs.ledger}?mode=ro", uri=True)
    gateway = ledger.execute(booked.format("")).fetchall()
    ledger.close()
    assert cloud == gateway
    assert all(amount == TOP_UP.fen for _, amount in cloud)
    return len(cloud)


def rejected(programs: Programs) -> tuple[int, int]:
    """Entries that the cloud, and the gateway, could not apply."""
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        (cloud,) = database.execute("SELECT count(*) FROM rejected").fetchone() or (0,)
    ledger = sqlite3.connect(f"file:{programs.ledger}?mode=ro", uri=True)
    (gateway,) = ledger.execute("SELECT count(*) FROM rejected").fetchone()
    ledger.close()
    return cloud, gateway

"""Readings to a time series database: each once there, none lost while it is away, nothing where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from cloud import telemetry
from cloud.services import uplog
from cloud.telemetry import Outage, TelemetryAway
from prepaid.wire.envelope import Envelope
from simulators.influx import Influx
from tests.cloud.conftest import NOON
from tests.cloud.test_uplog import entries, read

pytestmark = pytest.mark.processes


@pytest.fixture
def influx() -> Iterator[Influx]:
    opened = Influx()
    yield opened
    opened.close()


@pytest.fixture
def store(database, home):
    """Stores readings as a worker does."""
    log: list[object] = []

    def store(*totals: str) -> None:
        first = len(log) + 1
        log.extend(totals)
        said = [read(home.electricity, first + n, total) for n, total in enumerate(totals)]
        with database.system() as session:
            gateway = uplog.gateway_of(session, home.gateway_no)
            uplog.receive(session, gateway, Envelope(entries(*said, first=first)), now=NOON)

    return store


@pytest.fixture
def send(database, settings, influx):
    outage = Outage()
    configured = settings.model_copy(update={"influx_url": influx.url, "influx_token": "secret"})

    def send(minute: int) -> int:
        now = NOON + timedelta(minutes=minute)
        return telemetry.send(
            database, configured, now=now, is_stopping=lambda: False, outage=outage
        )

    return send


def test_each_reading_is_sent_once_when_all_before_it_are_committed(store, send, influx, home):
    store("100.25", "101")
    assert send(0) == 0  # a worker may still be writing one with a smaller number
    assert send(2) == 2
    assert send(4) == 0
    store("102")
    assert send(6) == 0
    assert send(8) == 1
    first = influx.lines[0]
    assert first.startswith("readings,site=home,building=A,room=0301,point=0301\\ 电,point_id=")
    assert ' total=100.25,supply="on" ' in first
    # 12:01 on 2 March 2026, in nanoseconds.
    assert first.endswith(" 1772452860000000000")
    assert len(influx.lines) == 3
    assert influx.asked[0]["bucket"] == "wattwell"
    assert influx.asked[0]["token"] == "Token secret"


def test_what_it_does_not_take_is_sent_when_it_does_and_the_outage_is_told_once(
    store, send, influx, caplog
):
    caplog.set_level("INFO")
    store("100")
    send(0)
    influx.status = 503
    with pytest.raises(TelemetryAway, match="takes no readings"):
        send(2)
    store("101")  # storing goes on
    assert send(4) == 0
    assert send(6) == 0
    influx.status = 204
    assert send(8) == 2
    assert len(influx.lines) == 2
    assert caplog.text.count("takes readings again") == 1


def test_without_one_nothing_is_sent_and_nothing_is_kept(database, settings, store):
    store("100")
    sent = telemetry.send(database, settings, now=NOON, is_stopping=lambda: False)
    assert sent == 0
    with database.system() as session:
        assert session.execute(text("SELECT count(*) FROM telemetry_cursors")).scalar_one() == 0

"""The page and the socket in the gateway's own loop: they are served, end with it, and never end it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.field.status import status
from edge.page import certificate, metrics
from edge.page.app import create_api, create_page
from edge.page.logbook import Logbook
from edge.page.served import page
from edge.page.server import listen, listen_beside, serve, socket_beside
from edge.settings import load
from prepaid.wire.uplog import AlarmKind
from tests.edge.field.rooms import FieldRoom
from tests.edge.page.gateways import Link, command_line, desk_of, house
from tests.edge.simulated import simulated, until
from tests.wattwell.test_field_commands import write


async def test_the_page_is_served_over_tls_with_a_certificate_of_its_own(tmp_path: Path):
    at = FieldRoom(tmp_path)
    keys = certificate.made(tmp_path / "ledger.sqlite", "GW-0001")
    assert stat.S_IMODE(os.stat(keys[1]).st_mode) == 0o600
    listening = listen("127.0.0.1", 0)
    assert listening is not None
    port = listening.getsockname()[1]
    serving = asyncio.create_task(
        serve(create_page(desk_of(at, tmp_path)), listening, certificate=keys)
    )
    trusting = ssl.create_default_context(cafile=str(keys[0]))
    trusting.check_hostname = False
    async with httpx.AsyncClient(verify=trusting) as client:
        answer = await client.get(f"https://127.0.0.1:{port}/login")
    assert answer.status_code == 200
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


def test_the_certificate_is_made_once(tmp_path: Path):
    ledger = tmp_path / "ledger.sqlite"
    first = certificate.made(ledger, "GW-0001")[0].read_bytes()
    assert certificate.made(ledger, "GW-0001")[0].read_bytes() == first


async def test_a_taken_port_costs_the_page_and_not_the_gateway(tmp_path: Path, caplog):
    at = FieldRoom(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = write(tmp_path / "gateway.toml", f'[page]\nlisten = "127.0.0.1:{port}"\n')
        settings = load(config, {"WATTWELL_GATEWAY_PASSWORD": "x"})
        serving = asyncio.create_task(page(settings, at.room, Link(), Logbook()))
        beside = socket_beside(settings.ledger)
        transport = httpx.AsyncHTTPTransport(uds=str(beside))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await until(beside.exists, within_s=20)
            answer = await client.get("/api/status")
        assert answer.status_code == 200
    assert "the page cannot be served" in caplog.text
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert not beside.exists()


async def test_a_socket_that_was_left_behind_is_taken_over(tmp_path: Path):
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listening = listen_beside(path)
    assert listening is not None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    listening.close()


@simulated
async def test_a_program_that_scans_is_told_what_is_found_line_by_line(tmp_path: Path):
    at = house(tmp_path)
    async with at.serving():
        at.wire.meters = at.wire.meters[-1:]
        said = {"line": "L1", "protocols": ["dlt645-2007"], "bauds": [115200]}
        answer = await command_line(at, tmp_path).post("/api/scan", json=said)
    lines = answer.text.splitlines()
    assert any('"address": "202310450199"' in line for line in lines)
    assert '"note": "1 found."' in lines[-1]


@simulated
async def test_what_is_asked_wrongly_is_refused_with_a_sentence(tmp_path: Path):
    client = command_line(FieldRoom(tmp_path), tmp_path)
    for path, body, status_code in (
        ("/api/scan", {"line": "L9"}, 409),
        ("/api/scan", {"line": "L1", "protocols": ["knx"]}, 422),
        ("/api/read", {"point": "nobody"}, 404),
    ):
        answer = await client.post(path, json=body)
        assert (answer.status_code, bool(answer.json()["error"])) == (status_code, True)


# Prometheus.


@simulated
async def test_prometheus_is_told_of_lines_logs_and_ledger(tmp_path: Path):
    at = house(tmp_path)
    async with at.serving():
        text = (await command_line(at, tmp_path).get("/metrics")).text
        bus = at.room.lines["L1"].bus.metrics()
    seen = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    assert seen["wattwell_line_requests_total", "L1"] == bus.requests
    assert seen["wattwell_line_timeouts_total", "L1"] == bus.timeouts
    assert seen["wattwell_line_silent", "L1"] == 1
    assert seen["wattwell_line_points", "L1"] == 7
    assert seen["wattwell_points", "silent"] == 1
    assert seen["wattwell_up_log_backlog",] == at.store.last_seq() - at.store.acked()
    assert seen["wattwell_link_up",] == 0
    assert seen["wattwell_clock_trusted",] == 1
    assert seen["wattwell_ledger_bytes",] > 0
    for secret in ("0301", "201709320072", "123456"):
        assert secret not in text


@simulated
async def test_an_alarm_is_counted_while_it_is_on(tmp_path: Path):
    at = house(tmp_path)
    point = next(iter(at.store.points()))
    for since, count in ((at.room.now(), 1.0), (None, 0.0)):
        with at.store.transaction():
            at.store.save_alarm(point, AlarmKind.CUT_WAITS, since)
        text = metrics.exposition(status(at.room, Link())).decode()
        assert f'wattwell_points{{state="cut_waits"}} {count}' in text


async def test_who_hangs_up_ends_his_scan(tmp_path: Path):
    at = FieldRoom(tmp_path)
    listening = listen_beside(tmp_path / "s")
    assert listening is not None
    serving = asyncio.create_task(serve(create_api(desk_of(at, tmp_path)), listening))
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s"))
    said = {"line": "L1", "by_pairs": True}
    async with (
        at.serving(),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30) as client,
    ):
        async with client.stream("POST", "/api/scan", json=said) as answer:
            async for _ in answer.aiter_lines():
                break
        (job,) = at.room.jobs.all()
        await until(lambda: job.is_over, within_s=20)
    assert job.is_stopped
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

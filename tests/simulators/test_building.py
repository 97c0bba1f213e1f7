"""A building as a program: its configuration, its state, its end."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from protocols.dlt645 import master as dlt645
from protocols.dlt645.master import RelayCommand
from simulators.building import BadConfig, Building, load, run
from wattwell.supervise import free_port

HEAD = """
seed = 1
time_scale = 3600
resident_presses_after_s = 1
timezone = "Asia/Shanghai"
state = "state"
"""
LINE = """
[[line]]
name = "L2"
tcp = {port}
baud = 19200
delay_ms = [0, 0]
"""
METER = """
[[meter]]
room = "101"
protocol = "dlt645-2007"
line = "{line}"
address = "202310450101"
opening = "{opening}"
base_w = 36000
varying_w = 0
seed = 1
passwords = {{ "2" = "000000" }}
"""


def written(folder, *, head=HEAD, line=LINE, meter=METER, port=0, on="L2", opening="100.00"):
    path = folder / "building.toml"
    path.write_text(head + line.format(port=port) + meter.format(line=on, opening=opening))
    return path


class Program:
    """A building that runs; `wait` until its port answers, `end` it one way or another."""

    def __init__(self, path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulators.building", str(path)],
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_listening(self, port: int) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.process.communicate()[1]
                time.sleep(0.02)
        raise AssertionError("the building does not listen")

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def start():
    programs = []

    def begin(path):
        programs.append(Program(path))
        return programs[-1]

    yield begin
    for program in programs:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)


async def ask_for_ever(master, told: list[Decimal]) -> None:
    while True:
        told.append(await master.ask(dlt645.read_energy("202310450101")))


@pytest.mark.processes
async def test_no_register_goes_back_however_often_the_building_is_killed(
    tmp_path, start, connected
):
    port = free_port()
    path = written(tmp_path, port=port)
    told: list[Decimal] = []
    moment = random.Random(645)

    for _ in range(4):
        program = start(path)
        program.until_listening(port)
        async with connected(port) as master:
            asyncio.get_running_loop().call_later(moment.uniform(0.1, 0.4), program.process.kill)
            with pytest.raises((ConnectionError, TimeoutError)):
                await ask_for_ever(master, told)
        program.process.wait(20)

    assert len(told) > 8
    # 36 kW, 3600 times faster than the clock: 36 kWh in a second, so each answer is another figure
    assert told == sorted(told)
    assert len(set(told)) == len(told)


@pytest.mark.processes
async def test_a_relay_stays_as_it_was_when_the_building_is_killed(tmp_path, start, connected):
    port = free_port()
    path = written(tmp_path, port=port)
    program = start(path)
    program.until_listening(port)
    async with connected(port) as master:
        await master.ask(
            dlt645.control(
                "202310450101",
                RelayCommand.TRIP,
                password="000000",
                level=2,
                operator="00000001",
                deadline=None,
            )
        )
        before = await master.ask(dlt645.read_energy("202310450101"))

    program.end(signal.SIGKILL)
    start(path).until_listening(port)

    async with connected(port) as master:
        assert (await master.ask(dlt645.read_status("202310450101"))).contact_open
        assert await master.ask(dlt645.read_energy("202310450101")) == before


@pytest.mark.processes
def test_sigterm_ends_the_building_and_takes_its_device_away(tmp_path, start):
    device = tmp_path / "L1.tty"
    line = LINE.replace("tcp = {port}", 'pty = "L1.tty"')
    program = start(written(tmp_path, line=line))
    deadline = time.monotonic() + 20
    while not device.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    status, said = program.end(signal.SIGTERM)

    assert status == 0
    assert "Traceback" not in said
    assert not device.is_symlink()
    assert json.loads((tmp_path / "state").read_text()).keys() == {"dlt645-2007:202310450101"}


async def test_a_taken_port_ends_the_building_with_one_sentence(tmp_path, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        status = await run(written(tmp_path, port=port))

    assert status == 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"port {port} of 127.0.0.1 is taken by another program"
    ]


def test_two_programs_cannot_run_one_building(tmp_path):
    config = load(written(tmp_path))
    first = Building(config, tmp_path)

    with pytest.raises(BadConfig, match="running already"):
        Building(config, tmp_path)

    first.close()
    Building(config, tmp_path).close()


def test_a_meter_taken_out_and_put_back_keeps_its_register(tmp_path, clock):
    with_101 = load(written(tmp_path))
    without = load(written(tmp_path, meter=METER.replace("202310450101", "202310450102")))
    first = Building(with_101, tmp_path, clock)
    clock.pass_s(10)
    first.save()
    first.close()
    second = Building(without, tmp_path, clock)
    second.save()
    second.close()

    third = Building(with_101, tmp_path, clock)

    # 36 kW × 3600 × 10 s = 360 kWh
    (meter,) = third.meters.values()
    meter.advance()
    assert meter.register.shown == Decimal("460.00")
    third.close()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"head": HEAD.replace("time_scale = 3600", "time_scale = 0")}, "time_scale"),
        ({"head": HEAD + "volume = 11\n"}, "volume"),
        ({"head": HEAD.replace("Asia/Shanghai", "Asia/Nowhere")}, "there is no Asia/Nowhere"),
        ({"line": LINE.replace("tcp = {port}", "")}, "either pty or tcp"),
        ({"line": LINE.replace("19200", "2401")}, "baud"),
        ({"line": LINE + LINE}, "two of this name"),
        ({"meter": METER + METER}, "two of this address"),
        ({"meter": METER.replace("202310450101", "4711")}, "address"),
        ({"opening": "1.005"}, "opening"),
        ({"on": "L9"}, "there is no line L9"),
        ({"head": "=="}, "is not TOML"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(tmp_path, change, complaint):
    path = written(tmp_path, **change)

    with pytest.raises(BadConfig, match=complaint) as refused:
        load(path)

    assert str(path) in str(refused.value)


def test_a_meter_that_was_not_kept_with_an_answer_loses_nothing(tmp_path, clock):
    other = METER.replace("202310450101", "202310450102")
    config = load(written(tmp_path, meter=METER + other))
    first = Building(config, tmp_path, clock, clock.local_time)
    first.save()
    clock.pass_s(10)
    answering = first.meters["dlt645-2007:202310450101"]
    answering.advance()
    first.keep([answering])
    first.close()  # killed here

    second = Building(config, tmp_path, clock, clock.local_time)
    second.advance()

    # 36 kW × 3600 × 10 s = 360 kWh through both
    assert {meter.register.shown for meter in second.meters.values()} == {Decimal("460.00")}
    second.close()


def test_a_state_that_cannot_be_read_stops_the_building(tmp_path):
    config = load(written(tmp_path))
    (tmp_path / "state").write_text('{"dlt645-2007:202310450101": {"at": 1, "total": "many"}}')

    with pytest.raises(BadConfig, match="cannot be resumed"):
        Building(config, tmp_path)


def test_a_state_of_an_older_version_is_told_from_a_new_one(tmp_path):
    config = load(written(tmp_path))
    (tmp_path / "state").write_text('{"dlt645:202310450101": {"at": 1, "total": 2}}')

    with pytest.raises(BadConfig, match="written by an older version; move it away"):
        Building(config, tmp_path)

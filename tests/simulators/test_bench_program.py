"""`wattwell simulate` as a program: a pseudo-terminal and TCP lines, its table, its end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from protocols.cj188 import master as cj188
from protocols.dlt645 import master as dlt645
from simulators.configuration import load
from wattwell.simulate_commands import app

BENCH = """
state = "state"

[[line]]
name = "serial"
pty = "meters.tty"
baud = 9600
delay_ms = [20, 20]

[[line]]
name = "server"
tcp = 0
baud = 9600
delay_ms = [20, 20]

[[meter]]
protocol = "dlt645-2007"
line = "serial"
address = "202610450101"
opening = "100.00"
base_w = 0
varying_w = 0

[[meter]]
protocol = "cjt188-2004"
line = "server"
address = "78330026100101"
opening = "10.00"
base_l_per_h = 0
varying_l_per_h = 0
"""


@pytest.fixture
def start(tmp_path):
    programs = []

    def begin(*arguments):
        program = subprocess.Popen(
            [sys.executable, "-m", "wattwell", "simulate", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        programs.append(program)
        return program

    yield begin
    for program in programs:
        if program.poll() is None:
            program.kill()
        program.communicate()


def lines_until(program, last):
    said = []
    for line in program.stdout:
        said.append(line)
        if last in line:
            return "".join(said)
    raise AssertionError("".join(said) + program.stderr.read())


@pytest.mark.processes
async def test_a_bench_says_where_it_listens_serves_and_ends_with_ctrl_c(
    tmp_path, start, connected
):
    (tmp_path / "meters.toml").write_text(BENCH)
    program = start("--meters", "meters.toml")

    said = lines_until(program, "Ctrl-C")

    device = re.search(r"serial:(\S+),9600,8N1", said)
    port = re.search(r"tcp:127\.0\.0\.1:(\d+)", said)
    assert device
    assert port
    assert device[1] == str(tmp_path / "meters.tty")
    async with connected(device[1]) as master:
        energy = await master.ask(dlt645.read_energy("202610450101"), within_s=10)
    async with connected(int(port[1])) as master:
        reading = await master.ask(
            cj188.read_water("78330026100101", serial=0), cj188=True, within_s=10
        )
    assert (energy, reading.total) == (Decimal("100.00"), Decimal("10.00"))
    assert re.search(r"dlt645-2007\s+202610450101\s+100\.00 kWh\s+none", said)

    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)

    assert (program.returncode, errors) == (0, "")
    assert not (tmp_path / "meters.tty").is_symlink()
    assert len(json.loads((tmp_path / "state").read_text())) == 2


@pytest.mark.processes
def test_the_mistakes_of_a_file_are_printed_and_the_status_says_so(tmp_path, start):
    (tmp_path / "meters.toml").write_text(BENCH.replace("9600", "9601"))

    program = start("--meters", "meters.toml")
    said, errors = program.communicate(timeout=60)

    assert program.returncode == 1
    assert said == ""
    assert "meters.toml:4: line serial: baud" in errors
    assert "meters.toml:10: line server: baud" in errors


def test_the_example_is_printed_as_a_file_that_can_be_served(tmp_path):
    result = CliRunner().invoke(app, ["--example"])

    assert result.exit_code == 0
    (tmp_path / "meters.toml").write_text(result.stdout)
    assert len(load(tmp_path / "meters.toml").meter) == 7


def test_without_a_file_it_says_how_it_is_used():
    result = CliRunner().invoke(app, [])

    assert result.exit_code == 2
    assert "--meters" in result.stdout
    assert "building" in result.stdout


@pytest.mark.parametrize("company", ["wechat", "alipay", "twilio"])
def test_a_company_whose_port_is_taken_says_so_and_makes_no_keys(tmp_path, company):
    folder = tmp_path / "play"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, [company, "--folder", str(folder), "--port", port])

    assert result.exit_code == 2
    assert f"port {port} of 127.0.0.1" in result.output
    assert not folder.exists()

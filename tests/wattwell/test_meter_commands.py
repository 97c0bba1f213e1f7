"""`wattwell meter` as it is typed, against a simulated building on TCP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from protocols.dlt645 import frame as dlt645
from protocols.dlt645 import master as dlt645_master
from protocols.dlt645 import slave as dlt645_slave
from simulators import building
from simulators.building import Building
from simulators.line import TcpEnd
from tests.wattwell.lines import EVENING, electricity
from wattwell.technician.meter_commands import app

METER, OTHER, WATER = "202310450101", "202310450102", "78330023100101"
PASSWORD = "135790"

CONFIG = f"""
seed = 1
time_scale = 1
timezone = "Asia/Shanghai"
state = "state"

[[line]]
name = "L1"
tcp = 0
baud = 19200
delay_ms = [0, 0]

[[meter]]
room = "101"
protocol = "dlt645-2007"
line = "L1"
address = "{METER}"
opening = "4823.61"
base_w = 1000
varying_w = 0
seed = 1
passwords = {{ "2" = "{PASSWORD}" }}

[[meter]]
room = "101"
protocol = "cjt188-2004"
line = "L1"
address = "{WATER}"
opening = "312.47"
base_l_per_h = 0
varying_l_per_h = 0
seed = 1
valve_travel_ms = 0
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a technician finds the line of a building with one room."""
    folder = tmp_path_factory.mktemp("building")
    (folder / "building.toml").write_text(CONFIG)
    started: list[tuple[int, Callable[[], object]]] = []
    is_up = threading.Event()

    async def serve() -> None:
        config = building.load(folder / "building.toml")
        house = Building(config, folder)
        wire = house.line(config.line[0])
        end = await TcpEnd.open(0, wire.hear)
        wire.ends.append(end)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        started.append((end.port, lambda: loop.call_soon_threadsafe(stop.set)))
        is_up.set()
        running = asyncio.create_task(wire.run())
        await stop.wait()
        running.cancel()
        await end.close()
        house.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert is_up.wait(10)
    (port, stop), *_ = started
    yield f"tcp:127.0.0.1:{port}"
    stop()
    thread.join(10)


def run(command: str, line: str, *arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(
        app,
        [command, "--line", line, *arguments],
        input=given,
        env={"COLUMNS": "80", "WATTWELL_METER_PASSWORD": ""},
    )


FAST = ("--baud", "19200", "--delay", "0")


def test_read_prints_values_with_names_in_both_languages_and_units(line: str):
    result = run("read", line, "-a", METER, *FAST, "energy", "voltage-a")

    assert result.exit_code == 0, result.stderr
    for said in ("正向有功总电能", "kWh", "voltage A A相电压", "220.0"):
        assert said in result.stdout
    assert max(len(text) for text in result.stdout.splitlines()) <= 80


def test_read_gives_json_with_the_exact_value_as_text(line: str):
    result = run("read", line, "-a", WATER, *FAST, "--json")

    shown: list[dict[str, Any]] = json.loads(result.stdout)
    assert shown[0] == {
        "item": "901F",
        "name": "total now",
        "chinese": "当前累计流量",
        "value": "312.47",
        "unit": "m3",
    }


def test_read_of_what_the_meter_refuses_says_so_with_status_3(line: str):
    some = run("read", line, "-a", METER, *FAST, "energy", "00900200")
    none = run("read", line, "-a", METER, *FAST, "00900200")

    assert "refused: no such data" in some.stdout
    assert (some.exit_code, none.exit_code) == (3, 3)
    assert "refuses: no such data (02)" in none.stderr


def test_read_lists_the_names_it_knows_without_asking_anybody():
    result = run("read", "tcp:127.0.0.1:1", "-a", METER, "--names")

    assert "00010000         energy\n" in result.stdout
    assert result.exit_code == 0


def test_silence_says_what_to_check_with_status_1(line: str):
    result = run("read", line, "-a", OTHER, *FAST)

    assert f"No answer from meter {OTHER}" in result.stderr
    assert "A and B" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((OTHER,), "the edition: old meters answer only to --protocol dlt645-1997"),
        ((OTHER, "--protocol", "dlt645-1997"), "DL/T 645-1997 mostly 1200 8E1"),
        (("78330023100109",), "CJ/T 188 mostly 2400 8E1"),
        (("9",), "Modbus mostly 9600 8N1"),
        (("9", "--profile", "ytl_orwe504"), "OR-WE-504 leaves the factory at 9600 8N1"),
    ],
)
def test_what_to_check_is_that_of_the_kind_of_meter(line: str, asked: tuple[str, ...], said: str):
    result = run("read", line, "-a", *asked, *FAST)

    checks = " ".join(result.stderr.split())
    assert said in checks
    assert "which are set in the serial server" in checks


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("tcp:nobody.invalid:4001", "cannot be opened: there is no host of this name"),
        ("serial:/dev/null,2400,8N1", "cannot be opened: it is not a serial device"),
        ("serial:/dev/ttyWattwell9,2400,8E1", "cannot be opened: No such file"),
        ("tcp:127.0.0.1:1", "cannot be opened: Connection refused"),
    ],
)
def test_a_line_that_cannot_be_opened_is_named_with_status_5(place: str, said: str):
    result = run("read", place, "-a", METER)

    assert said in " ".join(result.stderr.split())
    assert result.exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("read", "ttyUSB0", "-a", METER), 'must be "serial:DEVICE,BAUD,8E1"'),
        (("read", "tcp:127.0.0.1:1", "-a", "12345"), "neither 12 or 14 digits nor a Modbus unit"),
        (("read", "tcp:127.0.0.1:1", "-a", "1", "--profile", "nobody"), "no register profile"),
        (("read", "tcp:127.0.0.1:1", "-a", METER, "warp"), "'warp' is neither a name"),
        (("supply", "tcp:127.0.0.1:1", "-a", WATER, "allow"), "a valve has no button"),
        (("time", "tcp:127.0.0.1:1", "-a", METER, "--broadcast"), "goes with --set"),
        (("scan", "tcp:127.0.0.1:1", "--units", "300"), "'300' is not a unit"),
        (("scan", "tcp:127.0.0.1:1", "--baud", "x"), "'x' is not a rate"),
        (("scan", "tcp:127.0.0.1:1", "--known", "1"), "'1' is not an address"),
        (("scan", "tcp:127.0.0.1:1", "--format", "8E1,9X9"), "'9X9' is not data bits"),
        (("read", "tcp:127.0.0.1:1", "-a", METER, "energy", "warp"), "'warp' is neither a name"),
        (
            ("supply", "tcp:127.0.0.1:1", "-a", METER, "off", "--password", "12"),
            "the password is not 6 digits",
        ),
        (
            ("time", "tcp:127.0.0.1:1", "-a", METER, "--set", "--operator", "1"),
            "'1' is not 8 digits",
        ),
        (
            ("supply", "tcp:127.0.0.1:1", "-a", "1", "--profile", "eastron_sdm230", "off"),
            "eastron_sdm230 knows no such command",
        ),
    ],
)
def test_wrong_arguments_are_said_in_a_sentence_with_status_2(
    arguments: tuple[str, ...], said: str
):
    command, place, *rest = arguments

    result = run(command, place, *rest)

    assert said.lower() in result.stderr.replace("\n", " ").lower()
    assert result.exit_code == 2


def test_supply_shows_what_it_would_do_and_does_nothing_unasked(line: str):
    result = run("supply", line, "-a", METER, *FAST, "off", given="n\n")

    assert "supply on 通" in result.stdout
    assert "trip 跳闸" in result.stdout
    assert "Nothing was sent." in result.stdout
    again = run("supply", line, "-a", METER, *FAST, "off", given="n\n")
    assert "supply on 通" in again.stdout


@pytest.mark.parametrize(
    ("options", "hint"),
    [((), "--yes does it unasked"), (("--yes",), "WATTWELL_METER_PASSWORD")],
)
def test_with_nobody_to_answer_its_questions_supply_sends_nothing(
    line: str, options: tuple[str, ...], hint: str
):
    result = run("supply", line, "-a", METER, *FAST, "off", *options, given="")

    assert "Nothing was sent. Without a terminal" in result.stderr
    assert hint in result.stderr
    assert result.exit_code == 130
    after = run("read", line, "-a", METER, *FAST, "status", "--json")
    assert "contact closed" in after.stdout


def test_supply_goes_off_may_be_allowed_and_comes_back_each_proved(line: str):
    with_password = ("--yes", "--password", PASSWORD)

    off = run("supply", line, "-a", METER, *FAST, "off", *with_password)
    allow = run("supply", line, "-a", METER, *FAST, "allow", given=f"y\n{PASSWORD}\n")
    on = run("supply", line, "-a", METER, *FAST, "on", *with_password)

    assert "Proved by reading back: supply off 断." in off.stdout
    assert "may be closed by the button" in allow.stdout
    assert "Proved by reading back: supply on 通." in on.stdout
    assert (off.exit_code, allow.exit_code, on.exit_code) == (0, 0, 0)
    assert PASSWORD not in allow.output


def test_supply_with_a_wrong_password_is_refused_and_the_password_never_shown(line: str):
    result = run(
        "supply", line, "-a", METER, *FAST, "off", "--yes", "--password", "246802", "--bytes"
    )

    assert "does not accept the password" in result.stderr.replace("\n", " ")
    assert result.exit_code == 3
    # 246802 low byte first with 33H added is 35 9B 57
    assert "246802" not in result.output
    assert "35 9B 57" not in result.output.replace("\n", " ")
    assert "** ** **" in result.output.replace("\n", " ")


@contextmanager
def line_that(on_command: Callable[[], None]) -> Iterator[str]:
    """A line on which something happens as the meter hears a command, instead of its answer."""
    meter = electricity(METER)
    meter.registers[0x04000503] = b"\0\0"

    class Answers(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            decoder = dlt645.Decoder()
            while data := self.request.recv(100):
                for frame in decoder.feed(data):
                    if frame.function == dlt645_master.CONTROL:
                        on_command()
                        continue  # the line stays up until the program lets go of it
                    said = dlt645_slave.answer(meter, frame, EVENING)
                    assert said is not None
                    self.request.sendall(dlt645.encode(said))

    with socketserver.TCPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"tcp:127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def at_a_terminal() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests were started in the background, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("at_a_terminal")
def test_a_ctrl_c_behind_a_command_says_that_it_may_have_been_carried_out():
    with line_that(lambda: os.kill(os.getpid(), signal.SIGINT)) as line:
        result = run("supply", line, "-a", METER, "off", "--yes", "--password", "123456")

    assert "Stopped. The command may have been carried out" in result.stderr
    assert result.exit_code == 130


def test_a_command_without_an_answer_may_have_been_carried_out():
    with line_that(lambda: None) as line:
        result = run("supply", line, "-a", METER, *FAST, "off", "--yes", "--password", "123456")

    assert "The command may have been carried out: read the meter's supply." in result.stderr
    assert result.exit_code == 1


def test_a_valve_is_closed_and_opened_without_a_password(line: str):
    off = run("supply", line, "-a", WATER, *FAST, "off", "--yes")
    on = run("supply", line, "-a", WATER, *FAST, "on", "--yes")

    assert "Proved by reading back: supply off 断." in off.stdout
    assert "Proved by reading back: supply on 通." in on.stdout


def test_time_shows_both_clocks(line: str):
    result = run("time", line, "-a", METER, *FAST)

    assert f"meter {METER} (dlt645-2007): 20" in result.stdout
    assert "ours 20" in result.stdout
    assert result.exit_code == 0


def test_watch_reads_again_and_again(line: str):
    result = run("watch", line, "-a", METER, *FAST, "energy", "--every", "0", "--count", "3")

    said = [text for text in result.stdout.splitlines() if "forward active energy total" in text]
    assert len(said) == 3
    assert result.exit_code == 0


def test_scan_finds_both_meters_and_says_what_a_serial_server_cannot_do(line: str):
    result = run(
        "scan", line, "--baud", "19200", "--delay", "0", "--wait", "0.1", "--units", "1-3", "--json"
    )

    found = {(one["protocol"], one["address"]) for one in json.loads(result.stdout)}
    assert found == {("dlt645-2007", METER), ("cjt188", WATER)}
    assert "set in the server" in result.stderr
    assert result.exit_code == 0


def test_scan_that_finds_nobody_ends_with_status_1(line: str):
    result = run("scan", line, "--protocol", "modbus-rtu", "--units", "9", "--delay", "0")

    assert "Nothing answers" in result.stderr
    assert result.exit_code == 1

"""`wattwell frame encode`: requests as the standards print them, and decoded again to what was asked."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edge.technician.answers import How, Protocol, answer
from wattwell.technician.frame_commands import app

METER = "201709320072"
WATER = "78330011223344"
TRIP = ("control", METER, "trip", "--password", "123456")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})


def made(protocol: str, *arguments: str) -> str:
    result = run("encode", "--protocol", protocol, *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def again(protocol: str, *arguments: str) -> Any:
    """What `decode` says of what `encode` made."""
    return answer(bytes.fromhex(made(protocol, *arguments)), How(Protocol(protocol)))


def test_a_request_is_the_bytes_that_go_on_the_line():
    # 72 00 32 09 17 20 is the address, 33 33 34 33 the identifier 00010000 with 33H added;
    # the sum of all from 68H on is 296H
    assert made("dlt645-2007", "--preamble", "0", "read", METER, "00010000") == (
        "68720032091720681104333334339616"
    )


@pytest.mark.parametrize("preamble", [0, 1, 4, 13])
def test_the_preamble_is_as_long_as_asked(preamble: int):
    for protocol, item, address in (
        ("dlt645-2007", "00010000", METER),
        ("cjt188", "901F", WATER),
    ):
        sent = made(protocol, "--preamble", str(preamble), "read", address, item)
        assert bytes.fromhex(sent).startswith(b"\xfe" * preamble + b"\x68")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["read", METER, "02010100"], {"function": "read data", "di": "02010100"}),
        (
            ["read", METER, "06000001", "--blocks", "5", "--since", "2026-06-15 18:30"],
            {"di": "06000001", "blocks": 5, "from": "2026-06-15 18:30"},
        ),
        (["read-more", METER, "00010000", "--sequence", "3"], {"seq": 3}),
        (["read-address"], {"function": "read address", "address": "AAAAAAAAAAAA"}),
        (
            [*TRIP, "--operator", "00000001", "--deadline", "2026-06-15 18:30:00"],
            {
                "pa": "02",
                "password": "123456",
                "operator": "00000001",
                "command": "trip",
                "deadline": "2026-06-15 18:30:00",
            },
        ),
        (
            ["control", METER, "trip-then-close", "--password", "000000", "--trip-minutes", "15"],
            {"n1": "1D", "n2": "03", "deadline": "none"},
        ),
        (
            ["write", METER, "04001001", "00500000", "--password", "654321", "--level", "4"],
            {"di": "04001001", "pa": "04", "password": "654321", "payload": "00500000"},
        ),
        (["write-address", METER], {"new_address": METER}),
        (["freeze", "99999999"], {"address": "999999999999", "freeze_kind": "instant"}),
        (["freeze", "99990000", "--address", METER], {"address": METER, "freeze_kind": "daily"}),
        (["broadcast-time", "2026-06-15 18:30:00"], {"time": "2026-06-15 18:30:00"}),
        (["change-baud", METER, "9600"], {"baud": 9600}),
        (
            ["change-password", METER, "222222", "--password", "111111", "--level", "4"],
            {"old_password": "111111", "new_password": "222222", "new_pa": "04"},
        ),
        (["raw", METER, "1D", "01"], {"output": "demand period"}),
    ],
)
def test_a_request_of_2007_is_read_back_as_it_was_asked(
    arguments: list[str], expected: dict[str, object]
):
    assert again("dlt645-2007", *arguments).items() >= expected.items()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["read", METER, "9010"], {"function": "read data", "di": "9010"}),
        (["read-more", METER, "9010"], {"function": "read subsequent", "di": "9010"}),
        (["write", METER, "C117", "0012"], {"di": "C117", "payload": "0012"}),
        (["write-address", METER], {"new_address": METER}),
        (["broadcast-time", "2026-06-15T18:30:00"], {"time": "2026-06-15 18:30:00"}),
        (["change-baud", METER, "300"], {"baud": 300}),
    ],
)
def test_a_request_of_1997_is_read_back_as_it_was_asked(
    arguments: list[str], expected: dict[str, object]
):
    assert again("dlt645-1997", *arguments).items() >= expected.items()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["read", WATER, "901F"], {"fn": "read", "di": "901F", "di_order": "hi_first"}),
        (["read", WATER, "901F", "--low-first"], {"di": "901F", "di_order": "lo_first"}),
        (["read-address"], {"fn": "read_address", "type": "AA", "addr": "AAAAAAAAAAAAAA"}),
        (["valve", WATER, "close", "--serial", "7"], {"ser": 7, "data": {"valve_cmd": "close"}}),
        (["write", WATER, "A012", "25", "--type", "30"], {"type": "30", "data": {"day": "25"}}),
        (["write-address", WATER], {"fn": "write_address"}),
        (["clock", WATER, "2026-06-15 18:30:00"], {"di": "A015"}),
        (["raw", WATER, "09", "810600"], {"fn": "read_key_version"}),
    ],
)
def test_a_request_of_cjt188_is_read_back_as_it_was_asked(
    arguments: list[str], expected: dict[str, object]
):
    assert again("cjt188", *arguments).items() >= expected.items()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["registers", "1", "0x000B", "2"], {"function": "03", "address": 11, "count": 2}),
        (["registers", "1", "000BH", "--input"], {"function": "04", "address": 11, "count": 1}),
        (["coils", "7", "0", "16"], {"unit": 7, "function": "01", "count": 16}),
        (["coils", "7", "0", "--discrete"], {"function": "02"}),
        (["write-registers", "1", "87", "1", "0"], {"function": "10", "registers": [1, 0]}),
        (["write-registers", "1", "28", "2", "--single"], {"function": "06", "value": 2}),
        (["write-registers", "0", "28", "2", "--single"], {"unit": 0, "function": "06"}),
        (["write-coils", "1", "3", "on"], {"function": "05", "on": True}),
        (["write-coils", "1", "3", "on", "off", "on"], {"function": "0F", "bits": [1, 0, 1]}),
        (["raw", "1", "11"], {"function": "11"}),
    ],
)
def test_a_request_of_modbus_is_read_back_as_it_was_asked(
    arguments: list[str], expected: dict[str, object]
):
    assert again("modbus-rtu", *arguments).items() >= expected.items()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dlt645-2007", "read", "12", "00010000"], "'12' is not 12 digits"),
        (["dlt645-2007", "read", "20170932AA72", "00010000"], "not 12 digits"),
        (["dlt645-2007", "read", METER, "9010"], "'9010' is not 8 hexadecimal digits"),
        (["dlt645-2007", "read", METER, "00010000", "--since", "2026-06-15 18:30"], "--blocks"),
        (["dlt645-2007", "control", METER, "trip"], "give --password"),
        (["dlt645-2007", "control", METER, "trip", "--password", "12345"], "not 6 digits"),
        (["dlt645-2007", "control", METER, "explode", "--password", "123456"], "'explode'"),
        (
            ["dlt645-2007", *TRIP, "--operator", "1"],
            "'1' is not 8 digits",
        ),
        (
            ["dlt645-2007", *TRIP, "--trip-minutes", "7"],
            "7 minutes cannot be sent",
        ),
        (["dlt645-2007", "change-baud", METER, "300"], "300 is no rate of this edition"),
        (["dlt645-1997", "control", METER, "trip"], "not made for dlt645-1997"),
        (
            ["dlt645-2007", "write", METER, "04001001", "0", "--password", "000000"],
            "'0' is not hex",
        ),
        (["cjt188", "valve", WATER, "ajar"], "'ajar'"),
        (["cjt188", "read", METER, "901F"], "is not 14 digits"),
        (["modbus-rtu", "registers", "1", "0", "126"], "126 at once"),
        (["modbus-rtu", "registers", "1", "65535", "2"], "not within 0 to 65535"),
        (["modbus-rtu", "write-registers", "1", "0", "70000"], "70000 is not a register"),
        (["modbus-rtu", "--preamble", "4", "registers", "1", "0"], "no preamble"),
        (["modbus-rtu", "read", METER, "00010000"], "not made for modbus-rtu"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_one_sentence_and_status_2(
    arguments: list[str], sentence: str
):
    protocol, *rest = arguments

    result = run("encode", "--protocol", protocol, *rest)

    assert sentence.lower() in result.stderr.lower()
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""
    assert result.exit_code == 2

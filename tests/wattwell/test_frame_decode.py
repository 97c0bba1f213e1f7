"""`wattwell frame decode`: every collected frame says what its line expects, and people can read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edge.technician.answers import How, Protocol
from edge.technician.parts import parts_of
from protocols.dlt645 import items, items97
from protocols.dlt645.frame import Frame, encode
from protocols.dlt645.names import chinese
from protocols.modbus import frame as modbus
from wattwell import cli
from wattwell.technician.frame_commands import app

VECTORS = Path(__file__).parents[1] / "vectors"
ENERGY = "6872003209172068910833333433B93433336D16"


def decode(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["decode", *arguments], input=given, env={"COLUMNS": "80"})


def as_object(*arguments: str) -> Any:
    return json.loads(decode(*arguments, "--json").stdout)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("dlt645", ("--protocol", "dlt645-2007")),
        ("cjt188", ("--protocol", "cjt188")),
        ("dlt645", ()),
        ("cjt188", ()),
    ],
)
def test_every_collected_frame_is_answered_as_its_line_expects(file: str, told: tuple[str, ...]):
    path = VECTORS / f"{file}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]

    result = decode(*told, "--jsonl", str(path))

    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == len(answers) > 100
    for line, answer in zip(lines, answers, strict=True):
        if "expect" in line:
            assert answer == {"id": line["id"], **line["expect"]}
        else:
            assert answer["id"] == line["id"]
            assert answer["error"] in allowed(line["expect_error"])
    assert result.exit_code == 0


def allowed(error: Any) -> list[str]:
    return [error] if isinstance(error, str) else [error["kind"], *error["also_ok"]]


def test_one_frame_gives_the_object_that_the_collections_call_expect():
    assert as_object("--protocol", "dlt645-2007", ENERGY) == {
        "preamble": 0,
        "address": "201709320072",
        "control": "91",
        "function": "read data",
        "abnormal": False,
        "follow": False,
        "length": 8,
        "data": "0000010086010000",
        "di": "00010000",
        "values": [{"name": "forward active energy total", "value": "1.86", "unit": "kWh"}],
    }


@pytest.mark.parametrize(
    "written",
    [
        ENERGY.lower(),
        "68:72:00:32:09:17:20:68:91:08:33:33:34:33:B9:34:33:33:6D:16",
        "0x68 0x72 0x00 0x32 0x09 0x17 0x20 0x68 0x91 0x08 0x33 0x33 0x34 0x33 "
        "0xB9 0x34 0x33 0x33 0x6D 0x16",
        "68 72 00 32 09 17 20 68\n91 08 33 33 34 33 b9 34 33 33 6d 16",
    ],
)
def test_bytes_may_be_written_in_any_usual_way(written: str):
    assert as_object("--protocol", "dlt645-2007", written)["address"] == "201709320072"


def test_bytes_need_no_quotes():
    assert as_object("--protocol", "dlt645-2007", *ENERGY_PAIRS)["address"] == "201709320072"


ENERGY_PAIRS = [ENERGY[at : at + 2] for at in range(0, len(ENERGY), 2)]


@pytest.mark.parametrize(
    ("protocol", "written", "kind"),
    [
        ("dlt645-2007", ENERGY[:-4] + "6E16", "bad_checksum"),
        ("dlt645-2007", ENERGY[:-2], "truncated"),
        ("dlt645-2007", ENERGY[:-1], "odd_hex"),
        ("cjt188", "68ZZ", "odd_hex"),
        ("cjt188", "", "empty"),
        ("modbus-rtu", "010300000002C40C", "bad_crc"),
        ("modbus-rtu", "0103", "truncated"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_kind_and_status_1(
    protocol: str, written: str, kind: str
):
    result = decode("--protocol", protocol, "--json", written)

    assert json.loads(result.stdout) == {"error": kind}
    assert result.exit_code == 1


def test_a_wrong_checksum_is_said_with_the_right_one():
    result = decode("--protocol", "dlt645-2007", ENERGY[:-4] + "6E16")

    # 6D is what the bytes of ENERGY add up to
    assert "bad_checksum" in result.stderr
    assert "6E is sent, 6D would be right" in result.stderr


def test_a_frame_of_another_protocol_than_said_is_recognised():
    result = decode("--protocol", "cjt188", ENERGY)

    assert "It is one of --protocol dlt645-2007." in result.stderr
    assert result.exit_code == 1
    assert "It is one of" not in decode("--protocol", "cjt188", "1122").stderr


def test_several_frames_among_noise_are_all_found():
    found = as_object("--protocol", "dlt645-2007", f"00FF{ENERGY}{ENERGY}55")

    assert found == {"frames": [ENERGY, ENERGY]}


def test_lines_come_from_standard_input_too():
    line = json.dumps({"id": "a", "hex": ENERGY, "edition": "2007"})

    result = decode("--protocol", "dlt645-2007", "--jsonl", "-", given=f"{line}\n\nnonsense\n")

    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["id"], first["di"]) == ("a", "00010000")
    assert second == {"id": 3, "error": "bad_line"}
    assert result.exit_code == 1


def test_the_edition_of_a_line_says_the_protocol_where_nothing_else_does():
    power = json.dumps({"id": "a", "hex": ENERGY, "edition": "2007"})
    asks = "68 10 44332211003378 03 03 810A00 5E 16"  # 5E is what the bytes before it add up to
    water = json.dumps({"id": "b", "hex": asks, "edition": "2004"})
    neither = json.dumps({"id": "c", "hex": ENERGY})

    result = decode("--jsonl", "-", given=f"{power}\n{water}\n{neither}\n")

    first, second, third = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["address"], second["addr"]) == ("201709320072", "78330011223344")
    assert third == {"id": "c", "error": "bad_line"}
    assert result.exit_code == 1


def test_a_table_shows_bytes_names_in_both_languages_and_units():
    result = decode("--protocol", "dlt645-2007", ENERGY)

    for said in ("72 00 32 09 17 20", "address 地址域", "正向有功总电能", "1.86 kWh", "读数据"):
        assert said in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_errors_are_named_bit_by_bit():
    # 05H: bit 0 and bit 2
    refused = encode(Frame("201709320072", 0xD4, b"\x05"), preamble=0).hex()

    shown = decode("--protocol", "dlt645-2007", refused).stdout

    assert "other error 其他错误" in shown
    assert "password wrong or not authorised" in shown
    assert "no such data" not in shown


def test_the_relay_word_of_a_refusal_is_named_bit_by_bit():
    # 0030H: bits 4 and 5
    refused = encode(Frame("201709320072", 0xDC, bytes.fromhex("013000")), preamble=0).hex()

    shown = decode("--protocol", "dlt645-2007", refused).stdout

    assert "deadline invalid" in shown
    assert "命令截止时间无效" in shown
    assert "trip refused: keep power" in shown


def test_what_is_known_of_2018_alone_is_said_to_be_experimental():
    new = decode("--protocol", "cjt188", "681044332211003378810800D242001000002CA616")
    old = decode("--protocol", "cjt188", "6810880527101520000103901F012516")

    assert "of 2018: experimental, seen on no meter" in " ".join(new.stdout.split())
    assert "experimental" not in old.stdout


@pytest.mark.parametrize("path", ["dlt645", "cjt188"])
def test_every_collected_frame_can_be_drawn_and_no_byte_is_left_out(path: str):
    protocols = {"1997": Protocol.DLT645_1997, "2007": Protocol.DLT645_2007}
    for line in map(json.loads, (VECTORS / f"{path}.jsonl").read_text().splitlines()):
        if "expect" not in line:
            continue
        data = bytes.fromhex(line["hex"])
        protocol = Protocol.CJT188 if path == "cjt188" else protocols[line["edition"]]
        drawn = parts_of(data, How(protocol, quirks=tuple(line.get("quirks", ()))))
        assert b"".join(part.data for parts in drawn for part in parts) == data, line["id"]


def test_every_name_of_the_identifier_tables_has_its_chinese():
    names = {
        field.name
        for di in (*items.SINGLE, *range(0x00000000, 0x00FF0000, 0x10000), *EVENTS)
        if (item := items.find(di))
        for field in item.fields
    }
    names |= {
        field.name
        for di in range(0x9000, 0xC600)
        if (item := items97.find(di))
        for field in item.fields
    }

    assert len(names) > 500
    assert [name for name in names if not chinese(name)] == []
    assert chinese("forward active energy total settlement 1") == "正向有功总电能（上1结算日）"
    assert chinese("voltage A") == "A相电压"
    assert chinese("flux capacity") == ""


EVENTS = [0x03000000 | di2 << 16 | n for di2 in range(0x60) for n in (0, 1)]


def modbus_hex(unit: int, function: int, data: str) -> str:
    return modbus.encode(modbus.Frame(unit, function, bytes.fromhex(data))).hex()


def test_a_modbus_request_says_what_it_asks():
    assert as_object("--protocol", "modbus-rtu", "01 03 00 00 00 02 C4 0B") == {
        "unit": 1,
        "function": "03",
        "name": "read holding registers",
        "kind": "request",
        "address": 0,
        "count": 2,
        "crc": "C40B",
    }


def test_a_modbus_reply_is_explained_by_a_register_profile():
    # 0001E240H = 123456, in 0.01 kWh
    reply = modbus_hex(1, 3, "040001E240")

    explained = as_object(
        "--protocol", "modbus-rtu", "--profile", "acrel_ddsy1352", "--at", "0", reply
    )

    assert explained["kind"] == "reply"
    assert explained["registers"] == [1, 57920]
    assert explained["values"] == [{"name": "energy_total", "value": "1234.56", "unit": "kWh"}]


def test_a_modbus_exception_is_named():
    explained = as_object("--protocol", "modbus-rtu", modbus_hex(1, 0x83, "02"))

    assert explained["exception"] == {"code": "02", "name": "illegal data address"}


@pytest.mark.parametrize(("told", "kind"), [("--request", "request"), ("--reply", "reply")])
def test_a_modbus_frame_that_could_be_both_is_a_guess_until_told(told: str, kind: str):
    written = modbus_hex(1, 0x06, "001C0001")

    guessed = as_object("--protocol", "modbus-rtu", written)
    sure = as_object("--protocol", "modbus-rtu", told, written)

    assert (guessed["kind"], guessed["guessed"]) == ("request", True)
    assert (sure["kind"], "guessed" in sure) == (kind, False)


def test_a_log_with_request_and_reply_of_modbus_gives_both():
    log = modbus_hex(1, 3, "00000002") + "55" + modbus_hex(1, 3, "040001E240")

    found = as_object("--protocol", "modbus-rtu", log)

    assert [frame["kind"] for frame in found["frames"]] == ["request", "reply"]
    shown = decode("--protocol", "modbus-rtu", log).stdout
    assert "noise 干扰" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--protocol", "modbus-rtu", "--profile", "nobody", "--at", "0", "01"], "nobody"),
        (["--protocol", "modbus-rtu", "--profile", "acrel_ddsy1352", "01"], "go together"),
        (["--protocol", "modbus-rtu", "--at", "7Z", "--profile", "ddm18sd", "01"], "'7Z'"),
        (["--protocol", "cjt188"], "give the bytes"),
        ([ENERGY], "say whose bytes these are: --protocol dlt645-2007, dlt645-1997, cjt188"),
        (["--protocol", "cjt188", "--jsonl", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
    ],
)
def test_wrong_arguments_end_with_a_sentence_and_status_2(arguments: list[str], sentence: str):
    result = decode(*arguments)

    assert sentence.lower() in result.stderr.lower()
    assert result.exit_code == 2


def test_the_command_is_part_of_wattwell():
    arguments = ["frame", "decode", "--protocol", "dlt645-2007", "--json", ENERGY]

    assert CliRunner().invoke(cli.app, arguments).exit_code == 0


LATIN = re.compile(r"[A-Za-z]{3,}")
UNITS = {
    "kWh",
    "kvarh",
    "kVAh",
    "kvar",
    "kVA",
    "imp",
    "bit",
    "MWh",
    "MMDDhhmm",
    "BCD",
    "MAC",
    "ESAM",
}


@pytest.mark.parametrize("path", ["dlt645", "cjt188"])
def test_what_every_collected_frame_says_is_said_in_chinese_alone_where_that_is_chosen(path: str):
    protocols = {"1997": Protocol.DLT645_1997, "2007": Protocol.DLT645_2007}
    english = set()
    for line in map(json.loads, (VECTORS / f"{path}.jsonl").read_text().splitlines()):
        if "expect" not in line:
            continue
        protocol = Protocol.CJT188 if path == "cjt188" else protocols[line["edition"]]
        how = How(protocol, quirks=tuple(line.get("quirks", ())))
        for parts in parts_of(bytes.fromhex(line["hex"]), how):
            for part in parts:
                assert part.chinese, part.name
                for said in part.meaning:
                    english |= {word for word in LATIN.findall(said.chinese) if not is_hex(word)}

    assert english - UNITS == set()


def is_hex(word: str) -> bool:
    return set(word) <= set("0123456789ABCDEF")


def test_what_a_modbus_frame_says_is_said_in_chinese_alone_where_that_is_chosen():
    for sent in (
        modbus_hex(1, 0x03, "0000 0002"),
        modbus_hex(1, 0x83, "02"),
        modbus_hex(0, 0x05, "0001 FF00"),
        modbus_hex(1, 0x06, "0001 0002"),
        modbus_hex(1, 0x01, "01 05"),
    ):
        (parts,) = parts_of(bytes.fromhex(sent), How(Protocol.MODBUS_RTU))
        said = " ".join(each.chinese for part in parts for each in part.meaning)
        assert [word for word in LATIN.findall(said) if not is_hex(word)] == [], said
        assert "请求" in said or "应答" in said

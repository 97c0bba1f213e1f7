"""`wattwell tariff`: documents checked, readings rated and explained, and wrong files said to be so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from wattwell import cli

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "tariffs").glob("*.json"))

DAY_AND_NIGHT: dict[str, Any] = {
    "code": "DAY-NIGHT",
    "commodity": "electricity",
    "unit": "kWh",
    "currency": "CNY",
    "timezone": "Asia/Shanghai",
    "versions": [
        {
            "effective_from": "2020-01-01T00:00:00+08:00",
            "bands": [{"band": "valley", "from": "22:00", "to": "06:00"}, {"band": "peak"}],
            "components": [
                {
                    "item": "energy",
                    "kind": "rate",
                    "price": [
                        {"peak": "0.6", "valley": "0.3"},
                        {"peak": "0.9", "valley": "0.5"},
                    ],
                    "tiers": {"period": "month", "bounds": ["100"]},
                }
            ],
        }
    ],
}
READ = [
    "time,register",
    "2026-05-01T00:00:00+08:00,1000",
    "2026-05-01T12:00:00+08:00,1012",
    "2026-05-02T00:00:00+08:00,1024",
]


def tariff(*arguments: object) -> Result:
    texts = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli.app, ["tariff", *texts], env={"COLUMNS": "100"})


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "tariff.json"
    path.write_text(json.dumps(DAY_AND_NIGHT))
    return path


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    return written(tmp_path, *READ)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "usage.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_collected_case_is_rated_to_its_answer(path: Path, tmp_path: Path):
    case = json.loads(path.read_text())
    (tmp_path / "tariff.json").write_text(json.dumps(case["tariff"]))
    usage = written(tmp_path, "time,register", *(f"{at},{total}" for at, total in case["usage"]))
    options = [
        text
        for name in ("persons", "households")
        if name in case
        for text in (f"--{name}", case[name])
    ]

    result = tariff("rate", tmp_path / "tariff.json", usage, *options, "--json")

    assert json.loads(result.stdout) == case["expect"]
    assert result.exit_code == 0


def test_a_good_tariff_is_drawn_with_its_hours_tiers_and_price_range(prices: Path):
    result = tariff("check", prices)

    assert result.exit_code == 0
    assert "  ▂▂▂▂▂▂▂▂▂▂▂▂████████████████████████████████▂▂▂▂  every day" in result.stdout
    assert "█ peak 峰 06:00–22:00" in result.stdout
    assert "▂ valley 谷 22:00–06:00" in result.stdout
    assert "counted from zero each month on day 1" in result.stdout
    assert "One more kWh costs from 0.3 to 0.9 CNY" in result.stdout


def test_days_and_seasons_that_differ_are_drawn_apart(tmp_path: Path):
    version = {
        **DAY_AND_NIGHT["versions"][0],
        "holidays": ["2026-10-01"],
        "bands": [
            {"band": "valley", "days": "holiday"},
            {"band": "sharp", "months": [7, 8], "days": [1, 2, 3], "from": "18:00", "to": "20:30"},
            {"band": "peak"},
        ],
        "components": [
            {
                "item": "energy",
                "kind": "rate",
                "price": {"sharp": "0.9", "peak": "0.6", "valley": "0.3"},
            }
        ],
    }
    path = tmp_path / "tariff.json"
    path.write_text(json.dumps({**DAY_AND_NIGHT, "versions": [version]}))

    result = tariff("check", path)

    lines = result.stdout.splitlines()
    labels = [line.rsplit("  ", 1)[1] for line in lines if line.startswith("  ") and len(line) > 52]
    assert labels == [
        "Jan–Jun, Sep–Dec · Mon–Wed",
        "Jul–Aug · Mon–Wed",
        "Thu–Fri, weekends",
        "holidays",
    ]
    assert "    █ sharp 尖 18:00–20:30" in lines
    assert "    ▂ valley 谷 00:00–24:00" in lines


def test_every_mistake_of_a_document_is_said_with_its_path(prices: Path):
    document = json.loads(prices.read_text())
    document["currency"] = "ABC"
    document["versions"][0]["components"][0]["price"][1] = {"peak": "-1", "noon": "0.5"}
    prices.write_text(json.dumps(document))

    result = tariff("check", prices)

    assert result.exit_code == 1
    places = [line.split(":")[0] for line in result.stdout.splitlines()]
    assert places == [
        "currency",
        "versions[0].components[0].price[1]",
        "versions[0].components[0].price[1].peak",
        "versions[0].components[0].price[1].noon",
    ]
    assert result.stderr == f"{prices} cannot be used: 4 mistakes.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"code": "A",\n "code" "B"}', "is not JSON: line 2, column 9: expecting ':' delimiter."),
        ("", "is not JSON: line 1, column 1: expecting value."),
        ("[1, 2]", "holds no tariff: it must be one JSON object"),
        ('{"code": NaN}', "is not JSON: NaN is no number."),
        ('{"code": "A", "unit": "kWh", "code": "A"}', "says code twice; only one can be meant."),
        ('{"code": "\\ud800"}', "holds half of a character"),
        ("[" * 100_000, "nested too deeply"),
        (
            '{"versions": [{"components": [{"tiers": {"period": "year", "period": "month"}}]}]}',
            "says versions[0].components[0].tiers.period twice",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["check", "rate", "explain"])
def test_a_file_that_is_no_document_is_said_to_be_none(
    text: str, said: str, verb: str, tmp_path: Path, usage: Path
):
    path = tmp_path / "tariff.json"
    path.write_text(text)

    result = tariff(verb, path, *([usage] if verb != "check" else []))

    assert result.exit_code == 1
    assert result.stderr.startswith(f"{path} ")
    assert said in result.stderr
    assert result.stdout == ""


def test_a_float_in_a_document_is_refused(prices: Path):
    prices.write_text(prices.read_text().replace('"0.9"', "0.9"))

    result = tariff("check", prices)

    assert result.exit_code == 1
    assert result.stdout == (
        'versions[0].components[0].price[1].peak: must be a number written as text, like "0.5"\n'
    )


def test_tiers_that_lose_their_count_to_a_component_put_before_them_are_told(tmp_path: Path):
    document = json.loads(json.dumps(DAY_AND_NIGHT))
    (before,) = document["versions"]
    fee = {"item": "service", "kind": "fixed", "amount": "2", "per": "month"}
    since = {"effective_from": "2026-07-01T00:00:00+08:00"}
    path = tmp_path / "tariff.json"

    document["versions"] = [before, before | since | {"components": [fee, *before["components"]]}]
    path.write_text(json.dumps(document))
    fee_first = tariff("check", path)
    document["versions"] = [before, before | since | {"components": [*before["components"], fee]}]
    path.write_text(json.dumps(document))
    fee_last = tariff("check", path)

    assert "energy 电费: does not go on counting where it stopped" in fee_first.stdout
    assert "does not go on counting" not in fee_last.stdout
    assert fee_first.exit_code == fee_last.exit_code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2026-05-03T00:00:00+08:00", "line 5: has 1 columns; there are two, time and register"),
        ("2026-05-03T00:00:00+08:00,1,2", "line 5: has 3 columns"),
        ("2026-05-03 noon,1030", "line 5: '2026-05-03 noon' is no time; write it like 2026-05-01T"),
        ("2026-05-03T00:00:00,1030", "line 5: '2026-05-03T00:00:00' is no time"),
        ("2026-02-30T00:00:00Z,1030", "line 5: '2026-02-30T00:00:00Z' is no time"),
        ("9999-12-31T23:59:59Z,1030", "line 5: 9999-12-31T23:59:59Z is not in the years 1900 to"),
        ("2026-05-03T00:00:00Z,1e3", "line 5: '1e3' is no register; write it like 1024.91"),
        ("2026-05-03T00:00:00Z,-5", "line 5: '-5' is no register"),
        ("2026-05-03T00:00:00Z,１２００", "line 5: '１２００' is no register"),
        ("2026-05-03T00:00:00Z,NaN", "line 5: 'NaN' is no register"),
        ("2026-05-03T00:00:00Z,", "line 5: '' is no register"),
        (
            "2026-05-01T16:00:00Z,1030",
            "line 5: 2026-05-01T16:00:00Z is not after the reading before",
        ),
        ("2026-05-03T00:00:00Z,1023.99", "line 5: the register goes back, from 1024 to 1023.99"),
        ('2026-05-03T00:00:00Z,"1030', "line 5, cannot be read"),
    ],
)
def test_a_wrong_line_of_readings_is_said_with_its_number(
    line: str, said: str, prices: Path, tmp_path: Path
):
    usage = written(tmp_path, *READ, line)

    result = tariff("rate", prices, usage)
    as_json = tariff("rate", prices, usage, "--json")

    assert result.exit_code == as_json.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"{usage}, {said}")
    assert json.loads(as_json.stdout) == {"error": result.stderr.rstrip("\n")}
    assert as_json.stderr == ""


def test_files_without_header_without_readings_or_not_there_are_said_to_be_so(
    prices: Path, tmp_path: Path
):
    headless, empty = written(tmp_path, *READ[1:]), tmp_path / "empty.csv"
    empty.write_text("time,register\n\n")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")

    def said(path: Path) -> str:
        return tariff("rate", prices, path).stderr

    assert said(headless) == f"{headless}, line 1: must be the header time,register.\n"
    assert said(empty) == f"{empty} has no readings; the first one opens the account.\n"
    assert said(binary) == f"{binary} cannot be read: it is not UTF-8 text.\n"
    assert said(tmp_path / "none.csv") == (
        f"{tmp_path / 'none.csv'} cannot be read: No such file or directory.\n"
    )


def test_a_bad_tariff_makes_one_error_object(prices: Path, usage: Path):
    prices.write_text(prices.read_text().replace("Asia/Shanghai", "Asia/Atlantis"))

    result = tariff("rate", prices, usage, "--json")

    assert result.exit_code == 1
    assert list(json.loads(result.stdout)) == ["error"]
    assert "timezone: there is no time zone 'Asia/Atlantis'" in result.stdout


def test_what_a_spreadsheet_writes_can_be_read(prices: Path, tmp_path: Path):
    usage = tmp_path / "usage.csv"
    usage.write_bytes(("\ufeff" + "\r\n".join(["Time, Register", *READ[1:], ""])).encode())

    result = tariff("rate", prices, usage, "--json")

    # 24 kWh in 24 hours: 8 × 0.3 + 16 × 0.6 = 2.4 + 9.6
    assert json.loads(result.stdout)["total"] == "12.00"


def test_one_reading_opens_the_account_and_costs_nothing(prices: Path, tmp_path: Path):
    usage = written(tmp_path, *READ[:2])

    rated = tariff("rate", prices, usage, "--json")
    explained = tariff("explain", prices, usage)

    assert json.loads(rated.stdout) == {
        "currency": "CNY",
        "lines": [],
        "items": {"energy": "0.000000"},
        "total": "0.00",
    }
    assert explained.exit_code == 1
    assert "it takes two to have used something" in explained.stderr


def test_the_bill_is_drawn_with_each_item_and_the_total(prices: Path, usage: Path):
    result = tariff("rate", prices, usage)

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "energy 电费 peak 峰 1 16 kWh 0.6 9.6" in lines
    assert "energy 电费 valley 谷 1 8 kWh 0.3 2.4" in lines
    assert lines[-2:] == ["energy 电费: 12.000000", "Total 合计: 12.00 CNY"]


def test_the_last_interval_is_explained_unless_another_is_named(prices: Path, usage: Path):
    last, first = (
        tariff("explain", prices, usage),
        tariff("explain", prices, usage, "--interval", 1),
    )

    assert last.stdout.startswith("2026-05-01 12:00 to 24:00: the register went from 1012 to 1024")
    assert first.stdout.startswith("2026-05-01 00:00 to 12:00: the register went from 1000 to 1012")
    # 6 × 0.3 + 6 × 0.6 = 1.8 + 3.6 to 12:00; 10 × 0.6 + 2 × 0.3 = 6.6 after
    assert (
        "energy: 5.4 until then + 6.6 = 12, rounded 12.00; 5.40 was charged before" in last.stdout
    )


@pytest.mark.parametrize(
    ("options", "since"),
    [
        (["--from", "2026-05-01T13:00"], ["12:00"]),
        (["--to", "2026-05-01T12:00"], ["00:00"]),
        (["--from", "2026-05-01", "--to", "2026-05-02"], ["00:00", "12:00"]),
        (["--from", "2026-05-01T03:59:00Z", "--to", "2026-05-01T04:01:00Z"], ["00:00", "12:00"]),
    ],
)
def test_the_intervals_within_a_time_are_explained(
    options: list[str], since: list[str], prices: Path, usage: Path
):
    result = tariff("explain", prices, usage, *options)

    begun = [line[11:16] for line in result.stdout.splitlines() if "the register went" in line]
    assert begun == since


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--interval", "3"], 1, "There is no interval 3; the readings have 2, from 1."),
        (["--from", "2026-06-01", "--to", "2026-07-01"], 1, "Nothing was read in that time"),
        (["--from", "2026-05-02", "--to", "2026-05-01"], 1, "2026-05-02 is not before 2026-05-01."),
        (["--from", "2026-06-01"], 1, "Nothing was read in that time: the readings are from"),
        (["--to", "2026-04-01"], 1, "Nothing was read in that time: the readings are from"),
        (["--from", "May"], 1, "'May' is no time; write it like 2026-05-01 or 2026-05-01T10:30."),
        (
            ["--interval", "1", "--from", "2026-05-01"],
            2,
            "Give either --interval or --from and --to",
        ),
    ],
)
def test_an_interval_that_is_not_there_is_said_to_be_missing(
    options: list[str], status: int, said: str, prices: Path, usage: Path
):
    result = tariff("explain", prices, usage, *options)

    assert result.exit_code == status
    assert said in result.stderr
    assert result.stdout == ""


def test_the_explanation_is_said_in_chinese_where_that_is_asked_for(prices: Path, usage: Path):
    result = tariff("explain", prices, usage, "--language", "zh")

    assert "示数由 1012 到 1024，用了 12 kWh" in result.stdout
    assert "第 1 档，100 kWh 以内" in result.stdout


def test_the_explanation_as_json_has_every_slice_part_and_rounding(prices: Path, tmp_path: Path):
    # 96 kWh before; then 6 an hour from 21:00 to 23:00: 4 to the bound and 2 above at 22:00, 6 above after
    usage = written(
        tmp_path,
        "time,register",
        "2026-05-01T00:00:00+08:00,0",
        "2026-05-01T21:00:00+08:00,96",
        "2026-05-01T23:00:00+08:00,108",
    )

    result = tariff("explain", prices, usage, "--json")

    answer = json.loads(result.stdout)
    (interval,) = answer["intervals"]
    peak, valley = interval["slices"]
    assert (answer["currency"], answer["unit"]) == ("CNY", "kWh")
    assert (peak["band"], peak["until"], peak["register_after"]) == (
        "peak",
        "2026-05-01T14:00:00+00:00",
        "102",
    )
    assert [
        (part["tier"], part["bound"], part["used_before"], part["quantity"], part["amount"])
        for part in (*peak["parts"], *valley["parts"])
    ] == [
        (1, "100", "96", "4", "2.4"),
        (2, None, "100", "2", "1.8"),
        (2, None, "102", "6", "3"),
    ]
    # Before: 96 kWh in 21 hours, valley to 06:00. 96 × 6 / 21 = 27.428571 at 06:00;
    # 27.428571 × 0.3 + 68.571429 × 0.6 = 8.2285713 + 41.1428574 = 49.3714287
    (item,) = interval["items"]
    assert item == {
        "item": "energy",
        "cost_before": "49.3714287",
        "cost": "56.5714287",
        "posted_before": "49.37",
        "posted": "56.57",
        "charged": "7.20",
    }
    assert interval["words"][-1].endswith("so now 7.20 yuan")

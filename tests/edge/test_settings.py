"""gateway.toml: what is wrong is named, with its line."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.clocks.clock_settings import SystemClock
from edge.lines.place import ListenAt, ModbusTcpAt, SerialAt, TcpAt
from edge.settings import contact, load
from edge.settings_file import BadSettings
from edge.uplink import credentials
from edge.uplink.access import Access, BrokerAt
from edge.uplink.credentials import Credentials

GOOD = """\
gateway_no = "GW-0001"
poll_s = 2

[cloud]
broker = "127.0.0.1:1883"
key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
password_file = "password"

[[line]]
name = "L1"
port = "serial:/dev/ttyUSB0,2400,8E1"

[[line]]
name = "L2"
port = "tcp:127.0.0.1:4001"
delay_s = 3
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    (folder / "password").write_text("s3cret\n")
    return path


def test_faults_of_every_kind_are_told_at_once(tmp_path: Path):
    text = GOOD.replace('name = "L2"', 'name = "L1"').replace("poll_s = 2", 'poll_s = "2"')
    path = write(
        tmp_path, text.replace("2400,8E1", "1234,8E1") + '[page]\nlisten = "x"\nhttps = "yes"\n'
    )

    with pytest.raises(BadSettings) as raised:
        load(path, {})

    assert [error.partition(": ")[0].rpartition(", ")[2] for error in raised.value.errors] == [
        "line 2",
        "line 18",
        "line 19",
        "line 11",
        "line 14",
    ]


def test_a_right_file_is_read_whole(tmp_path: Path):
    settings = load(write(tmp_path, GOOD), {})

    assert settings.gateway_no == "GW-0001"
    access = Access((BrokerAt("127.0.0.1", 1883, is_tls=False),), "GW-0001", "s3cret", ca=None)
    assert settings.access == access
    assert (settings.credential, settings.code_key) == (None, None)
    assert settings.ledger == tmp_path / "ledger.sqlite"
    serial, tcp = settings.lines
    assert (serial.at, serial.delay_s) == (SerialAt("/dev/ttyUSB0", 2400, "8E1"), 0.2)
    assert (tcp.at, tcp.delay_s) == (TcpAt("127.0.0.1", 4001, 2400), 3)


def test_what_meters_measure_is_asked_for_each_quarter_of_an_hour_unless_told_otherwise(
    tmp_path: Path,
):
    assert load(write(tmp_path, GOOD), {}).measure_s == 900
    never = GOOD.replace("poll_s = 2", "poll_s = 2\nmeasure_s = 0")
    assert load(write(tmp_path, never), {}).measure_s == 0
    with pytest.raises(BadSettings, match="line 3: measure_s: Input should be less"):
        load(write(tmp_path, never.replace("measure_s = 0", "measure_s = 99999")), {})


def test_the_clock_is_looked_after_without_a_table_for_it(tmp_path: Path):
    clock = load(write(tmp_path, GOOD), {}).clock

    assert clock.system is SystemClock.NTP
    assert clock.rules.most_error == timedelta(minutes=5)
    assert clock.meters.zone == ZoneInfo("Asia/Shanghai")
    assert (clock.meters.sets_meters, clock.meters.sets_by_address) == (True, False)


def test_what_is_said_of_the_clock_is_read(tmp_path: Path):
    table = """\
[clock]
system = "always"
timezone = "Asia/Ho_Chi_Minh"
witnesses = 3
set_meters = false
set_by_address = true
"""

    clock = load(write(tmp_path, GOOD + table), {}).clock

    assert clock.system is SystemClock.ALWAYS
    assert clock.meters.zone == ZoneInfo("Asia/Ho_Chi_Minh")
    assert clock.meters.quorum.least == 3
    assert (clock.meters.sets_meters, clock.meters.sets_by_address) == (False, True)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ('system = "gps"', "line 18: clock.system: Input should be 'ntp', 'always' or 'never'"),
        ('timezone = "Beijing"', "line 18: clock.timezone: there is no time zone Beijing"),
        ('timezone = "../etc/passwd"', "clock.timezone: there is no time zone"),
        ("witnesses = 1", "line 18: clock.witnesses: Input should be greater than or equal to 2"),
        ("set_metres = true", "line 18: clock.set_metres: is not a setting"),
    ],
)
def test_a_wrong_setting_of_the_clock_is_named_with_its_line(
    tmp_path: Path, setting: str, sentence: str
):
    with pytest.raises(BadSettings) as raised:
        load(write(tmp_path, f"{GOOD}[clock]\n{setting}\n"), {})

    assert any(sentence in error for error in raised.value.errors), raised.value.errors


def test_a_line_can_be_of_modbus_tcp(tmp_path: Path):
    settings = load(write(tmp_path, GOOD.replace("tcp:127", "modbus-tcp:127")), {})

    assert settings.lines[1].at == ModbusTcpAt("127.0.0.1", 4001, 2400)


def test_a_line_can_be_of_a_dtu_that_dials_in(tmp_path: Path):
    said = 'registration = "DTU-0001"\nheartbeat = "hex:7E 01"\ndelay_s = 3'
    dial_in = GOOD.replace("tcp:127.0.0.1", "tcp-listen:0.0.0.0").replace("delay_s = 3", said)

    settings = load(write(tmp_path, dial_in), {})

    assert settings.lines[1].at == ListenAt("0.0.0.0", 4001, 2400, b"DTU-0001", b"\x7e\x01")


def test_a_line_can_have_manners_of_its_own(tmp_path: Path):
    settings = load(write(tmp_path, GOOD.replace("delay_s = 3", "gap_ms = 120\necho = true")), {})

    assert [(line.gap_s, line.echoes) for line in settings.lines] == [(None, None), (0.12, True)]
    assert (settings.lines[1].place.gap_s, settings.lines[1].place.echoes) == (0.12, True)


def test_a_gateway_has_at_most_32_lines(tmp_path: Path):
    more = "".join(
        f'[[line]]\nname = "M{n}"\nport = "tcp:127.0.0.1:{5000 + n}"\n' for n in range(31)
    )

    assert (
        len(load(write(tmp_path, GOOD + more[: more.index('[[line]]\nname = "M30"')]), {}).lines)
        == 32
    )
    with pytest.raises(BadSettings, match="line: List should have at most 32 items"):
        load(write(tmp_path, GOOD + more), {})


def test_the_password_of_the_environment_wins(tmp_path: Path):
    settings = load(write(tmp_path, GOOD), {"WATTWELL_GATEWAY_PASSWORD": "other"})

    assert settings.access.password == "other"


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ('gateway_no = "GW-0001"', 'gateway_no = "a/b"', "line 1: gateway_no: must be 1 to 40"),
        ('gateway_no = "GW-0001"\n', "", "line 1: gateway_no: is missing"),
        ("poll_s = 2", "pol_s = 2", "line 2: pol_s: is not a setting"),
        ('"127.0.0.1:1883"', '"127.0.0.1"', 'line 5: cloud.broker: must be "host:port"'),
        (
            'broker = "127.0.0.1:1883"\n',
            "",
            "line 4: cloud.broker: is missing, for a gateway not enrolled",
        ),
        ("11qYAYK", "11", "line 6: cloud.key: must be the cloud's public key"),
        ("2400,8E1", "2400", 'line 11: line[1].port: must be "serial:DEVICE,BAUD,8E1", "tcp:'),
        ("tcp:127.0.0.1:4001", "udp:1", "line 15: line[2].port: must be"),
        ("delay_s = 3", "delay_s = -1", "line 16: line[2].delay_s: Input should be greater"),
        ("delay_s = 3", "gap_ms = 9000", "line 16: line[2].gap_ms: Input should be less"),
        ("delay_s = 3", 'echo = "yes"', "line 16: line[2].echo: Input should be a valid boolean"),
        ("delay_s = 3", 'heartbeat = "7E"', "heartbeat: is for a DTU that dials in: port must"),
        ("delay_s = 3", 'registration = "hex:7"', "line 16: line[2].registration: must be a text"),
        ('name = "L2"', 'name = "L1"', "line 14: line[2].name: L1 is described before"),
        (
            "2400,8E1",
            "1234,8E1",
            "line 11: line[1].port: the baud rate must be one of 300, 600, 1200",
        ),
        (
            "delay_s = 3",
            "baud = 1234",
            "line 16: line[2].baud: the baud rate must be one of 300, 600",
        ),
        ("[cloud]", "[cloud", "line 4: this is not TOML: Expected ']'"),
        (
            'name = "L1"',
            "name = “L1”",
            'line 10: this is not TOML: Invalid value (at column 8): the quotes must be " and',
        ),
        ('name = "L1"', 'name = "L1', "line 10: this is not TOML"),
        (
            '8E1"',
            '8E1"\nbaud = 9600',
            "line 12: line[1].baud: the rate of a serial device stands in its port, which says 2400",
        ),
        (
            "[[line]]\n",
            '[log]\nfile = "no/gateway.log"\n\n[[line]]\n',
            "line 10: log.file: there is no folder",
        ),
        ("[[line]]\n", '[log]\nfile = "."\n\n[[line]]\n', "line 10: log.file: "),
        ('"password"', '"nowhere"', "line 7: cloud.password_file: "),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(
    tmp_path: Path, right: str, wrong: str, sentence: str
):
    path = write(tmp_path, GOOD.replace(right, wrong, 1))

    with pytest.raises(BadSettings) as raised:
        load(path, {})

    assert any(sentence in error for error in raised.value.errors), raised.value.errors
    assert str(path) in raised.value.errors[0]


def test_a_single_line_in_one_bracket_is_told_of_two(tmp_path: Path):
    with pytest.raises(BadSettings, match=r"line 3: line: .* begins with \[\[line\]\]"):
        load(write(tmp_path, BARE.partition("\n\n")[0].replace("[[line]]", "\n[line]")), {})


def test_what_an_editor_of_windows_writes_is_read(tmp_path: Path):
    enrolled(tmp_path)

    settings = load(write(tmp_path, "\ufeff" + BARE.replace("\n", "\r\n")), {})

    assert [line.name for line in settings.lines] == ["L1", "L2"]


def test_a_log_file_stands_in_a_folder_that_is_there(tmp_path: Path):
    enrolled(tmp_path)
    (tmp_path / "log").mkdir()

    log = load(write(tmp_path, BARE + '[log]\nfile = "log/gateway.log"\n'), {}).log

    assert log is not None
    assert log.file == tmp_path / "log" / "gateway.log"


def test_a_file_without_lines_is_refused(tmp_path: Path):
    with pytest.raises(BadSettings, match="line: is missing"):
        load(write(tmp_path, GOOD[: GOOD.index("[[line]]")]), {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(BadSettings, match=r"gateway\.toml cannot be read: No such file"):
        load(tmp_path / "gateway.toml", {})


def test_a_missing_password_names_where_it_is_looked_for(tmp_path: Path):
    path = write(tmp_path, GOOD)
    (tmp_path / "password").unlink()

    with pytest.raises(BadSettings, match=r"cloud\.password_file: .*password cannot be read"):
        load(path, {})
    path.write_text(GOOD.replace('password_file = "password"\n', ""))
    with pytest.raises(BadSettings, match="WATTWELL_GATEWAY_PASSWORD"):
        load(path, {})


def enrolled(folder: Path, *, gateway_no: str = "GW-0001") -> Credentials:
    key = base64.b64encode(
        Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    )
    given = Credentials(
        gateway_no=gateway_no,
        cloud_url="https://cloud.test",
        https_ca=None,
        brokers=("mqtts://broker.test:8883",),
        broker_ca=None,
        number=3,
        user="GW-0001.3",
        password="granted",
        cloud_keys=(key.decode(),),
        keys_number=0,
        code_key=bytes(32),
        issued_at=datetime(2026, 11, 1, tzinfo=UTC),
        expires_at=datetime(2027, 1, 30, tzinfo=UTC),
    )
    credentials.write(folder, given)
    return given


BARE = 'gateway_no = "GW-0001"\n' + GOOD[GOOD.index("[[line]]") :]


def test_an_enrolled_gateway_needs_neither_key_nor_password_nor_broker(tmp_path: Path):
    given = enrolled(tmp_path)

    settings = load(write(tmp_path, BARE), {})

    at = BrokerAt("broker.test", 8883, is_tls=True)
    assert settings.access == Access((at,), "GW-0001.3", "granted", ca=None)
    assert (settings.credential, settings.code_key) == (3, bytes(32))
    assert settings.cloud_keys.ids == given.keys.ids


def test_what_enrolment_gave_goes_before_an_old_key_and_password(tmp_path: Path):
    enrolled(tmp_path)
    settings = load(write(tmp_path, GOOD), {"WATTWELL_GATEWAY_PASSWORD": "old"})
    assert (settings.access.user, settings.access.password) == ("GW-0001.3", "granted")
    assert settings.access.brokers == (BrokerAt("127.0.0.1", 1883, is_tls=False),)  # named by hand


def test_a_gateway_that_was_not_enrolled_is_told_how(tmp_path: Path):
    with pytest.raises(BadSettings, match="is not enrolled: run `wattwell edge enrol`"):
        load(write(tmp_path, BARE), {})
    assert contact(write(tmp_path, BARE)).gateway_no == "GW-0001"


def test_credentials_of_another_gateway_are_refused(tmp_path: Path):
    enrolled(tmp_path, gateway_no="GW-0002")
    with pytest.raises(BadSettings, match=r"gateway_no is GW-0001, and .* is for gateway GW-0002"):
        load(write(tmp_path, BARE), {})


def test_damaged_credentials_are_refused(tmp_path: Path):
    (tmp_path / credentials.CREDENTIALS).write_text("{")
    with pytest.raises(BadSettings, match="damaged: enrol this gateway again"):
        load(write(tmp_path, BARE), {})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('url = "cloud.test"', "line 3: cloud.url: cloud.test is not an address like"),
        ('url = "http://cloud.test"', "needs https"),
        ('broker = "mqtts://"', "line 3: cloud.broker: must be mqtts://HOST:PORT"),
        ('ca_file = "none.pem"', r"line 3: cloud.ca_file: .*none.pem cannot be used: No such file"),
        ('ca_file = "password"', r"cloud.ca_file: .*password cannot be used: it is no certificate"),
    ],
)
def test_how_the_cloud_is_reached_is_checked(tmp_path: Path, line: str, sentence: str):
    enrolled(tmp_path)
    text = BARE.replace("\n", f"\n[cloud]\n{line}\n", 1)
    with pytest.raises(BadSettings, match=sentence):
        load(write(tmp_path, text), {})


@pytest.mark.parametrize(
    ("port", "other"),
    [
        ("serial:/dev/ttyUSB0,9600,8N1", "line L1"),
        ("tcp:192.168.1.40:4001", "line L2"),
        ("tcp-listen:0.0.0.0:8089", "the page"),
    ],
)
def test_two_lines_at_one_place_are_refused_with_the_second(tmp_path: Path, port: str, other: str):
    path = tmp_path / "gateway.toml"
    path.write_text(
        'gateway_no = "GW-0001"\n[page]\nlisten = "0.0.0.0:8089"\n'
        '[[line]]\nname = "L1"\nport = "serial:/dev/ttyUSB0,2400,8E1"\n'
        '[[line]]\nname = "L2"\nport = "tcp:192.168.1.40:4001"\n'
        f'[[line]]\nname = "L3"\nport = "{port}"\n'
    )
    with pytest.raises(BadSettings) as refused:
        contact(path)
    assert refused.value.errors == [f"{path}, line 12: line[3].port: {other} is there already"]

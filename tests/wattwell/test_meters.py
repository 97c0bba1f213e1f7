"""A technician at a line: what is read, switched and set, and what is said when it does not go well."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from edge.lines.bus import Garbled, NoReply
from edge.lines.ports import LineAway
from edge.technician.cj188_meters import Cj188
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.meters import CannotDo, Command, Credentials, Shown
from edge.technician.modbus_meters import ModbusMeter
from edge.technician.parts import without_password
from prepaid.reading import Supply
from protocols.cj188 import slave as cj188
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import master as dlt645
from protocols.dlt645 import slave as dlt645_slave
from protocols.exchange import Refused, Unexpected
from protocols.modbus import profile as profiles
from protocols.modbus import slave as modbus
from protocols.modbus.profile import DIRECT
from tests.edge.simulated import simulated
from tests.wattwell.lines import EVENING, PLACE, Wire, electricity, live, now
from wattwell.technician import clock_commands, supply_commands, values
from wattwell.technician.line import Status, failure

ADDRESS = "201709320072"
METER = Dlt2007(ADDRESS)
WATER = Cj188("78330011223344", 0x10, high_first=True)
RIGHT = Credentials(2, "123456", "00000001")
WRONG = Credentials(2, "654321", "00000001")


async def rows(
    wire: Wire, meter: Dlt2007 | Dlt1997 | Cj188 | ModbusMeter, *names: str
) -> list[Shown]:
    read = await values.read_all(live(wire), meter, names)
    assert all(isinstance(row, Shown) for row in read)
    return [row for row in read if isinstance(row, Shown)]


@simulated
async def test_energy_is_read_by_name_and_by_identifier():
    wire = Wire([electricity(ADDRESS)])

    by_name = await rows(wire, METER, "energy")
    by_identifier = await rows(wire, METER, "00010000")

    assert by_name == by_identifier
    assert by_name == [
        Shown("00010000", "forward active energy total", "正向有功总电能", Decimal("186.00"), "kWh")
    ]


@simulated
async def test_a_name_of_the_identifier_table_will_do():
    meter = electricity(ADDRESS)
    meter.registers[0x02800002] = bytes.fromhex("9949")  # 49.99 Hz, low byte first

    (frequency,) = await rows(Wire([meter]), METER, "grid-frequency")

    assert (frequency.value, frequency.unit) == (Decimal("49.99"), "Hz")


@simulated
async def test_status_says_the_supply_in_words():
    meter = electricity(ADDRESS)
    meter.contact_open = meter.command_open = True

    shown = await rows(Wire([meter]), METER, "status")

    assert [(row.name, row.chinese, row.value) for row in shown] == [
        ("status word 3", "电表运行状态字3", "0050"),
        ("contact open", "继电器断", "yes 是"),
        ("last command open", "命令跳闸", "yes 是"),
        ("supply", "供电状态", "off 断"),
    ]


@simulated
async def test_an_item_that_is_refused_does_not_keep_the_others_back():
    wire = Wire([electricity(ADDRESS)])

    first, second = await values.read_all(live(wire), METER, ["voltage-a", "energy"])

    assert isinstance(first, values.Refusal)
    assert first.error.reasons == ("no such data",)
    assert isinstance(second, Shown)


@simulated
async def test_an_unknown_name_is_refused_before_anything_is_sent():
    wire = Wire([electricity(ADDRESS)])

    with pytest.raises(CannotDo, match="'warp' is neither a name"):
        await values.read_all(live(wire), METER, ["warp"])

    assert wire.requests == []


@simulated
async def test_an_identifier_outside_the_table_is_shown_as_it_is():
    meter = electricity(ADDRESS)
    meter.registers[0x0FFF0000] = b"\x01\x02"

    (shown,) = await rows(Wire([meter]), METER, "0FFF0000")

    assert (shown.name, shown.value) == ("not in the table", "0102")


@simulated
async def test_a_meter_of_1997_is_read_with_two_byte_identifiers():
    meter = electricity(ADDRESS)
    meter.registers[0x9010] = bytes.fromhex("56341200")

    (energy,) = await rows(Wire([meter]), Dlt1997(ADDRESS), "energy")

    assert (energy.item, energy.value) == ("9010", Decimal("1234.56"))


@simulated
async def test_a_block_that_a_meter_refuses_is_read_item_by_item():
    meter = electricity(ADDRESS)
    meter.registers[0x00010100] = bytes.fromhex("00860100")  # 186.00 kWh at the only tariff
    meter.registers[0x9010] = meter.registers[0x9011] = bytes.fromhex("00860100")
    wire = Wire([meter])

    tariffs = await rows(wire, METER, "energy-tariffs")
    old = await rows(wire, Dlt1997(ADDRESS), "energy-tariffs")

    for shown in (tariffs, old):
        assert [(row.name, row.value) for row in shown] == [
            ("forward active energy total", Decimal("186.00")),
            ("forward active energy tariff 1", Decimal("186.00")),
        ]


@simulated
async def test_a_set_of_1997_is_shown_value_by_value():
    meter = electricity(ADDRESS)
    meter.registers[0x90FF] = (bytes(4) + b"\xaa") * 2

    shown = await rows(Wire([meter]), Dlt1997(ADDRESS), "90FF")

    assert [row.name for row in shown] == [
        "forward active energy total",
        "reverse active energy total",
    ]


@simulated
async def test_a_water_meter_shows_total_valve_and_battery():
    meter = cj188.MeterState(WATER.address, total=Decimal("12.34"), battery_low=True)

    shown = {row.name: row for row in await rows(Wire([meter]), WATER, "current-data")}

    assert (shown["total now"].value, shown["total now"].unit) == (Decimal("12.34"), "m3")
    assert shown["valve"].value == "open"
    assert shown["battery"].value == "low 欠压"
    assert shown["clock"].value == "2026-06-15 18:30:00"


@simulated
async def test_the_address_of_whoever_is_there_can_be_read_of_a_water_meter():
    meter = cj188.MeterState("78330011223344")

    (address,) = await rows(Wire([meter]), Cj188("A" * 14, 0xAA, high_first=True), "address")

    assert address.value == "78330011223344"


def acrel() -> tuple[Wire, ModbusMeter]:
    """An Acrel prepaid meter whose register says 1234.56 kWh: 0001E240H = 123456."""
    device = modbus.Registers(1)
    holding = device.tables[modbus.Table.HOLDING]
    holding |= {0x0000: 0x0001, 0x0001: 0xE240, 0x000C: 0, 0x0057: 0, 0x0058: 0}
    return Wire([device]), ModbusMeter(1, profiles.load("acrel_ddsy1352"), DIRECT)


@simulated
async def test_a_modbus_register_is_read_by_the_name_in_its_profile():
    wire, meter = acrel()

    (energy,) = await rows(wire, meter, "energy_total")

    assert (energy.item, energy.value, energy.unit) == ("0000H", Decimal("1234.56"), "kWh")


@simulated
async def test_a_modbus_register_is_read_by_number_without_a_profile():
    wire, _ = acrel()
    unknown = ModbusMeter(1, None, DIRECT)

    shown = await rows(wire, unknown, "holding:0x0000:2")

    assert [(row.item, row.value) for row in shown] == [("0000H", 1), ("0001H", 57920)]
    with pytest.raises(CannotDo, match="needs a register profile"):
        await values.read_all(live(wire), unknown, ["energy_total"])


@simulated
async def test_modbus_is_switched_on_a_line_that_echoes():
    wire, meter = acrel()
    wire.echoes = True

    after = await supply_commands.switch(live(wire), meter, Command.OFF, None)

    assert after is Supply.OFF


@simulated
async def test_off_is_proved_by_reading_back():
    meter = electricity(ADDRESS)

    after = await supply_commands.switch(live(Wire([meter])), METER, Command.OFF, RIGHT)

    assert after is Supply.OFF
    assert meter.contact_open


@simulated
async def test_allow_waits_for_the_button_and_on_does_not():
    meter = electricity(ADDRESS)
    meter.contact_open = meter.command_open = True
    line = live(Wire([meter]))

    assert await supply_commands.switch(line, METER, Command.ALLOW, RIGHT) is Supply.ARMED
    assert meter.contact_open
    assert await supply_commands.switch(line, METER, Command.ON, RIGHT) is Supply.ON


@simulated
async def test_a_contact_that_sticks_is_not_called_off():
    class Stuck(dlt645_slave.MeterState):
        def relay(self, command: dlt645.RelayCommand, minutes: int) -> None:
            self.command_open = command is dlt645.RelayCommand.TRIP

    stuck = Stuck(ADDRESS, passwords={2: "123456"})

    after = await supply_commands.switch(live(Wire([stuck])), METER, Command.OFF, RIGHT)

    assert after is Supply.ON


@simulated
async def test_a_valve_is_waited_for():
    class Slow(cj188.MeterState):
        looks = 0

        def status(self) -> cj188.ValveStatus:
            self.looks += 1
            if self.looks > 5:
                self.valve = cj188.Valve.CLOSED
            return super().status()

        def move_valve(self, command: cj188.ValveCommand) -> None:
            self.looks = 0

    wire = Wire([Slow(WATER.address)])

    assert await supply_commands.switch(live(wire), WATER, Command.OFF, None) is Supply.OFF


@simulated
async def test_a_wrong_password_is_said_and_switches_nothing():
    meter = electricity(ADDRESS)

    with pytest.raises(Refused) as refused:
        await supply_commands.switch(live(Wire([meter])), METER, Command.OFF, WRONG)

    failed = failure(refused.value, METER, PLACE)
    assert failed.status == Status.REFUSED
    assert "does not accept the password" in failed.sentence
    assert not meter.contact_open
    assert "654321" not in failed.sentence + " ".join(failed.checks)


@simulated
async def test_a_refusal_is_said_with_the_meters_reason():
    meter = electricity(ADDRESS)
    meter.keep_power = True
    meter.answers_with_word = True

    with pytest.raises(Refused) as refused:
        await supply_commands.switch(live(Wire([meter])), METER, Command.OFF, RIGHT)

    assert "trip refused: keep power" in failure(refused.value, METER, PLACE).sentence


@simulated
async def test_silence_garbage_and_a_lost_line_are_three_things():
    silent, garbled, away = Wire([]), Wire([]), Wire([])
    garbled.garbles = True
    away.is_away = True

    said = {}
    for wire, kind in ((silent, NoReply), (garbled, Garbled), (away, LineAway)):
        with pytest.raises(kind) as error:
            await values.read_all(live(wire), METER, ["energy"])
        said[kind] = failure(error.value, METER, PLACE)

    assert [said[kind].status for kind in (NoReply, Garbled, LineAway)] == [
        Status.SILENT,
        Status.GARBLED,
        Status.AWAY,
    ]
    assert "No answer from meter 201709320072" in said[NoReply].sentence
    assert any("scan" in check for check in said[NoReply].checks)
    assert any("two meters on one address" in check for check in said[Garbled].checks)
    assert "cannot be opened: No such file" in said[LineAway].sentence


def test_an_answer_to_something_else_is_said():
    failed = failure(Unexpected("000000000001 answers for 201709320072"), METER, PLACE)

    assert failed.status == Status.GARBLED
    assert "000000000001 answers" in failed.sentence


@pytest.mark.parametrize(
    ("meter", "command"),
    [
        (WATER, Command.ALLOW),
        (Dlt1997(ADDRESS), Command.OFF),
        (ModbusMeter(1, None, DIRECT), Command.OFF),
        (ModbusMeter(1, profiles.load("eastron_sdm120"), DIRECT), Command.OFF),
        (ModbusMeter(1, profiles.load("acrel_ddsy1352"), DIRECT), Command.ALLOW),
    ],
)
def test_what_a_meter_cannot_do_is_said_before_anything_is_sent(
    meter: Cj188 | Dlt1997 | ModbusMeter, command: Command
):
    with pytest.raises(CannotDo):
        meter.command(command)


MIDDAY = datetime(2026, 6, 15, 12, 0)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("off", "at", "why"),
    [
        (timedelta(minutes=5), MIDDAY, ""),
        (timedelta(minutes=-5), MIDDAY, ""),
        (timedelta(minutes=5, seconds=1), MIDDAY, "5 min 1 s ahead, more than the 5 minutes"),
        (timedelta(hours=-8), MIDDAY, "8 h behind, more than the 5 minutes"),
        (timedelta(seconds=3), MIDDAY.replace(hour=23, minute=56), "within 5 minutes of midnight"),
        (timedelta(seconds=3), MIDDAY.replace(hour=0, minute=4), "within 5 minutes of midnight"),
        (timedelta(seconds=3), MIDDAY.replace(hour=0, minute=5), ""),
    ],
)
def test_a_clock_is_set_only_within_the_limits_of_the_standard(
    off: timedelta, at: datetime, why: str
):
    refusal = clock_commands.why_not(off, at)

    assert why in refusal
    assert bool(why) == bool(refusal)


@simulated
async def test_a_clock_is_shown_beside_ours():
    meter = electricity(ADDRESS)
    meter.clock_error = timedelta(minutes=2)

    assert await clock_commands.clock_error(live(Wire([meter])), METER, now) == timedelta(minutes=2)


@simulated
async def test_a_clock_is_set_by_broadcast_and_read_back():
    meter = electricity(ADDRESS)
    meter.clock_error = timedelta(minutes=-4)
    wire = Wire([meter])

    left = await clock_commands.broadcast_clock(live(wire), METER, now)

    assert left == timedelta(0)
    assert dlt645_frame.decode(wire.requests[0]).address == dlt645_frame.BROADCAST


@simulated
async def test_a_clock_is_set_by_a_write_with_password():
    meter = electricity(ADDRESS)
    # Date 26-06-15 with weekday 1, then the time 18:00:00: half an hour behind ours
    meter.registers[0x04000101] = bytes.fromhex("01150626")
    meter.registers[0x04000102] = bytes.fromhex("000018")

    left = await clock_commands.set_clock(
        live(Wire([meter])), METER, Credentials(4, "444444", "00000001"), now
    )

    assert left == timedelta(0)
    assert meter.registers[0x04000102] == bytes.fromhex("003018")


@simulated
async def test_a_clock_is_set_ahead_by_as_long_as_the_time_is_on_its_way():
    meter = electricity(ADDRESS)
    meter.registers[0x04000101] = bytes.fromhex("01150626")
    meter.registers[0x04000102] = bytes.fromhex("003018")
    slow = Wire([meter], reply_s=0.45)

    def ours() -> datetime:
        return now() + timedelta(seconds=0.2)

    await clock_commands.set_clock(live(slow), METER, Credentials(4, "444444", "00000001"), ours)

    # Date and time are two questions of 0.45 s: 18:30:00.2 and 0.9 s are 18:30:01.1
    assert meter.registers[0x04000102] == bytes.fromhex("013018")


@simulated
async def test_a_water_meters_clock_is_set_too():
    meter = cj188.MeterState(WATER.address)
    meter.clock_error = timedelta(seconds=90)

    left = await clock_commands.set_clock(live(Wire([meter])), WATER, None, now)

    assert left == timedelta(0)
    assert EVENING + meter.clock_error == now()


def test_passwords_are_not_among_the_bytes_that_are_shown():
    # 123456 low byte first is 56 34 12, with 33H 89 67 45
    sent = next(
        dlt645.control(
            ADDRESS,
            dlt645.RelayCommand.TRIP,
            password="123456",
            level=2,
            operator="00000001",
            deadline=None,
        )
    )
    change = next(
        dlt645.change_password(ADDRESS, level=2, old=(2, "123456"), new_password="654321")
    )

    assert "89 67 45" in sent.hex(" ")
    assert "89 67 45" not in without_password(sent)
    assert without_password(sent).count("**") == 3
    assert without_password(change).count("**") == 6
    assert without_password(b"\x68\x16\x00") == "68 16 00"

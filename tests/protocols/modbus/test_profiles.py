import struct
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.exchange import Refused, Unexpected
from protocols.modbus import master, profile
from protocols.modbus.frame import Decoder, Frame, decode, encode
from protocols.modbus.profile import (
    DIRECT,
    BadProfile,
    Ratio,
    RatioRule,
    Read,
    Supply,
    float32,
    load,
    plan,
)
from protocols.modbus.slave import Registers, Table, answer

MODELS = (
    "acrel_adl200",
    "acrel_adl400",
    "acrel_adw300",
    "acrel_ddsy1352",
    "acrel_djsf1352",
    "acrel_dtsy1352",
    "chint_ddsu666",
    "chint_dtsu666",
    "ddm18sd",
    "eastron_sdm120",
    "eastron_sdm230",
    "eastron_sdm630",
    "fineco_em115",
    "fineco_em737",
    "hiking_dds238_2",
    "sfere_dtsy1946a",
    "xintai_water_valve",
    "ytl_orwe504",
    "ytl_orwe514",
    "ytl_orwe516",
)
CT_40 = Ratio(Decimal(1), Decimal(40))


def device_of(model, **raw):
    """A slave with the registers of the model: zero, or `raw` by name as bytes."""
    meter = load(model)
    device = Registers(1)
    holding = device.tables[Table.HOLDING]
    for start, count in meter.blocks:
        holding.update(dict.fromkeys(range(start, start + count), 0))
    if meter.even_reads:
        # Single words whose neighbour must be read with them.
        holding.update(dict.fromkeys((0xF901, 0xF911, 0xF921), 0))
    for name, register in meter.registers.items():
        data = raw.get(name, bytes(2 * register.count))
        table = Table(register.function)
        values = struct.unpack(f">{register.count}H", data)
        for at, value in enumerate(values, start=register.address):
            device.tables[table].setdefault(at, 0)
            if name in raw:
                device.tables[table][at] = value
    return device


@pytest.fixture
def ask(converse):
    def run(device, exchange):
        return converse(
            exchange,
            decoder=lambda: Decoder(requests=True),
            answer=lambda frame: answer(device, frame),
        )

    return run


def test_every_model_has_its_profile():
    assert profile.names() == MODELS


@pytest.mark.parametrize("model", MODELS)
def test_a_profile_says_what_can_be_charged_by_and_how_sure_it_is(model):
    meter = load(model)

    for name in meter.energy:
        assert meter.registers[name].unit in ("kWh", "m³")
    assert meter.sources
    assert {s for r in meter.registers.values() for s in r.sources} <= set(meter.sources)


@pytest.mark.parametrize("model", MODELS)
def test_every_readable_register_is_read_and_decoded(ask, model):
    meter = load(model)
    wanted = [name for name, register in meter.registers.items() if register.access != "w"]

    values = ask(device_of(model), profile.read_values(1, meter, wanted, DIRECT))

    assert list(values) == wanted


@pytest.mark.parametrize("model", MODELS)
def test_the_example_frames_decode_to_their_values(model):
    meter = load(model)
    assert meter.examples
    for example in meter.examples:
        request, reply = decode(example.request), decode(example.reply)
        address, count = struct.unpack(">HH", request.data)
        exchange = next(
            ask(1, address=address, count=count)
            for ask in (master.read_holding, master.read_input)
            if next(ask(1, address=address, count=count)) == example.request
        )
        next(exchange)
        with pytest.raises(StopIteration) as end:
            exchange.send(reply)
        words = {(request.function, address + at): v for at, v in enumerate(end.value.value)}

        values = profile.decode(meter, words, example.ratio)

        assert {name: str(values[name]) for name in example.values} == example.values


@pytest.mark.parametrize(
    ("model", "supply", "frame"),
    [
        ("acrel_ddsy1352", Supply.ON, "01 10 00 57 00 02 04 00 01 00 00 E6 B5"),
        ("acrel_ddsy1352", Supply.OFF, "01 10 00 57 00 02 04 00 01 00 01 27 75"),
        ("acrel_dtsy1352", Supply.OFF, "01 10 00 57 00 02 04 00 01 00 01 27 75"),
        ("sfere_dtsy1946a", Supply.ON, "01 10 0B 25 00 01 02 00 01 DA 65"),
        ("sfere_dtsy1946a", Supply.OFF, "01 10 0B 25 00 01 02 00 02 9A 64"),
        ("hiking_dds238_2", Supply.ON, "01 10 00 1A 00 01 02 00 01 65 AA"),
        ("hiking_dds238_2", Supply.OFF, "01 10 00 1A 00 01 02 00 00 A4 6A"),
        ("xintai_water_valve", Supply.ON, "01 06 00 1C 00 01 89 CC"),
        ("xintai_water_valve", Supply.OFF, "01 06 00 1C 00 02 C9 CD"),
    ],
)
def test_the_order_to_the_relay_or_valve_is_the_documented_frame(model, supply, frame):
    assert next(profile.switch(1, load(model), supply)) == bytes.fromhex(frame)


@pytest.mark.parametrize("model", MODELS)
def test_every_frame_shown_beside_a_command_is_the_one_sent(model):
    switch = load(model).switch
    for command in (switch.on, switch.off, switch.automatic) if switch else ():
        if command is None or command.frame is None:
            continue
        values = [0x1020 if value == "key" else value for value in command.values]
        write = (
            master.write_single_register(1, address=command.address, value=values[0])
            if command.function == 0x06
            else master.write_registers(1, address=command.address, values=values)
        )
        assert next(write) == command.frame


def test_a_fineco_relay_is_told_with_the_key_of_its_serial_number(converse):
    # Serial 12345678 = 00BC614EH: (00H + BC61H) & 1234H = 1020H
    device = device_of("fineco_em115", serial_number=(12345678).to_bytes(4, "big"))
    written = []

    def reply(frame):
        if frame.function != 0x10:
            return answer(device, frame)
        written.append(encode(frame))
        return Frame(1, 0x10, frame.data[:4])

    converse(
        profile.switch(1, load("fineco_em115"), Supply.OFF),
        decoder=lambda: Decoder(requests=True),
        answer=reply,
    )

    assert written == [bytes.fromhex("01 10 05 66 00 02 04 10 20 AA AA B1 28")]


@pytest.mark.parametrize("model", ["acrel_ddsy1352", "hiking_dds238_2", "xintai_water_valve"])
def test_the_supply_is_read_back_after_an_order(ask, model):
    meter, device = load(model), device_of(model)

    ask(device, profile.switch(1, meter, Supply.OFF))
    assert ask(device, profile.read_supply(1, meter)) is Supply.OFF
    ask(device, profile.switch(1, meter, Supply.ON))
    assert ask(device, profile.read_supply(1, meter)) is Supply.ON


def test_a_released_relay_does_not_say_how_it_stands(ask):
    meter, device = load("acrel_ddsy1352"), device_of("acrel_ddsy1352")
    ask(device, profile.switch(1, meter, Supply.OFF))

    ask(device, profile.release(1, meter))

    assert ask(device, profile.read_supply(1, meter)) is None


@pytest.mark.parametrize(
    ("bits", "supply"), [(0, None), (1, Supply.ON), (2, Supply.OFF), (5, None), (9, Supply.ON)]
)
def test_a_valve_on_its_way_or_abnormal_is_neither_on_nor_off(ask, bits, supply):
    device = device_of("xintai_water_valve", valve_state=bytes([0, bits]))
    assert ask(device, profile.read_supply(1, load("xintai_water_valve"))) is supply


def test_what_still_flows_contradicts_a_relay_that_repeats_its_order(ask):
    meter = load("fineco_em737")
    device = device_of("fineco_em737", relay_state=b"\xaa\xaa", current_c=struct.pack(">f", 0.05))
    assert ask(device, profile.read_supply(1, meter)) is Supply.OFF
    device = device_of("fineco_em737", relay_state=b"\xaa\xaa", current_c=struct.pack(">f", -0.06))
    assert ask(device, profile.read_supply(1, meter)) is Supply.ON


def test_a_relay_whose_command_is_not_known_is_not_told_anything():
    for model in ("ddm18sd", "eastron_sdm120"):
        with pytest.raises(ValueError):
            next(profile.switch(1, load(model), Supply.OFF))
        with pytest.raises(StopIteration):
            next(profile.read_supply(1, load(model)))


def test_neighbours_are_read_together():
    assert plan(load("acrel_ddsy1352"), ["energy_total", "energy_sharp", "voltage"]) == (
        # 0004H to 000AH lie between them: known registers, and fewer than a request costs
        Read(3, 0x0000, 12),
    )


def test_a_gap_of_unknown_registers_is_not_read():
    # 0026H and 0028H to 0045H are in no table
    assert plan(load("acrel_ddsy1352"), ["frequency", "run_options"]) == (
        Read(3, 0x0011, 1),
        Read(3, 0x0022, 1),
    )


def test_a_documented_block_is_read_over_its_unknown_registers():
    # 0051H to 0054H are in no table, but the maker reads 0046H to 0061H at once
    assert plan(load("acrel_ddsy1352"), ["remaining_amount", "force_state"]) == (
        Read(3, 0x004F, 10),
    )


def test_a_gap_that_costs_more_than_a_request_is_not_read():
    assert plan(load("eastron_sdm630"), ["voltage_a", "power_a", "energy_import"]) == (
        Read(3, 0x001E, 2),
        Read(4, 0x0000, 14),
        Read(4, 0x0048, 2),
    )


@pytest.mark.parametrize("model", MODELS)
def test_no_plan_cuts_a_value_or_asks_for_more_than_the_meter_gives(model):
    meter = load(model)
    wanted = {name: r for name, r in meter.registers.items() if r.access != "w"}

    reads = plan(meter, wanted)

    assert all(read.count <= meter.largest_read for read in reads)
    if meter.even_reads:
        assert all(read.address % 2 == read.count % 2 == 0 for read in reads)
    for register in wanted.values():
        end = register.address + register.count
        assert any(
            read.function == register.function
            and read.address <= register.address
            and end <= read.address + read.count
            for read in reads
        )


@pytest.mark.parametrize("name", ["energy_moon", "relay_command"])
def test_a_register_that_is_not_there_or_cannot_be_read_is_not_planned(name):
    with pytest.raises(ValueError, match=name):
        plan(load("sfere_dtsy1946a"), [name])


@pytest.mark.parametrize(
    ("model", "name", "raw", "ratio", "value"),
    [
        # 123456 × 0.01 × 40 = 49382.40
        ("acrel_adl200", "energy_total", "0001E240", CT_40, "49382.40"),
        ("acrel_adl400", "pri_energy_total", "00078900", CT_40, "49382.4"),
        # 2203 × 0.1 V; the current ratio does not touch it
        ("acrel_adl200", "voltage", "089B", CT_40, "220.3"),
        ("acrel_adl200", "power_active", "FF9C", DIRECT, "-0.100"),
        ("acrel_ddsy1352", "meter_number", "202412345678", DIRECT, "202412345678"),
        ("acrel_ddsy1352", "meter_number", "2024123456FF", DIRECT, "None"),
        # The document calls it 0.545, and its bits are one below that.
        ("xintai_water_valve", "volume_forward", "1E850B3F", DIRECT, "0.54499996"),
        ("xintai_water_valve", "volume_forward", "1F850B3F", DIRECT, "0.545"),
        ("ddm18sd", "energy_total", "7FC00000", DIRECT, "None"),
        ("chint_dtsu666", "clock", "001E000C00080017000B0007", DIRECT, "001E000C00080017000B0007"),
    ],
)
def test_registers_become_values(ask, model, name, raw, ratio, value):
    device = device_of(model, **{name: bytes.fromhex(raw)})
    values = ask(device, profile.read_values(1, load(model), [name], ratio))
    assert str(values[name]) == value


def test_the_words_of_a_value_may_lie_in_any_order():
    text = ONE_REGISTER.replace("scale", 'order = "{order}", scale')
    words = {"ABCD": "0001E240", "CDAB": "E2400001", "BADC": "010040E2", "DCBA": "40E20100"}
    for order, raw in words.items():
        meter = profile.parse(text.replace("{order}", order), name="x")
        high, low = struct.unpack(">HH", bytes.fromhex(raw))
        values = profile.decode(meter, {(3, 0): high, (3, 1): low}, DIRECT)
        assert values == {"energy_total": Decimal("1234.56")}


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_decimal_of_a_float_has_the_same_32_bits(number):
    data = struct.pack(">f", number)
    value = float32(data)
    assert value is not None
    assert struct.unpack(">f", struct.pack(">f", float(value)))[0] == number


@given(st.decimals(0, 99999, places=1))
def test_a_float_is_read_as_the_decimal_that_the_meter_showed(shown):
    assert float32(struct.pack(">f", float(shown))) == shown


def test_a_meter_that_counts_in_mwh_is_read_in_kwh(ask):
    # 1.5 MWh = 1500 kWh; the prefix register reads 1.0
    meter = load("eastron_sdm630")
    raw = {"energy_total": struct.pack(">f", 1.5)}
    kilo = device_of("eastron_sdm630", **raw)
    mega = device_of("eastron_sdm630", energy_prefix=struct.pack(">f", 1), **raw)
    odd = device_of("eastron_sdm630", energy_prefix=struct.pack(">f", 7), **raw)

    assert ask(kilo, profile.read_energy(1, meter, DIRECT)) == Decimal("1.5")
    assert ask(mega, profile.read_energy(1, meter, DIRECT)) == 1500
    with pytest.raises(Unexpected):
        ask(odd, profile.read_energy(1, meter, DIRECT))


def test_a_value_with_a_decimal_point_register_is_scaled_by_it(ask):
    # 7505 × 10^(2 - 3) = 750.5
    device = device_of("acrel_djsf1352", voltage_raw=b"\x1d\x51", voltage_dp=b"\0\2")
    meter = load("acrel_djsf1352")
    values = ask(device, profile.read_values(1, meter, ["voltage_raw"], DIRECT))
    assert values == {"voltage_raw": Decimal("750.5")}


def test_energy_is_found_where_this_generation_keeps_it(ask):
    meter = load("chint_dtsu666")
    old = device_of("chint_dtsu666", energy_import_old=struct.pack(">f", 123.45))
    assert ask(old, profile.read_energy(1, meter, CT_40)) == Decimal("4938.00")
    del old.tables[Table.HOLDING][0x101E]
    assert ask(old, profile.read_energy(1, meter, CT_40)) == Decimal("4938.00")
    new = device_of("chint_dtsu666")
    assert ask(new, profile.read_energy(1, meter, CT_40)) == 0


def test_a_meter_without_its_total_refuses(ask):
    with pytest.raises(Refused):
        ask(Registers(1), profile.read_energy(1, load("chint_dtsu666"), DIRECT))


def test_the_ratios_are_read_where_the_gateway_must_multiply(ask):
    # UrAt 10 is PT 1.0
    raw = {"pt_ratio": b"\0\x0a", "ct_ratio": b"\0\x28"}
    device = device_of("chint_dtsu666", **raw)
    assert ask(device, profile.read_ratio(1, load("chint_dtsu666"))) == CT_40
    with pytest.raises(Unexpected):
        ask(device_of("chint_dtsu666"), profile.read_ratio(1, load("chint_dtsu666")))


@pytest.mark.parametrize("model", ["acrel_ddsy1352", "acrel_adl200"])
def test_where_the_ratio_is_unclear_or_unknown_a_person_decides(model):
    with pytest.raises(ValueError, match=model):
        next(profile.read_ratio(1, load(model)))


def test_where_the_meter_multiplies_the_ratio_is_one():
    assert load("acrel_adw300").ratio_rule is RatioRule.PRIMARY
    with pytest.raises(StopIteration) as end:
        next(profile.read_ratio(1, load("acrel_adw300")))
    assert end.value.value == DIRECT


ONE_REGISTER = """
vendor = "V"
model = "M"
kind = "electricity"
phases = 1
prepaid = false
energy = ["energy_total"]
write_functions = [16]
registers = [
  { name = "energy_total", address = 0, type = "u32", scale = "0.01", confidence = "1", sources = ["s"] },
]
[serial]
baud = 9600
bauds = [9600]
parity = "N"
stop_bits = 1
unit = 1
[ratio]
rule = "direct"
[sources]
s = "a document"
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('vendor = "V"', "", "x.toml: vendor is missing"),
        ("phases = 1", 'phases = "one"', "x.toml: phases must be int"),
        ("phases = 1", "phases = 1\ncolour = 2", "x.toml: colour is not known"),
        ("unit = 1", "unit = 1\nstop = 2", "x.toml: serial.stop is not known"),
        ('"u32"', '"u33"', r"x.toml: registers\[0\].type must be one of u16,"),
        ('"0.01"', '"cent"', r"x.toml: registers\[0\].scale must be a decimal"),
        ("address = 0", "address = 65535", r"x.toml: registers\[0\].address is not within"),
        ('confidence = "1"', 'confidence = "3"', r"x.toml: registers\[0\].confidence must be"),
        (
            'sources = ["s"]',
            'sources = ["t"]',
            "x.toml: registers.energy_total names the source 't'",
        ),
        ('energy = ["energy_total"]', 'energy = ["x"]', "x.toml: energy names the register 'x'"),
        ('rule = "direct"', 'rule = "never"', "x.toml: ratio.rule must be one of direct,"),
        (
            "[sources]",
            "[switch]\nmeasured = true\nflows = [{ register = 'x' }]\n[sources]",
            "x.toml: switch names the register 'x'",
        ),
        ("[serial]", "[serial", "x.toml: "),
    ],
)
def test_a_mistake_in_a_profile_is_named_with_file_and_key(old, new, message):
    with pytest.raises(BadProfile, match=message):
        profile.parse(ONE_REGISTER.replace(old, new, 1), name="x")


def test_a_profile_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="moon"):
        load("moon")


@pytest.mark.parametrize(
    ("model", "raw", "clock"),
    [
        # year 26, month 11, day 21, hour 18, minute 5, second 59, a byte each
        ("acrel_adl400", "1A0B1512053B", datetime.fromisoformat("2026-11-21 18:05:59")),
        # second 30, minute 12, hour 8, day 23, month 11, year 7, a register each
        (
            "chint_dtsu666",
            "001E000C00080017000B0007",
            datetime.fromisoformat("2007-11-23 08:12:30"),
        ),
        ("acrel_adl400", "000000000000", None),  # never set
        ("acrel_adl400", "FFFFFFFFFFFF", None),
        ("xintai_water_valve", "1A0B1512053B0000", None),  # six bytes are told of, there are eight
    ],
)
def test_a_clock_is_read_where_its_shape_is_understood(ask, model, raw, clock):
    device = device_of(model, clock=bytes.fromhex(raw))

    assert ask(device, profile.read_clock(1, load(model))) == clock


def test_a_model_without_a_clock_is_not_asked():
    with pytest.raises(StopIteration) as end:
        next(profile.read_clock(1, load("eastron_sdm120")))
    assert end.value.value is None

"""A technician reads a meter, scans a served line, links what he found, and asks by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from edge.field import console, link, scan
from edge.field.link import Plate
from edge.field.room import look
from edge.field.said import CannotDo
from edge.field.status import line_status
from edge.lines.place import Place, SerialAt
from edge.page import looks
from edge.page.words import told
from edge.technician.answers import Protocol
from edge.technician.search.found import Found
from prepaid import rerating
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.rerating import Start
from prepaid.wire.uplog import AlarmKind, Charged, MeterLinked, Read, Work
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import master as dlt645
from tests.edge.field.rooms import AT, FieldRoom, over
from tests.edge.simulated import ELECTRICITY, PURSE, WATER, ElectricityMeter, simulated, until

LOST = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, address="000000000099"))
HERE = Found(Protocol.DLT645_2007, "201709320072", Place(AT, 0), "100.00 kWh")
READ_201709320072 = "68 72 00 32 09 17 20 68 11 04 33 33 34 33 96 16"
"""Forward active energy, DI 00010000."""


# Reading.


@simulated
async def test_a_test_read_shows_register_supply_and_the_frames(tmp_path: Path):
    at = FieldRoom(tmp_path)

    seen = await look(at.room, ELECTRICITY)

    assert (seen.total, seen.supply, seen.trouble) == (Decimal("100.00"), Supply.ON, None)
    assert [heard.is_sent for heard in seen.frames] == [True, False, True, False]
    assert seen.frames[0].hex == "FE FE FE FE " + READ_201709320072
    assert at.store.position(ELECTRICITY.id) is None  # nothing is charged by it


@simulated
async def test_a_test_read_of_a_dead_meter_says_what_to_look_at(tmp_path: Path):
    at = FieldRoom(tmp_path)
    at.wire.is_silent = True

    seen = await look(at.room, ELECTRICITY)

    assert seen.total is None
    assert str(seen.trouble).startswith("No answer. Check address")
    assert all(heard.is_sent for heard in seen.frames)


# Scanning a line that is served.


@simulated
async def test_a_served_line_is_scanned_and_its_meters_are_read_all_the_same(tmp_path: Path):
    at = FieldRoom(tmp_path)
    at.wire.meters.append(ElectricityMeter("202310450101", "7.00"))
    async with at.serving():
        asked = scan.Asked(bauds=(115200,), protocols=(Protocol.CJT188,), known=())
        job = scan.begin(at.room, "L1", asked, by="李工")
        sentences = await over(job)
        assert [(one.protocol, one.address) for one in job.found] == [
            (Protocol.CJT188, "78330011223344")
        ]
        assert sentences[-1] == "1 found."
        at.meter.show("100.20")
        at.agent.wake_all()
        await until(
            lambda: at.store.position(ELECTRICITY.id).reading.total == Decimal("100.20"),
            within_s=60,
        )


@simulated
async def test_a_line_that_cannot_be_opened_is_not_shown_as_served_and_why_is_said_in_chinese(
    tmp_path: Path,
):
    at = FieldRoom(tmp_path)
    async with at.serving():
        assert not line_status(at.room, "L1").is_waiting
        at.wire.is_away = True
        await until(lambda: line_status(at.room, "L1").is_waiting, within_s=120)

        seen = await look(at.room, ELECTRICITY)

    assert seen.trouble is not None
    assert told(seen.trouble, "zh").startswith("总线不可用：")
    assert looks.of_line(line_status(at.room, "L1")) is looks.WAITING


@simulated
async def test_another_rate_is_tried_with_the_line_lent_and_given_back(tmp_path: Path):
    at = FieldRoom(tmp_path)
    async with at.serving():
        asked = scan.Asked(bauds=(9600,), protocols=(Protocol.DLT645_2007,))
        job = scan.begin(at.room, "L1", asked, by="李工")
        await over(job)
        assert [place.at.baud for place in at.opened] == [9600]
        assert job.found[0].place.at == replace(AT, baud=9600)
        at.meter.show("100.20")
        at.agent.wake_all()
        await until(
            lambda: at.store.position(ELECTRICITY.id).reading.total == Decimal("100.20"),
            within_s=60,
        )


@simulated
async def test_a_cut_does_not_wait_for_a_scan(tmp_path: Path):
    at = FieldRoom(tmp_path)
    async with at.serving():
        job = scan.begin(at.room, "L1", scan.Asked(by_pairs=True, bauds=(115200,)), by="李工")
        await until(lambda: job.done > 5, within_s=60)
        at.meter.show("103.00")  # ¥1.50 of ¥1.00
        at.agent.wake_all()
        began = asyncio.get_running_loop().time()
        await until(lambda: at.meter.contact_open, within_s=10)
        # A question of the scan may be under way: it waits at most 0.5 s for its answer.
        assert asyncio.get_running_loop().time() - began < 4
        assert not job.is_over
        at.room.jobs.stop(job.id)
        await over(job)
    assert job.is_stopped


@simulated
async def test_one_line_is_scanned_once_at_a_time(tmp_path: Path):
    at = FieldRoom(tmp_path)
    scan.begin(at.room, "L1", scan.Asked(), by="李工")
    with pytest.raises(CannotDo, match="work under way at L1"):
        scan.begin(at.room, "L1", scan.Asked(), by="李工")
    with pytest.raises(CannotDo, match="no line L9"):
        scan.begin(at.room, "L9", scan.Asked(), by="李工")
    await at.room.jobs.close()


# Linking.


@simulated
async def test_a_found_meter_is_read_from_then_on_and_the_cloud_is_told(tmp_path: Path):
    at = FieldRoom(tmp_path, (LOST,))
    task = asyncio.create_task(at.agent.run())
    await until(lambda: at.store.alarm_since(LOST.id, AlarmKind.SILENT) is not None, within_s=60)
    assert link.suggested(link.open_points(at.room), HERE) == LOST

    meter = link.link(
        at.room, "L1", HERE, LOST, profile="", plate=Plate(), is_sure=False, by="李工"
    )

    assert meter == ELECTRICITY.meter
    (told,) = at.told(MeterLinked)
    assert (told.point, told.by, told.meter, told.instead_of) == (
        LOST.id,
        "李工",
        ELECTRICITY.meter,
        LOST.meter,
    )
    await until(lambda: at.store.position(LOST.id) is not None, within_s=10)
    assert at.store.alarm_since(LOST.id, AlarmKind.SILENT) is None
    task.cancel()


@simulated
async def test_a_point_that_is_read_is_not_linked_to_another_meter(tmp_path: Path):
    at = FieldRoom(tmp_path)
    await at.agent.visit(ELECTRICITY)
    with pytest.raises(CannotDo, match="a change of meters is the office's"):
        link.link(
            at.room, "L1", HERE, ELECTRICITY, profile="", plate=Plate(), is_sure=False, by="李工"
        )


@simulated
async def test_a_meter_that_answers_at_another_rate_is_not_linked(tmp_path: Path):
    at = FieldRoom(tmp_path, (LOST,))
    there = replace(HERE, place=Place(SerialAt("/dev/ttyUSB0", 2400, "8E1"), 0))
    with pytest.raises(CannotDo, match="answers at 2400 8E1, the line runs at 115200 8E1"):
        link.link(at.room, "L1", there, LOST, profile="", plate=Plate(), is_sure=False, by="李工")


@simulated
async def test_an_address_is_not_given_to_two_points(tmp_path: Path):
    at = FieldRoom(tmp_path, (LOST, replace(WATER, meter=ELECTRICITY.meter)))
    with pytest.raises(CannotDo, match="has this number or address already"):
        link.link(at.room, "L1", HERE, LOST, profile="", plate=Plate(), is_sure=False, by="李工")


def rated_again(at: FieldRoom, point: UUID) -> list[Money]:
    """The charges that the cloud expects at its nightly re-rating, from what it was told."""
    starts = {
        each.position.reading.at: Start(each.position)
        for each in at.told(Charged)
        if each.is_start and each.point == point
    }
    told = [each for each in at.told(Read) if each.point == point]
    reads = [
        rerating.Read(
            each.reading, number, each.known, {found.kind: found.effect for found in each.evidence}
        )
        for number, each in enumerate(told, 1)
    ]
    by = (at.store.point(point), at.store.tariff("power"))
    found = rerating.steps(
        None, rerating.charged(rerating.in_order(reads), starts), starts, lambda read: by
    )
    return [transfer.amount for _, step in found for transfer in step.transfers]


@simulated
async def test_a_link_to_the_wrong_meter_is_undone_as_if_it_had_never_been(tmp_path: Path):
    at = FieldRoom(tmp_path)
    neighbour = ElectricityMeter("202310450177", "5000.00")
    at.wire.meters.append(neighbour)
    at.meter.show("100.50")
    async with at.serving():
        at.wire.meters.remove(at.meter)  # its wire came off, and its neighbour was taken for it
        await until(lambda: bool(link.open_points(at.room)), within_s=300)
        other = replace(HERE, address="202310450177")
        link.link(
            at.room, "L1", other, ELECTRICITY, profile="", plate=Plate(), is_sure=True, by="李工"
        )
        (linked,) = at.told(MeterLinked)
        # What is read elsewhere is held until somebody has compared, and nothing of it charged.
        await until(lambda: at.store.history(ELECTRICITY.id).is_held, within_s=60)

        at.wire.meters.append(at.meter)
        at.meter.show("101.10")
        charged = link.undo(at.room, at.store.point(ELECTRICITY.id), by="王工")

        assert charged == Money.yuan("0.00")
        undone = at.told(MeterLinked)[-1]
        assert (undone.meter, undone.instead_of, undone.by) == (
            ELECTRICITY.meter,
            linked.meter,
            "王工",
        )
        await until(
            lambda: at.store.position(ELECTRICITY.id).reading.total == Decimal("101.10"),
            within_s=60,
        )
    # 0.60 kWh at 0.50 since 100.50, where it was charged last: 0.30 of 1.00.
    assert at.store.balance(PURSE) == Money.yuan("0.70")
    assert rated_again(at, ELECTRICITY.id) == [Money.yuan("0.30")]
    with pytest.raises(CannotDo, match="No meter was linked"):
        link.undo(at.room, ELECTRICITY, by="王工")


@simulated
async def test_what_a_wrong_meter_was_charged_stays_booked_and_is_told(tmp_path: Path):
    new = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, address="000000000099"))
    at = FieldRoom(tmp_path, (new,))
    neighbour = ElectricityMeter("202310450177", "5000.00")
    at.wire.meters.append(neighbour)
    task = asyncio.create_task(at.agent.run())
    await until(lambda: bool(link.open_points(at.room)), within_s=60)
    there = replace(HERE, address="202310450177")
    link.link(at.room, "L1", there, new, profile="", plate=Plate(), is_sure=True, by="李工")
    await until(lambda: at.store.position(new.id) is not None, within_s=60)
    neighbour.show("5000.40")  # 0.40 kWh at 0.50: 0.20
    await until(lambda: at.store.balance(PURSE) == Money.yuan("0.80"), within_s=200)

    charged = link.undo(at.room, at.store.point(new.id), by="李工")
    # Linked once more, to the right one; power fails before it is read.
    link.link(
        at.room,
        "L1",
        HERE,
        at.store.point(new.id),
        profile="",
        plate=Plate(),
        is_sure=True,
        by="李工",
    )
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    at.start(settle_s=60)
    task = asyncio.create_task(at.agent.run())
    await until(lambda: at.store.position(new.id).reading.total == 100, within_s=60)
    at.meter.show("100.20")  # 0.20 kWh at 0.50: 0.10
    await until(lambda: at.store.balance(PURSE) == Money.yuan("0.70"), within_s=200)
    task.cancel()

    assert charged == Money.yuan("0.20")
    (work,) = at.works()
    assert (work.work, work.by) == (Work.UNLINK, "李工")
    assert "0.20 that it was charged since stay booked" in work.text
    assert rated_again(at, new.id) == [Money.yuan("0.20"), Money.yuan("0.10")]
    assert link.undoable(at.room, at.store.point(new.id)) is not None  # the second one


@simulated
async def test_a_found_meter_is_counted_by_its_own_plate(tmp_path: Path):
    at = FieldRoom(tmp_path, (LOST,))
    unit = replace(HERE, protocol=Protocol.MODBUS_RTU, address="7")
    meter = link.link(
        at.room,
        "L1",
        unit,
        LOST,
        profile="hiking_dds238_2",
        plate=Plate(max_per_hour=Decimal(20)),
        is_sure=True,
        by="李工",
    )
    assert (LOST.meter.digits, meter.digits, meter.max_per_hour) == (6, 8, Decimal(20))
    meter = link.link(
        at.room, "L1", HERE, LOST, profile="", plate=Plate(digits=5), is_sure=True, by="李工"
    )
    assert (meter.digits, meter.max_per_hour) == (5, LOST.meter.max_per_hour)


@simulated
async def test_a_modbus_meter_needs_its_register_profile(tmp_path: Path):
    at = FieldRoom(tmp_path, (LOST,))
    unit = replace(HERE, protocol=Protocol.MODBUS_RTU, address="7")
    with pytest.raises(CannotDo, match="Choose the register profile"):
        link.link(at.room, "L1", unit, LOST, profile="", plate=Plate(), is_sure=True, by="李工")
    meter = link.link(
        at.room, "L1", unit, LOST, profile="hiking_dds238_2", plate=Plate(), is_sure=True, by="李工"
    )
    assert (meter.protocol, meter.address, meter.settings["profile"]) == (
        "modbus",
        "7",
        "hiking_dds238_2",
    )


@simulated
async def test_a_meter_that_the_office_has_entered_otherwise_is_linked_only_by_who_is_sure(
    tmp_path: Path,
):
    at = FieldRoom(tmp_path, (LOST,))
    old = replace(HERE, protocol=Protocol.DLT645_1997)
    other = replace(HERE, address="202310450177")
    for found, entered in (
        (old, "speaks dlt645-2007; this one speaks dlt645-1997"),
        (other, "meter 201709320072"),
    ):
        with pytest.raises(link.NotAsEntered, match=entered):
            link.link(
                at.room, "L1", found, LOST, profile="", plate=Plate(), is_sure=False, by="李工"
            )
    assert at.told(MeterLinked) == []

    meter = link.link(
        at.room,
        "L1",
        other,
        LOST,
        profile="",
        plate=Plate("202310450177"),
        is_sure=False,
        by="李工",
    )
    assert (meter.meter_no, meter.address) == ("202310450177", "202310450177")
    meter = link.link(at.room, "L1", old, LOST, profile="", plate=Plate(), is_sure=True, by="李工")
    assert meter.protocol == "dlt645-1997"


@simulated
async def test_a_label_names_its_point_whatever_else_stands_on_it(tmp_path: Path):
    at = FieldRoom(tmp_path)
    for label in ("201709320072", " 0201709320072 ", "http://maker.example/m?no=201709320072&x=1"):
        assert link.of_label(at.room, label) == ELECTRICITY, label
    assert link.of_label(at.room, "201709320073") is None
    assert link.of_label(at.room, "") is None


# By hand.


@simulated
async def test_a_read_by_hand_is_answered_and_explained(tmp_path: Path):
    at = FieldRoom(tmp_path)

    answered = await console.send(
        at.room, "L1", READ_201709320072, protocol=None, is_meant=False, by="李工"
    )

    assert answered.heard[-1:] == b"\x16"
    names = [part.name for part in answered.heard_parts[0]]
    assert "address" in names
    assert "checksum CS" in names
    assert at.works() == []


@simulated
@pytest.mark.parametrize("edition", ["dlt645-2007", "dlt645-1997"])
async def test_a_command_to_a_customers_meter_is_not_sent_by_hand(tmp_path: Path, edition: str):
    at = FieldRoom(tmp_path)
    with at.room.store.transaction():
        meter = replace(ELECTRICITY.meter, protocol=edition)
        at.room.store.save_point(replace(ELECTRICITY, meter=meter))
    trip = next(
        dlt645.control(
            "201709320072",
            dlt645.RelayCommand.TRIP,
            password="123456",
            level=4,
            operator="00000000",
            deadline=None,
        )
    )
    for address in ("201709320072", "AAAAAAAAAAAA", "AAAAAAAA0072", "999999999999"):
        frame = replace(dlt645_frame.decode(trip), address=address)
        text = "00 01 02" + dlt645_frame.encode(frame).hex()
        with pytest.raises(CannotDo, match="would hear this"):
            await console.send(at.room, "L1", text, protocol=None, is_meant=True, by="李工")
    assert at.wire.requests == []


@simulated
async def test_a_frame_with_a_mistyped_checksum_is_called_that_and_no_command(tmp_path: Path):
    at = FieldRoom(tmp_path)
    mistyped = f"{READ_201709320072.strip()[:-5]}00 16"
    with pytest.raises(CannotDo, match="look at its start, length and checksum"):
        await console.send(at.room, "L1", mistyped, protocol=None, is_meant=False, by="李工")
    assert at.wire.requests == []


@simulated
async def test_a_write_to_a_stranger_is_sent_if_it_is_meant_and_written_down(tmp_path: Path):
    at = FieldRoom(tmp_path)
    write = next(
        dlt645.control(
            "202310450101",
            dlt645.RelayCommand.TRIP,
            password="123456",
            level=4,
            operator="00000000",
            deadline=None,
        )
    ).hex()
    with pytest.raises(CannotDo, match="Say that it is meant"):
        await console.send(at.room, "L1", write, protocol=None, is_meant=False, by="李工")
    await console.send(at.room, "L1", write, protocol=None, is_meant=True, by="李工")

    (work,) = at.works()
    assert (work.work, work.by, work.point) == (Work.CONSOLE, "李工", None)
    assert "** ** **" in work.text  # without its password
    assert len(at.wire.requests) == 1


@simulated
async def test_what_is_no_hexadecimal_is_not_sent(tmp_path: Path):
    at = FieldRoom(tmp_path)
    for text in ("68 7", "hello", "", "00" * 301):
        with pytest.raises(CannotDo):
            await console.send(at.room, "L1", text, protocol=None, is_meant=True, by="李工")
    assert at.wire.requests == []

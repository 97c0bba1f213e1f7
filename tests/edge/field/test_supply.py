"""A technician tests a switch: by the rules of supply, written down, and given back whatever happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.clocks.clock import unkept
from edge.field import supply
from edge.field.said import CannotDo
from edge.page.words import told
from prepaid.calendar import Calendar
from prepaid.money import Money
from prepaid.point import Restore, ServicePoint
from prepaid.quiet import Quiet
from prepaid.reading import Supply
from prepaid.supply import Override
from prepaid.wire.uplog import SupplyChanged, Work
from tests.edge.field.rooms import FieldRoom, over
from tests.edge.simulated import ELECTRICITY, WATER, clock, simulated, until

DIRECT = replace(ELECTRICITY, policy=replace(ELECTRICITY.policy, restore=Restore.DIRECT))


def with_policy(**changes: object) -> ServicePoint:
    return replace(DIRECT, policy=replace(DIRECT.policy, **changes))  # type: ignore[arg-type]


@simulated
async def test_a_supply_is_cut_and_given_back_and_both_are_read_back(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT, WATER))
    async with at.serving():
        job = supply.begin_cut_test(at.room, DIRECT, by="李工")
        sentences = await over(job)

        assert sentences[0] == "Before: register 100.00, supply on."
        assert sentences[1].startswith("Off, read back after")
        assert sentences[2].startswith("On, read back after")
        assert at.store.supply(DIRECT.id).seen is Supply.ON
    seen = [change.supply for change in at.told(SupplyChanged) if change.point == DIRECT.id]
    assert seen[0] is Supply.ON
    assert Supply.OFF in seen
    assert seen[-1] is Supply.ON


@simulated
async def test_a_test_is_written_down_with_the_technicians_name_before_and_after(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        await over(supply.begin_cut_test(at.room, DIRECT, by="李工"))

    begun, ended = at.works()
    assert (begun.point, begun.work, begun.is_over, begun.by) == (
        DIRECT.id,
        Work.CUT_TEST,
        False,
        "李工",
    )
    assert (ended.is_over, ended.by) == (True, "李工")
    assert ended.text.startswith("off after")
    assert ", on after" in ended.text


@simulated
async def test_where_the_customer_closes_the_relay_the_button_is_asked_for(tmp_path: Path):
    at = FieldRoom(tmp_path, (ELECTRICITY,))
    async with at.serving():
        job = supply.begin_cut_test(at.room, ELECTRICITY, by="李工")
        await until(lambda: "press the button" in str(job.sentences[-1:]), within_s=60)
        at.meter.contact_open = False
        sentences = await over(job)

    assert sentences[-1].startswith("On, read back after")


@simulated
async def test_a_point_whose_key_is_missing_is_not_tested_and_it_is_said_what_is_to_be_entered(
    tmp_path: Path,
):
    bare = {k: v for k, v in DIRECT.meter.settings.items() if k != "password"}
    unkeyed = replace(DIRECT, meter=replace(DIRECT.meter, settings=bare))
    at = FieldRoom(tmp_path, (unkeyed,))
    async with at.serving():
        with pytest.raises(CannotDo, match="password of meter 201709320072 must be 6 digits") as no:
            supply.begin_cut_test(at.room, unkeyed, by="李工")

    assert "表 201709320072 的 密码 应为 6 位数字" in told(no.value.sentence, "zh")
    assert at.works() == []


@simulated
async def test_a_meter_that_refuses_to_be_cut_is_told_of_at_once_and_not_as_a_stuck_switch(
    tmp_path: Path,
):
    at = FieldRoom(tmp_path, (DIRECT,))
    at.meter.passwords = {4: "654321"}
    async with at.serving():
        before = asyncio.get_running_loop().time()
        sentences = await over(supply.begin_cut_test(at.room, DIRECT, by="李工"))

    assert sentences[-1].startswith("The meter refuses to be cut: look at password")
    assert asyncio.get_running_loop().time() - before < 10


@simulated
async def test_a_protected_point_is_not_cut_not_even_to_test_it(tmp_path: Path):
    at = FieldRoom(tmp_path, (with_policy(is_protected=True),))
    async with at.serving():
        requests = len(at.wire.requests)
        with pytest.raises(CannotDo, match="protected"):
            supply.begin_cut_test(at.room, with_policy(is_protected=True), by="李工")
        assert len(at.wire.requests) == requests
    assert at.works() == []


@simulated
async def test_nobody_is_cut_in_quiet_hours_not_even_to_test_it(tmp_path: Path):
    all_day = Quiet(Calendar("Asia/Shanghai"), days=frozenset({clock().date()}))
    point = with_policy(quiet=all_day)
    at = FieldRoom(tmp_path, (point,))
    async with at.serving():
        with pytest.raises(CannotDo, match="Quiet time"):
            supply.begin_cut_test(at.room, point, by="李工")


@simulated
async def test_a_point_in_doubt_is_not_cut_as_nobody_would_give_it_back(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        at.meter.show("99000.00")
        at.agent.wake_all()
        await until(lambda: at.store.history(DIRECT.id).is_held, within_s=60)
        with pytest.raises(CannotDo, match="The reading is in doubt, so the supply would stay off"):
            supply.begin_cut_test(at.room, DIRECT, by="李工")


@simulated
async def test_a_supply_is_given_back_though_its_reading_comes_into_doubt_in_the_midst_of_a_test(
    tmp_path: Path,
):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        job = supply.begin_cut_test(at.room, DIRECT, by="李工")
        at.meter.show("99000.00")
        sentences = await over(job)

        assert sentences[-1].startswith("On, read back after")
        assert at.store.history(DIRECT.id).is_held
        await asyncio.sleep(600)
        assert at.store.supply(DIRECT.id).seen is Supply.ON


@simulated
async def test_what_an_operator_pinned_is_left_alone(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        for pinned, said in ((Supply.ON, "protected"), (Supply.OFF, "somebody may be at work")):
            override = Override(pinned, clock() + timedelta(hours=1), by="王经理", why="x")
            with at.store.transaction():
                at.store.save_override(DIRECT.id, override)
            with pytest.raises(CannotDo, match=said):
                supply.begin_cut_test(at.room, DIRECT, by="李工")


@simulated
async def test_an_operators_word_in_the_midst_of_a_test_counts_for_more(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        test = Override(Supply.OFF, clock() + timedelta(minutes=5), by="李工", why="test")
        at.agent.try_off(DIRECT.id, test)
        await until(lambda: at.store.supply(DIRECT.id).seen is Supply.OFF, within_s=30)
        kept = Override(Supply.ON, clock() + timedelta(hours=1), by="王经理", why="x")
        with at.store.transaction():
            at.store.save_override(DIRECT.id, kept)
        at.agent.wake([DIRECT.id])
        await until(lambda: at.store.supply(DIRECT.id).seen is Supply.ON, within_s=30)


@simulated
async def test_a_clock_in_doubt_tests_nobody(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    at.start(settle_s=60, system=unkept)
    async with at.serving():
        with pytest.raises(CannotDo, match="clock is in doubt"):
            supply.begin_cut_test(at.room, DIRECT, by="李工")


@simulated
async def test_a_power_cut_in_the_midst_of_a_test_leaves_nobody_in_the_dark(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        supply.begin_cut_test(at.room, DIRECT, by="李工")
        await until(lambda: at.meter.contact_open, within_s=30)
        # The power goes: nothing of the program is left but its ledger.
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    at.start(settle_s=60)

    async with at.serving():
        await until(lambda: not at.meter.contact_open, within_s=30)
        await until(lambda: at.store.intent(DIRECT.id) is None, within_s=30)
        assert at.store.supply(DIRECT.id).seen is Supply.ON


@simulated
async def test_a_test_that_is_stopped_gives_the_supply_back(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        job = supply.begin_blink_test(at.room, DIRECT, [], seconds=60, by="李工")
        await until(lambda: at.meter.contact_open, within_s=120)
        at.room.jobs.stop(job.id)
        await until(lambda: not at.meter.contact_open, within_s=30)
    assert str(job.sentences[-1]) == "Stopped."
    assert [work.is_over for work in at.works()] == [False, True]


@simulated
async def test_a_switch_that_does_not_follow_is_told_and_nothing_is_left_wanted_off(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        at.meter.is_stuck = True
        sentences = await over(supply.begin_cut_test(at.room, DIRECT, by="李工"))
        assert "did not follow" in sentences[-1]
        await until(lambda: at.store.supply(DIRECT.id).wanted is Supply.ON, within_s=60)


@simulated
async def test_a_room_without_credit_is_not_given_supply_by_a_test(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    at.meter.show("100.00")
    async with at.serving():
        at.meter.show("103.00")  # 3 kWh × 0.50 = ¥1.50 of ¥1.00
        at.agent.wake_all()
        await until(lambda: at.meter.contact_open, within_s=60)
        await asyncio.sleep(10)
        with pytest.raises(CannotDo, match="nothing to cut"):
            supply.begin_cut_test(at.room, DIRECT, by="李工")
    assert at.store.balance(DIRECT.purse) == Money.yuan("-0.50")


@simulated
async def test_two_tests_of_one_point_do_not_run_together(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        supply.begin_cut_test(at.room, DIRECT, by="李工")
        with pytest.raises(CannotDo, match="under way"):
            supply.begin_blink_test(at.room, DIRECT, [], seconds=10, by="李工")
        await at.room.jobs.close()


# Which register stops.


@simulated
async def test_the_register_that_stops_with_its_switch_is_the_right_one(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT, WATER))
    at.credit("100.00")
    async with at.serving():
        using = asyncio.create_task(_use(at, is_crossed=False))
        job = supply.begin_blink_test(at.room, DIRECT, [], seconds=20, by="李工")
        sentences = await over(job)
        using.cancel()

    assert "Right: this register moved, and stopped with its supply." in sentences
    (moved,) = job.found
    assert moved.on > 0
    assert moved.off == 0


@simulated
async def test_a_register_that_goes_on_while_its_supply_is_off_is_anothers(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT, WATER))
    at.credit("100.00")
    async with at.serving():
        using = asyncio.create_task(_use(at, is_crossed=True))
        sentences = await over(supply.begin_blink_test(at.room, DIRECT, [], seconds=20, by="李工"))
        using.cancel()

    assert any(sentence.startswith("Wrong: this register goes on") for sentence in sentences)
    assert "The switch is another's" in at.works()[-1].text


@simulated
async def test_where_nothing_is_used_nothing_is_proved(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    async with at.serving():
        sentences = await over(supply.begin_blink_test(at.room, DIRECT, [], seconds=10, by="李工"))
    assert any(sentence.startswith("Nothing was used") for sentence in sentences)


async def _use(at: FieldRoom, *, is_crossed: bool) -> None:
    """0.01 kWh each second, while the meter's own contact is closed; crossed: whatever it is."""
    total = 10000
    while True:
        await asyncio.sleep(1)
        total += is_crossed or not at.meter.contact_open
        at.meter.show(f"{total / 100:.2f}")

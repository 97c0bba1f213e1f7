"""Which point of a line is visited next, in simulated time."""

from __future__ import annotations

import asyncio
from uuid import UUID

from edge.lines.rounds import Rounds
from tests.edge.simulated import simulated

A, B, SILENT = UUID(int=1), UUID(int=2), UUID(int=3)


def now() -> float:
    return asyncio.get_running_loop().time()


def rounds() -> Rounds:
    found = Rounds()
    found.keep([A, B, SILENT])
    return found


@simulated
async def test_a_silent_meter_is_not_tried_before_its_time():
    line = rounds()
    line.plan(A, 100)
    line.plan(B, 100)
    line.hold_off(SILENT, 8)

    assert await line.next() == SILENT
    assert now() == 8


@simulated
async def test_a_silent_meter_waits_while_others_are_due():
    line = rounds()
    line.hold_off(SILENT, 1)
    order = []
    for _ in range(4):
        point = await line.next()
        order.append(point)
        await asyncio.sleep(0.4)
        if point == SILENT:
            line.hold_off(SILENT, 30)
        else:
            line.plan(point, now() + 0.1 if len(order) < 3 else now() + 60)

    # It could have been tried from 1 s on; only after the fourth visit, at 1.6 s, is nobody else due for a while.
    assert SILENT not in order
    assert await line.next() == SILENT
    assert now() == 1.6


@simulated
async def test_a_silent_meter_is_not_tried_just_before_another_is_due():
    line = rounds()
    line.plan(A, 10.5)
    line.plan(B, 100)
    line.hold_off(SILENT, 10)

    first = await line.next()

    assert (first, now()) == (A, 10.5)


@simulated
async def test_a_line_without_slack_still_tries_a_silent_meter_after_twice_its_wait():
    line = rounds()
    line.plan(B, 1000)
    line.hold_off(SILENT, 4)
    tried = None
    while tried is None:
        if await line.next() == SILENT:
            tried = now()
        else:
            await asyncio.sleep(0.25)
            line.plan(A, now())

    assert tried == 8


@simulated
async def test_those_who_answer_wait_for_the_silent_a_thirty_second_of_the_time_however_many_these_are():
    silent = [UUID(int=number) for number in range(10, 40)]
    line = Rounds()
    line.keep([A, *silent])
    for each in silent:
        line.hold_off(each, 1)
    tried = []
    while now() < 320:
        point = await line.next()
        line.begin(point)
        if point == A:
            await asyncio.sleep(0.25)
            line.plan(A, now())
        else:
            tried.append((now(), point))
            await asyncio.sleep(1)
            line.hold_off(point, 1)
        line.end(point)

    # Each takes 1 s, so one in 32 s; the first once twice its wait is over, then one after the other.
    assert [at for at, _ in tried] == [2 + 32 * turn for turn in range(10)]
    assert [point for _, point in tried] == silent[:10]


@simulated
async def test_a_silent_meter_that_waited_for_something_else_is_tried_again_all_the_same():
    line = Rounds()
    line.keep([A, SILENT])
    line.hold_off(SILENT, 1)
    await asyncio.sleep(2)
    line.begin(SILENT)
    await asyncio.sleep(600)  # a technician had the line
    line.hold_off(SILENT, 1)
    line.end(SILENT)
    tried = None
    while tried is None:
        if await line.next() == SILENT:
            tried = now()
        else:
            await asyncio.sleep(0.25)
            line.plan(A, now())

    # Of the 600 s it had 4 s at the most: others had to be asked until 2 s + 32 x 4 s, long before twice its wait was
    # over, at 604 s.
    assert tried == 604


@simulated
async def test_a_silent_meter_that_is_woken_is_tried_before_all_others():
    line = rounds()
    line.hold_off(SILENT, 32)
    line.wake(SILENT)

    assert await line.next() == SILENT
    assert now() == 0


@simulated
async def test_a_meter_that_answers_again_is_back_in_its_place():
    line = rounds()
    line.plan(A, 100)
    line.plan(B, 100)
    line.hold_off(SILENT, 32)
    line.plan(SILENT, 5)

    assert line.held_off == 0
    assert await line.next() == SILENT
    assert now() == 5


@simulated
async def test_a_round_is_as_long_as_a_visit_of_each_that_answers():
    line = rounds()
    line.took(A, 1.5)
    line.took(B, 2.5)
    line.took(SILENT, 9)
    line.hold_off(SILENT, 1)

    assert line.round_s == 4.0
    line.keep([B, SILENT])
    assert line.round_s == 2.5


@simulated
async def test_a_silent_meter_that_is_taken_off_the_line_is_forgotten():
    line = rounds()
    line.hold_off(SILENT, 1)
    line.keep([A, B])
    line.plan(SILENT, 0)
    line.wake(SILENT)

    assert {await line.next() for _ in range(3)} == {A}
    assert line.held_off == 0


@simulated
async def test_one_whose_switch_is_to_be_moved_is_read_before_others_that_are_due():
    line = rounds()
    for point, at in ((A, 10), (B, 20), (SILENT, 30)):
        line.plan(point, at)
    line.hurry(SILENT)
    await asyncio.sleep(15)
    assert await line.next() == A  # not before its time

    await asyncio.sleep(45)

    assert await line.next() == SILENT
    assert await line.next() == A  # hurried once

"""The PIN cannot be tried often, whatever happens to the program in between."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge.page import pin as pins
from edge.page.pin import BadPin, NoPin, Pin, Wait, wait_s

RIGHT = "274915"


class Ticks:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pins.save(tmp_path / "page.pin", RIGHT)
    return tmp_path / "page.pin"


async def wrong(pin: Pin, times: int, ticks: Ticks) -> None:
    for _ in range(times):
        assert not await pin.is_right("000111")
        ticks.now += pins.MOST_WAIT_S


async def test_the_right_pin_is_right_and_others_are_not(path: Path):
    pin = Pin(path, Ticks())
    assert await pin.is_right(RIGHT)
    for other in ("", "274914", RIGHT + "0", "２７４９１５"):
        assert not await Pin(path, Ticks()).is_right(other)
        pins.tries_of(path).unlink()


def test_the_wait_grows_with_each_wrong_one():
    assert [wait_s(wrong) for wrong in (0, 1, 2, 3, 4, 5, 11, 12, 100)] == [
        *(0, 0, 0),
        *(2, 4, 8),
        *(512, 900, 900),
    ]


async def test_after_wrong_ones_the_right_one_waits_too_and_then_ends_it(path: Path):
    ticks = Ticks()
    pin = Pin(path, ticks)
    await wrong(pin, 4, ticks)
    ticks.now -= pins.MOST_WAIT_S - 1  # a second after the fourth: the wait is 4 s
    with pytest.raises(Wait) as caught:
        await pin.is_right(RIGHT)
    assert caught.value.seconds == 3
    ticks.now += 3
    assert await pin.is_right(RIGHT)
    assert await pin.is_right(RIGHT)


async def test_a_restart_does_not_shorten_the_wait(path: Path):
    ticks = Ticks()
    await wrong(Pin(path, ticks), 6, ticks)
    again = Pin(path, ticks)  # 6 wrong: 16 s from here
    with pytest.raises(Wait) as caught:
        await again.is_right(RIGHT)
    assert caught.value.seconds == 16


async def test_a_kill_while_a_pin_is_looked_at_is_no_free_try(path: Path):
    ticks = Ticks()
    await wrong(Pin(path, ticks), 2, ticks)
    before = pins.tries_of(path).read_text()
    assert '"wrong": 2' in before
    # What is on disk while the hash is computed already counts the try.
    killed = Pin(path, ticks)
    looked = killed.is_right(RIGHT)
    looked.send(None)  # up to where it hands over to a thread
    assert '"wrong": 3' in pins.tries_of(path).read_text()
    looked.close()


async def test_a_spoiled_count_makes_nobody_free(path: Path):
    pins.tries_of(path).write_text("{")
    with pytest.raises(Wait):
        await Pin(path, Ticks()).is_right(RIGHT)


async def test_there_is_no_default(tmp_path: Path):
    pin = Pin(tmp_path / "page.pin", Ticks())
    for guess in ("", "000000", "123456", "admin!"):
        with pytest.raises(NoPin):
            await pin.is_right(guess)


async def test_a_new_pin_holds_at_once_and_lets_in_who_was_shut_out(path: Path):
    ticks = Ticks()
    pin = Pin(path, ticks)
    await wrong(pin, 5, ticks)
    pins.save(path, "830162")
    assert await pin.is_right("830162")
    assert not await pin.is_right(RIGHT)


def test_hash_and_count_are_for_the_owner_alone(path: Path):
    for file in (path, pins.tries_of(path)):
        if file.exists():
            assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


@pytest.mark.parametrize("pin", ["12345", "1" * 65, "000000", "234567", "987654", "121212"])
def test_what_is_guessed_first_is_refused(tmp_path: Path, pin: str):
    with pytest.raises(BadPin):
        pins.save(tmp_path / "page.pin", pin)

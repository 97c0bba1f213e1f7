"""When the gateway's own time is trusted, and what it shows where the machine's clock is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from edge.clocks.clock import Clock, KeptTime, unkept
from edge.clocks.trust import Rules, Source, Told

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
BOOT = UUID(int=1)
NEXT_BOOT = UUID(int=2)
NO_TIME = timedelta(0)
SECOND = timedelta(seconds=1)
NO_BATTERY = datetime(1970, 1, 1, tzinfo=UTC) - NOON


@dataclass
class Machine:
    """True time goes on by tick; the wall shows it with an error that the test sets."""

    began: datetime = NOON
    tick: float = 100.0
    ahead: timedelta = NO_TIME
    is_kept: bool = False
    boot: UUID = BOOT

    @property
    def true(self) -> datetime:
        return self.began + timedelta(seconds=self.tick)

    def wall(self) -> datetime:
        return self.true + self.ahead

    def clock(self, *, kept: KeptTime | None = None, latest: datetime | None = None) -> Clock:
        """A program started on this machine now."""
        return Clock(
            self.wall,
            tick=lambda: self.tick,
            system=lambda: timedelta(milliseconds=50) if self.is_kept else unkept(),
            rules=Rules(),
            believes_wall=False,
            boot=self.boot,
            kept=kept,
            latest=latest,
        )

    def passes(self, time: timedelta) -> None:
        self.tick += time.total_seconds()

    def starts_again(self, *, away: timedelta, ahead: timedelta) -> None:
        """Power was off for so long, and the wall's clock shows an error after it."""
        self.began = self.true + away
        self.tick, self.ahead, self.boot = 0.0, ahead, NEXT_BOOT


def test_a_clock_that_nobody_keeps_and_no_source_has_told_is_not_trusted():
    clock = Machine().clock()

    assert not clock.now().is_trusted
    assert clock.trusted_for() is None
    assert clock.kept_time() is None


def test_a_machines_clock_is_trusted_while_a_time_service_keeps_it():
    machine = Machine(is_kept=True)
    clock = machine.clock()
    machine.passes(timedelta(hours=1))

    now = clock.now()

    assert (now.at, now.is_trusted) == (machine.true, True)
    assert clock.trusted_for() == timedelta(hours=1)


def test_a_wrong_clock_is_right_as_soon_as_the_cloud_has_told_the_time():
    machine = Machine(ahead=timedelta(days=-400))
    clock = machine.clock()

    # 0.8 s there and back: it was told 0.4 s ago.
    clock.hear_cloud(machine.true - timedelta(seconds=0.4), timedelta(seconds=0.8))

    assert clock.now().is_trusted
    assert clock.now().at == machine.true
    machine.passes(timedelta(days=30))
    assert clock.now().is_trusted
    assert clock.now().at == machine.true


def test_an_answer_that_was_under_way_for_more_than_half_a_minute_tells_no_time():
    machine = Machine()
    clock = machine.clock()

    clock.hear_cloud(machine.true, timedelta(seconds=31))
    clock.hear_cloud(machine.true, -SECOND)

    assert not clock.now().is_trusted


def test_a_jump_of_the_machines_clock_changes_nothing_once_the_time_is_known():
    machine = Machine(is_kept=True)
    clock = machine.clock()

    machine.passes(timedelta(hours=1))
    machine.ahead, machine.is_kept = timedelta(hours=5), False  # somebody set it by hand

    assert clock.now().at == machine.true
    assert clock.now().is_trusted


def test_a_time_service_that_puts_a_wrong_clock_right_is_followed():
    machine = Machine(ahead=timedelta(hours=-8))
    clock = machine.clock()
    machine.passes(SECOND)
    assert not clock.now().is_trusted

    machine.ahead, machine.is_kept = NO_TIME, True

    assert clock.now().is_trusted
    assert clock.now().at == machine.true


def test_a_jump_of_a_clock_that_nobody_vouches_for_leaves_it_untrusted():
    machine = Machine()
    clock = machine.clock()

    machine.ahead = timedelta(days=3)

    assert not clock.now().is_trusted


def test_a_word_of_long_ago_is_not_enough():
    machine = Machine()
    clock = machine.clock()
    clock.hear_cloud(machine.true, NO_TIME)

    # 1 s, and 100 millionths of the time: 300 s after 2 990 000 s, which are 34.6 days.
    machine.passes(timedelta(seconds=2_990_000))
    assert clock.now().is_trusted
    machine.passes(timedelta(seconds=10))

    assert not clock.now().is_trusted
    assert clock.now().at == machine.true  # it is the best that is known all the same
    assert clock.doubted_for() == NO_TIME


def test_two_meters_that_agree_make_a_clock_trusted_where_there_is_nothing_better():
    machine = Machine(ahead=NO_BATTERY)
    clock = machine.clock()

    clock.hear_meters(Told(Source.METERS, machine.true, machine.tick, timedelta(seconds=62)))

    assert clock.now().at == machine.true
    assert clock.now().is_trusted
    known = clock.known()
    assert known is not None
    assert known.source is Source.METERS


def test_meters_that_lost_their_clocks_in_a_power_cut_are_not_believed():
    clock = Machine().clock()

    dead = datetime(2000, 1, 1, tzinfo=UTC)
    clock.hear_meters(Told(Source.METERS, dead, 100.0, timedelta(seconds=62)))

    assert not clock.now().is_trusted


def test_a_program_that_is_started_again_goes_on_with_the_time_it_knew():
    machine = Machine()
    clock = machine.clock()
    clock.hear_cloud(machine.true, NO_TIME)
    kept = clock.kept_time()

    machine.passes(timedelta(minutes=3))
    machine.ahead = timedelta(days=1)
    again = machine.clock(kept=kept)

    assert again.now().is_trusted
    assert again.now().at == machine.true


def test_after_a_power_cut_the_last_trusted_time_is_only_a_bound():
    machine = Machine(is_kept=True)
    kept = machine.clock().kept_time()
    assert kept is not None
    machine.is_kept = False

    machine.starts_again(away=timedelta(hours=2), ahead=NO_TIME)
    clock = machine.clock(kept=kept)

    assert not clock.now().is_trusted
    # A clock that has run on its battery is the best guess.
    assert clock.now().at == machine.wall()


@pytest.mark.parametrize("ahead", [NO_BATTERY, timedelta(days=365)])
def test_a_clock_that_cannot_be_right_after_a_power_cut_dates_nothing(ahead: timedelta):
    machine = Machine(is_kept=True)
    kept = machine.clock().kept_time()
    assert kept is not None
    machine.is_kept = False

    machine.starts_again(away=NO_TIME, ahead=ahead)
    clock = machine.clock(kept=kept)
    machine.passes(timedelta(seconds=20))

    assert clock.now().at == kept.told.at + timedelta(seconds=20)
    assert not clock.now().is_trusted
    # How long it was away nobody can say: a day, as where a clock went back.
    assert clock.since(kept.told.at, None) == timedelta(days=1)


def test_the_cloud_alone_can_take_back_a_time_that_was_wrongly_trusted():
    machine = Machine(ahead=timedelta(days=365), is_kept=True)  # a wrong time server
    clock = machine.clock()
    machine.is_kept = False
    machine.passes(timedelta(minutes=5))

    clock.hear_meters(Told(Source.METERS, machine.true, machine.tick, timedelta(seconds=62)))
    assert clock.now().at == machine.wall()
    clock.hear_cloud(machine.true, NO_TIME)

    assert clock.now().at == machine.true
    kept = clock.kept_time()
    assert kept is not None
    assert kept.told.at == machine.true


def contradiction(caplog: pytest.LogCaptureFixture, say: Callable[[], None]) -> list[str]:
    caplog.clear()
    say()
    return [r.getMessage() for r in caplog.records if r.name == "edge.clocks.clock"]


def test_a_source_that_contradicts_is_logged_once_and_anew_after_it_agreed(
    caplog: pytest.LogCaptureFixture,
):
    machine = Machine(is_kept=True)
    clock = machine.clock()

    def wrong() -> None:
        clock.hear_cloud(machine.true + timedelta(hours=1), NO_TIME)

    assert len(contradiction(caplog, wrong)) == 1
    assert contradiction(caplog, wrong) == []
    assert contradiction(caplog, lambda: clock.hear_cloud(machine.true, NO_TIME)) == []
    assert len(contradiction(caplog, wrong)) == 1
    assert clock.now().at == machine.true

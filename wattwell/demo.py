"""`wattwell demo`: one building, one evening, on this machine alone."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

from sqlalchemy.exc import OperationalError

from cloud.settings import BadSettings
from prepaid.reading import Supply
from wattwell import seed
from wattwell.installation import Installation, InstallationTaken, InstallationUnusable
from wattwell.programs import Programs, wait_for
from wattwell.screen import Screen
from wattwell.story import ROOM, Cut, Story, StoryBroken
from wattwell.supervise import StartFailed

REDRAW_S = 0.5
FIRST_SIGHT_S = 120
MOST_LAUNCHES = 5
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(folder: Path, *, once: bool, port: int | None) -> int:
    """The exit status: 0 when the story was told to its end, or was ended by Ctrl-C; 1 with a sentence why not."""
    interrupted = threading.Event()

    def at_once(*_: object) -> NoReturn:
        interrupted.set()
        raise KeyboardInterrupt

    for number in ENDING:
        signal.signal(number, at_once)
    screen = Screen()
    try:
        installation = Installation(folder)
    except (InstallationTaken, InstallationUnusable) as error:
        return _fail(str(error))
    programs: Programs | None = None
    try:
        programs = Programs(
            installation, web_port=port, progress=lambda name: screen.tell(f"starting: {name}")
        )
        with screen:
            programs.start()
            for number in ENDING:  # from now on at a quiet moment: see _Onlooker
                signal.signal(number, lambda *_: interrupted.set())
            return _tell(screen, programs, interrupted, once=once)
    except OperationalError:
        return _fail(f"the database went away; see {folder / 'postgres' / 'postgres.log'}")
    except (StartFailed, BadSettings, StoryBroken, TimeoutError, OSError) as error:
        return _fail(str(error))
    except BaseException:
        if not interrupted.is_set():  # amid a query, an interrupt comes out as the driver's error
            raise
        screen.tell("stopping")
        return 130 if once else 0
    finally:
        # A second Ctrl-C must not leave half of them running.
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        if programs is not None:
            programs.stop()
        installation.release()


def _tell(screen: Screen, programs: Programs, interrupted: threading.Event, *, once: bool) -> int:
    story = Story(programs)
    try:
        look = _Onlooker(screen, programs, story, interrupted)
        unread = partial(_unread, programs, story)
        try:
            wait_for(lambda: not unread(), FIRST_SIGHT_S, "the first reading of all meters", look)
        except TimeoutError as error:
            names = ", ".join(unread())
            log = programs.installation.log("gateway")
            raise StoryBroken(f"{error}: {names}; see {log}") from None
        screen.tell(f"all meters read {programs.seconds_since_start:.0f} s after the start")
        password = programs.installation.secret("manager_password")
        screen.point_to("Room board", programs.url)
        screen.point_to("  log in as", f"{seed.MANAGER} / {password}")
        if not once:
            _look_on(screen, story, look)
        ending = story.play(screen.tell, look)
    finally:
        story.close()
    print("JSON:", json.dumps(ending.as_json()), flush=True)  # noqa: T201  what a script reads
    return 0


def _unread(programs: Programs, story: Story) -> list[str]:
    points = [point for room in story.rooms() for point in room.points]
    return [p.name for p in points if p.read_at is None or p.read_at < programs.started_at]


class _Onlooker:
    """Called now and then: draws the rooms anew, and starts again what has ended by itself, saying so.

    Raises KeyboardInterrupt once interrupted; StartFailed if a program ends again and again.
    """

    def __init__(
        self, screen: Screen, programs: Programs, story: Story, interrupted: threading.Event
    ) -> None:
        self._interrupted = interrupted
        self._screen = screen
        self._programs = programs
        self._story = story
        self._is_away = False

    def __call__(self) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        for program in self._programs.ended():
            status = program.process.returncode
            if self._programs.launches[program.name] > MOST_LAUNCHES:
                raise StartFailed(
                    f"{program.name} ended with status {status} again:\n{program.last_words()}"
                )
            self._screen.tell(f"{program.name} ended with status {status}; starting it again")
            self._programs.launch(program.name)
        try:
            self._screen.show(self._story.rooms())
        except OperationalError:
            if not self._is_away:
                self._screen.tell("the database is away; waiting for it")
            self._is_away = True
        else:
            if self._is_away:
                self._screen.tell("the database answers again")
            self._is_away = False


def _look_on(screen: Screen, story: Story, look: _Onlooker) -> NoReturn:
    """Tells what happens to the story's room, over and over, until Ctrl-C."""
    screen.tell(f"room {ROOM} has ¥{story.point().balance} left; watch it run out")
    told: Supply | None = Supply.ON
    while True:
        look()
        changes = story.supply_changes()
        supply = changes[-1].supply if changes else None
        if supply is not told:
            match supply:
                case Supply.OFF if (cut := story.cut()) is not None:
                    tell_of_cut(screen, story, cut)
                case Supply.ARMED:
                    screen.tell(
                        f"room {ROOM} has credit: its relay may be closed with the meter's button"
                    )
                case Supply.ON:
                    screen.tell(f"room {ROOM} has light again")
                case _:
                    screen.tell(f"room {ROOM}: the supply cannot be read")
            told = supply
        time.sleep(REDRAW_S)


def tell_of_cut(screen: Screen, story: Story, cut: Cut) -> None:
    took_s = (cut.verified_at - cut.commanded_at).total_seconds()
    screen.tell(
        f"room {ROOM} ran out and was cut; its relay was read back open after {took_s:.1f} s"
    )
    lent = seed.EMERGENCY.amount
    screen.tell(
        f"be the tenant of {ROOM}: open the page above and top up, or take ¥{lent} of emergency credit"
    )
    screen.point_to(f"Tenant of {ROOM}", story.tenant_url)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201
    return 1

"""`wattwell demo`: one building, one evening, on this machine alone."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from cloud.settings import BadSettings
from wattwell import seed
from wattwell.installation import Installation, InstallationTaken
from wattwell.programs import Programs
from wattwell.screen import Screen
from wattwell.story import ROOM, Cut, Story, StoryBroken
from wattwell.supervise import StartFailed

REDRAW_S = 0.5
FIRST_SIGHT_S = 120
MOST_LAUNCHES = 5


def run(folder: Path, *, once: bool, port: int | None) -> int:
    """The exit status: 0 when the story was told to its end, or was ended by Ctrl-C; 1 with a sentence why not."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    screen = Screen()
    try:
        installation = Installation(folder)
    except (InstallationTaken, OSError) as error:
        return _fail(str(error))
    programs: Programs | None = None
    try:
        programs = Programs(
            installation, web_port=port, progress=lambda name: screen.tell(f"starting: {name}")
        )
        with screen:
            programs.start()
            return _tell(screen, programs, once=once)
    except KeyboardInterrupt:
        return 130 if once else 0
    except (StartFailed, BadSettings, StoryBroken, TimeoutError, OSError) as error:
        return _fail(str(error))
    finally:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if programs is not None:
            programs.stop()
        installation.release()


def _tell(screen: Screen, programs: Programs, *, once: bool) -> int:
    story = Story(programs)
    try:
        _wait_for_first_sight(screen, programs, story)
        screen.point_to("Room board", programs.url)
        password = programs.installation.secret("manager_password")
        screen.point_to("  log in as", f"{seed.MANAGER} / {password}")
        if not once:
            _look_on(screen, programs, story)
        ending = story.play(screen.tell, look=lambda: screen.show(story.rooms()))
    finally:
        story.close()
    print("JSON:", json.dumps(ending.as_json()), flush=True)  # noqa: T201  what a script reads
    return 0


def _wait_for_first_sight(screen: Screen, programs: Programs, story: Story) -> None:
    deadline = time.monotonic() + FIRST_SIGHT_S
    while True:
        rooms = story.rooms()
        points = [point for room in rooms for point in room.points]
        unread = [point.name for point in points if point.read_at is None]
        screen.show(rooms)
        if not unread:
            screen.tell(
                f"all {len(points)} meters read {programs.seconds_since_start:.0f} s after the start"
            )
            return
        if time.monotonic() > deadline:
            raise StoryBroken(
                f"{len(unread)} of {len(points)} meters were not read within {FIRST_SIGHT_S} s:"
                f" {', '.join(unread)}; see {programs.installation.log('gateway')}"
            )
        _mend(screen, programs)
        time.sleep(REDRAW_S)


def _look_on(screen: Screen, programs: Programs, story: Story) -> NoReturn:
    """Tells what happens to the story's room, over and over, until Ctrl-C."""
    was_cut = False
    screen.tell(f"room {ROOM} has ¥{story.point().balance} left; watch it run out")
    while True:
        screen.show(story.rooms())
        _mend(screen, programs)
        cut = story.cut()
        if cut is not None and not was_cut:
            tell_of_cut(screen, story, cut)
        elif cut is None and was_cut:
            screen.tell(f"room {ROOM} is supplied again: {story.point().supply}")
        was_cut = cut is not None
        time.sleep(REDRAW_S)


def tell_of_cut(screen: Screen, story: Story, cut: Cut) -> None:
    took_s = (cut.verified_at - cut.commanded_at).total_seconds()
    screen.tell(
        f"room {ROOM} ran out and was cut; its relay was read back open after {took_s:.1f} s"
    )
    screen.tell(f"be the tenant of {ROOM}: open the page below and top up")
    screen.point_to(f"Tenant of {ROOM}", story.tenant_url)


def _mend(screen: Screen, programs: Programs) -> None:
    """Starts again what has ended by itself, and says so. Raises StartFailed if it ends again and again."""
    for program in programs.ended():
        status = program.process.returncode
        if programs.launches[program.name] > MOST_LAUNCHES:
            raise StartFailed(
                f"{program.name} ended with status {status} again:\n{program.last_words()}"
            )
        screen.tell(
            f"{program.name} ended with status {status}; starting it again (see {program.log})"
        )
        programs.launch(program.name)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201
    return 1

"""`wattwell serve`: a property company's own installation on one machine, from one command."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from sqlalchemy.exc import OperationalError

from cloud.backups.sealed import BadBackup
from cloud.errors import CannotStart
from cloud.settings import BadSettings
from wattwell.installation import Installation, InstallationTaken, InstallationUnusable
from wattwell.service import Addresses, Service, check_ports
from wattwell.supervise import StartFailed

LOOK_S = 0.5
MOST_LAUNCHES = 20
CALM_LOOKS = 1200  # so many looks without an end, and what ended before is forgotten


def run(
    folder: Path,
    addresses: Addresses,
    *,
    certificate: tuple[Path, Path] | None,
    backup: Path | None,
    passphrase: str | None,
) -> int:
    """Serves until told to stop (SIGTERM, SIGINT); the exit status, 1 with a sentence why it could not."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        installation = Installation(folder)
    except (InstallationTaken, InstallationUnusable) as error:
        return _fail(str(error))
    service: Service | None = None
    try:
        check_ports(addresses)
        service = Service(
            installation,
            addresses,
            certificate=certificate,
            progress=lambda name: _say(f"starting: {name}"),
        )
        service.start(backup=backup, passphrase=passphrase)
        _greet(service)
        _watch(service, stop)
        _say("stopping")
        return 0
    except OperationalError:
        return _fail(f"the database went away; see {folder / 'postgres' / 'postgres.log'}")
    except (StartFailed, BadSettings, BadBackup, CannotStart, OSError) as error:
        return _fail(str(error))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if service is not None:
            service.stop()
        installation.release()


def _greet(service: Service) -> None:
    settings = service.settings
    setup = service.setup_url
    if setup is None:
        _say(f"serving {settings.public_url}")
        return
    # Only until somebody has used it; whoever has it makes himself the administrator.
    _say(f"\nSet it up in a browser, by this link, which works once:\n\n  {setup}\n")


def _watch(service: Service, stop: threading.Event) -> None:
    """Starts again what has ended by itself. Raises StartFailed if it ends again and again."""
    calm = 0
    while not stop.wait(LOOK_S):
        ended = service.ended()
        calm = 0 if ended else calm + 1
        if calm > CALM_LOOKS:
            service.launches.clear()
        for program in ended:
            if stop.is_set():
                return
            status = program.process.returncode
            if service.launches[program.name] > MOST_LAUNCHES:
                raise StartFailed(
                    f"{program.name} ended with status {status} again:\n{program.last_words()}"
                )
            _say(f"{program.name} ended with status {status}; starting it again")
            service.launch(program.name)


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201
    return 1

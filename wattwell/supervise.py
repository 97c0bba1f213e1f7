"""Starting programs that end with us, however we end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartFailed(Exception):
    """A program did not come up. The text says which, why, and where its log is."""


class Program:
    """A running child process, its output in a log file."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], log: Path, stop: signal.Signals
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._stop = stop

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def ask_to_end(self) -> None:
        if self.is_running:
            self.process.send_signal(self._stop)

    def stop(self, timeout_s: float = 10) -> None:
        """Asks it to end, and ends it if it does not within timeout_s."""
        self.ask_to_end()
        if self.is_running:
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def last_words(self, lines: int = 12) -> str:
        """The end of its log, for an error message."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(errors="replace").strip().splitlines()
            return "\n".join(text[-lines:])
        return ""

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Returns when is_ready; raises StartFailed if the program ends or timeout_s pass before."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_running:
                code = self.process.returncode
                raise StartFailed(f"{self.name} ended with status {code}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{self.name} is not ready after {timeout_s:.0f} s; see {self.log}"
                )
            time.sleep(0.02)


def start(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    identity: Identity | None = None,
    stop: signal.Signals = signal.SIGTERM,
    cwd: Path | None = None,
) -> Program:
    """The program, started. It is sent `stop` by the kernel if we die without stopping it (Linux).

    Call from the main thread: the kernel ties the child to the thread that made it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def in_child() -> None:
        if _LIBC is not None:
            if identity is not None and identity.in_namespace:
                _enter_user_namespace()
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(stop))
            if os.getppid() != parent:  # we died in between
                os._exit(1)

    user = identity.uid if identity is not None and not identity.in_namespace else None
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,  # Ctrl-C is ours to handle: we stop them in order
            preexec_fn=in_child,
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
        )
    return Program(name, process, log, stop)


class Identity:
    """Who a program that refuses to run as root runs as, when we are root.

    Either an unprivileged user, or (in_namespace) ourselves under another number: in a user namespace
    of its own, root's files stay reachable, and the program sees an ordinary user id.
    """

    def __init__(self, uid: int, *, in_namespace: bool) -> None:
        self.uid = uid
        self.in_namespace = in_namespace


def _enter_user_namespace() -> None:
    """Makes the calling process user 1000 of a new user namespace, which is the caller outside."""
    assert _LIBC is not None
    uid, gid = os.geteuid(), os.getegid()
    if _LIBC.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not allowed here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")


def namespaces_work() -> bool:
    """Whether this machine lets us make a user namespace."""
    if _LIBC is None:
        return False
    try:
        subprocess.run(["true"], preexec_fn=_enter_user_namespace, check=True)
    except (subprocess.SubprocessError, OSError):
        return False
    return True


# Below the ports that systems lend to outgoing connections (Linux from 32768, others from 49152): a port of these may
# be lent to anybody between its choice and its use, or while the program that listens on it starts again.
_PORTS = range(15_000, 32_768)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and that no outgoing connection is given."""
    for _ in range(1000):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StartFailed("no TCP port of 127.0.0.1 is free between 15000 and 32767")


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0

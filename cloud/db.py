"""The database of one process: transactions that see one organization's rows, or, for the system's own work, all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, CursorResult, create_engine, text
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlmodel import Session

from cloud.errors import CannotStart

CONNECT_TIMEOUT_S = 3
MIGRATION_LOCK = 4710
SCHEMA = "0033"  # the newest of cloud/migrations/versions

# Classes of SQLSTATE (PostgreSQL, Error Codes): connection exception, insufficient resources, operator
# intervention; transaction rollback.
_AWAY = ("08", "53", "57")
_ROLLED_BACK = "40"

# Numeric value out of range, datetime field overflow, string too long, character not in repertoire,
# untranslatable character.
_UNKEEPABLE = frozenset({"22003", "22008", "22001", "22021", "22P05"})


class Database:
    """A pool of connections to PostgreSQL; url is a DSN or a postgresql:// URL.

    A session is one transaction: committed when its block ends, rolled back if it raises. Row-level
    security shows it nothing but what it was opened for; outside of a transaction it shows nothing.
    """

    def __init__(self, url: str, *, connections: int = 15) -> None:
        self.where = place(url)
        self._engine = create_engine(
            "postgresql+psycopg://",
            connect_args=connect_args(url),
            isolation_level="AUTOCOMMIT",  # _transaction begins: the driver would ask twice
            pool_size=connections,
            max_overflow=0,
            pool_timeout=10,
            pool_use_lifo=True,  # the connection used last knows most statements
            hide_parameters=True,
        )

    @contextmanager
    def organization(self, organization_id: UUID) -> Iterator[Session]:
        """A transaction that sees and writes the rows of one organization."""
        with self._transaction(
            f"SET LOCAL wattwell.organization = '{UUID(str(organization_id))}'"
        ) as session:
            yield session

    @contextmanager
    def system(self) -> Iterator[Session]:
        """A transaction over all organizations: for the worker, the scheduler, and finding out who is asking."""
        with self._transaction("SET LOCAL wattwell.system = 'on'") as session:
            yield session

    @contextmanager
    def _transaction(self, sees: str) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session:
            try:
                _begin(session, sees)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # It broke while it was idle, and nothing is lost: the pool opens another.
                session.rollback()
                _begin(session, sees)
            yield session
            _notify(session)
            session.commit()

    def close(self) -> None:
        self._engine.dispose()


def begin_again(session: Session) -> None:
    """Gives up all that was done in the session's transaction, and begins it anew."""
    session.rollback()
    session.info.pop("notified", None)
    _begin(session, session.info["sees"])


def notify(session: Session, channel: str, payload: str) -> None:
    """PostgreSQL's NOTIFY, when and if the session's transaction commits; all of a transaction in one statement."""
    session.info.setdefault("notified", {})[channel, payload] = None


def _notify(session: Session) -> None:
    said = session.info.pop("notified", None)
    if said:
        channels, payloads = zip(*said, strict=True)
        execute(session, _NOTIFY, channels=list(channels), payloads=list(payloads))


_NOTIFY = """
    SELECT pg_notify(channel, payload)
    FROM unnest(CAST(%(channels)s AS text[]), CAST(%(payloads)s AS text[])) AS n (channel, payload)
"""


def _begin(session: Session, sees: str) -> None:
    """A transaction that sees what it may, in one question to the database."""
    session.info["sees"] = sees
    session.connection().exec_driver_sql(
        f"BEGIN; {sees}", execution_options={"no_parameters": True}
    )


def execute(session: Session, statement: str, **values: object) -> CursorResult[*tuple[Any, ...]]:
    """The statement in psycopg's own words, %(name)s, run in the session's transaction.

    For paths that run at every message: nothing is compiled, and pending changes of rows are not written before.
    """
    return session.connection().exec_driver_sql(statement, values)


class NotExecuted(Exception):
    """The database refuses one of several statements sent together: begin the transaction again, without it.

    place says which of them it was, error why.
    """

    def __init__(self, place: int, error: DBAPIError) -> None:
        super().__init__(f"statement {place} of those sent together: {error}")
        self.place = place
        self.error = error


def execute_each(
    session: Session, statement: str, each: Iterable[Mapping[str, object]]
) -> list[tuple[Any, ...]]:
    """The row that the statement, as in execute, gives for each of the values.

    The database runs it with the first values while the next are made. Raises NotExecuted.
    """
    connection = session.connection()
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    cursors: list[psycopg.Cursor[tuple[Any, ...]]] = []
    failed: psycopg.Error | None = None
    try:
        with raw.pipeline():
            try:
                for values in each:
                    cursors.append(raw.execute(statement, values, prepare=True))
            except psycopg.Error as error:  # perhaps of a statement sent before
                failed = error
    except psycopg.Error as error:
        failed = failed or error
    if failed is not None:
        done = sum(cursor.pgresult is not None for cursor in cursors)
        raise NotExecuted(done, _as_sqlalchemy_does(connection, statement, failed)) from failed
    return [row for cursor in cursors for row in cursor.fetchmany(1)]


def _as_sqlalchemy_does(connection: Connection, statement: str, error: psycopg.Error) -> DBAPIError:
    """The error as a statement of SQLAlchemy's would raise it; a connection that is lost is not used again."""
    is_lost = connection.connection.driver_connection.closed  # type: ignore[union-attr]
    if is_lost:
        connection.invalidate(error)
    wrapped = DBAPIError.instance(
        *(statement, None, error, psycopg.Error),
        hide_parameters=True,
        connection_invalidated=is_lost,
    )
    assert isinstance(wrapped, DBAPIError)
    return wrapped


def place(url: str) -> str:
    """Where the database is, without user and password: for logs and errors."""
    known = conninfo_to_dict(url)
    return f"{known.get('host', 'localhost')}:{known.get('port', 5432)}/{known.get('dbname', '')}"


def connect_args(url: str) -> dict[str, object]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "wattwell",
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        **conninfo_to_dict(url),
    }


def check_role(database: Database) -> None:
    """Refuses a role that row-level security does not bind, as one organization would see another's rows.

    Raises CannotStart, or sqlalchemy.exc.OperationalError if the database does not answer.
    """
    with database.system() as session:
        role = session.execute(
            text(
                "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
        ).one()
    if role.rolsuper or role.rolbypassrls:
        what = "a superuser" if role.rolsuper else "allowed to bypass row-level security"
        raise CannotStart(
            f"The database role {role.rolname} is {what}, so nothing would keep organizations apart:"
            " name an ordinary role in database_url."
        )


def is_away(error: DBAPIError) -> bool:
    """Whether the database does not answer, or not now: the same may be tried again later."""
    if error.connection_invalidated:
        return True
    state = _state(error)
    if state is None:  # said by the client, not the server
        return isinstance(error, OperationalError | InterfaceError)
    return state[:2] in _AWAY


def is_entrys_fault(error: DBAPIError) -> bool:
    """Whether the database refuses what it was given, and would again.

    Not if it is away, ended a deadlock, or does not know a table or column: that says nothing of the values.
    """
    state = _state(error) or ""
    return not (is_away(error) or state[:2] == _ROLLED_BACK or isinstance(error, ProgrammingError))


def is_unkeepable(error: DataError) -> bool:
    """Whether a value that came from outside cannot be kept as it is: too large, or with a character that no
    text of the database holds. Other data exceptions are mistakes of a query."""
    state = _state(error)
    return state is None or state in _UNKEEPABLE


def _state(error: DBAPIError) -> str | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def is_migrated(database: Database) -> bool:
    """Whether the schema is this version's. Raises sqlalchemy.exc.OperationalError if nothing answers."""
    with database.system() as session:
        if session.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
            return False
        found = session.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
        return list(found) == [SCHEMA]


def migrate(url: str) -> None:
    """Brings the database to this version's schema; does nothing where it is already there.

    Raises sqlalchemy.exc.OperationalError if the database does not answer.
    """
    engine = create_engine("postgresql+psycopg://", connect_args=connect_args(url))
    try:
        with engine.begin() as connection:
            hold_for_migration(connection)
            upgrade(connection, "head")
    finally:
        engine.dispose()


def hold_for_migration(connection: Connection) -> None:
    """Several programs may be started at once; the others wait here, then find nothing to do."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})


def upgrade(connection: Connection, revision: str) -> None:
    """Brings the schema to a revision, or to the newest (head), in the connection's transaction."""
    from alembic import command  # slow to import, and nothing else needs it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "cloud:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)

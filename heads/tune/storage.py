"""Where a search's trials are kept: SQLite in the work folder, or a PostgreSQL server that many machines share.

Both as Optuna's own tables, so that its tools read them. Beside the storage comes a lock that one process of all that
share the study can hold: a file's for SQLite, an advisory lock of the server for PostgreSQL. Either goes when its
holder dies, so nothing stale is ever left to clean up.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock

from extract.runtime.errors import InputError, WorkError
from extract.runtime.run_folder import unwritable_error, write_whole

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import URL

DRIVER = "postgresql+psycopg"
CONNECT = {"client_encoding": "utf8", "connect_timeout": 10}
"""A database made without a locale has no encoding of its own, and would answer in bytes."""
SECONDS_FOR_LOCK = 60.0
SECONDS_FOR_ANSWER = 120.0
"""How long a storage may be away, such as a server that restarts, before the work is given up."""
SILENT_BEATS = 4
"""So many missed heartbeats mean that a trial's process is gone."""

Guard = Callable[[], AbstractContextManager[Any]]
T = TypeVar("T")


def open_sqlite(path: Path, heartbeat: int) -> tuple[RDBStorage, Guard]:
    """The storage in a file, made where there is none, and its lock. One machine; several processes are fine.

    Raises InputError for a file that is no database of Optuna's, and for a folder that cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make_sqlite(path, lambda place: close(_sqlite(place, heartbeat)))
    except OSError as error:
        raise unwritable_error(path.parent, error) from error
    try:
        return _sqlite(path, heartbeat), partial(FileLock, path.with_suffix(".lock"))
    except Exception as error:  # whatever SQLAlchemy, SQLite and Optuna raise for a file that is no study
        refuse_busy_file(path, error)
        raise InputError(
            f"{path}: not a readable study ({_first_line(error)}); move the file away to begin anew"
        ) from error


def make_sqlite(path: Path, make: Callable[[Path], None]) -> None:
    """A study's file, made whole by `make` beside it, or not at all. Raises WorkError or InputError for a full disk."""
    with write_whole(path) as temporary:
        try:
            make(temporary)
        except Exception as error:  # whatever SQLAlchemy, SQLite and Optuna raise
            refuse_busy_file(path, error)
            raise
        finally:
            with suppress(OSError):
                temporary.with_name(f"{temporary.name}-journal").unlink(missing_ok=True)


def _sqlite(path: Path, heartbeat: int) -> RDBStorage:
    # the path is given to SQLite itself: in a URL, a folder's ? or { would mean something
    return _storage("sqlite://", heartbeat, creator=partial(sqlite3.connect, path, timeout=SECONDS_FOR_LOCK))


ACCESS_HINTS = {
    "SQLITE_BUSY": "another program holds it: close that (a database browser?), or ask who else works here",
    "SQLITE_LOCKED": "another program holds it: close that, or ask who else works here",
    "SQLITE_READONLY": "it may not be written: see its permissions, and those of its folder",
    "SQLITE_PERM": "it may not be written: see its permissions, and those of its folder",
    "SQLITE_CANTOPEN": "it cannot be opened: see its permissions, and those of its folder",
    "SQLITE_FULL": "the disk is full: free some space",
    "SQLITE_IOERR": "the disk does not do what it is asked: see whether it is full or broken",
}
"""What SQLite says of a file that may be whole, but cannot be used now -> what to do."""


def refuse_busy_file(path: Path, error: BaseException) -> None:
    """Raise WorkError where a study's file may be whole but cannot be used now: it is not taken for a damaged one."""
    cause: BaseException | None = error
    while cause is not None:
        name = getattr(cause, "sqlite_errorname", None) or ""
        for code, what in ACCESS_HINTS.items():
            if name.startswith(code):
                raise WorkError(f"{path}: {what}; nothing was changed, then the same command goes on") from error
        cause = cause.__cause__ or cause.__context__


def open_postgresql(url: URL, name: str, heartbeat: int) -> tuple[RDBStorage, Guard]:
    """The storage on a server, its tables made where there are none, and the lock of the study `name`.

    Raises InputError where no connection comes about, or the driver is not installed.
    """
    import sqlalchemy

    whole = url.render_as_string(hide_password=False)
    try:
        engine = sqlalchemy.create_engine(whole, poolclass=sqlalchemy.NullPool, connect_args=CONNECT)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise InputError(f"--storage {url.render_as_string()}: {_first_line(error)}") from error
    except ImportError as error:
        raise InputError("--storage: PostgreSQL needs a driver: pip install 'affect-heads[postgresql]'") from error

    @contextmanager
    def guard(what: str = name) -> Iterator[None]:
        key = int.from_bytes(hashlib.sha256(f"heads.tune {what}".encode()).digest()[:8], "big", signed=True)
        with engine.begin() as connection:  # the lock goes with the transaction, or with the connection
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield

    try:
        with guard(""):  # of several that start at once, one makes the tables
            return _storage(whole, heartbeat, connect_args=CONNECT), guard
    except (sqlalchemy.exc.SQLAlchemyError, RuntimeError) as error:
        raise InputError(f"--storage {url.render_as_string()}: {_first_line(error)}") from error


def parse(storage: str) -> URL:
    """The URL of a PostgreSQL server. Raises InputError for anything else; passwords are never shown."""
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(storage)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise InputError("--storage: expected postgresql://user@host/database, or ...@host:port/...") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise InputError(
            f"--storage: {url.get_backend_name()} is not supported; expected postgresql://user@host/database (without "
            f"--storage the study is an SQLite file in the work folder)"
        )
    return url.set(drivername=DRIVER) if url.drivername in ("postgresql", "postgres") else url


def _storage(url: str, heartbeat: int, **engine: Any) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # heartbeats are called experimental
        import optuna
        from optuna.storages import RDBStorage
        from sqlalchemy.pool import NullPool

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # a connection for each transaction: none is left idle for the hours of a trial, none outlives a restart
        return RDBStorage(
            url,
            engine_kwargs={"poolclass": NullPool, **engine},
            heartbeat_interval=heartbeat,
            grace_period=SILENT_BEATS * heartbeat,
        )


def close(storage: RDBStorage) -> None:
    """Let go of the database."""
    storage.remove_session()
    storage.engine.dispose()


def retry_call(call: Callable[[], T], seconds: float = SECONDS_FOR_ANSWER) -> T:
    """What `call` returns, tried again while the storage does not answer. Raises WorkError when that lasts too long."""
    import sqlalchemy
    from optuna.exceptions import StorageInternalError

    until, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            return call()
        except (sqlalchemy.exc.DBAPIError, StorageInternalError) as error:
            if time.monotonic() > until:
                raise WorkError(f"the study's storage does not answer: {_first_line(error)}") from error
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if error.__cause__ is not None else error
    return next(iter(str(cause).splitlines()), type(cause).__name__)

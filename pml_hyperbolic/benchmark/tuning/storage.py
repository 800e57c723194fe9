"""The database of a search: opened by its URL, with the errors of its driver in plain words."""

import contextlib
import errno
import importlib.util
import re
import sqlite3
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from ...errors import InputError
from ...files import disk_failure, named_disk_failures

STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)
# Seconds until a database that another worker has locked, or a server, must have answered.
_SQLITE_TIMEOUT = 60
_SERVER_TIMEOUT = 10
# Seconds in which another process makes some more tables.
_PAUSE = 0.2
_MALFORMED = "malformed"
_POSTGRESQL = re.compile(r"postgres(ql)?(\+psycopg)?://")


class StorageLostError(RuntimeError):
    """The database failed during a search: what it said, and how to go on."""


@contextlib.contextmanager
def opened_storage(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """Open a database for Optuna, whose messages are silenced while it is open.

    ``postgresql://`` stands for the driver psycopg (3), which the extra ``postgresql`` installs;
    SQLAlchemy by itself would look for psycopg2.

    Args:
        url: as SQLAlchemy takes it.

    Raises:
        InputError: the database cannot be opened.
        OSError: the disk of an SQLite file failed.
        StorageLostError: the database failed for another reason while it was open.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = _open(url)
        try:
            with named_disk_failures(sqlite_file(url)):
                yield storage
        except STORAGE_ERRORS as error:
            raise StorageLostError(
                _without_password(f"the storage {url} failed: {_reason(error)}")
                + ": finished trials are kept; see that it can be reached and written to, and "
                "search again"
            ) from error
        finally:
            # A lost server cannot be told goodbye.
            with contextlib.suppress(*STORAGE_ERRORS):
                storage.remove_session()
                storage.engine.dispose()
    finally:
        optuna.logging.set_verbosity(verbosity)


def _open(url):
    target = url
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
        options = {"connect_args": {"timeout": _SQLITE_TIMEOUT}}
    elif _POSTGRESQL.match(url):
        if importlib.util.find_spec("psycopg") is None:
            raise InputError(
                _without_password(f"--storage {url}: psycopg is missing: install the extra ")
                + "`postgresql` with pip install 'pml-hyperbolic[postgresql]'"
            )
        target = _POSTGRESQL.sub("postgresql+psycopg://", url, count=1)
        # The server may have closed a connection during a trial, which may take hours.
        options = {"connect_args": {"connect_timeout": _SERVER_TIMEOUT}, "pool_pre_ping": True}
    try:
        _check_sqlite(url)
        return _with_tables(target, options)
    except InputError:
        raise
    # SQLAlchemy and the database drivers raise exceptions of many types.
    except Exception as error:
        failure = disk_failure(error, sqlite_file(url))
        # A folder that does not exist is no failure of the disk but a wrong URL.
        if failure is not None and failure.errno != errno.ENOENT:
            raise failure from error
        advice = (
            "see that its server runs, the database exists and the password is right"
            if _POSTGRESQL.match(url) and _is_operational(error)
            else "expected a URL such as sqlite:///search.db or postgresql://host/database"
        )
        raise InputError(
            _without_password(f"cannot open the storage {url}: {_reason(error)}") + f" ({advice})"
        ) from error


def _with_tables(url, options, attempts=5):
    """The storage, whose tables another process may be making at the same time."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(url, engine_kwargs=options)
    except SQLAlchemyError as error:
        # Both make a table, or both write its version.
        is_shared = isinstance(error, IntegrityError) or "already exists" in str(error)
        if attempts == 1 or not is_shared:
            raise
    time.sleep(_PAUSE)
    return _with_tables(url, options, attempts - 1)


def _check_sqlite(url):
    """Refuse a damaged SQLite file, whose searches would otherwise go on with what is left.

    SQLite finds pages and indexes that do not fit together, and rows of trials that are not there.
    What the rows say has checksums of its own.
    """
    file = sqlite_file(url)
    if file == url or not Path(file).is_file():
        return
    try:
        problem = _sqlite_damage(file)
    except sqlite3.DatabaseError as error:
        if _MALFORMED not in str(error):
            raise
        # That is also what SQLite says where a disk failed to read a page. A disk that fails for
        # good fails here; one that failed once is tried again.
        Path(file).read_bytes()
        try:
            problem = _sqlite_damage(file)
        except sqlite3.DatabaseError as error:
            problem = str(error)
    if problem is not None:
        _refuse(url, problem)


def _sqlite_damage(file):
    """Return what SQLite finds damaged in a file, None for nothing."""
    with contextlib.closing(sqlite3.connect(file, timeout=_SQLITE_TIMEOUT)) as connection:
        (problem,) = connection.execute("pragma integrity_check(1)").fetchone()
        orphan = connection.execute("pragma foreign_key_check").fetchone()
    if problem != "ok":
        return problem
    return None if orphan is None else f"a row of {orphan[0]} belongs to no other"


@contextlib.contextmanager
def named_damage(storage: optuna.storages.RDBStorage) -> Iterator[None]:
    """Refuse a database in whose rows Optuna meets what it never wrote.

    Raises:
        InputError: the block raised what a damaged row causes.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AssertionError) as error:
        refuse_damaged(storage, str(error)[:200] or type(error).__name__)


def refuse_damaged(storage: optuna.storages.RDBStorage, what: str) -> NoReturn:
    """Refuse a damaged database.

    Args:
        storage: of the search.
        what: of it is damaged.

    Raises:
        InputError: always.
    """
    _refuse(storage.url, what)


def _refuse(url, what) -> NoReturn:
    reason = " ".join(what.split())
    raise InputError(
        f"{_without_password(sqlite_file(url))} is damaged ({reason}): the values that it would "
        f"choose are not those of the trials; restore a copy of it, or move it away and search "
        f"again"
    )


def sqlite_file(url: str) -> str:
    """Return the file of an SQLite database; other URLs are returned as they are."""
    return url.removeprefix("sqlite:///")


def _is_operational(error):
    return isinstance(error, OperationalError) or isinstance(error.__cause__, OperationalError)


def _reason(error):
    """What the driver says, which Optuna and SQLAlchemy wrap in text about commits and links."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return text[:200] or type(error).__name__


def _without_password(text):
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)

"""Files that are either whole or absent, whenever a run is killed."""

import errno
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InputError

_PART = ".part"
# What the system says -> what is wrong, and the remedy.
_FULL = "the disk is full: free some space there or choose another folder, then run again"
_BROKEN = (
    "the disk reports an input/output error: check it or choose another folder, then run again"
)
_READ_ONLY = (
    "it may not be written: make it and its folder writable or choose another folder, then run "
    "again"
)
_GONE = "it or its folder was removed meanwhile: run again"
# Libraries look for a folder before they make it.
_DENIED = (
    "the disk has just said that it is not there, but it is: check the disk or choose another "
    "folder, then run again"
)
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EIO: _BROKEN,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.ELOOP: "it is a link, through which nothing is written: remove it, then run again",
    errno.EEXIST: _DENIED,
    errno.ENOENT: _GONE,
    errno.ESTALE: _GONE,
}
# Those of them that nothing but the disk causes.
_DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
# The beginning of SQLite's messages -> what the system would have said.
_SQLITE_ERRORS = {
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EROFS,
    # What it finds where a read failed.
    "database disk image is malformed": errno.EIO,
}
_SQLITE_CANNOT_OPEN = "unable to open database file"
# SQLite needs less for the files of a transaction.
_LITTLE_SPACE = 2**20


def part_of(path: Path) -> Path:
    """Return where the content of a file is written before it takes the file's place."""
    return path.with_name(f".{path.name}{_PART}")


@contextmanager
def atomic_file(path: Path, *, survives_power_cut: bool = True) -> Iterator[BinaryIO]:
    """Open a part beside ``path``, which takes its place when the block ends without an error.

    The part is always a new file: what an earlier process left under its name is removed, and a
    link there is never followed. It is removed if the block fails.

    Args:
        path: of the file.
        survives_power_cut: wait until the file is on the disk, which may take as long as a small
            training step takes. Without it, a power cut, but no killed process, may leave a
            damaged file. Default True.

    Raises:
        OSError: the file cannot be written; it names ``path``.
    """
    part = part_of(path)
    try:
        part.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(part, flags, 0o666), "w+b") as file:
            yield file
            file.flush()
            if survives_power_cut:
                # On some file systems a power cut after the renaming would leave an empty file.
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            # The system names no file where writing fails, and the user knows nothing of parts.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in its place in one step.

    Args:
        path: of the file.
        write: fills the file that it is given.

    Raises:
        OSError: the file cannot be written; it names ``path``.
    """
    with atomic_file(path):
        write(part_of(path))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it cannot be read; it names ``path``.
    """
    with named_file(path):
        return path.read_bytes()


@contextmanager
def named_file(path: str | Path) -> Iterator[None]:
    """Let the errors of the system within the block name a file: it names none where reading fails.

    Args:
        path: of the file that the block reads.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(read_bytes(path).decode("utf-8"))


def content_hash(content: Any) -> str:
    """Twelve hexadecimal digits of plain data, independent of the order of keys."""
    return content_checksum(content)[:12]


def content_checksum(content: Any) -> str:
    """The SHA-256 of plain data in hexadecimal digits, independent of the order of keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def make_output_folder(folder: Path) -> None:
    """Make a folder to write into, and those above it.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder} ({error.strerror}): choose another one, with "
            f"--output on the command line"
        ) from None


def is_storage_failure(error: BaseException) -> bool:
    """Whether an error says that files cannot be written or read, which concerns all runs."""
    return isinstance(error, OSError) and error.errno in _REMEDIES


def disk_failure(error: BaseException | None, file: str | Path) -> OSError | None:
    """Find the failure of a disk behind an error, however the libraries between have wrapped it.

    Args:
        error: as it was caught.
        file: the file in question, where the failure names none, as those of SQLite and of reading.

    Returns:
        An error that names a file, or None if the disk did not fail.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FAILURES:
            if error.filename is not None:
                return error
            return OSError(error.errno, error.strerror, str(file))
        if isinstance(error, sqlite3.Error):
            number = _sqlite_error(str(error), Path(file).parent)
            if number is not None:
                return OSError(number, os.strerror(number), str(file))
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def named_disk_failures(file: str | Path) -> Iterator[None]:
    """Raise the failure of a disk behind an error of the block in place of that error.

    Args:
        file: as for :func:`disk_failure`.
    """
    try:
        yield
    except Exception as error:
        failure = disk_failure(error, file)
        if failure is None or failure is error:
            raise
        # A folder that was never there is the user's input, and has been named as such.
        if isinstance(error, InputError) and failure.errno == errno.ENOENT:
            raise
        raise failure from error


def explain_os_error(error: OSError) -> str:
    """Say in one line which file could not be used, why, and what to do about it."""
    name = "a file" if error.filename is None else str(error.filename)
    remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return f"{name} cannot be used: {remedy} (finished work is kept)"


def _sqlite_error(message: str, folder: Path) -> int | None:
    """What the system would have said for a message of SQLite; None if it is not of the disk."""
    if not message.startswith(_SQLITE_CANNOT_OPEN):
        return next((n for start, n in _SQLITE_ERRORS.items() if message.startswith(start)), None)
    # SQLite says no more, whatever the reason was.
    if not folder.is_dir():
        return errno.ENOENT
    if not os.access(folder, os.W_OK):
        return errno.EROFS
    return errno.ENOSPC if shutil.disk_usage(folder).free < _LITTLE_SPACE else errno.EIO

"""FolderLock: one process at a time in a folder."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ...checked_files import read_checked_json, write_checked_json
from ...errors import InputError
from ..results.run_files import LOCK_FILES


class FolderLock:
    """A context manager that locks a folder; the system releases it however the process ends.

    Args:
        folder: to lock; it must exist.
        files: names of the files that the holder may replace or remove in it. Default: none.
        wait: seconds to wait for another process. Default 0.

    The owner file says who holds the lock, and which files are the holder's; it stays behind.

    Raises:
        InputError: on entry, naming the process that holds the lock.
    """

    # A folder that holds nothing but these hidden files is regarded as empty.
    FILES = LOCK_FILES

    def __init__(self, folder: Path, *, files: Sequence[str] = (), wait: float = 0):
        self.folder = folder
        self.files = list(files)
        self.wait = wait
        lock, owner = self.FILES
        self._lock = FileLock(folder / lock)
        self._owner = folder / owner

    def __enter__(self) -> "FolderLock":
        try:
            self._lock.acquire(timeout=self.wait)
        except Timeout:
            raise InputError(
                f"{self.folder} is in use by {self._holder()}: wait until it is done, or keep the "
                f"new runs elsewhere with name=... or --output"
            ) from None
        try:
            self._write_owner(pid=os.getpid(), host=socket.gethostname())
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception) -> None:
        # The folder may be gone or read-only by now, which the block has said.
        with suppress(OSError):
            self._write_owner()
        with suppress(OSError):
            self._lock.release()

    def _write_owner(self, **holder):
        write_checked_json(self._owner, {**holder, "files": self.files})

    def _holder(self):
        try:
            owner = read_checked_json(self._owner)
            return f"process {owner['pid']} on {owner['host']}"
        # The other process has the lock, but has not written its name yet.
        except (OSError, ValueError, KeyError):
            return "another process"

"""FolderLock: one process at a time in a folder."""

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from ...errors import InputError
from ...files import read_json, write_json


class FolderLock:
    """A context manager that locks a folder; the system releases it however the process ends.

    Args:
        folder: to lock; it must exist.
        wait: seconds to wait for another process. Default 0.

    Raises:
        InputError: on entry, naming the process that holds the lock.
    """

    # A folder that holds nothing but these hidden files is regarded as empty.
    FILES = (".lock", ".owner.json")

    def __init__(self, folder: Path, *, wait: float = 0):
        self.folder = folder
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
        write_json(self._owner, {"pid": os.getpid(), "host": socket.gethostname()})
        return self

    def __exit__(self, *exception) -> None:
        self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _holder(self):
        try:
            owner = read_json(self._owner)
            return f"process {owner['pid']} on {owner['host']}"
        # The other process has the lock, but has not written its name yet.
        except (OSError, ValueError, KeyError):
            return "another process"

"""FolderLock: one process at a time in a folder, for as long as that process lives."""

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from ...errors import InputError
from ...files import read_json, write_json


class FolderLock:
    """A context manager that holds a folder; the system lets go when the process ends, however.

    Args:
        folder: what is held; it exists.
        wait: seconds to wait for another process. Default 0.

    Raises:
        InputError: on entry, naming the process that holds the folder.
    """

    # Hidden: a folder that holds nothing else counts as empty.
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
        # It has taken the lock, but not yet said so.
        except (OSError, ValueError, KeyError):
            return "another process"

"""A folder is locked by one process at a time."""

import os
import socket

import pytest

from pml_hyperbolic.benchmark.running.folder_lock import FolderLock
from pml_hyperbolic.errors import InputError


def test_the_holder_is_named(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(
            InputError, match=rf"in use by process {os.getpid()} on {socket.gethostname()}: wait"
        ):
            FolderLock(tmp_path).__enter__()
        (tmp_path / ".owner.json").write_text("{")
        with pytest.raises(InputError, match="in use by another process: wait"):
            FolderLock(tmp_path).__enter__()
    with FolderLock(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} <= set(FolderLock.FILES)


def test_an_exception_releases_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path):
        raise ZeroDivisionError
    with FolderLock(tmp_path):
        pass

"""Resumption of an unfinished run from the files that it left."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import torch

from ...checked_files import DamagedFile, open_checked
from ...errors import message_of
from ..results.run_files import CHECKPOINT_FILE, LAST_FILE, SNAPSHOTS_FILE, remove_leftovers
from .records.record_files import rewind_records


class CannotResume(Exception):
    """The files of an unfinished run cannot be used; the message says why."""


def stored_state(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return the state that an unfinished run left, None if it left none.

    Whatever was written after that state is removed.

    Args:
        folder: of the run.
        identity: of the run; a state of another run is refused.

    Raises:
        CannotResume: the files cannot be read, or belong to another run.
    """
    remove_leftovers(folder)
    if not (folder / LAST_FILE).exists():
        return None
    state = _load(folder / LAST_FILE)
    try:
        different = [key for key in identity if state["identity"][key] != identity[key]]
        best_epoch = state["hooks"]["best_epoch"]
        if different:
            raise CannotResume(f"{LAST_FILE} is of a run with another {' and '.join(different)}")
        install_selected(folder, best_epoch)
        if best_epoch is not None and _load(folder / CHECKPOINT_FILE)["epoch"] != best_epoch:
            raise CannotResume(f"{CHECKPOINT_FILE} is not of the selected epoch {best_epoch}")
        _check_snapshots(folder)
        rewind_records(folder, state["records"])
    except (KeyError, TypeError) as error:
        raise CannotResume(f"{LAST_FILE} lacks {error}") from error
    except (ValueError, sqlite3.Error) as error:
        raise CannotResume(f"the records cannot be used ({error})") from error
    return state


def selected_file(folder: Path, epoch: int) -> Path:
    """Return where a newly selected checkpoint waits until the state of its epoch is on disk."""
    return folder / f".{CHECKPOINT_FILE}.epoch{epoch}"


def install_selected(folder: Path, epoch: int | None) -> None:
    """Make the waiting checkpoint of this epoch the run's checkpoint, and remove all others."""
    for waiting in folder.glob(f".{CHECKPOINT_FILE}.epoch*"):
        if epoch is not None and waiting == selected_file(folder, epoch):
            os.replace(waiting, folder / CHECKPOINT_FILE)
        else:
            waiting.unlink(missing_ok=True)


def _check_snapshots(folder):
    """Snapshots of earlier epochs wait for the end of the run, and cannot be made again."""
    for waiting in folder.glob(f".{SNAPSHOTS_FILE}.epoch*"):
        try:
            with open_checked(waiting):
                pass
        except DamagedFile as error:
            raise CannotResume(f"{waiting.name} cannot be used ({error})") from error


def _load(file):
    try:
        with open_checked(file) as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
    except OSError as error:
        # A disk that cannot be read now may be read later.
        if error.errno in (errno.EIO, errno.EACCES, errno.ESTALE):
            raise
        raise CannotResume(f"{file.name} cannot be read ({error.strerror or error})") from error
    # A truncated file may fail in any way; a file that would run code is refused, too.
    except Exception as error:
        reason = message_of(error, 200)
        raise CannotResume(f"{file.name} cannot be read ({reason})") from error

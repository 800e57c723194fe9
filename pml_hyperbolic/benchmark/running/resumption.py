"""Whether an unfinished run can go on, and from where."""

from pathlib import Path
from typing import Any

import torch

from ...files import remove_parts
from ..results.run_files import CHECKPOINT_FILE, LAST_FILE
from .record_position import rewind_records
from .run_hooks import install_selected


class CannotResume(Exception):
    """What is left of a run cannot be used; the message says why."""


def stored_state(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The state that an unfinished run left, None where it left none.

    What was written after that state is taken away.

    Args:
        folder: of the run.
        identity: what the state must belong to.

    Raises:
        CannotResume: the files cannot be read, or belong to another run.
    """
    remove_parts(folder)
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
        rewind_records(folder, state["records"])
    except (KeyError, TypeError) as error:
        raise CannotResume(f"{LAST_FILE} lacks {error}") from error
    return state


def _load(file):
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    # A torn file fails in whatever way; so does one that would run code.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CannotResume(f"{file.name} cannot be read ({reason})") from error

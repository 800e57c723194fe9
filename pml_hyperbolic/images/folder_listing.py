"""FolderListing: the files below a folder, whatever links there are."""

import os
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..files import disk_failure

# Links may lead to folders that were listed already, but not so often that the list never ends.
_MOST_REPEATS = 1000


class FolderListing(NamedTuple):
    """What is below a folder, as paths relative to it with slashes as separators.

    Attributes:
        files: everything that is not a folder.
        empty: folders that hold nothing.
        unreadable: folders that cannot be listed.
    """

    files: list[str]
    empty: list[str]
    unreadable: list[str]

    @classmethod
    def of(cls, root: Path) -> "FolderListing":
        """List a folder, and follow its links.

        Raises:
            InputError: a link leads to a folder that contains it, or links lead to the same folders
                over and over again.
            OSError: the disk failed: what it did not list would be missing without a word.
        """
        found = cls([], [], [])
        linked: set[tuple[int, int]] = set()
        repeats = 0
        # Folders to list, each with those that lead to it.
        pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (_identity(root),))]
        while pending:
            folder, above = pending.pop()
            try:
                with os.scandir(root / folder) as entries:
                    inside = list(entries)
            except OSError as error:
                if disk_failure(error, root / folder) is not None:
                    raise
                found.unreadable.append(folder or ".")
                continue
            if not inside:
                found.empty.append(folder or ".")
            for entry in inside:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not _is_folder(entry):
                    found.files.append(path)
                    continue
                identity = _identity(root / path)
                # Every loop goes through a link.
                if entry.is_symlink():
                    repeats += identity in linked
                    linked.add(identity)
                    if identity in above:
                        raise InputError(
                            f"{root / path} is a link to a folder that contains it: remove the link"
                        )
                    if repeats > _MOST_REPEATS:
                        raise InputError(
                            f"links below {root} lead to the same folders over and over again, one "
                            f"is {root / path}: remove them"
                        )
                pending.append((path, (*above, identity)))
        return found


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError as error:
        if disk_failure(error, entry.path) is not None:
            raise
        return False


def _identity(path):
    """What two paths of one folder have in common."""
    try:
        status = os.stat(path)
    except OSError:
        return (-1, hash(str(path)))
    return status.st_dev, status.st_ino

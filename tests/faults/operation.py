"""Operations of a command on files: which of them are worth a fault of each kind."""

import collections
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

# The numbers of faults.c.
READS, FLUSHES, WRITES, ALLOCATES, CHANGES = range(5)
MODES = {"nothing": 0, "kill": 1, "full disk": 2, "broken disk": 3, "read-only disk": 4}
FAULTS = ("broken disk", "kill", "full disk", "read-only disk")
# What fails for good on a full and on a read-only disk. All others wait for the next of these.
_FAILING = {
    "full disk": (FLUSHES, WRITES, ALLOCATES),
    "read-only disk": (FLUSHES, WRITES, ALLOCATES, CHANGES),
}
_HARMLESS = (READS, FLUSHES)
_NUMBER = re.compile(r"[0-9a-f]{12,}|\d+")


class Operation(NamedTuple):
    """One operation of an undisturbed command.

    Attributes:
        name: such as "write".
        kind: what it does to the disk, a number of faults.c.
        path: of the file, from the root.
        occurrence: the how manieth operation of this name on this file it is, counted from 1. Its
            place among all operations may depend on the order in which a folder is listed.
        lines: the two innermost lines of the package that it was called from, as "file:line".
    """

    name: str
    kind: int
    path: str
    occurrence: int
    lines: tuple[str, ...]

    @property
    def title(self) -> str:
        """What names it in a message."""
        return f"{self.name} {self.path} ({self.occurrence})"

    @property
    def identity(self) -> str:
        """The same for all operations that one place in the package does to one kind of file.

        Files of one kind differ by their numbers and hashes alone, such as those of two epochs.
        """
        return " ".join([self.name, str(self.kind), _NUMBER.sub("#", self.path), *self.lines])


def read_operations(text: str) -> list[Operation]:
    """Return the operations that the server wrote as JSON."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    operations = []
    for name, kind, path, lines in json.loads(text):
        counts[name, path] += 1
        operations.append(Operation(name, kind, path, counts[name, path], tuple(lines)))
    return operations


def different(operations: list[Operation], mode: str) -> list[Operation]:
    """Return the operations at which a fault of this kind does not equal one at a later operation.

    A disk that is full or read-only fails at the next operation that needs space or changes
    something. A kill at an operation that changes nothing leaves the same files as one at the next
    operation, unless that is a write, which is killed in its middle.
    """
    if mode == "broken disk":
        return list(operations)
    if mode == "kill":
        following = [*operations[1:], None]
        return [
            one
            for one, then in zip(operations, following, strict=True)
            if one.kind not in _HARMLESS or then is None or then.kind == WRITES
        ]
    return [one for one in operations if one.kind in _FAILING[mode]]


def distinct(operations: list[Operation], known: set[str] | None = None) -> list[Operation]:
    """Return the first operation of each identity.

    Args:
        operations: of a command.
        known: identities that are left out; those of the operations are added. Default: none.
    """
    known = set() if known is None else known
    firsts = []
    for one in operations:
        if one.identity not in known:
            known.add(one.identity)
            firsts.append(one)
    return firsts


def spread(operations: list[Operation], count: int) -> Iterator[Operation]:
    """Return some operations at equal distances, the first and the last among them."""
    count = min(count, len(operations))
    for i in range(count):
        yield operations[round((len(operations) - 1) * i / max(count - 1, 1))]

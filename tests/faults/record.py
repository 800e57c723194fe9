"""Record: the faults that were tried, in a file."""

import json
from pathlib import Path

from .operation import Operation


class Record:
    """The faults that were tried so far, a line of JSON each.

    Args:
        file: to read if it exists, and to append to.
    """

    def __init__(self, file: Path):
        self._file = file
        self._tried: list[dict] = []
        if file.exists():
            self._tried = [json.loads(line) for line in file.read_text().splitlines()]

    def holds(self, command: str, mode: str, operation: Operation) -> bool:
        """Whether this fault was tried."""
        key = command, mode, operation.title
        return any((one["command"], one["fault"], one["operation"]) == key for one in self._tried)

    def identities(self, command: str, mode: str) -> set[str]:
        """Return the identities of the operations of a command that were tried in this mode."""
        return {one["identity"] for one in self._of(command, mode)}

    def wrong(self, command: str, mode: str) -> list[list[str]]:
        """Return what was wrong with each fault of this mode in a command."""
        return [one["wrong"] for one in self._of(command, mode)]

    def add(self, command: str, mode: str, operation: Operation, wrong: list[str]) -> None:
        """Append a fault, and what was wrong with it."""
        one = {
            "command": command,
            "fault": mode,
            "operation": operation.title,
            "identity": operation.identity,
            "wrong": wrong,
        }
        self._tried.append(one)
        with self._file.open("a") as file:
            file.write(json.dumps(one) + "\n")

    def _of(self, command, mode):
        return [one for one in self._tried if (one["command"], one["fault"]) == (command, mode)]

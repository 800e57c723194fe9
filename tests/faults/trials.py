"""Trials: one command, tried with faults at its operations."""

from .command import Command
from .operation import Operation, different
from .outcomes import differences, faults_of, state_of
from .place import PAUSE, Place


class Trials:
    """One command that is tried with faults; it is done undisturbed first.

    What the next command does follows from the files alone, so that it is done once for each state
    of the folder.

    Args:
        place: where it works.
        command: to try.
    """

    def __init__(self, place: Place, command: Command):
        self.place = place
        self.command = command
        command.begin(place)
        self.operations = place.server.operations(*command.words(place), clock=command.clock)
        self.expected = command.contents(place.output)
        self._known: dict[tuple[str, bool], list[str]] = {}
        command.begin(place)
        answer = place.server(*command.words(place), clock=command.clock)
        self.says = answer.out
        assert (answer.status, answer.messages) == (0, []), answer.err
        assert differences(command.contents(place.output), self.expected) == []

    def different(self, mode: str) -> list[Operation]:
        """Return the operations at which a fault differs from those at others."""
        return different(self.operations, mode)

    def wrong(self, mode: str, operation: Operation) -> list[str]:
        """Try a fault: what is wrong then, nothing if all is right."""
        place, command = self.place, self.command
        command.begin(place)
        answer = place.server(*command.words(place), mode=mode, at=operation, clock=command.clock)
        found = faults_of(answer, mode, operation.occurrence, place.disk)
        if answer.status == 0 and answer.out != self.says:
            found.append("it prints something else")
        state = state_of(place.output), answer.status == 0
        if state not in self._known:
            self._known[state] = self._wrong_afterwards(answer.status == 0)
        return [f"{operation.title}: {one}" for one in found + self._known[state]]

    def _wrong_afterwards(self, succeeded):
        """What is wrong with the files of a command, and with the next one."""
        place, command = self.place, self.command
        found = []
        if succeeded:
            # A part cannot be removed from a disk that has become read-only.
            found += [
                f"success, but other contents: {name}"
                for name in differences(command.contents(place.output), self.expected)
                if not name.endswith(".part")
            ]
        again = place.server(*command.words(place), clock=command.clock + PAUSE)
        if again.status != 0:
            return [*found, f"the next command ends with {again.status}: {again.err[-300:]}"]
        names = differences(command.contents(place.output), self.expected)
        return found + [f"other contents after the next command: {name}" for name in names]

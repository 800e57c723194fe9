"""The commands that meet faults, what they begin with, and what they must leave."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .operation import Operation
from .outcomes import contents, report_contents, search_contents
from .place import CLOCK, PAUSE, Place

Words = Callable[[Place], tuple]


class Command(NamedTuple):
    """A command, and the folder that it works in.

    Attributes:
        words: of the command line.
        contents: what it leaves, as name -> content that does not depend on time.
        before: the command that is done before it, None for none.
        killed_at: chooses, from the operations of that command, the one at which it is killed.
            None for a command that ends.
    """

    words: Words
    contents: Callable[[Path], dict[str, Any]]
    before: Words | None = None
    killed_at: Callable[[list[Operation]], Operation] | None = None

    @property
    def clock(self) -> int:
        """When it begins."""
        return CLOCK if self.before is None else CLOCK + PAUSE

    def begin(self, place: Place) -> None:
        """Let the place's output hold what the command begins with."""
        shutil.rmtree(place.output, ignore_errors=True)
        if self.before is None:
            place.output.mkdir()
        else:
            shutil.copytree(self._begun(place), place.output)

    def _begun(self, place):
        """Do the command before, once."""
        name = self.before.__name__ + (f"_{self.killed_at.__name__}" if self.killed_at else "")
        target = place.prepared / name
        if not target.exists():
            place.output.mkdir()
            operations = place.server.operations(*self.before(place))
            if self.killed_at is not None:
                shutil.rmtree(place.output)
                place.output.mkdir()
                answer = place.server(
                    *self.before(place), mode="kill", at=self.killed_at(operations)
                )
                assert answer.status == -9, answer
            place.output.rename(target)
        return target


def run(place):
    return ("run", place.config, "--output", place.output, "--no-page", "--jobs", "1")


def run_of_images(place):
    return ("run", place.photos, "--output", place.output, "--no-page", "--jobs", "1")


def search(place):
    return ("search", place.config, "--output", place.output, "--trials", "2")


def report(place):
    return ("report", place.output / "tiny", "--write", place.output / "report")


def in_the_second_epoch(operations):
    """An operation after which there is a state to resume from, and more behind it."""
    return _training(operations, "/fold0_seed0/")


def in_the_second_trial(operations):
    return _training(operations, "/0001-")


def _training(operations, part):
    mine = [one for one in operations if part in one.path]
    states = (i for i, o in enumerate(mine) if o.name == "rename" and o.path.endswith("/last.pt"))
    return mine[next(states) + 20]


COMMANDS = {
    "run": Command(run, contents),
    "report": Command(report, report_contents, run),
    "search": Command(search, search_contents),
    "second run": Command(run, contents, run),
    "resumed run": Command(run, contents, run, in_the_second_epoch),
    "run of images": Command(run_of_images, contents),
    "resumed search": Command(search, search_contents, search, in_the_second_trial),
    "second search": Command(search, search_contents, search),
    "second run of images": Command(run_of_images, contents, run_of_images),
}

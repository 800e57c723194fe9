"""At file operations of each command: a kill, a full, a broken and a read-only disk.

The next command ends as if nothing had happened. Here some operations at equal distances are tried
of those that differ; ``python -m tests.faults`` tries them all.
"""

import pytest

from .command import COMMANDS
from .operation import FAULTS, distinct, spread
from .trials import Trials

pytestmark = pytest.mark.long
# Of each command and kind of fault.
TRIED = 5


@pytest.fixture(scope="module")
def trials(place):
    """Return the trials of a command, which is done undisturbed once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = Trials(place, COMMANDS[name])
        return known[name]

    return of


@pytest.mark.parametrize("mode", FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_next_command_ends_as_if_nothing_had_happened(trials, command, mode):
    mine = trials(command)
    operations = list(spread(distinct(mine.different(mode)), TRIED))
    wrong = [text for one in operations for text in mine.wrong(mode, one)]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("second run", "/output/tiny/benchmark.yaml"),
        ("second run of images", "/output/tiny/frozen_trunk.pt"),
        ("run", "/features.npz"),
        ("report", "/features.npz"),
    ],
)
def test_a_fault_meets_the_operation_that_was_meant_and_its_file_is_named(place, name, file):
    command = COMMANDS[name]
    command.begin(place)
    *_, reading = (
        one
        for one in place.server.operations(*command.words(place), clock=command.clock)
        if (one.name, one.path) == ("read", file)
    )
    command.begin(place)
    answer = place.server(
        *command.words(place), mode="broken disk", at=reading, clock=command.clock
    )
    assert answer.status == 1
    assert answer.messages == [
        f"pml-hyperbolic: {place.disk}{file} cannot be used: the disk reports an "
        f"input/output error: check it or choose another folder, then run again (finished work is "
        f"kept)"
    ]

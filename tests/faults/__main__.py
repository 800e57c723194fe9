"""Try every operation of every command with every kind of fault, which takes hours.

``python -m tests.faults RECORD`` writes a line of JSON for each fault to the file RECORD, and goes
on where it stopped if it is called again. Words that follow choose commands, such as "run". With
``--distinct``, operations that the same place in the package does to the same kind of file are
tried once for each kind of fault, whichever of the commands does them.
"""

import argparse
import collections
import itertools
import json
import tempfile
from pathlib import Path

from .command import COMMANDS
from .operation import FAULTS, distinct
from .place import made_place
from .trials import Trials


def main():
    """Try what the record lacks, and print what is wrong and how much was tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("commands", nargs="*", default=list(COMMANDS), metavar="COMMAND")
    parser.add_argument("--distinct", action="store_true")
    options = parser.parse_args()
    tried = {}
    if options.record.exists():
        for line in options.record.read_text().splitlines():
            command, mode, number, wrong = json.loads(line)
            tried[command, mode, number] = wrong
    with (
        tempfile.TemporaryDirectory() as folder,
        made_place(Path(folder)) as place,
        options.record.open("a") as record,
    ):
        known = {mode: set() for mode in FAULTS}
        for command in options.commands:
            trials = Trials(place, COMMANDS[command])
            for mode in FAULTS:
                chosen = trials.different(mode)
                chosen = distinct(chosen, known[mode]) if options.distinct else chosen
                for operation in chosen:
                    key = command, mode, operation.number
                    if key in tried:
                        continue
                    tried[key] = trials.wrong(mode, operation)
                    print(json.dumps([*key, tried[key]]), file=record, flush=True)
                wrong = [tried[command, mode, one.number] for one in chosen]
                count = sum(map(bool, wrong))
                print(
                    f"{command}, {mode}: {len(chosen)} of {len(trials.operations)} operations, "
                    f"{count} wrong",
                    flush=True,
                )
                for text, times in collections.Counter(itertools.chain(*wrong)).items():
                    print(f"  {text}" + (f" ({times} times)" if times > 1 else ""), flush=True)


if __name__ == "__main__":
    main()

"""Try every operation of every command with every kind of fault, which takes hours.

``python -m tests.faults RECORD`` appends a line of JSON for each fault to the file RECORD, and goes
on where it stopped if it is called again; another version of the package needs another file. Words
that follow choose commands, such as "run", and the order in which they are tried. With
``--distinct``, operations of a command that the same place in the package does to the same kind of
file are tried once for each kind of fault.
"""

import argparse
import collections
import itertools
import tempfile
from pathlib import Path

from .command import COMMANDS
from .operation import FAULTS, distinct
from .place import made_place
from .record import Record
from .trials import Trials


def main():
    """Try what the record lacks, and print what is wrong and how much was tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS, metavar="FAULT")
    options = parser.parse_args()
    record = Record(options.record)
    with tempfile.TemporaryDirectory() as folder, made_place(Path(folder)) as place:
        for command in options.commands or COMMANDS:
            trials = Trials(place, COMMANDS[command])
            for mode in options.faults:
                different = trials.different(mode)
                firsts = distinct(different)
                left = [one for one in different if not record.holds(command, mode, one)]
                if options.distinct:
                    left = distinct(left, record.identities(command, mode))
                for one in left:
                    record.add(command, mode, one, trials.wrong(mode, one))
                tried = record.wrong(command, mode)
                print(
                    f"{command}, {mode}: {len(trials.operations)} operations, {len(different)} "
                    f"that differ, {len(firsts)} distinct, {len(tried)} tried, "
                    f"{sum(map(bool, tried))} wrong",
                    flush=True,
                )
                texts = collections.Counter(itertools.chain(*tried))
                for text, times in texts.items():
                    print(f"  {text}" + (f" ({times} times)" if times > 1 else ""), flush=True)


if __name__ == "__main__":
    main()

"""Operations are told apart by their name, file and occurrence, wherever a command has others."""

import json

from .operation import ALLOCATES, CHANGES, READS, WRITES, different, distinct, read_operations
from .record import Record


def operations(*named):
    return read_operations(json.dumps([[*one, ["files.py:1"]] for one in named]))


LOG = ("write", WRITES, "/run.log")
FIRST, SECOND = ("rename", CHANGES, "/a.epoch1"), ("rename", CHANGES, "/a.epoch2")
READ = ("read", READS, "/a.epoch1")


def test_an_operation_is_counted_among_those_of_its_name_on_its_file():
    titles = [one.title for one in operations(LOG, FIRST, LOG, SECOND)]
    assert titles == [
        "write /run.log (1)",
        "rename /a.epoch1 (1)",
        "write /run.log (2)",
        "rename /a.epoch2 (1)",
    ]


def test_files_that_differ_in_a_number_are_of_one_kind():
    log, first, again, second = operations(LOG, FIRST, LOG, SECOND)
    assert distinct([log, first, again, second]) == [log, first]
    assert distinct([log, second], {first.identity}) == [log]


def test_opening_for_reading_is_not_opening_for_writing():
    opened = operations(("open", READS, "/run.log"), ("open", ALLOCATES, "/run.log"))
    assert distinct(opened) == opened


def test_faults_that_leave_the_same_files_are_tried_once():
    read, first, again, log = operations(READ, FIRST, READ, LOG)
    assert different([read, first, again, log], "broken disk") == [read, first, again, log]
    # Half of the write is done, and nothing before it.
    assert different([read, first, again, log], "kill") == [first, again, log]
    assert different([read, first, again, log], "full disk") == [log]
    assert different([read, first, again, log], "read-only disk") == [first, log]


def test_a_record_goes_on_where_it_stopped(tmp_path):
    file = tmp_path / "record"
    read, log = operations(READ, LOG)
    Record(file).add("run", "kill", read, [])
    Record(file).add("run", "kill", log, ["it hangs"])
    record = Record(file)
    assert record.holds("run", "kill", log)
    assert not record.holds("run", "full disk", log)
    assert not record.holds("report", "kill", log)
    assert record.wrong("run", "kill") == [[], ["it hangs"]]
    assert record.identities("run", "kill") == {read.identity, log.identity}
    assert record.identities("run", "full disk") == record.identities("report", "kill") == set()

"""Searches that are killed at chosen points, each in a fork of this process; prints what they did.

python killed_searches.py CONFIG FOLDER [URL]: a line of JSON for each scenario. The points are
counted and not timed: before each transaction that writes is committed, and as a training begins
and ends. With the URL of a PostgreSQL server, several workers share databases of that server.
"""

import json
import os
import shutil
import sqlite3
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.checking.check import check_benchmark
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.tuning import heartbeat, search
from pml_hyperbolic.benchmark.tuning.storage import opened_storage
from tests.processes import DEPRECATED_BY_GEOOPT

METRIC = "mean_average_precision_at_r"
READS = ("SELECT", "PRAGMA")
STATES = ("COMPLETE", "PRUNED")


def _in_order():
    """Heartbeats come from another thread, at any time."""
    return threading.current_thread() is threading.main_thread()


class Points:
    """Counts the points that a search passes, and kills its process at one of them."""

    def __init__(self, kill_at):
        self.passed = 0
        self._kill_at = kill_at
        self._writes = False
        event.listen(Engine, "before_cursor_execute", self._statement)
        event.listen(Engine, "commit", self._commit)
        # A killed process loses nothing that it has written: only a power cut could.
        event.listen(Engine, "connect", self._connect)

    def _connect(self, connection, record):
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    def _statement(self, connection, cursor, statement, *rest):
        self._writes |= _in_order() and not statement.lstrip().startswith(READS)

    def _commit(self, connection):
        if _in_order() and self._writes:
            self._writes = False
            self.reach()

    def reach(self):
        self.passed += 1
        if self.passed == self._kill_at:
            os.kill(os.getpid(), 9)


def start(config, folder, trials, kill_at=None, seconds=0.0, url=None):
    """Begin a search in a fork, with a function in the place of training: the process."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        points = Points(kill_at)

        def train(config, name, fold, seed, place, *, data):
            points.reach()
            time.sleep(seconds)
            rate = config.methods[name].loss_lr
            points.reach()
            return {METRIC: 1 / (1 + abs(rate - 0.3))}

        search.validate_run = train
        _, errors = search.search_benchmark(
            config, folder, trials=trials, storage=url, show_progress=False, say=lambda line: None
        )
        (folder / "points").write_text(str(points.passed))
        assert errors == {}
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def end(process):
    """Wait for a fork: whether it was killed. It must not have failed in another way."""
    _, status = os.waitpid(process, 0)
    assert status in (0, 9), f"a search ended with {status}"
    return status == 9


def trials_of(folder, url):
    """The finished trials in the order of their proposals: [number, rate, value]."""
    if url is None:
        database = sqlite3.connect(next(folder.glob("*-search")) / "search.db")
    else:
        import psycopg

        database = psycopg.connect(url)
    found = database.execute(
        "SELECT a.value_json, p.param_value, v.value, t.state FROM trials t "
        "JOIN trial_user_attributes a ON a.trial_id = t.trial_id AND a.key = 'proposal' "
        "JOIN trial_params p ON p.trial_id = t.trial_id "
        "JOIN trial_values v ON v.trial_id = t.trial_id"
    ).fetchall()
    database.close()
    return sorted([int(row[0]), row[1], row[2]] for row in found if row[3] in STATES)


def say(scenario, point, killed, folder, url=None):
    print(json.dumps([scenario, point, killed, trials_of(folder, url)]), flush=True)
    shutil.rmtree(folder)


def copied(source, folder):
    shutil.copytree(source, folder)
    return folder


def alone(config, folder, base, trials, scenario):
    """Kill a single worker at every point of a search that goes on from ``base``."""
    end(start(config, copied(base, folder / "whole"), trials))
    points = int((folder / "whole" / "points").read_text())
    say(scenario, None, False, folder / "whole")
    for point in range(1, points + 1):
        place = copied(base, folder / "killed")
        killed = end(start(config, place, trials, point))
        end(start(config, place, trials))
        say(scenario, point, killed, place)


def again_and_again(config, folder, base, trials):
    """Kill a single worker in each of its second trials, until nothing is left to do."""
    place = copied(base, folder / "again")
    deaths = 0
    while end(start(config, place, trials, 12)):
        deaths += 1
    say("again", deaths, deaths > 0, place)


def together(config, folder, trials, server=None):
    """Kill two workers that share a database at points of their own, and let two others go on."""
    for first, second in ((9, 14), (17, 23), (30, 11)):
        place, url = folder / "together", None
        place.mkdir(parents=True)
        if server is not None:
            import psycopg

            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE killed_at_{first}")
            url = server.replace("/postgres", f"/killed_at_{first}")
        pair = [start(config, place, trials, point, 0.02, url) for point in (first, second)]
        killed = [end(process) for process in pair]
        pair = [start(config, place, trials, None, 0.02, url) for _ in range(2)]
        for process in pair:
            end(process)
        say("together", [first, second], all(killed), place, url)


def main(config_file, folder, server=None):
    config = load_benchmark(config_file)
    # The same in each of the searches.
    data, checked = ProtocolData(config.protocol), check_benchmark(config)
    search.ProtocolData = lambda protocol: data
    search.check_benchmark = lambda config, data: checked
    # Optuna imports its parts when they are first used, and each fork would do so again.
    with opened_storage("sqlite://"):
        pass
    heartbeat.HEARTBEAT_SECONDS, heartbeat.GRACE_SECONDS, search.POLL_SECONDS = 0.05, 0.5, 0.02
    if server is not None:
        together(config, folder, 6, server)
        return
    new, learnt = folder / "new", folder / "learnt"
    new.mkdir(parents=True)
    learnt.mkdir()
    # From the 11th trial on, TPE learns from those before.
    end(start(config, learnt, 11))
    alone(config, folder, new, 1, "new")
    alone(config, folder, learnt, 12, "learnt")
    again_and_again(config, folder, learnt, 15)
    end(start(config, copied(learnt, folder / "whole"), 15))
    say("again", None, False, folder / "whole")
    together(config, folder, 6)


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", DEPRECATED_BY_GEOOPT)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])

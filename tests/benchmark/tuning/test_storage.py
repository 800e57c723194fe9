"""Databases of searches: a real PostgreSQL, its absence, its death, and what users read then."""

import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.tuning import search, storage
from pml_hyperbolic.benchmark.tuning.search import search_benchmark
from pml_hyperbolic.benchmark.tuning.storage import StorageLostError, opened_storage
from pml_hyperbolic.errors import InputError
from tests.benchmark.tuning import killed_searches
from tests.postgresql import PostgreSQL, postgresql_programs

from ..conftest import METHODS, TINY

ROOT = Path(__file__).resolve().parents[3]
METHOD = {**METHODS["chest"], "search": {"loss_lr": {"low": 1e-4, "high": 10, "log": True}}}
MAP = "mean_average_precision_at_r"


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL server that runs."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL")
    pytest.importorskip("psycopg")
    with PostgreSQL(programs) as server:
        yield server


@pytest.fixture
def config_file(tmp_path, write_config):
    """The tiny benchmark of one method with a space."""
    return write_config(tmp_path, {**TINY, "methods": ["chest"]}, {"chest": METHOD})


@pytest.fixture
def command(config_file, tmp_path):
    return ["search", config_file, "--output", tmp_path / "runs", "--trials", "2"]


def test_workers_that_are_killed_share_a_real_server(server, config_file, tmp_path):
    done = subprocess.run(
        [sys.executable, killed_searches.__file__, config_file, tmp_path / "runs", server.url],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scenarios = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(scenarios) == 3
    for _, points, killed, found in scenarios:
        assert killed, points
        assert [number for number, _, _ in found] == list(range(6))
        assert len({rate for _, rate, _ in found}) == 6


@pytest.fixture
def fake(monkeypatch):
    """A function that replaces training by another one."""

    def replace(train):
        monkeypatch.setattr(search, "validate_run", train)

    return replace


@pytest.fixture
def go(config_file, tmp_path):
    """A function that searches in this process with a storage."""
    from pml_hyperbolic.benchmark.config import load_benchmark

    def go(url, steps, trials=3):
        # Other protocols have other studies.
        overrides = ["protocol.epochs=1", f"protocol.steps_per_epoch={steps}"]
        config = load_benchmark(config_file, overrides)
        return search_benchmark(
            config,
            tmp_path / "runs",
            trials=trials,
            storage=url,
            show_progress=False,
            say=lambda line: None,
        )

    return go


def test_a_server_that_dies_is_named_and_the_search_goes_on_later(server, go, fake, monkeypatch):
    # Optuna waits up to ten seconds before it creates a trial in vain.
    monkeypatch.setattr(optuna.storages._rdb.storage.random, "random", lambda: 0.0)
    rates = []

    def train(config, name, *rest, data):
        rates.append(config.methods[name].loss_lr)
        if len(rates) == 2:
            server.kill()
        return {MAP: 0.5}

    fake(train)
    with pytest.raises(StorageLostError) as lost:
        go(server.url, 2)
    text = str(lost.value)
    shown = server.url.replace("secret", "***")
    assert text.startswith(f"the storage {shown} failed: ")
    assert "secret" not in text
    assert "invalid data" not in text
    assert "finished trials are kept; see that it can be reached" in text
    with pytest.raises(InputError, match=r"cannot open the storage .*see that its server runs"):
        go(server.url, 2)
    server.start()
    monkeypatch.setattr("pml_hyperbolic.benchmark.tuning.heartbeat.GRACE_SECONDS", 0.0)
    found, errors = go(server.url, 2)
    assert errors == {}
    assert found[0].trials == 3
    # The trial whose end could not be written down was done again.
    assert len(rates) == 4
    assert rates[1] == rates[2]


def test_a_server_that_comes_back_during_a_trial_is_not_missed(server, go, fake):
    def train(*arguments, data):
        server.kill()
        server.start()
        return {MAP: 0.5}

    fake(train)
    _, errors = go(server.url, 3)
    assert errors == {}


def test_wrong_passwords_are_refused(server, command, refused):
    line = refused(*command, "--storage", server.url.replace("secret", "wrong"))
    assert "tester:***@127.0.0.1" in line
    assert "password authentication failed" in line
    assert "the password is right" in line


def test_a_server_that_cannot_be_reached_is_refused(command, refused):
    pytest.importorskip("psycopg")
    line = refused(*command, "--storage", "postgresql://me:secret@127.0.0.1:1/optuna")
    assert "cannot open the storage postgresql://me:***@127.0.0.1:1/optuna" in line
    assert "see that its server runs" in line


def test_an_absent_driver_is_named(command, refused, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "psycopg" else find(name)
    )
    line = refused(*command, "--storage", "postgresql://me:secret@host/optuna")
    assert line == (
        "pml-hyperbolic: --storage postgresql://me:***@host/optuna: psycopg is missing: install "
        "the extra `postgresql` with pip install 'pml-hyperbolic[postgresql]'\n"
    )


def test_tables_that_another_process_makes_are_waited_for(monkeypatch):
    answers = [OperationalError("CREATE TABLE x", {}, Exception("table x already exists"))] * 2
    monkeypatch.setattr(storage, "_PAUSE", 0)
    real = optuna.storages.RDBStorage

    def open_it(url, engine_kwargs):
        if answers:
            raise answers.pop()
        return real(url, engine_kwargs=engine_kwargs)

    monkeypatch.setattr(optuna.storages, "RDBStorage", open_it)
    with opened_storage("sqlite://") as opened:
        assert opened.get_all_studies() == []
    answers += [OperationalError("CREATE TABLE x", {}, Exception("table x already exists"))] * 5
    with pytest.raises(InputError, match="table x already exists"), opened_storage("sqlite://"):
        pass


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_the_driver_is_psycopg_3(monkeypatch, scheme):
    opened = []

    def open_it(url, engine_kwargs):
        opened.append((url, engine_kwargs))
        raise OSError("no network here")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(optuna.storages, "RDBStorage", open_it)
    with pytest.raises(InputError, match="no network here"), opened_storage(f"{scheme}://a/b"):
        pass
    ((url, options),) = opened
    assert url == "postgresql+psycopg://a/b"
    assert options["pool_pre_ping"]
    assert options["connect_args"] == {"connect_timeout": 10}


def test_a_file_that_fails_is_named_by_the_command(command, fake, tmp_path, capsys):
    from pml_hyperbolic.benchmark.cli import main

    database = tmp_path / "runs" / "tiny-search" / "search.db"

    def train(*arguments, data):
        database.write_bytes(b"no database" * 1000)
        return {MAP: 0.5}

    fake(train)
    assert main([str(word) for word in command]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == (
        f"pml-hyperbolic: failed: the storage sqlite:///{database} failed: file is not a database: "
        f"finished trials are kept; see that it can be reached and written to, and search again"
    )


def test_a_worker_process_that_loses_the_storage_says_why(monkeypatch):
    answers = []

    class Queue:
        put = answers.append

    monkeypatch.setattr(search, "become_worker", lambda: None)

    def lost(url):
        raise StorageLostError("the storage x failed")

    monkeypatch.setattr(search, "opened_storage", lost)

    class Told:
        storage = "x"

    search._worker(Told(), 0, Queue())
    assert [str(answer) for answer in answers] == ["the storage x failed"]


@pytest.fixture
def searched(config_file, fake, tmp_path):
    """The database of a finished search, and a function that searches again."""
    fake(lambda *arguments, data: {MAP: 0.5})

    def again():
        config = load_benchmark(config_file, [])
        return search_benchmark(
            config, tmp_path / "runs", trials=2, show_progress=False, say=lambda line: None
        )

    again()
    return tmp_path / "runs" / "tiny-search" / "search.db", again


def execute(database, *statements):
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("update trial_values set value = 0.75", "trial 0 of tiny/chest/"),
        ("update trials set number = 7 where number = 1", "trial 7 of tiny/chest/"),
        (
            "update trial_user_attributes set value_json = '{\"loss_lr\": 3}' where key = 'values'",
            "trial 0 of tiny/chest/",
        ),
        # Which proposal an unfinished trial carries out decides what is proposed next.
        (
            "update trial_user_attributes set value_json = '5' where key = 'proposal'",
            "trial 0 of tiny/chest/",
        ),
        ("update trials set state = 'COMPLESE'", "'COMPLESE' is not among the defined enum values"),
        ("update study_directions set direction = 'MAXIMIZD'", "'MAXIMIZD' is not among"),
        ("update trial_user_attributes set value_json = '{'", "Expecting property name"),
        ("update trials set study_id = 9", "a row of trials belongs to no other"),
    ],
)
def test_a_row_that_was_changed_is_refused(searched, statement, what):
    database, again = searched
    execute(database, statement)
    before = database.read_bytes()
    with pytest.raises(InputError) as caught:
        again()
    message = str(caught.value)
    assert message.startswith(f"{database} is damaged ({what}")
    assert message.endswith("restore a copy of it, or move it away and search again")
    assert "\n" not in message
    assert database.read_bytes() == before


def test_a_failed_trial_that_was_changed_is_refused(searched):
    database, again = searched
    execute(
        database,
        "update trials set state = 'FAIL' where number = 1",
        "update trial_user_attributes set value_json = '0' where key = 'proposal'",
    )
    with pytest.raises(InputError, match=r"is damaged \(trial 1 of tiny/chest/"):
        again()


def test_damaged_pages_are_refused(searched):
    database, again = searched
    content = bytearray(database.read_bytes())
    content[4096 : 2 * 4096] = bytes(4096)
    database.write_bytes(content)
    with pytest.raises(InputError, match=r"search\.db is damaged \("):
        again()


def test_a_page_that_could_not_be_read_once_is_no_damage(searched, monkeypatch):
    _, again = searched
    check, calls = storage._sqlite_damage, []

    def fail_once(file):
        calls.append(file)
        if len(calls) == 1:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return check(file)

    monkeypatch.setattr(storage, "_sqlite_damage", fail_once)
    found, errors = again()
    assert len(calls) == 2
    assert not errors
    assert found[0].trials == 2

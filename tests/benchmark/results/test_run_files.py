"""Only the runner's own files are removed, and never through a link."""

import pytest

from pml_hyperbolic.benchmark.results.run_files import (
    RUN_FILES,
    is_lock_or_leftover,
    refuse_links,
    remove_leftovers,
    remove_run_files,
)
from pml_hyperbolic.errors import InputError

MADE = (
    *RUN_FILES,
    ".last.pt.part",
    "..owner.json.part",
    ".checkpoint.pt.epoch3",
    "..checkpoint.pt.epoch3.part",
    ".snapshots.npz.epoch12",
    "records/logs.db",
    "records/logs.db-journal",
    "records/logs.db.sha256",
    "records/training.csv",
    "records/validation_hyperbolic.csv",
    "records/saturation.csv",
    "tensorboard/events.out.tfevents.1.host.2.0",
)
USERS = (
    "notes.txt",
    ".notes.part",
    "last.pt.bak",
    "my result.json",
    "records/notes.csv",
    "tensorboard/events.txt",
    "figures/queries.npz",
)
LOCKS = (".lock", ".owner.json")


@pytest.fixture
def folder(tmp_path):
    for name in (*MADE, *USERS, *LOCKS):
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "run"


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_what_the_runner_made_is_removed_and_all_else_stays(folder):
    remove_run_files(folder)
    assert names(folder) == {*USERS, *LOCKS}
    for name in USERS:
        assert (folder / name).read_text() == name


def test_empty_folders_go(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "logs.db").touch()
    remove_run_files(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_has_no_leftovers(folder):
    remove_leftovers(folder)
    gone = {name for name in MADE if name.endswith(".part") or ".epoch" in name} | {"last.pt"}
    assert names(folder) == {*MADE, *USERS, *LOCKS} - gone


def test_an_unfinished_run_keeps_what_it_is_resumed_from(folder):
    (folder / "result.json").unlink()
    remove_leftovers(folder)
    gone = {name for name in MADE if name.endswith(".part")} | {"result.json"}
    assert names(folder) == {*MADE, *USERS, *LOCKS} - gone


def test_a_folder_behind_a_link_is_never_emptied(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "logs.db").write_text("mine")
    for name in ("records", "tensorboard"):
        (folder / name).rename(folder / f"former {name}")
        (folder / name).symlink_to(outside)
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").symlink_to(outside / "logs.db")
    remove_run_files(folder)
    assert (outside / "logs.db").read_text() == "mine"
    assert not (folder / "config.yaml").is_symlink()


@pytest.mark.parametrize(
    "name", [".", "run.log", ".lock", "records", "records/logs.db", "tensorboard"]
)
def test_links_are_refused(tmp_path, name):
    folder = tmp_path / "run"
    outside = tmp_path / "outside"
    outside.mkdir()
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)
    with pytest.raises(InputError, match=rf"{place} is a link, and nothing .*: remove it, or"):
        refuse_links(folder)


def test_links_of_the_user_are_none_of_its_business(folder, tmp_path):
    (folder / "notes").symlink_to(tmp_path)
    refuse_links(folder)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        (".lock", True),
        (".owner.json", True),
        ("..owner.json.part", True),
        (".benchmark.yaml.part", True),
        (".results.json.part", True),
        ("benchmark.yaml", False),
        (".thesis.tex.part", False),
        ("thesis.tex", False),
    ],
)
def test_leftovers_of_a_benchmark(name, own):
    assert is_lock_or_leftover(name) == own

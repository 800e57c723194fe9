"""Runs store their measures; those of runs that did not are computed from what they left."""

import shutil

import numpy as np
import pytest

from pml_hyperbolic.benchmark.measuring.run_measures import measures_of
from pml_hyperbolic.benchmark.results.finished_run import FinishedRun
from pml_hyperbolic.benchmark.results.run_measures import read_measures
from pml_hyperbolic.checked_files import read_checked_json, write_checked_json


@pytest.fixture
def run_of(tiny, tmp_path):
    """A function that copies the run of a method, without its measures if asked: the run."""

    def copy(method, *, stored=False):
        folder = tmp_path / method / "fold0_seed0"
        shutil.copytree(tiny.folder / method / "fold0_seed0", folder)
        if not stored:
            (folder / "measures.json").unlink()
        return FinishedRun.read(folder)

    return copy


@pytest.mark.parametrize("method", ["proxy_anchor", "hier", "chest"])
def test_stored_measures_equal_computed_ones(tiny, run_of, method):
    stored = read_measures(tiny.folder / method / "fold0_seed0" / "measures.json")
    found = measures_of(run_of(method))
    assert set(found.spaces) == set(stored.spaces)
    for space, measures in found.spaces.items():
        assert (measures.geometry is None) == (space == "euclidean")
        assert measures.geometry == stored.spaces[space].geometry
        assert measures.trees == stored.spaces[space].trees == {}
        assert "one level" in measures.problems[0]


def test_stored_measures_are_not_computed_again(run_of):
    run = run_of("hier", stored=True)
    (run.folder / "test_embeddings.npy").unlink()
    assert measures_of(run).spaces["hyperbolic"].geometry is not None


@pytest.mark.parametrize("content", ["{", '{"spaces": {}, "checksum": "pml_hyperbolic sha256 0"}'])
def test_damaged_measures_are_said_and_measured_again(run_of, caplog, content):
    run = run_of("hier")
    expected = measures_of(run)
    (run.folder / "measures.json").write_text(content)
    assert measures_of(run) == expected
    (record,) = caplog.records
    assert "measures.json is damaged" in record.getMessage()
    assert "measured again" in record.getMessage()


def test_embeddings_with_nan_are_a_problem_not_an_error(run_of):
    run = run_of("hier")
    file = run.folder / "test_embeddings.npy"
    embeddings = np.load(file)
    embeddings[3] = np.nan
    np.save(file, embeddings)
    measures = measures_of(run).spaces["hyperbolic"]
    assert measures.geometry is None
    assert "NaN" in measures.problems[0]


def with_superclasses(run):
    """Give a run's labels a coarser level: two superclasses of three test classes."""
    with np.load(run.folder / "queries.npz") as content:
        arrays = dict(content)
    labels = arrays["rows/labels"]
    arrays["rows/labels"] = np.concatenate([labels, labels[:, :1] // 6], axis=1)
    np.savez(run.folder / "queries.npz", **arrays)
    rows = read_checked_json(run.folder / "result.json")
    for row in rows:
        row["levels"] = ["digit", "superclass"]
    write_checked_json(run.folder / "result.json", rows)
    return FinishedRun.read(run.folder)


@pytest.mark.parametrize(
    ("method", "trees"),
    [
        ("proxy_anchor", ["class means, average linkage"]),
        ("hier", ["class means, average linkage", "class means, learned ancestors"]),
        ("chest", ["class means, average linkage"]),
    ],
)
def test_hierarchy_of_a_run_with_superclasses(run_of, method, trees):
    found = measures_of(with_superclasses(run_of(method)))
    for measures in found.spaces.values():
        assert list(measures.trees) == trees
        assert set(measures.neighbors) >= {"neighbor_tree_distance"}
    # The data set itself has one level, so the proxies of training classes have no superclasses.
    assert ("one level" in str(found.spaces)) == (method == "chest")


def test_a_config_of_another_version_is_a_problem(run_of):
    run = with_superclasses(run_of("hier"))
    (run.folder / "config.yaml").write_text("method: {lost: 1}\nprotocol: {}\n")
    measures = measures_of(run).spaces["hyperbolic"]
    assert measures.geometry is not None
    assert measures.geometry.starts_inside is None
    assert "is not read by this version" in measures.problems[-1]


def test_a_geometry_of_another_version_is_a_problem(run_of):
    run = run_of("hier")
    rows = read_checked_json(run.folder / "result.json")
    rows[0]["geometry"]["inputs"] = "horocyclic"
    write_checked_json(run.folder / "result.json", rows)
    measures = measures_of(FinishedRun.read(run.folder)).spaces["hyperbolic"]
    assert measures.geometry is None
    assert "horocyclic" in measures.problems[0]


def test_a_damaged_checkpoint_is_a_problem(run_of):
    run = with_superclasses(run_of("hier"))
    (run.folder / "checkpoint.pt").write_text("no checkpoint")
    measures = measures_of(run).spaces["hyperbolic"]
    assert list(measures.trees) == ["class means, average linkage"]
    assert "checkpoint.pt cannot be read" in measures.problems[-1]

"""All runs of a benchmark: repeatable, resumed run by run, independent of each other."""

import shutil
from pathlib import Path

import pytest
import torch

from pml_hyperbolic.benchmark.config.yaml_files import read_mapping
from pml_hyperbolic.benchmark.datasets import LabelledData
from pml_hyperbolic.benchmark.running import runner
from pml_hyperbolic.benchmark.running.runner import default_jobs, run_benchmark
from pml_hyperbolic.benchmark.running.single_run import execute_run
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.files import read_json, write_json

SHORT = ("protocol.epochs=1", "protocol.steps_per_epoch=1")


def numbers(rows):
    """What must not depend on the clock."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture
def go(load, tmp_path):
    """Run the tiny benchmark with overrides: rows, failures, what was said."""

    def run(*overrides, **kwargs):
        said = []
        config = load(*SHORT, *overrides)
        result = run_benchmark(
            config, tmp_path / "runs", say=said.append, show_progress=False, **kwargs
        )
        return *result, said

    return run


def copied(tiny, tmp_path):
    shutil.copytree(tiny.folder, tmp_path / "runs" / "tiny")
    return tmp_path / "runs" / "tiny"


def test_results_have_one_object_a_method_space_and_seed(tiny):
    assert [(row["method"], row["space"], row["seed"]) for row in tiny.rows] == [
        ("proxy_anchor", "euclidean", 0),
        ("proxy_anchor", "euclidean", 1),
        ("hier", "hyperbolic", 0),
        ("hier", "hyperbolic", 1),
        ("chest", "euclidean", 0),
        ("chest", "hyperbolic", 0),
        ("chest", "euclidean", 1),
        ("chest", "hyperbolic", 1),
    ]
    metrics = {"precision_at_1", "r_precision", "mean_average_precision_at_r"}
    metrics |= {"recall_at_1", "recall_at_4"}
    for row in tiny.rows:
        assert {"method", "space", "seed", "epoch", "seconds", "test", "validation"} <= set(row)
        assert 1 <= row["epoch"] <= 3
        assert row["seconds"] > 0
        for split in ("test", "validation"):
            assert set(row[split]) == metrics
            assert all(type(v) is float and 0 <= v <= 1 for v in row[split].values())
    for name in ("proxy_anchor", "hier", "chest"):
        first, second = [r for r in tiny.rows if r["method"] == name][
            :: 2 if name == "chest" else 1
        ]
        assert first["test"] != second["test"]


def test_the_folder_is_complete(tiny):
    found = {str(path.relative_to(tiny.folder)) for path in tiny.folder.rglob("*")}
    for name in ("proxy_anchor", "hier", "chest"):
        for seed in (0, 1):
            run = f"{name}/fold0_seed{seed}"
            files = ["config.yaml", "environment.json", "run.log", "checkpoint.pt", "result.json"]
            files += ["queries.npz", "test_embeddings.npy"]
            assert {f"{run}/{file}" for file in [*files, "records/logs.db"]} <= found
    assert {"benchmark.yaml", "results.json", "results.csv"} <= found
    # One checkpoint a run, no half-written files.
    assert sum(path.endswith(".pt") for path in found) == 6
    assert not [path for path in found if path.endswith(".part")]
    stored = read_mapping(tiny.folder / "benchmark.yaml")
    assert stored["protocol_hash"] == tiny.config.protocol.hash
    assert stored["methods"] == tiny.config.model_dump()["methods"]


def test_two_jobs_and_a_second_time_give_the_same_bits(tiny, run_tiny):
    assert numbers(run_tiny("--jobs", "2").rows) == numbers(tiny.rows)
    # Here other runs came before, in this process.
    assert numbers(run_tiny("--jobs", "1").rows) == numbers(tiny.rows)


def test_a_run_does_not_depend_on_its_neighbours(tmp_path, load, tiny):
    rows = execute_run(
        load("methods=[chest]", "protocol.seeds=[1]"), "chest", 0, 1, tmp_path / "run"
    )
    before = [r for r in tiny.rows if (r["method"], r["seed"]) == ("chest", 1)]
    assert numbers(rows) == numbers(before)


def test_finished_runs_are_kept_and_killed_ones_redone(tiny, tmp_path, load):
    folder = copied(tiny, tmp_path)
    untouched = folder / "chest" / "fold0_seed0" / "checkpoint.pt"
    stamp = untouched.stat().st_mtime_ns
    # A killed run has everything but its result.
    killed = folder / "hier" / "fold0_seed1"
    (killed / "result.json").unlink()
    (killed / "checkpoint.pt").write_bytes(b"half a file")
    said = []
    rows, failures = run_benchmark(
        load(), tmp_path / "runs", jobs=1, say=said.append, show_progress=False
    )
    assert failures == []
    assert numbers(rows) == numbers(tiny.rows)
    assert untouched.stat().st_mtime_ns == stamp
    assert (killed / "checkpoint.pt").stat().st_size > 100
    assert said == [f"5 finished runs in {folder} are kept, 1 are left to do"]


def test_a_second_call_does_nothing(tiny, tmp_path, load, monkeypatch):
    copied(tiny, tmp_path)
    monkeypatch.setattr(runner, "execute_run", lambda *args, **kwargs: pytest.fail("ran again"))
    rows, failures = run_benchmark(
        load(), tmp_path / "runs", say=lambda line: None, show_progress=False
    )
    assert rows == tiny.rows
    assert failures == []


def test_finished_runs_declare_what_the_config_says_now(tiny, tmp_path, load, monkeypatch):
    folder = copied(tiny, tmp_path)
    monkeypatch.setattr(runner, "execute_run", lambda *args, **kwargs: pytest.fail("ran again"))
    config = load()
    tuned = {name: m.model_copy(update={"search_trials": 7}) for name, m in config.methods.items()}
    rows, _ = run_benchmark(
        config.model_copy(update={"methods": tuned}),
        tmp_path / "runs",
        say=lambda line: None,
        show_progress=False,
    )
    assert rows == [{**row, "search_trials": 7} for row in tiny.rows]
    assert read_json(folder / "hier" / "fold0_seed0" / "result.json")[0]["search_trials"] == 7


def test_seeds_and_methods_can_be_added(go):
    first, _, _ = go("methods=[proxy_anchor]", "protocol.seeds=[0]", jobs=1)
    second, _, _ = go("methods=[hyp, proxy_anchor]", "protocol.seeds=[0, 1]", jobs=1)
    order = [(row["method"], row["seed"]) for row in second]
    assert order == [("hyp", 0), ("hyp", 1), ("proxy_anchor", 0), ("proxy_anchor", 1)]
    assert second[2] == first[0]


FOLDED = (
    "methods=[hier]",
    "protocol.splits={test: second_half, folds: 2}",
    "protocol.sampler={batch_size: 8, samples_per_class: 4}",
    "protocol.seeds=[0]",
)


def test_each_fold_is_a_run(go, tmp_path):
    rows, failures, _ = go(*FOLDED, "protocol.run_folds=[1]", jobs=1)
    assert failures == []
    assert [row["fold"] for row in rows] == [1]
    both, _, said = go(*FOLDED, jobs=1)
    assert [(row["fold"], row["seed"]) for row in both] == [(0, 0), (1, 0)]
    for key in ("test", "seconds", "epoch"):
        assert both[1][key] == rows[0][key]
    # All folds are there: their models embed the test classes together.
    assert "concatenated" not in rows[0]
    assert both[0]["concatenated"] == both[1]["concatenated"]
    assert set(both[0]["concatenated"]) == set(both[0]["test"])
    assert both[0]["concatenated"] not in (both[0]["test"], both[1]["test"])
    assert go(*FOLDED, jobs=1)[0] == both
    assert said == [f"1 finished runs in {tmp_path / 'runs' / 'tiny'} are kept, 1 are left to do"]
    assert both[0]["test"] != both[1]["test"]
    for fold in (0, 1):
        stored = read_mapping(tmp_path / "runs" / "tiny" / "hier" / f"fold{fold}_seed0/config.yaml")
        assert stored["fold"] == fold


@pytest.mark.parametrize("name", ["queries.npz", "test_embeddings.npy"])
def test_folds_without_their_embeddings_are_not_scored_together(go, tmp_path, name):
    go(*FOLDED, jobs=1)
    folder = tmp_path / "runs" / "tiny" / "hier" / "fold0_seed0"
    rows = read_json(folder / "result.json")
    for row in rows:
        del row["concatenated"]
    write_json(folder / "result.json", rows)
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"fold0_seed0 has no {name}.*: remove the folder"):
        go(*FOLDED, jobs=1)


def test_too_few_classes_for_the_folds_are_refused(go, tmp_path):
    with pytest.raises(InputError, match=r"5 classes beside .* lower folds"):
        go(*FOLDED, "protocol.splits.folds=3", jobs=1)
    # Fold 0 validates on three of the five classes.
    with pytest.raises(InputError, match=r"fold 0: a batch would hold 4 classes.* has 2"):
        go(*FOLDED, "protocol.sampler={batch_size: 16, samples_per_class: 4}", jobs=1)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_run_stops_no_other(go, jobs):
    overrides = ["methods=[broken, proxy_anchor]", "protocol.steps_per_epoch=4"]
    rows, failures, _ = go(*overrides, jobs=jobs)
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("proxy_anchor", 0),
        ("proxy_anchor", 1),
    ]
    assert sorted(outcome.task.title for outcome in failures) == [
        "broken, fold 0, seed 0",
        "broken, fold 0, seed 1",
    ]
    for outcome in failures:
        assert "NonFiniteError" in outcome.error
        assert "lower the learning rate" in outcome.error
        assert "no epoch was finished, so there is no good checkpoint" in outcome.error
        assert "Traceback" in outcome.details
        assert (outcome.task.folder / "run.log").is_file()
    # A failed run is not finished: it is tried again.
    _, failures, said = go(*overrides, jobs=jobs)
    assert len(failures) == 2
    assert "2 are left to do" in said[0]


def test_a_run_that_diverges_names_its_last_good_checkpoint(go, monkeypatch):
    from pml_hyperbolic.trainers import MetricLossOnly

    loss = MetricLossOnly.maybe_get_metric_loss

    def diverge(self, *arguments):
        factor = float("inf") if self.epoch == 3 else 1.0
        return loss(self, *arguments) * factor

    overrides = ["methods=[proxy_anchor]", "protocol.epochs=3", "protocol.seeds=[0]"]
    with monkeypatch.context() as patched:
        patched.setattr(MetricLossOnly, "maybe_get_metric_loss", diverge)
        _, (failure,), _ = go(*overrides, jobs=1)
    last = failure.task.folder / "last.pt"
    assert "proxy_anchor, fold 0, seed 0: loss became NaN or infinite at step 2" in failure.error
    assert "metric_loss 0.01" in failure.error
    assert f"the last good checkpoint is {last}, of epoch 2" in failure.error
    assert torch.load(last, weights_only=True)["training"]["epoch"] == 2


def test_a_wrong_method_is_refused_before_anything_runs(go, tmp_path):
    with pytest.raises(InputError, match="cannot be shared equally"):
        go("protocol.embedding_size=9")
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_fails_is_refused_before_anything_runs(go, tmp_path, monkeypatch):
    def broken(self, embeddings, *args, **kwargs):
        raise RuntimeError("no such thing")

    monkeypatch.setattr("pytorch_metric_learning.losses.ProxyAnchorLoss.forward", broken)
    with pytest.raises(InputError, match=r"proxy_anchor: .* random embeddings: no such thing"):
        go()
    assert not (tmp_path / "runs").exists()


def test_an_output_that_is_a_file_is_refused(load, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot make the folder .*--output"):
        run_benchmark(load(), tmp_path / "file", show_progress=False)


def test_another_protocol_in_the_same_folder_is_refused(tiny, tmp_path, load):
    folder = copied(tiny, tmp_path)
    with pytest.raises(InputError, match=r"runs of another protocol.*name=\.\.\. or --output"):
        run_benchmark(load("protocol.epochs=2"), tmp_path / "runs", show_progress=False)
    assert read_json(folder / "results.json") == tiny.rows


def test_other_data_in_the_same_place_are_refused(tiny, tmp_path, load, monkeypatch):
    folder = copied(tiny, tmp_path)
    monkeypatch.setattr(LabelledData, "fingerprint", lambda self, content: "other")
    with pytest.raises(InputError, match=r"runs on other data \(\w+, this one is other\)"):
        run_benchmark(load(), tmp_path / "runs", show_progress=False)
    assert read_json(folder / "results.json") == tiny.rows


def test_other_settings_of_a_finished_method_are_refused(
    tiny, tmp_path, load, write_config, config_file
):
    from ..conftest import METHODS, TINY

    copied(tiny, tmp_path)
    changed = {**METHODS, "proxy_anchor": {"loss": "ProxyAnchorLoss", "loss_lr": 0.02}}
    write_config(tmp_path, TINY, changed)
    with pytest.raises(InputError, match="finished with other settings of proxy_anchor"):
        run_benchmark(load(), tmp_path / "runs", show_progress=False)


def test_a_foreign_folder_is_left_alone(tmp_path, load):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.tex").touch()
    with pytest.raises(InputError, match="not a folder that this command made"):
        run_benchmark(load(), tmp_path, show_progress=False)
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["thesis.tex"]


def test_default_jobs_leave_each_run_its_threads(load, monkeypatch):
    monkeypatch.setattr(runner.os, "sched_getaffinity", lambda pid: range(8), raising=False)
    assert default_jobs(load()) == 8
    assert default_jobs(load("protocol.threads=3")) == 2
    assert default_jobs(load("protocol.threads=20")) == 1


def test_tensorboard_events_on_demand(go, tmp_path):
    go("methods=[proxy_anchor]", "protocol.seeds=[0]", jobs=1, tensorboard=True)
    assert list(Path(tmp_path).glob("runs/tiny/proxy_anchor/fold0_seed0/tensorboard/events*"))

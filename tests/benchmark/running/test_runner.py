"""A benchmark is repeatable, its folder is complete, and its runs are independent."""

import json
from pathlib import Path

import pytest
import torch

from pml_hyperbolic.benchmark.config.yaml_files import read_mapping
from pml_hyperbolic.benchmark.datasets import DATASETS, Digits
from pml_hyperbolic.benchmark.running.runner import run_benchmark
from pml_hyperbolic.benchmark.running.single_run import execute_run
from pml_hyperbolic.checked_files import read_checked_json, write_checked_json
from pml_hyperbolic.errors import InputError

from .rows import numbers


def test_results_have_one_row_for_each_method_space_and_seed(tiny):
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
    # There is one checkpoint for each run, and there are no half-written files.
    assert sum(path.endswith(".pt") for path in found) == 6
    assert not [path for path in found if path.endswith(".part")]
    stored = read_mapping(tiny.folder / "benchmark.yaml")
    assert stored["protocol_hash"] == tiny.config.protocol.hash
    assert stored["methods"] == tiny.config.model_dump()["methods"]


def test_two_jobs_and_a_second_time_give_the_same_bits(tiny, run_tiny):
    assert numbers(run_tiny("--jobs", "2").rows) == numbers(tiny.rows)
    # This time, other runs have been done in this process.
    assert numbers(run_tiny("--jobs", "1").rows) == numbers(tiny.rows)


def test_a_run_does_not_depend_on_its_neighbours(tmp_path, load, tiny):
    rows = execute_run(
        load("methods=[chest]", "protocol.seeds=[1]"), "chest", 0, 1, tmp_path / "run"
    )
    before = [r for r in tiny.rows if (r["method"], r["seed"]) == ("chest", 1)]
    assert numbers(rows) == numbers(before)


def test_seeds_and_methods_can_be_added(go):
    first, _, _ = go("methods=[proxy_anchor]", "protocol.seeds=[0]", jobs=1)
    second, _, _ = go("methods=[hyp, proxy_anchor]", "protocol.seeds=[0, 1]", jobs=1)
    order = [(row.method, row.seed) for row in second]
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
    assert [row.fold for row in rows] == [1]
    both, _, said = go(*FOLDED, jobs=1)
    assert [(row.fold, row.seed) for row in both] == [(0, 0), (1, 0)]
    first, second = both[1], rows[0]
    assert (first.test, first.seconds, first.epoch) == (second.test, second.seconds, second.epoch)
    # All folds are finished, so their embeddings of the test classes were concatenated.
    assert rows[0].concatenated is None
    assert both[0].concatenated == both[1].concatenated
    assert set(both[0].concatenated) == set(both[0].test)
    assert both[0].concatenated not in (both[0].test, both[1].test)
    assert go(*FOLDED, jobs=1)[0] == both
    assert said == [f"1 finished runs in {tmp_path / 'runs' / 'tiny'} are kept, 1 are left to do"]
    assert both[0].test != both[1].test
    for fold in (0, 1):
        stored = read_mapping(tmp_path / "runs" / "tiny" / "hier" / f"fold{fold}_seed0/config.yaml")
        assert stored["fold"] == fold


@pytest.mark.parametrize("name", ["queries.npz", "test_embeddings.npy"])
def test_folds_without_their_embeddings_are_not_scored_together(go, tmp_path, name):
    go(*FOLDED, jobs=1)
    folder = tmp_path / "runs" / "tiny" / "hier" / "fold0_seed0"
    rows = read_checked_json(folder / "result.json")
    for row in rows:
        del row["concatenated"]
    write_checked_json(folder / "result.json", rows)
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


@pytest.mark.parametrize("output", ["tiny", "."], ids=["the output", "the benchmark's folder"])
def test_a_file_in_the_place_of_a_folder_is_refused(load, tmp_path, output):
    (tmp_path / "tiny").write_text("notes")
    with pytest.raises(InputError, match=r"cannot make the folder .*--output"):
        run_benchmark(load(), tmp_path / output, show_progress=False)
    assert (tmp_path / "tiny").read_text() == "notes"


def test_tensorboard_events_on_demand(go, tmp_path):
    go("methods=[proxy_anchor]", "protocol.seeds=[0]", jobs=1, tensorboard=True)
    assert list(Path(tmp_path).glob("runs/tiny/proxy_anchor/fold0_seed0/tensorboard/events*"))


def test_runs_of_one_process_share_the_data(tmp_path, load, monkeypatch):
    made = []

    class Counted(Digits):
        def __init__(self):
            made.append(1)
            super().__init__()

    monkeypatch.setitem(DATASETS, "digits", Counted)
    short = ["protocol.epochs=1", "protocol.steps_per_epoch=1", "protocol.splits={folds: 2}"]
    short += ["protocol.sampler={batch_size: 8, samples_per_class: 4}", "protocol.seeds=[0]"]
    config = load("methods=[proxy_anchor, chest]", *short)
    rows, failures = run_benchmark(config, tmp_path, jobs=1, say=print, show_progress=False)
    assert failures == []
    assert {(row.method, row.fold) for row in rows} == {
        ("proxy_anchor", 0),
        ("proxy_anchor", 1),
        ("chest", 0),
        ("chest", 1),
    }
    assert made == [1]


def test_untrained_networks_are_scored_once(go, tmp_path, monkeypatch):
    from pml_hyperbolic.benchmark.running import runner

    go("methods=[proxy_anchor]", "protocol.seeds=[0]")
    file = tmp_path / "runs" / "tiny" / "untrained.json"
    assert [line.name for line in runner.read_untrained(file)] == [
        "untrained trunk",
        "untrained head",
    ]
    score = runner.untrained_scores
    monkeypatch.setattr(runner, "untrained_scores", lambda *args: pytest.fail("scored again"))
    go("methods=[proxy_anchor]", "protocol.seeds=[0]")
    # A file of an earlier version has the first seed only, which it does not name.
    content = json.loads(file.read_text())
    file.write_text(json.dumps([{k: v for k, v in one.items() if k != "seed"} for one in content]))
    monkeypatch.setattr(runner, "untrained_scores", score)
    go("methods=[proxy_anchor]", "protocol.seeds=[0]")
    assert [line.seed for line in runner.read_untrained(file)] == [0, 0]


def test_runs_do_not_fail_with_the_untrained_networks(go, monkeypatch):
    from pml_hyperbolic.benchmark.running import runner

    def fail(data, known):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(runner, "untrained_scores", fail)
    rows, failures, said = go("methods=[proxy_anchor]", "protocol.seeds=[0]")
    assert len(rows) == 1
    assert failures == []
    assert said[-1] == ("note: the untrained networks were not scored: RuntimeError: out of memory")

"""One run: its folder is complete, and neither selection nor test looks at other classes."""

import importlib.metadata
import json
import sqlite3

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.assembly.evaluation import space_metrics
from pml_hyperbolic.benchmark.assembly.pipeline import Pipeline
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.config.yaml_files import read_mapping
from pml_hyperbolic.benchmark.running import single_run
from pml_hyperbolic.benchmark.running.single_run import execute_run

RUNS = [(name, seed) for name in ("proxy_anchor", "hier", "chest") for seed in (0, 1)]
EVERY_RUN = pytest.mark.parametrize(("name", "seed"), RUNS)
METRICS = {"precision_at_1", "r_precision", "mean_average_precision_at_r"}


def table(folder, name):
    """Return the rows of one of record-keeper's SQLite tables, as dicts."""
    connection = sqlite3.connect(folder / "records" / "logs.db")
    try:
        cursor = connection.execute(f"select * from {name}")
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor]
    finally:
        connection.close()


@EVERY_RUN
def test_the_resolved_config_says_everything(tiny, name, seed):
    folder = tiny.folder / name / f"fold0_seed{seed}"
    resolved = read_mapping(folder / "config.yaml")
    assert resolved["seed"] == seed
    assert resolved["protocol"] == tiny.config.protocol.model_dump()
    assert resolved["protocol"]["optimizer"]["name"] == "AdamW"
    assert resolved["method"] == {"name": name, **tiny.config.methods[name].model_dump()}
    assert resolved["protocol_hash"] == tiny.config.protocol.hash
    assert resolved["method_hash"] == tiny.config.methods[name].hash


def test_the_environment_is_described(tiny):
    environment = json.loads(
        (tiny.folder / "hier" / "fold0_seed1" / "environment.json").read_text()
    )
    assert environment["seed"] == 1
    assert environment["packages"]["torch"] == importlib.metadata.version("torch")
    assert {"numpy", "pytorch-metric-learning", "geoopt"} <= set(environment["packages"])
    assert environment["device"] == "cpu"
    assert environment["torch_threads"] == 1
    assert environment["cpu_count"] >= 1


@EVERY_RUN
def test_records_can_be_read_back(tiny, name, seed):
    folder = tiny.folder / name / f"fold0_seed{seed}"
    training = table(folder, "training")
    assert [row["~iteration~"] for row in training] == [0, 10]
    expected = {
        "proxy_anchor": {"total_loss", "metric_loss_lr_0"},
        "hier": {"metric_loss_losses_1_data_loss", "metric_loss_losses_1_proxy_loss"},
        "chest": {
            "metric_loss_euclidean_loss",
            "metric_loss_hyperbolic_loss",
            "metric_loss_hierarchy_loss",
        },
    }[name]
    if name != "proxy_anchor":
        expected = expected | {"embedding_saturation", "proxy_saturation"}
    assert expected | {"total_loss", "trunk_lr_0", "embedder_lr_0"} <= set(training[0])
    assert all(isinstance(row[column], float) for row in training for column in expected)
    for row in tiny.rows:
        if (row["method"], row["seed"]) == (name, seed):
            validation = table(folder, f"validation_{row['space']}")
            assert [r["~iteration~"] for r in validation] == [1, 2, 3]
            chosen = validation[row["epoch"] - 1]
            (test,) = table(folder, f"test_{row['space']}")
            assert test["~iteration~"] == row["epoch"]
            for metric in METRICS:
                assert chosen[metric] == row["validation"][metric]
                assert test[metric] == row["test"][metric]


@EVERY_RUN
def test_the_best_validation_epoch_was_selected(tiny, name, seed):
    space = "euclidean" if name == "proxy_anchor" else "hyperbolic"
    scores = [
        row["mean_average_precision_at_r"]
        for row in table(tiny.folder / name / f"fold0_seed{seed}", f"validation_{space}")
    ]
    rows = [r for r in tiny.rows if (r["method"], r["seed"]) == (name, seed)]
    assert {row["epoch"] for row in rows} == {1 + scores.index(max(scores))}
    assert len(rows) == (2 if name == "chest" else 1)


@EVERY_RUN
def test_scores_follow_from_the_checkpoint(tiny, name, seed):
    folder = tiny.folder / name / f"fold0_seed{seed}"
    (file,) = folder.glob("**/*.p*t*")
    state = torch.load(file, weights_only=True)
    # The weights differ from those that the run started with, so all must come from the file.
    parts = Pipeline(
        ProtocolData(tiny.config.protocol), tiny.config.methods[name], name, seed + 100
    )
    for key, module in parts.models.items():
        module.load_state_dict(state["models"][key])
    parts.loss.load_state_dict(state["loss_funcs"]["metric_loss"])
    tester = parts.tester()
    from pml_hyperbolic.benchmark.datasets import keep_batch

    for split in ("test", "validation"):
        tester.test({split: parts.subsets[split]}, 1, *parts.models.values(), collate_fn=keep_batch)
        found = space_metrics(tester, split)
        for row in tiny.rows:
            if (row["method"], row["seed"]) == (name, seed):
                assert state["epoch"] == row["epoch"]
                assert found[row["space"]] == row[split]


def test_test_scores_by_hand(tiny):
    """Recall and MAP@R of one run equal those computed from its images by plain torch."""
    (row,) = [r for r in tiny.rows if (r["method"], r["seed"]) == ("proxy_anchor", 0)]
    parts = Pipeline(
        ProtocolData(tiny.config.protocol), tiny.config.methods["proxy_anchor"], "x", 0
    )
    state = torch.load(
        tiny.folder / "proxy_anchor" / "fold0_seed0" / "checkpoint.pt", weights_only=True
    )
    for key, module in parts.models.items():
        module.load_state_dict(state["models"][key])
        module.eval()
    from sklearn.datasets import load_digits

    bunch = load_digits()
    keep = np.isin(bunch.target, tiny.config.protocol.splits.test)
    images = np.rint(bunch.images[keep] * 255 / 16) / 255
    inputs = torch.from_numpy((images - 0.5) / 0.5).float()[:, None]
    with torch.no_grad():
        x = parts.models["embedder"](parts.models["trunk"](inputs)).double()
    x = torch.nn.functional.normalize(x)
    labels = torch.from_numpy(bunch.target[keep])
    order = (x @ x.T).fill_diagonal_(-9).argsort(dim=1, descending=True)
    hits = (labels[order] == labels[:, None]).double()
    # The query itself comes last and is not a neighbour.
    relevant = hits.sum(1).long() - 1
    ranks = torch.arange(1, len(labels) + 1)
    within = ranks <= relevant[:, None]
    precision = hits.cumsum(1) / ranks
    by_hand = {
        "precision_at_1": hits[:, 0].mean(),
        "recall_at_4": (hits[:, :4].sum(1) > 0).double().mean(),
        "r_precision": ((hits * within).sum(1) / relevant).mean(),
        "mean_average_precision_at_r": ((precision * hits * within).sum(1) / relevant).mean(),
    }
    for metric, value in by_hand.items():
        assert row["test"][metric] == pytest.approx(float(value), abs=1e-4)


def test_the_test_split_is_embedded_once_and_last(tmp_path, load, monkeypatch):
    embedded = []
    make = single_run.Pipeline.tester

    def spy(self, **hooks):
        tester = make(self, **hooks)
        embed = tester.get_all_embeddings

        def get_all_embeddings(dataset, *args, **kwargs):
            embedded.append(set(dataset.indices))
            return embed(dataset, *args, **kwargs)

        tester.get_all_embeddings = get_all_embeddings
        return tester

    monkeypatch.setattr(single_run.Pipeline, "tester", spy)
    config = load()
    execute_run(config, "proxy_anchor", 0, 0, tmp_path / "run")
    from sklearn.datasets import load_digits

    target = load_digits().target
    expected = ["validation"] * 3 + ["test", "train"]
    assert len(embedded) == len(expected)
    for split, indices in zip(expected, embedded, strict=True):
        classes = getattr(config.protocol.splits, split)
        assert indices == set(np.flatnonzero(np.isin(target, classes)))


def test_selection_does_not_look_at_test_classes(tmp_path, load, tiny):
    config = load("protocol.splits.test=[8, 9]")
    (row,) = execute_run(config, "proxy_anchor", 0, 0, tmp_path / "run")
    (before,) = [r for r in tiny.rows if (r["method"], r["seed"]) == ("proxy_anchor", 0)]
    assert row.validation == before["validation"]
    assert row.epoch == before["epoch"]
    assert row.test != before["test"]


def test_the_total_dimension_is_what_was_trained(tmp_path, load):
    config = load("protocol.equal_total_dimension=false", "protocol.epochs=1")
    rows = execute_run(config, "chest", 0, 0, tmp_path / "run")
    assert [(row.dimension, row.total_dimension) for row in rows] == [(8, 16), (8, 16)]


def test_leftovers_are_discarded_and_failures_are_logged(tmp_path, load):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "old").touch()
    (folder / "queries.npz").touch()
    with pytest.raises(RuntimeError, match=r"broken, fold 0, seed 0.*NaN or infinite"):
        execute_run(load("methods=[broken]"), "broken", 0, 0, folder)
    # It is not one of the runner's.
    assert (folder / "old").exists()
    assert not (folder / "queries.npz").exists()
    assert not (folder / "result.json").exists()
    log = (folder / "run.log").read_text()
    assert "NonFiniteError" in log
    assert "Traceback" in log


def test_every_query_has_its_scores(tiny):
    from sklearn.datasets import load_digits

    test_indices = np.flatnonzero(np.isin(load_digits().target, tiny.config.protocol.splits.test))
    for row in tiny.rows:
        folder = tiny.folder / row["method"] / f"fold0_seed{row['seed']}"
        with np.load(folder / "queries.npz") as queries:
            assert np.array_equal(queries["test_indices"], test_indices)
            for name, metric in (
                ("average_precision_at_r", "mean_average_precision_at_r"),
                ("precision_at_1", "precision_at_1"),
                ("r_precision", "r_precision"),
            ):
                values = queries[f"{row['space']}/{name}"]
                assert values.dtype == np.float32
                assert values.shape == test_indices.shape
                assert values.mean(dtype=float) == pytest.approx(row["test"][metric], abs=1e-6)
        embeddings = np.load(folder / "test_embeddings.npy")
        assert embeddings.shape == (len(test_indices), row["total_dimension"])


def test_parameters_geometry_and_training_scores(tiny):
    config = tiny.config
    for row in tiny.rows:
        parts = Pipeline(
            ProtocolData(config.protocol), config.methods[row["method"]], row["method"], 0
        )
        assert row["parameters"] == {
            "trunk": sum(p.numel() for p in parts.models["trunk"].parameters()),
            "head": sum(p.numel() for p in parts.models["embedder"].parameters()),
            "loss": sum(p.numel() for p in parts.loss.parameters()),
        }
        assert set(row["train"]) == set(row["test"])
        assert row["levels"] == ["digit"]
        assert row["test_levels"] == {}
        if row["space"] == "hyperbolic":
            assert row["geometry"] == {"c": 0.1, "clip_radius": 2.3, "inputs": "tangent"}
        else:
            assert row["geometry"] is None


def test_training_scores_are_of_the_selected_checkpoint_without_augmentation(tiny):
    (row,) = [r for r in tiny.rows if (r["method"], r["seed"]) == ("hier", 0)]
    state = torch.load(tiny.folder / "hier" / "fold0_seed0" / "checkpoint.pt", weights_only=True)
    parts = Pipeline(ProtocolData(tiny.config.protocol), tiny.config.methods["hier"], "hier", 100)
    for key, module in parts.models.items():
        module.load_state_dict(state["models"][key])
    from pml_hyperbolic.benchmark.datasets import keep_batch

    tester = parts.tester()
    data = {"train": parts.subsets["scored_train"]}
    tester.test(data, 1, *parts.models.values(), collate_fn=keep_batch)
    assert space_metrics(tester, "train")["hyperbolic"] == row["train"]


def test_test_classes_without_any_match_are_an_error(tmp_path, load, monkeypatch):
    score = single_run.score_test

    def without_matches(*arguments):
        scores = score(*arguments)
        return scores._replace(test={"euclidean": dict.fromkeys(METRICS, float("nan"))})

    monkeypatch.setattr(single_run, "score_test", without_matches)
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError, match=r"seed 0: the test classes cannot be scored.*add"):
        execute_run(load("protocol.epochs=1"), "proxy_anchor", 0, 0, folder)
    assert not (folder / "result.json").exists()
    assert "RuntimeError" in (folder / "run.log").read_text()


def test_scores_that_are_undefined_on_training_classes_are_left_out(tmp_path, load, monkeypatch):
    scores = {"precision_at_1": float("nan"), "r_precision": 0.5}
    monkeypatch.setattr(single_run, "finest_scores", lambda *arguments: (scores, {}))
    (row,) = execute_run(load("protocol.epochs=1"), "proxy_anchor", 0, 0, tmp_path / "run")
    assert row.train == {"r_precision": 0.5}

"""Fixtures of a tiny benchmark, which is independent of the shipped configs and their tuning."""

import json
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.config import load_benchmark

HYPERBOLIC = {"c": 0.1, "clip_radius": 2.3}
METHODS = {
    "proxy_anchor": {"loss": "ProxyAnchorLoss", "loss_lr": 0.01},
    "hier": {
        "loss": "MultiSimilarityLoss",
        "regularizer": {
            "use": {
                "HIERLoss": {
                    "num_proxies": 8,
                    # As many as a batch has points would leave no triplets.
                    "num_neighbors": 4,
                    "distance": {"PoincareDistance": HYPERBOLIC},
                }
            },
            "weight": 0.5,
            "lr": 0.01,
        },
        "head": {"spaces": ["hyperbolic"]},
    },
    "hyp": {
        "loss": {"NTXentLoss": {"distance": {"PoincareDistance": HYPERBOLIC}}},
        "head": {"spaces": ["hyperbolic"]},
    },
    "chest": {
        "loss": {
            "CHESTLoss": {"hierarchy_weight": 1, "distance": {"PoincareSimilarity": HYPERBOLIC}}
        },
        "loss_lr": 0.01,
        "head": {"spaces": ["euclidean", "hyperbolic"], "initial_radius": 1.15},
    },
    # Its logits overflow float32 at the first step.
    "broken": {"loss": {"SoftTripleLoss": {"la": 1e38, "margin": 10}}, "loss_lr": 0.01},
}
PROTOCOL = {
    "data": "digits",
    "splits": {"train": [0, 1, 2], "validation": [3, 4], "test": [5, 6, 7]},
    "backbone": {"small_conv": {"width": 4, "blocks": 1}},
    "embedding_size": 8,
    "sampler": {"batch_size": 12, "samples_per_class": 4},
    "augmentation": {"random_shift": 1},
    "optimizer": {"trunk_lr": 1e-3, "head_lr": 1e-3},
    "epochs": 3,
    "steps_per_epoch": 4,
    "evaluation": {"recall_at": [1, 4]},
    "seeds": [0, 1],
    "device": "cpu",
}
TINY = {"name": "tiny", "protocol": PROTOCOL, "methods": ["proxy_anchor", "hier", "chest"]}


class TinyRun(NamedTuple):
    """What one call of ``pml-hyperbolic run`` left behind."""

    config: object
    folder: object
    rows: list


@pytest.fixture(scope="session", autouse=True)
def pages_without_disks():
    """Pages of runs leave out the disk, whose layout takes long; tests of the page put it back."""
    from pml_hyperbolic.benchmark.page import maps_section

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps_section, "_disk", lambda *arguments: None)
        yield


@pytest.fixture(scope="session")
def write_config():
    """A function that writes a benchmark and its methods into a folder: the config's path."""

    def write(folder, content=TINY, methods=METHODS):
        (folder / "methods").mkdir(parents=True, exist_ok=True)
        for name, method in methods.items():
            (folder / "methods" / f"{name}.yaml").write_text(yaml.safe_dump(method))
        path = folder / "tiny.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def config_file(tmp_path, write_config):
    """The tiny benchmark in a folder of this test's own."""
    return write_config(tmp_path)


@pytest.fixture
def load(config_file):
    """The tiny benchmark, validated, with overrides."""
    return lambda *overrides: load_benchmark(config_file, list(overrides))


@pytest.fixture(scope="session")
def run_tiny(tmp_path_factory, write_config):
    """A function that runs the tiny benchmark in a new folder, given arguments: a TinyRun."""

    def run(*arguments):
        folder = tmp_path_factory.mktemp("tiny")
        path = write_config(folder)
        status = main(["run", str(path), "--output", str(folder / "runs"), *arguments])
        assert status == 0
        overrides = [a for a in arguments if "=" in a]
        results = folder / "runs" / "tiny"
        rows = json.loads((results / "results.json").read_text())
        return TinyRun(load_benchmark(path, overrides), results, rows)

    return run


@pytest.fixture(scope="session")
def tiny(run_tiny):
    """The tiny benchmark, run once, one job at a time."""
    return run_tiny("--jobs", "1")


@pytest.fixture
def refused(capsys):
    """Assert that a command is refused as wrong input, in one line; returns that line."""

    def check(*arguments):
        assert main([str(a) for a in arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("pml-hyperbolic: ")
        assert captured.err.count("\n") == 1
        return captured.err

    return check


@pytest.fixture
def write_run(tmp_path):
    """A function that writes the folder of a finished run, as ``run`` leaves it: that folder.

    ``scores`` are (Q,) average precisions, of which the row holds the mean; R@1 is half of each.
    """

    def write(
        method="a",
        scores=(0.5, 0.5),
        *,
        space="euclidean",
        fold=0,
        seed=0,
        benchmark="bench",
        queries=True,
        indices=None,
        packages=None,
        environment=None,
        **changes,
    ):
        folder = tmp_path / benchmark / method / f"fold{fold}_seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        scores = np.asarray(scores, np.float32)
        # Queries without a match have no score and are not counted.
        mean = float(np.nanmean(scores, dtype=np.float64))
        row = {
            "method": method,
            "space": space,
            "fold": fold,
            "seed": seed,
            "epoch": seed + 1,
            "seconds": 2.0,
            "dimension": 4,
            "total_dimension": 4,
            "protocol_hash": "aaa",
            "data": "same",
            "method_hash": f"hash of {method}",
            "parameters": {"trunk": 100, "head": 20, "loss": 5},
            "test": {
                "precision_at_1": mean / 2,
                "r_precision": mean,
                "mean_average_precision_at_r": mean,
            },
            "validation": {"mean_average_precision_at_r": 0.1},
            **changes,
        }
        result = folder / "result.json"
        rows = json.loads(result.read_text()) if result.exists() else []
        result.write_text(json.dumps([*rows, row]))
        environment = {"packages": packages or {"torch": "2.5"}, **(environment or {})}
        (folder / "environment.json").write_text(json.dumps(environment))
        if queries:
            file = folder / "queries.npz"
            arrays = dict(np.load(file)) if file.exists() else {}
            arrays |= {
                f"{space}/average_precision_at_r": scores,
                f"{space}/precision_at_1": scores / 2,
                f"{space}/r_precision": scores,
                "test_indices": np.arange(len(scores)) if indices is None else indices,
            }
            np.savez(file, **arrays)
        return folder

    return write

"""scripts/tree_curvature.py trains and scores as the runs of ablations/tree.yaml do."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss

from pml_hyperbolic.benchmark.assembly.pipeline import Pipeline
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.datasets import keep_batch
from pml_hyperbolic.benchmark.results.metric_names import MAP_AT_R
from pml_hyperbolic.distances import PoincareSimilarity

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "tree_curvature.py"
SMALL = [
    "protocol.data.tree.branching=depth_3",
    "protocol.embedding_size=dim_4",
    "protocol.data.tree.points_per_leaf=4",
    "protocol.steps_per_epoch=6",
    "protocol.seeds=[3, 4]",
]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tree_curvature", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tree_curvature"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def config(script):
    return load_benchmark(script.CONFIG, SMALL)


@pytest.mark.parametrize("c", [1e-4, 0.1, 1.0])
def test_similarities_and_losses_are_those_of_the_package(script, c):
    vectors = 2 * torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    assert (vectors.norm(dim=1) > 2.3).any()
    labels = torch.arange(24)[:, None] // torch.tensor([2, 6])
    distance = PoincareSimilarity(c=c)
    mine = script.similarity(vectors[None], torch.tensor([c]))
    others = ~torch.eye(24, dtype=torch.bool)
    torch.testing.assert_close(mine[0][others], distance(vectors)[others], atol=1e-4, rtol=1e-4)
    loss = MultiSimilarityLoss(2, 20, 0.5, distance=distance)
    expected = sum(loss(vectors, labels[:, level]) for level in range(2))
    found = script.multi_similarity(mine, labels[None], torch.tensor([20.0]))
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("method", ["cosine", "flat", "c_0_1", "c_1"])
@pytest.mark.parametrize("all_levels", [False, True])
def test_training_and_scores_are_those_of_a_run(script, config, method, all_levels):
    data = ProtocolData(config.protocol)
    name = f"{method}_levels" if all_levels else method
    train_set = data.fold(0).subsets(0.0, 1.0, torch.device("cpu"))["train"]
    material = {seed: script.seed_material(config, data, train_set, seed) for seed in (3, 4)}
    # A second run beside it must not matter.
    jobs = [script.Job(4, "c_1", 0.01, 5), script.Job(3, method, 0.03, 50)]
    heads = script.train(config, material, jobs, all_levels)
    run = Pipeline(data, config.methods[name], name, seed=3)
    run.trainer().train(num_epochs=1)
    linear = run.models["embedder"][-1]
    torch.testing.assert_close(heads.weights[1], linear.weight.detach(), atol=1e-3, rtol=0)
    torch.testing.assert_close(heads.biases[1], linear.bias.detach(), atol=1e-3, rtol=0)
    assert (heads.weights[1] - material[3].heads[method]).abs().max() > 0.05
    tester, test = run.tester(), run.subsets["test"]
    embeddings, labels = tester.get_all_embeddings(test, *run.models.values(), keep_batch)
    ((_, calculator),) = tester.accuracy_calculator.spaces.values()
    scores = script.map_at_r(embeddings[None], heads.curvatures[1], labels)
    for level, score in enumerate(scores):
        expected = calculator.get_accuracy(embeddings, labels[:, level])[MAP_AT_R]
        assert score == pytest.approx(expected, abs=2e-3)


def test_curvatures_and_settings_are_those_of_the_config(script, config):
    for method, c in script.CURVATURES.items():
        given = config.methods[method].loss["MultiSimilarityLoss"]
        assert (given["alpha"], given["base"]) == (script.ALPHA, script.BASE)
        if math.isnan(c):
            assert "distance" not in given
        else:
            assert given["distance"] == {
                "PoincareSimilarity": {"c": c, "clip_radius": script.CLIP_RADIUS}
            }


def test_settings_are_exchanged(script, config):
    found = [
        {"method": method, "rate": rate, "scale": scale}
        for method, rate, scale in (("c_0_1", 0.01, 5), ("flat", 0.1, 80), ("cosine", 0.03, 20))
    ]
    rows = script.exchanged(config, False, found)
    assert [(row["seed"], row["method"], row["rate"], row["scale"]) for row in rows] == [
        (seed, method, rate, scale)
        for seed in (3, 4)
        for method, rate, scale in (("c_0_1", 0.1, 80), ("flat", 0.01, 5))
    ]
    # Nothing but the settings differs from the training that the tests above compare with runs.
    data, subsets, material = script.prepared(config)
    heads = script.train(config, material, [script.Job(4, "flat", 0.01, 5)], False)
    features, labels = script.scored(data, subsets["test"])
    expected = script.map_at_r(heads.embed(0, features), heads.curvatures[0], labels)
    assert rows[-1]["test"] == pytest.approx(expected, abs=2e-3)


def test_a_report_compares_what_was_trained_alike(script):
    rows = [
        {
            "benchmark": "depth_5_dim_4",
            "method": method,
            "seed": seed,
            "all_levels": True,
            "test": [score + 0.01 * seed, 0.5, 0.5 + score],
            **settings,
        }
        for seed in range(3)
        for method, score, settings in (
            ("cosine", 0.0, {}),
            ("flat", 0.1, {}),
            ("c_0_1", 0.2, {}),
            ("c_1", 0.0, {}),
            ("c_0_1", 0.13, {"settings_of": "flat"}),
            ("flat", 0.22, {"settings_of": "c_0_1"}),
        )
    ]
    rows += [{**row, "all_levels": False} for row in rows if "settings_of" not in row]
    lines = script.report(rows).splitlines()
    assert lines[-1] == (
        "| all levels, depth 5 dim 4 | -2.0 ± 0.0 / +3.0 ± 0.0 | +0.0 ± 0.0 / +0.0 ± 0.0 | "
        "-2.0 ± 0.0 / +3.0 ± 0.0 |"
    )
    assert sum(line.startswith("| depth 5 dim 4 | ") for line in lines) == 6
    assert "| depth 5 dim 4 | 1.0 | 11.0 | 21.0 | 1.0 | **+10.0 ± 0.0** |" in script.report(rows)


def test_a_report_pairs_seeds(script):
    rows = [
        {
            "benchmark": "depth_2_dim_2",
            "method": method,
            "seed": seed,
            "all_levels": False,
            "test": [0.1 + 0.01 * seed + shift, 0.5, 0.5],
        }
        for seed in range(3)
        for method, shift in {"cosine": 0, "flat": 0.01, "c_0_1": 0.03, "c_1": 0.0}.items()
    ]
    rows += [{**row, "all_levels": True} for row in rows]
    line = next(one for one in script.report(rows).splitlines() if one.startswith("| depth"))
    assert line == (
        "| depth 2 dim 2 | 11.0 | 12.0 | 14.0 | 11.0 | **+2.0 ± 0.0** | **-1.0 ± 0.0** |"
    )

"""The benchmark's MultiSimilarity on real photos scores what a plain PyTorch + PML loop scores."""

import math
import statistics
import zipfile
from pathlib import Path

import pytest
from scipy import stats

from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.running.single_run import execute_run
from tests.conftest import shared_path
from tests.references.multi_similarity_loop import MAP, train_and_score

BIRDS = Path(__file__).resolve().parents[3] / "benchmark_configs" / "birds_frozen.yaml"
SEEDS = range(10, 15)


@pytest.fixture
def birds(tmp_path):
    """A folder with every fourth photo of the shared birds."""
    with zipfile.ZipFile(shared_path("data", "cub200_100species_227px.zip")) as archive:
        for name in sorted(archive.namelist())[::4]:
            archive.extract(name, tmp_path / "birds")
    return tmp_path / "birds"


def test_multi_similarity_scores_what_a_plain_loop_scores(birds, tmp_path, monkeypatch):
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    weights = shared_path("data", "weights", "tf_efficientnet_lite0.pth")
    overrides = [
        f"protocol.data.image_folder.root={birds}",
        f"protocol.backbone.timm.weights={weights}",
        "protocol.image={size: 64}",
        "keep_snapshots=false",
    ]
    config = load_benchmark(BIRDS, overrides)
    protocol = config.protocol
    data = ProtocolData(protocol)
    (row,) = execute_run(config, "multi_similarity", 0, 0, tmp_path / "run", data=data)
    expected = [
        train_and_score(
            data.frozen_trunk.features,
            data.dataset.labels[:, 0],
            data.fold(0).classes._asdict(),
            seed=seed,
            head_lr=config.methods["multi_similarity"].head_lr,
            epochs=protocol.epochs,
            steps=protocol.steps_per_epoch,
            warmup=protocol.schedule.warmup_steps,
        )
        for seed in SEEDS
    ]
    # The 95% interval of one more seed, by Student's t.
    mean, deviation = statistics.fmean(expected), statistics.stdev(expected)
    quantile = stats.t.ppf(0.975, len(expected) - 1)
    half_width = quantile * deviation * math.sqrt(1 + 1 / len(expected))
    assert abs(row.test[MAP] - mean) < half_width
    # An interval of many points would show nothing.
    assert half_width < 0.03

"""The benchmark's MultiSimilarity on real photos scores what a plain PyTorch + PML loop scores."""

import shutil
import zipfile
from pathlib import Path

import pytest
from scipy import stats

from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.running.single_run import execute_run
from pml_hyperbolic.images.image_cache import cache_folder
from tests.conftest import shared_path
from tests.references.multi_similarity_loop import MAP, train_and_score

BIRDS = Path(__file__).resolve().parents[3] / "benchmark_configs" / "birds_frozen.yaml"
OUR_SEEDS = range(5)
LOOP_SEEDS = range(10, 22)


@pytest.fixture
def some_birds(tmp_path):
    """Overrides that take every fourth photo of the shared birds, at 64 pixels."""
    with zipfile.ZipFile(shared_path("data", "cub200_100species_227px.zip")) as archive:
        for name in sorted(archive.namelist())[::4]:
            archive.extract(name, tmp_path / "birds")
    return [f"protocol.data.image_folder.root={tmp_path / 'birds'}", "protocol.image={size: 64}"]


@pytest.fixture
def all_birds(cache):
    """Overrides that take all photos as the benchmark does.

    Features that a benchmark left in the user's cache are taken from there: they need minutes.
    """
    for features in cache_folder().glob("image_folder-features-*.npz"):
        shutil.copy(features, cache)
    archive = shared_path("data", "cub200_100species_227px.zip")
    return [f"protocol.data.image_folder.root={archive}"]


@pytest.fixture
def cache(tmp_path):
    """A folder for decoded photos and features."""
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("birds", "widest"),
    # The half widths were measured as 0.4 and 1.0 points of MAP@R.
    [("some_birds", 0.01), pytest.param("all_birds", 0.015, marks=pytest.mark.long)],
)
def test_multi_similarity_scores_what_a_plain_loop_scores(
    birds, widest, cache, tmp_path, monkeypatch, request
):
    chosen = request.getfixturevalue(birds)
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(cache))
    weights = shared_path("data", "weights", "tf_efficientnet_lite0.pth")
    overrides = [
        *chosen,
        f"protocol.backbone.timm.weights={weights}",
        "keep_snapshots=false",
    ]
    config = load_benchmark(BIRDS, overrides)
    protocol = config.protocol
    data = ProtocolData(protocol)
    ours = []
    for seed in OUR_SEEDS:
        folder = tmp_path / f"run{seed}"
        (row,) = execute_run(config, "multi_similarity", 0, seed, folder, data=data)
        ours.append(row.test[MAP])
    loops = [
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
        for seed in LOOP_SEEDS
    ]
    # The means differ by chance alone: the 95% interval of their difference, by Student's t.
    interval = stats.ttest_ind(ours, loops).confidence_interval(0.95)
    assert interval.low < 0 < interval.high
    # An interval of many points would show nothing.
    assert (interval.high - interval.low) / 2 < widest

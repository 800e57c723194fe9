"""CHEST's tree of proxies through a whole run: trained with HypHC, decoded, stored, reported."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.analysis import hyphc_tree, measure_tree
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.datasets import DATASETS
from pml_hyperbolic.benchmark.reporting.report import make_report
from pml_hyperbolic.benchmark.results.run_measures import (
    CLASS_MEANS,
    DECODED_PROXIES,
    read_measures,
)
from pml_hyperbolic.benchmark.running.runner import run_benchmark
from pml_hyperbolic.distances import PoincareDistance

from ..conftest import METHODS, PROTOCOL
from ..shop import Shop

SPLITS = {"train": [0, 2, 4, 6], "validation": [8, 9], "test": [1, 3, 5, 7]}


@pytest.fixture
def run_chest(write_config, monkeypatch, tmp_path):
    """A function that trains CHEST for a few steps with a weight of HypHC: the run's folder."""
    monkeypatch.setitem(DATASETS, "shop", Shop)

    def run(weight):
        loss = {**METHODS["chest"]["loss"]["CHESTLoss"], "centers_per_class": 1}
        chest = {**METHODS["chest"], "loss": {"CHESTLoss": {**loss, "hierarchy_weight": weight}}}
        protocol = {**PROTOCOL, "data": "shop", "splits": SPLITS, "seeds": [0]}
        content = {"name": "shop", "protocol": protocol, "methods": ["chest"]}
        folder = tmp_path / str(weight)
        config = load_benchmark(write_config(folder, content, {"chest": chest}))
        _, failures = run_benchmark(config, folder, jobs=1, show_progress=False)
        assert failures == []
        return folder / "shop" / "chest" / "fold0_seed0"

    return run


def proxies_of(folder):
    """The learned hyperbolic proxies, a row a training class."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["loss_funcs"]["metric_loss"]
    (name,) = [name for name in state if name.endswith("hyperbolic.fc")]
    return state[name].t()


def test_the_decoded_tree_is_measured_and_reported(run_chest):
    folder = run_chest(1)
    stored = read_measures(folder / "measures.json").spaces
    assert set(stored["euclidean"].trees) == {CLASS_MEANS}
    found = stored["hyperbolic"].trees[DECODED_PROXIES]
    assert stored["hyperbolic"].problems == []
    # The same tree from the checkpoint alone: one proxy a class, superclasses 0, 0, 1 and 1.
    tree = hyphc_tree(proxies_of(folder), PoincareDistance(c=0.1, clip_radius=2.3))
    expected = measure_tree(tree, {"size": np.array([0, 0, 1, 1])}, draws=100)
    assert set(found) == set(expected) == {"tree_correlation", "dendrogram_purity/size"}
    for name, measure in expected.items():
        assert found[name].value == pytest.approx(measure.value)
        assert found[name].random_mean == pytest.approx(measure.random_mean)
    table = make_report([folder.parents[1]]).hierarchy.tables[0]
    (row,) = [row for row in table.rows if row[2] == DECODED_PROXIES]
    cells = dict(zip(table.header, row, strict=True))
    assert cells["space"] == "hyperbolic"
    assert cells["purity (size)"].startswith(f"{found['dendrogram_purity/size'].value:.2f}")
    # The gallery is searched for the neighbors of the queries.
    (near,) = {row[table.header.index("tree distance of top 10")] for row in table.rows[:1]}
    assert near != "-"


def test_the_weight_of_hyphc_moves_the_proxies(run_chest):
    assert not torch.equal(proxies_of(run_chest(1)), proxies_of(run_chest(0)))

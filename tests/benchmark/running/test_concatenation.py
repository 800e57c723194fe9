"""Runs on a data set with superclasses, official test classes and a query/gallery protocol."""

import csv

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.datasets import DATASETS
from pml_hyperbolic.benchmark.running.runner import run_benchmark
from pml_hyperbolic.distances import PoincareDistance

from ..shop import Shop


@pytest.fixture
def shop(monkeypatch):
    monkeypatch.setitem(DATASETS, "shop", Shop)


OVERRIDES = (
    "protocol.data=shop",
    "protocol.splits={test: official, folds: 2}",
    "protocol.sampler={batch_size: 8, samples_per_class: 4}",
    "protocol.epochs=1",
    "protocol.steps_per_epoch=2",
    "protocol.seeds=[0]",
    "methods=[hier, chest]",
)


def test_queries_are_searched_in_the_gallery_on_every_level(shop, load, tmp_path):
    config = load(*OVERRIDES)
    rows, failures = run_benchmark(config, tmp_path, jobs=1, say=print, show_progress=False)
    assert failures == []
    data = Shop()
    asked, answers = np.flatnonzero(data.query), np.flatnonzero(data.gallery)
    of_test = np.flatnonzero(np.isin(data.labels[:, 0], data.test_classes))
    embeddings = {}
    for row in rows:
        folder = tmp_path / "tiny" / row.method / f"fold{row.fold}_seed0"
        every = torch.from_numpy(np.load(folder / "test_embeddings.npy"))
        assert len(every) == len(of_test)
        with np.load(folder / "queries.npz") as queries:
            assert np.array_equal(queries["test_indices"], asked)
            values = queries[f"{row.space}/precision_at_1"]
        assert values.mean(dtype=float) == pytest.approx(row.test["precision_at_1"], abs=1e-6)
        if row.space == "hyperbolic":
            part = every[:, -row.dimension :]
            embeddings.setdefault(row.method, {})[row.fold] = part
            hits = nearest(part, of_test, asked, answers, data.labels, PoincareDistance(c=0.1))
            assert np.array_equal(hits[0], values)
            assert row.test_levels["size"]["precision_at_1"] == pytest.approx(hits[1].mean())
        assert row.levels == ["digit", "size"]
        assert set(row.test_levels) == {"size"}
    # The models of both folds together, each tangent vector within the clip radius.
    for name, parts in embeddings.items():
        clipped = [
            part * (2.3 / part.norm(dim=1, keepdim=True)).clamp(max=1) / 2**0.5
            for part in parts.values()
        ]
        both = torch.cat(clipped, dim=1)
        hits = nearest(both, of_test, asked, answers, data.labels, PoincareDistance(c=0.1))
        for row in rows:
            if (row.method, row.space) == (name, "hyperbolic"):
                assert row.concatenated["precision_at_1"] == pytest.approx(hits[0].mean())
                together = row.concatenated_levels["size"]
                assert together["precision_at_1"] == pytest.approx(hits[1].mean())
    with (tmp_path / "tiny" / "results.csv").open(newline="") as file:
        splits = {(line["split"], line["level"]) for line in csv.DictReader(file)}
    assert splits == {
        ("train", "digit"),
        ("validation", "digit"),
        ("test", "digit"),
        ("test", "size"),
        ("concatenated", "digit"),
        ("concatenated", "size"),
    }


def nearest(part, rows, asked, answers, labels, distance):
    """Return, for each level, whether the nearest gallery image of each query has its label."""
    place = {index: row for row, index in enumerate(rows)}
    query = part[[place[i] for i in asked]]
    gallery = part[[place[i] for i in answers]]
    first = answers[distance(query, gallery).argmin(1).numpy()]
    return (labels[first] == labels[asked]).T.astype(np.float32)

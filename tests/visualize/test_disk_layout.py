"""The layout of the disk, and what is taken from the true space instead."""

import sys

import numpy as np
import pytest
import torch

from pml_hyperbolic.analysis import nearest_neighbors, read_embeddings
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.functional import poincare_distance
from pml_hyperbolic.visualize import disk_layout
from pml_hyperbolic.visualize.disk_layout import _centered, disk_frames

BALL = PoincareDistance(c=0.5, clip_radius=2.0)
LABELS = np.repeat(np.arange(5), 16)


def hierarchy_of(seed):
    """Samples around five class centres, and a proxy for each class and for two superclasses."""
    generator = torch.Generator().manual_seed(seed)
    centers = 2 * torch.randn(5, 6, generator=generator)
    samples = centers[torch.from_numpy(LABELS)] + 0.2 * torch.randn(80, 6, generator=generator)
    coarse = torch.stack([centers[:2].mean(0), centers[2:].mean(0)])
    return samples, torch.cat([centers, coarse])


@pytest.fixture(scope="module")
def frames():
    pytest.importorskip("umap")
    epochs = [hierarchy_of(0), hierarchy_of(0)]
    return disk_frames(
        [samples for samples, _ in epochs],
        [proxies for _, proxies in epochs],
        distance=BALL,
        titles=["epoch 1", "epoch 2"],
        pairs=30,
    )


def test_every_point_lies_in_the_unit_disk(frames):
    for frame in frames:
        assert frame.samples.shape == (80, 2)
        assert frame.proxies.shape == (7, 2)
        assert np.linalg.norm(np.concatenate([frame.samples, frame.proxies]), axis=1).max() < 1
        assert frame.geometry == "geodesic distance, c = 0.5"
        assert frame.dimension == 6


def test_neighbours_stay_together(frames):
    samples = torch.from_numpy(frames[0].samples)
    distances = poincare_distance(samples[:, None], samples[None], c=1.0).fill_diagonal_(9e9)
    nearest = distances.argmin(1).numpy()
    assert (LABELS[nearest] == LABELS).mean() > 0.95


def test_the_same_seed_gives_the_same_frames(frames):
    samples, proxies = hierarchy_of(0)
    again = disk_frames([samples], [proxies], distance=BALL, titles=["epoch 1"], pairs=30)[0]
    for name, value in vars(frames[0]).items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)


def test_a_later_epoch_starts_from_the_one_before(frames):
    # The same embedding again: points stay where they were, rather than turn or mirror.
    first, second = (frame.samples for frame in frames)
    classes = [
        np.median(points[k == LABELS], axis=0) for points in (first, second) for k in range(5)
    ]
    moved = np.linalg.norm(np.array(classes[:5]) - np.array(classes[5:]), axis=1)
    assert moved.max() < 0.25


def test_radii_pairs_and_ancestors_come_from_the_true_space(frames):
    samples, proxies = hierarchy_of(0)
    frame = frames[0]
    np.testing.assert_allclose(frame.radii, 2 * samples.norm(dim=1).clamp(max=2.0), rtol=1e-5)
    np.testing.assert_allclose(frame.proxy_radii, 2 * proxies.norm(dim=1).clamp(max=2.0), rtol=1e-5)
    assert frame.limit == 4.0
    _, nearest = nearest_neighbors(samples, 1, BALL)
    to_proxies = BALL(samples, proxies).numpy()
    assert len(frame.pairs) == len(np.unique(frame.pairs[:, 0])) == 30
    for (i, j), ancestor in zip(frame.pairs, frame.ancestors, strict=True):
        assert nearest[i, 0] == j
        worst = np.maximum(to_proxies[i], to_proxies[j])
        assert worst[ancestor] == pytest.approx(worst.min())
    among = BALL(proxies).numpy()
    assert len(frame.proxy_pairs)
    for (p, q), ancestor in zip(frame.proxy_pairs, frame.proxy_ancestors, strict=True):
        assert {p, q} <= set(frame.ancestors)
        worst = np.maximum(among[p], among[q])
        worst[[p, q]] = np.inf
        assert worst[ancestor] == pytest.approx(worst.min())


def test_centring_is_an_isometry_that_puts_the_median_at_the_origin():
    layout = np.random.default_rng(0).normal(size=(200, 2)) * 2 + 5
    moved = _centered(layout)

    def pairwise(points):
        time = np.sqrt(1 + (points**2).sum(1))
        return np.arccosh(np.maximum(np.outer(time, time) - points @ points.T, 1))

    np.testing.assert_allclose(pairwise(moved), pairwise(layout), atol=1e-5)
    radii = np.linalg.norm(moved, axis=1, keepdims=True)
    assert np.linalg.norm((moved / radii).mean(0)) < 1e-2


@pytest.mark.parametrize("count", [4, 5, 17])
@pytest.mark.parametrize("distance", [None, BALL])
def test_few_points_and_cosine(count, distance):
    pytest.importorskip("umap")
    frame = disk_frames([torch.randn(count, 3)], distance=distance)[0]
    assert np.isfinite(frame.samples).all()
    assert frame.proxies.shape == (0, 2)
    assert len(frame.pairs) == len(frame.proxy_pairs) == 0
    assert frame.limit == (None if distance is None else 4.0)


@pytest.mark.parametrize(
    ("distance", "near"), [(None, 0.999), (BALL, 0.999), (PoincareDistance(clip="smooth"), 0.99)]
)
def test_frames_say_from_where_a_radius_is_at_its_limit(distance, near, monkeypatch):
    monkeypatch.setattr(disk_layout, "_layout", lambda rows, *_: np.eye(len(rows), 2))
    assert disk_frames([torch.randn(6, 3)], distance=distance)[0].near == near


def test_equal_points_are_laid_out():
    pytest.importorskip("umap")
    frame = disk_frames([torch.ones(20, 3)], distance=BALL)[0]
    assert np.isfinite(frame.samples).all()


def test_the_embeddings_of_hiers_authors_gather_in_their_classes(hier_cars):
    pytest.importorskip("umap")
    file = read_embeddings(
        hier_cars / "cars_examples_train.pt",
        proxies=hier_cars / "cars_examples_lca.pt",
        c=0.1,
        clip_radius=2.3,
        inputs="ball",
    )
    rows = np.flatnonzero(file.labels < 20)
    frame = disk_frames([file.embeddings[rows]], [file.proxies], distance=file.distance)[0]
    samples = torch.from_numpy(frame.samples)
    distances = poincare_distance(samples[:, None], samples[None], c=1.0).fill_diagonal_(9e9)
    nearest = distances.argmin(1).numpy()
    # Chance is 0.05. Some of these classes are the same car of another year.
    assert (file.labels[rows][nearest] == file.labels[rows]).mean() > 0.8
    assert (
        np.linalg.norm(frame.samples, axis=1).mean() > np.linalg.norm(frame.proxies, axis=1).mean()
    )
    np.testing.assert_allclose(frame.radii, 4.6, atol=1e-3)


def test_without_umap_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"pip install 'pml-hyperbolic\[plots\]'"):
        disk_frames([torch.randn(10, 3)], distance=BALL)


@pytest.mark.parametrize(
    ("embeddings", "options", "message"),
    [
        ([], {}, "one embedding an epoch"),
        ([torch.ones(5, 2)], {"proxies": []}, "one embedding an epoch"),
        ([torch.ones(3, 2)], {}, "at least 4 samples"),
        ([torch.ones(5, 2)], {"titles": ["a", "b"]}, "2 titles for 1"),
        ([torch.ones(5, 2)], {"proxies": [torch.ones(2, 3)]}, "proxies must have 2 columns"),
        ([torch.full((5, 2), torch.nan)], {}, "5 of the 5 embeddings contain NaN"),
        ([torch.ones(5, 2)], {"neighbors": 1}, "neighbors must be at least 2"),
    ],
)
def test_wrong_input_is_refused(embeddings, options, message):
    with pytest.raises(InputError, match=message):
        disk_frames(embeddings, distance=BALL, **options)


def test_epochs_of_other_samples_are_refused():
    pytest.importorskip("umap")
    with pytest.raises(InputError, match="every epoch must hold the same samples"):
        disk_frames([torch.randn(8, 3), torch.randn(9, 3)], distance=BALL)

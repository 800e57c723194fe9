"""Exact search and k-means against brute force in float64, written here from the arccosh form."""

import logging
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils.inference import InferenceModel

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.functional.poincare import lorentz_lift
from pml_hyperbolic.utils import retrieval
from pml_hyperbolic.utils.retrieval import PoincareKMeans, PoincareKNN

BALL = PoincareDistance(c=1.0, clip_radius=None, inputs="ball")


def brute_force(query, reference, distance, leave_out_own=False):
    """All distances in float64, row by row from the direct difference of the mapped points."""
    c = distance.c
    x, y = distance.to_ball(query.double()), distance.to_ball(reference.double())
    inner = 1 - c * y.square().sum(1)
    rows = [2 * c * (p - y).square().sum(1) / ((1 - c * p.square().sum()) * inner) for p in x]
    w = torch.stack(rows)
    distances = torch.log1p(w + (w * (w + 2)).sqrt()) / math.sqrt(c)
    if leave_out_own:
        distances.fill_diagonal_(math.inf)
    return distances


def assert_exact(found, expected, k, tolerance=1e-10):
    """Same distances as brute force, and same indices except where distances tie."""
    distances, indices = found
    best, order = expected.sort(dim=1, stable=True)
    rtol = tolerance if distances.dtype == torch.float64 else 1e-6
    torch.testing.assert_close(distances.double(), best[:, :k], rtol=rtol, atol=1e-15)
    mine = expected.gather(1, indices)
    differs = indices != order[:, :k]
    gap = (mine - best[:, :k]).abs() / best[:, :k].clamp(min=1e-300)
    assert bool((gap[differs] < tolerance).all())
    assert all(len(set(row)) == k for row in indices.tolist())


def directions(count, size):
    return torch.nn.functional.normalize(torch.randn(count, size, dtype=torch.float64))


def clipped():
    return 10 * directions(400, 32).float(), PoincareDistance()


def near_boundary():
    return 0.9999 * directions(400, 32), BALL


def near_duplicates():
    base = torch.randn(40, 16, dtype=torch.float64)
    return (base.repeat(10, 1) + 1e-4 * directions(400, 16)), PoincareDistance()


def near_duplicates_at_the_boundary():
    base = directions(20, 16).repeat(20, 1) + 1e-4 * directions(400, 16)
    return 0.9999 * torch.nn.functional.normalize(base), BALL


def mixed_radii():
    return directions(400, 32) * torch.rand(400, 1, dtype=torch.float64) * 0.999, BALL


def flat_twin():
    return torch.randn(400, 32), PoincareDistance(c=1e-4)


def tiny_norms():
    return 1e-12 * torch.randn(100, 8), PoincareDistance()


CASES = [
    clipped,
    near_boundary,
    near_duplicates,
    near_duplicates_at_the_boundary,
    mixed_radii,
    flat_twin,
    tiny_norms,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("own", [True, False])
def test_equals_brute_force(case, own, backend):
    x, distance = case()
    knn = PoincareKNN(distance)
    expected = brute_force(x, x, distance, leave_out_own=own)
    for k in (1, 10):
        assert_exact(knn(x, k, x, own), expected, k)
        assert knn.all_certified
        assert 0 <= knn.second_look_fraction <= 1


@pytest.mark.parametrize("k", [150, 399])
def test_large_k(k, backend):
    x, distance = mixed_radii()
    found = PoincareKNN(distance)(x, k, x, True)
    assert_exact(found, brute_force(x, x, distance, leave_out_own=True), k)


def test_no_second_looks_on_ordinary_embeddings():
    knn = PoincareKNN(PoincareDistance())
    x = torch.randn(1000, 64)
    knn(x, 1, x, True)
    assert knn.second_look_fraction == 0


def test_score_brackets_the_exact_value():
    """The bound of the derivation holds for every pair, and is not vacuous."""
    for case in CASES:
        x, distance = case()
        points = retrieval._Points(x, distance)
        every = slice(0, len(x))
        ball = points.ball_points(every)
        gaps = torch.stack([(p - ball).square().sum(1) for p in ball])
        w = 2 * distance.c * gaps * torch.outer(points.conformal, points.conformal)
        for dtype in (torch.float32, torch.float64):
            left, right = points.as_queries(every, dtype), points.as_references(every, dtype)
            scores = (left @ right.T).double()
            eta, floor = retrieval._error_bound(x.shape[1], dtype)
            a, s = points.excess, points.spread
            magnitude = torch.outer(1 + a, a) + a[:, None] + torch.outer(s, s)
            assert bool((scores >= -w).all())
            assert bool((scores - 2.02 * (eta * magnitude + floor) <= -w).all())


def test_lift_agrees_with_lorentz_lift():
    x, distance = clipped()
    points = retrieval._Points(x, distance)
    lifted = lorentz_lift(distance.to_ball(x.double()), c=distance.c)
    every = slice(0, len(x))
    torch.testing.assert_close(1 + points.excess, lifted[:, 0], rtol=1e-12, atol=0)
    torch.testing.assert_close(points.space(every), lifted[:, 1:], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype, backend):
    x = torch.randn(100, 16).to(dtype)
    distances, indices = found = PoincareKNN(PoincareDistance())(x, 3, x, True)
    assert distances.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert indices.dtype == torch.long
    assert_exact(found, brute_force(x, x, PoincareDistance(), leave_out_own=True), 3)


@pytest.mark.parametrize("bounded", [True, False])
def test_similarity_gives_the_same_geodesic_distances(bounded):
    x = torch.randn(60, 8)
    expected = PoincareKNN(PoincareDistance())(x, 4, x)
    found = PoincareKNN(PoincareSimilarity(bounded=bounded))(x, 4, x)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("distinct", [1, 5])
def test_twins_come_lowest_index_first_and_only_the_query_itself_is_left_out(distinct, backend):
    x = torch.randn(distinct, 6).repeat(60, 1)
    distances, indices = PoincareKNN(PoincareDistance())(x, 3, x, True)
    assert bool((distances == 0).all())
    for row, found in enumerate(indices.tolist()):
        twins = [i for i in range(row % distinct, len(x), distinct) if i != row]
        assert found == twins[:3]


def test_queries_may_be_the_first_references_only(backend):
    reference = torch.randn(90, 8)
    query = reference[:30]
    distances = brute_force(query, reference, PoincareDistance())
    distances[torch.arange(30), torch.arange(30)] = math.inf
    assert_exact(PoincareKNN(PoincareDistance())(query, 5, reference, True), distances, 5)


@given(
    count=st.integers(2, 40),
    size=st.integers(1, 9),
    chunk=st.integers(1, 50),
    c=st.floats(1e-4, 5),
    seed=st.integers(0, 99),
)
def test_any_shape_chunk_and_curvature(count, size, chunk, c, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, size, generator=generator, dtype=torch.float64)
    distance = PoincareDistance(c=c)
    k = 1 + seed % (count - 1)
    found = PoincareKNN(distance, chunk_size=chunk, num_candidates=1)(x, k, x, True)
    assert_exact(found, brute_force(x, x, distance, leave_out_own=True), k, tolerance=1e-8)


def test_chunks_change_nothing(backend):
    x, distance = near_duplicates()
    whole = PoincareKNN(distance)(x, 9, x)
    pieces = PoincareKNN(distance, chunk_size=37)(x, 9, x)
    assert torch.equal(whole[0], pieces[0])
    assert torch.equal(whole[1], pieces[1])


def test_memory_mapped_references(tmp_path):
    path = tmp_path / "references.npy"
    x = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")
    np.save(path, x)
    mapped = np.load(path, mmap_mode="c")
    knn = PoincareKNN(PoincareDistance(), chunk_size=50)
    found = knn(torch.from_numpy(x[:40]), 3, mapped)
    assert torch.equal(found[1], knn(torch.from_numpy(x[:40]), 3, torch.from_numpy(x))[1])


def test_inputs_are_left_as_they_were():
    x = torch.randn(50, 4, dtype=torch.float64)
    before = x.clone()
    PoincareKNN(PoincareDistance())(x, 3, x)
    PoincareKMeans(PoincareDistance())(x, 3)
    assert torch.equal(x, before)


def test_no_precision_setting_or_autocast_reaches_the_torch_search(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    x, distance = mixed_radii()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = PoincareKNN(distance)(x, 5, x, True)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert_exact(found, brute_force(x, x, distance, leave_out_own=True), 5)


def test_stored_references():
    first, second, query = torch.randn(50, 8), torch.randn(30, 8), torch.randn(20, 8)
    knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
    knn.add(first)
    knn.add(second)
    expected = PoincareKNN(PoincareDistance())(query, 5, torch.cat([first, second]))
    assert torch.equal(knn(query, 5)[1], expected[1])
    assert torch.equal(knn(query, 5)[1], expected[1])
    knn.train(first)
    assert torch.equal(knn(query, 5, second)[1], expected[1])
    knn.reset()
    with pytest.raises(ValueError, match="no references"):
        knn(query, 5)


def test_stored_references_are_copies():
    x = torch.randn(30, 4)
    knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
    knn.train(x)
    query, before = x[:5].clone(), knn(x[:5], 2)
    x.zero_()
    assert torch.equal(knn(query, 2)[1], before[1])


def test_save_and_load(tmp_path):
    file = str(tmp_path / "references.pt")
    x, distance = near_duplicates()
    knn = PoincareKNN(distance, reset_before=False, reset_after=False)
    with pytest.raises(ValueError, match="no references to save"):
        knn.save(file)
    knn.train(x)
    knn.save(file)
    other = PoincareKNN(PoincareSimilarity(), reset_before=False, reset_after=False)
    other.load(file)
    assert torch.equal(other(x, 5)[1], knn(x, 5)[1])
    flat = PoincareKNN(PoincareDistance(c=0.2), reset_before=False)
    flat.add(x[:7])
    with pytest.raises(ValueError, match=r"saved under .*0\.1.*0\.2"):
        flat.load(file)
    assert flat(x, 7)[1].max() == 6
    torch.save([1], file)
    with pytest.raises(ValueError, match="was not written by"):
        knn.load(file)


def test_in_an_inference_model(monkeypatch):
    x = torch.randn(40, 8)
    knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
    model = InferenceModel(torch.nn.Identity(), normalize_embeddings=False, knn_func=knn)
    model.train_knn(x)
    model.add_to_knn(x + 1)
    _, indices = model.get_nearest_neighbors(x[:5], 1)
    assert indices.flatten().tolist() == list(range(5))


@pytest.mark.parametrize("unit", [True, False])
def test_unit_norms_are_noticed_once(unit, caplog):
    x = torch.randn(40, 8)
    x = torch.nn.functional.normalize(x) if unit else x
    knn = PoincareKNN(PoincareDistance())
    with caplog.at_level(logging.WARNING, logger=c_f.LOGGER_NAME):
        knn(x, 1, x)
        knn(x, 1, x)
    assert sum("unit L2 norm" in message for message in caplog.messages) == unit


def test_broken_faiss_is_named(monkeypatch, caplog):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "faiss":
                raise ImportError("undefined symbol")

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    x = torch.randn(20, 4)
    with caplog.at_level(logging.WARNING, logger=c_f.LOGGER_NAME):
        PoincareKNN(PoincareDistance())(x, 1, x)
    assert any("undefined symbol" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda knn, x: knn(x, 41, x), "k must be at most 40"),
        (lambda knn, x: knn(x, 40, x, True), "k must be at most 39"),
        (lambda knn, x: knn(x, 0, x), "k must be an integer >= 1, got 0"),
        (lambda knn, x: knn(x, 1.5, x), "k must be an integer >= 1, got 1.5"),
        (lambda knn, x: knn(x, 1), "no references"),
        (lambda knn, x: knn(x, 1, x[:, :3]), "equally many columns"),
        (lambda knn, x: knn(x, 1, x[:3], True), "40 queries and 3 references"),
        (lambda knn, x: knn(x[0], 1, x), r"query must be .* of shape \(4,\)"),
        (lambda knn, x: knn(x.long(), 1, x), "query must be a floating-point tensor"),
        (lambda knn, x: knn(x, 1, x / 0), "NaN or infinite"),
        (lambda knn, x: PoincareKNN(BALL)(x, 1, 9 * x), "1/sqrt"),
        (lambda knn, x: PoincareKNN(PoincareDistance(), num_candidates=0), "num_candidates"),
        (lambda knn, x: PoincareKNN(PoincareDistance(), chunk_size=-1), "chunk_size"),
        (lambda knn, x: PoincareKMeans(PoincareDistance())(x, 41), "nmb_clusters must be at most"),
        (lambda knn, x: PoincareKMeans(PoincareDistance())(x, 0), "nmb_clusters must be an"),
        (lambda knn, x: PoincareKMeans(PoincareDistance(), niter=0), "niter"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(PoincareKNN(PoincareDistance()), torch.randn(40, 4))


@pytest.mark.parametrize("kind", [PoincareKNN, PoincareKMeans])
def test_flat_distances_are_refused(kind):
    with pytest.raises(TypeError, match="PoincareDistance"):
        kind(torch.nn.CosineSimilarity())


def test_bad_input_changes_nothing():
    x = torch.randn(20, 4)
    knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
    knn.train(x)
    for bad in (x[:, :2], torch.full((3, 4), math.nan)):
        with pytest.raises(ValueError, match=r"columns|NaN"):
            knn.add(bad)
        with pytest.raises(ValueError, match=r"columns|NaN"):
            knn(x, 1, bad)
    assert len(knn._references) == 20


def blobs():
    """Three clouds of tangent vectors whose mean directions differ, and their labels."""
    centres = torch.tensor([[1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]])
    return centres.repeat_interleave(40, 0) + 0.1 * torch.randn(120, 3), torch.arange(3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_kmeans_finds_clouds(dtype, backend):
    x, kinds = blobs()
    labels = PoincareKMeans(PoincareDistance())(x.to(dtype), 3)
    assert labels.dtype == torch.long
    assert labels.shape == (120,)
    assert all(len(labels[40 * kind : 40 * kind + 40].unique()) == 1 for kind in kinds)
    assert len(labels.unique()) == 3


def test_kmeans_is_a_fixed_point_and_deterministic():
    x, distance = mixed_radii()
    kmeans = PoincareKMeans(distance, niter=100)
    labels = kmeans(x, 7)
    assert torch.equal(labels, kmeans(x, 7))
    points = retrieval._Points(x, distance)
    centroids = retrieval._lorentz_centroids(points, labels, torch.zeros(400), 7)
    assert torch.equal(brute_force(x, centroids, distance).argmin(1), labels)


def test_centroid_minimises_squared_lorentzian_distance():
    x, distance = mixed_radii()
    points = retrieval._Points(x[:30], distance)
    labels = torch.zeros(30, dtype=torch.long)
    centroid = retrieval._lorentz_centroids(points, labels, torch.zeros(30), 1)

    def cost(candidate):
        return (torch.cosh(brute_force(candidate, x[:30], distance)) - 1).sum(1)

    nearby = centroid + 1e-3 * directions(200, 32)
    assert bool((cost(nearby) > cost(centroid)).all())


def test_more_runs_never_cost_more():
    x, distance = mixed_radii()
    costs = []
    for nredo in (1, 4):
        labels = PoincareKMeans(distance, nredo=nredo)(x, 20)
        points = retrieval._Points(x, distance)
        centroids = retrieval._lorentz_centroids(points, labels, torch.zeros(400), 20)
        costs.append((torch.cosh(brute_force(x, centroids, distance)).amin(1) - 1).sum())
    assert costs[1] <= costs[0] * (1 + 1e-3)


@pytest.mark.parametrize("count", [1, 40, 100])
def test_as_many_clusters_as_asked_for(count):
    x = torch.randn(100, 5)
    labels = PoincareKMeans(PoincareDistance())(x, count)
    assert labels.unique().tolist() == list(range(count))


def test_duplicates_leave_clusters_empty_but_labels_valid():
    labels = PoincareKMeans(PoincareDistance())(torch.ones(30, 3), 4)
    assert labels.unique().tolist() == [0]


def test_importing_the_package_leaves_faiss_alone():
    import subprocess

    code = (
        "import sys, pml_hyperbolic; "
        "sys.exit(any(name in sys.modules for name in ('faiss', 'timm', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0

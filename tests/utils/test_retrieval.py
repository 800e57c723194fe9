"""Exact search against brute force in float64."""

import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils.inference import InferenceModel

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.utils.retrieval import PoincareKMeans, PoincareKNN
from tests.utils.search_cases import (
    BALL,
    CASES,
    assert_exact,
    brute_force,
    mixed_radii,
    near_duplicates,
)


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda knn, x: knn(x, 41, x), "k must be at most 40"),
        (lambda knn, x: knn(x, 40, x, True), "k must be at most 39"),
        (lambda knn, x: knn(x, 0, x), "needs an integer k >= 1, got 0"),
        (lambda knn, x: knn(x, 1.5, x), "needs an integer k >= 1, got 1.5"),
        (lambda knn, x: knn(x, 1), "no references"),
        (lambda knn, x: knn(x, 1, x[:, :3]), "the same number of columns"),
        (lambda knn, x: knn(x, 1, x[:3], True), "40 queries and 3 references"),
        (lambda knn, x: knn(x[0], 1, x), r"query must be .* of shape \(4,\)"),
        (lambda knn, x: knn(x.long(), 1, x), "query must be a floating-point tensor"),
        (lambda knn, x: knn(x, 1, x / 0), "NaN or infinite"),
        (lambda knn, x: PoincareKNN(BALL)(x, 1, 9 * x), "1/sqrt"),
        (lambda knn, x: PoincareKNN(PoincareDistance(), num_candidates=0), "num_candidates"),
        (lambda knn, x: PoincareKNN(PoincareDistance(), chunk_size=-1), "chunk_size"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(PoincareKNN(PoincareDistance()), torch.randn(40, 4))


@pytest.mark.parametrize("kind", [PoincareKNN, PoincareKMeans])
def test_flat_distances_are_refused(kind):
    with pytest.raises(TypeError, match="PoincareDistance"):
        kind(torch.nn.CosineSimilarity())


def test_index_is_what_is_stored_as_on_faiss_knn():
    x = torch.randn(30, 4)
    knn = PoincareKNN(PoincareDistance())
    assert knn.index is None
    knn(x, 1, x)
    assert knn.index is None
    knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
    knn(x, 1, x)
    assert (knn.index.ntotal, knn.index.d) == (30, 4)
    knn.add(x[:5])
    assert knn.index.ntotal == 35
    knn.reset()
    assert knn.index is None


def test_numpy_integers_are_counts():
    x = torch.randn(20, 4)
    knn = PoincareKNN(PoincareDistance(), num_candidates=np.int64(9), chunk_size=np.int32(7))
    assert knn(x, np.int64(3), x)[0].shape == (20, 3)


def test_bad_input_changes_nothing():
    x = torch.randn(20, 4)
    knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
    knn.train(x)
    for bad in (x[:, :2], torch.full((3, 4), math.nan)):
        with pytest.raises(ValueError, match=r"columns|NaN"):
            knn.add(bad)
        with pytest.raises(ValueError, match=r"columns|NaN"):
            knn(x, 1, bad)
    assert knn.index.ntotal == 20


def test_a_damaged_file_is_refused(tmp_path):
    file = tmp_path / "references.pt"
    knn = PoincareKNN(PoincareDistance(0.1), reset_before=False)
    knn.train(torch.rand(20, 4))
    knn.save(str(file))
    whole = file.read_bytes()
    for bit in range(0, 8 * len(whole), 8 * len(whole) // 60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"references.pt is damaged .*: save the references"):
            knn.load(str(file))


class Danger:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda file: torch.save({"embeddings": Danger()}, file), "could run code"),
        (lambda file: file.write_bytes(b"\xff\xd8\xff" * 20), "it is a JPEG image"),
        (lambda file: file.write_bytes(b""), "it is an empty file"),
        (lambda file: torch.save([torch.zeros(1).expand(2**15, 2**14)], file), "out of proportion"),
        (lambda file: torch.save({"a": 1}, file), "stores a geometry and embeddings"),
    ],
)
def test_another_file_is_refused(tmp_path, capsys, write, reason):
    file = tmp_path / "references.pt"
    write(file)
    knn = PoincareKNN(PoincareDistance(0.1))
    with pytest.raises(ValueError, match=rf"not written by .*{reason}.*: save the ref") as refusal:
        knn.load(str(file))
    assert "\n" not in str(refusal.value)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.ones(3, 2, dtype=torch.long), r"torch.int64 of shape \(3, 2\)"),
        (torch.ones(3, 2, dtype=torch.complex64), r"torch.complex64 of shape \(3, 2\)"),
        (torch.ones(3), r"of shape \(3,\)"),
        ([1.0], "got list"),
        (torch.tensor([[0.1, 0.2], [0.1, torch.nan]]), "row 1 of 2 embeddings holds NaN"),
    ],
)
def test_embeddings_that_are_no_points_are_refused(tmp_path, rows, message):
    file = tmp_path / "references.pt"
    knn = PoincareKNN(PoincareDistance(0.1))
    torch.save({"geometry": knn._geometry(), "embeddings": rows}, file)
    with pytest.raises(ValueError, match=rf"references.pt: .*{message}"):
        knn.load(str(file))

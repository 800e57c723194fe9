"""Cosine search is exact and is called as PoincareKNN is."""

import pytest
import torch

from pml_hyperbolic.utils import CosineKNN


def slow(query, reference):
    """(N, M) cosine distances, pair by pair."""
    return 1 - torch.nn.functional.cosine_similarity(
        query.double()[:, None], reference.double()[None], dim=-1
    )


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("entries", [2**24, 40])
def test_against_all_pairs(own, entries, monkeypatch):
    monkeypatch.setattr("pml_hyperbolic.utils.cosine_knn._BLOCK_ENTRIES", entries)
    query, reference = torch.randn(20, 6), torch.randn(30, 6)
    reference = torch.cat([query, reference]) if own else reference
    expected = slow(query, reference)
    if own:
        expected[torch.arange(20), torch.arange(20)] = torch.inf
    distances, indices = CosineKNN()(query, 7, reference, ref_includes_query=own)
    assert distances.dtype == torch.float32
    assert torch.allclose(distances.double(), expected.sort(dim=1).values[:, :7], atol=1e-6)
    assert torch.equal(indices, expected.argsort(dim=1)[:, :7])


def test_equal_distances_keep_the_order_of_references():
    rows = torch.tensor([[2.0, 0.0], [1.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
    assert CosineKNN()(rows[:1], 4, rows)[1].tolist() == [[0, 1, 2, 3]]


def test_stored_references():
    knn = CosineKNN(reset_before=False, reset_after=False)
    rows = torch.randn(9, 4)
    knn.train(rows[:5])
    knn.add(rows[5:])
    for _ in range(2):
        assert torch.equal(knn(rows, 3)[1], CosineKNN()(rows, 3, rows)[1])
    knn.train(rows[:4])
    assert knn(rows, 1)[1].max() <= 3
    knn.reset()
    with pytest.raises(ValueError, match="there are no references to search"):
        knn(rows, 1)
    once = CosineKNN()
    once(rows, 1, rows)
    with pytest.raises(ValueError, match="there are no references to search"):
        once(rows, 1)


@pytest.mark.parametrize(
    ("query", "reference", "k", "message"),
    [
        (torch.ones(3), torch.ones(3, 2), 1, "takes query as an"),
        (torch.ones(3, 2), torch.ones(3, 2).long(), 1, "takes reference as an"),
        (torch.ones(3, 2), torch.full((3, 2), torch.nan), 1, "NaN or infinite"),
        (torch.ones(3, 2), torch.ones(3, 4), 1, "equally many columns"),
        (torch.ones(3, 2), torch.ones(3, 2), 4, "k must be at most 3"),
        (torch.ones(3, 2), torch.ones(3, 2), 0, "integer k >= 1"),
    ],
)
def test_what_is_refused(query, reference, k, message):
    with pytest.raises(ValueError, match=message):
        CosineKNN()(query, k, reference)


def test_refused_widths_and_the_query_itself():
    rows = torch.randn(3, 2)
    with pytest.raises(ValueError, match="k must be at most 2"):
        CosineKNN()(rows, 3, rows, ref_includes_query=True)
    knn = CosineKNN(reset_before=False, reset_after=False)
    knn.train(rows)
    with pytest.raises(ValueError, match="equally many columns"):
        knn(torch.randn(3, 3), 1)
    with pytest.raises(ValueError, match="stored references have 2 columns"):
        knn.add(torch.randn(3, 3))


def test_a_refused_call_stores_nothing():
    rows = torch.randn(3, 2)
    knn = CosineKNN(reset_before=False, reset_after=False)
    knn.train(rows)
    for query, k, match in ((rows, 9, "k must be at most 6"), (rows[:, :1], 1, "equally many")):
        with pytest.raises(ValueError, match=match):
            knn(query, k, rows)
    with pytest.raises(ValueError, match="k must be at most 3"):
        knn(rows, 4)

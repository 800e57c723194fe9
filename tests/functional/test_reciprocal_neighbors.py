"""HIER's triplets against brute force and the recorded ones."""

import math

import pytest
import torch

from pml_hyperbolic.functional import reciprocal_neighbor_triplets
from pml_hyperbolic.functional.reciprocal_neighbors import padded_neighbor_triplets
from tests.dispatch import Dispatched
from tests.references import hier


def random_similarity(n, seed, labels=None):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    similarity = torch.exp(-torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"))
    return similarity if labels is None else similarity + (labels.unsqueeze(1) == labels)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "k"), [(12, 3), (12, 5), (30, 8), (30, 20), (9, 9), (9, 50)])
@pytest.mark.parametrize("with_labels", [False, True])
def test_triplets_are_valid_and_anchors_skipped_as_brute_force_says(seed, n, k, with_labels):
    similarity = random_similarity(n, seed, torch.arange(n) // 3 if with_labels else None)
    allowed = hier.allowed_triplets(similarity, k)
    triplets = reciprocal_neighbor_triplets(
        similarity, k=k, triplets_per_anchor=7, generator=torch.Generator().manual_seed(seed)
    )
    assert triplets.dtype == torch.long
    assert triplets.shape == (3, 7 * len(allowed))
    for anchor, positive, negative in triplets.T.tolist():
        positives, negatives = allowed[anchor]
        assert positive in positives
        assert negative in negatives
    counts = torch.bincount(triplets[0], minlength=n)
    assert counts.tolist() == [7 if anchor in allowed else 0 for anchor in range(n)]


def test_reference_agrees_with_the_recorded_triplets(golden):
    # The authors' sampler may make the anchor its own negative; all else must be allowed.
    c, r = golden["c"], golden["clip_radius"]
    x = hier.to_ball(golden["embeddings"], c, r)
    relevance = hier.relevance(hier.distance_matrix(x, x, c), golden["labels"].tolist())
    allowed = hier.allowed_triplets(relevance, int(golden["topk"]))
    recorded = golden["triplets_data"].T.tolist()
    assert {anchor for anchor, _, _ in recorded} == set(allowed)
    for anchor, positive, negative in recorded:
        positives, negatives = allowed[anchor]
        assert positive in positives
        assert negative in negatives | {anchor}


def existing_padded_triplets(similarity, **settings):
    triplets, exists = padded_neighbor_triplets(similarity, **settings)
    return triplets[:, exists]


@pytest.mark.parametrize("draw", [reciprocal_neighbor_triplets, existing_padded_triplets])
@pytest.mark.parametrize("anchor_as_negative", [False, True])
def test_draws_are_uniform_over_the_allowed_points(draw, anchor_as_negative):
    similarity = random_similarity(14, 2)
    allowed = hier.allowed_triplets(similarity, 7)
    if anchor_as_negative:
        allowed = {anchor: (p, negatives | {anchor}) for anchor, (p, negatives) in allowed.items()}
    draws = 5000
    triplets = draw(
        similarity,
        k=7,
        triplets_per_anchor=draws,
        anchor_as_negative=anchor_as_negative,
        generator=torch.Generator().manual_seed(1),
    )
    chi_square, freedom = 0.0, 0
    for anchor, sets in allowed.items():
        rows = triplets[:, triplets[0] == anchor]
        for column, choices in zip(rows[1:], sets, strict=True):
            expected = draws / len(choices)
            counts = torch.bincount(column, minlength=14).double()
            chi_square += sum((float(counts[c]) - expected) ** 2 / expected for c in choices)
            freedom += len(choices) - 1
        # Positive and negative are drawn independently of each other.
        first_positive, first_negative = (min(choices) for choices in sets)
        both = ((rows[1] == first_positive) & (rows[2] == first_negative)).double().mean()
        share = 1 / (len(sets[0]) * len(sets[1]))
        assert abs(float(both) - share) < 5 * math.sqrt(share / draws)
    assert freedom > 50
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


def test_an_anchor_among_its_negatives_is_never_without_one():
    similarity = random_similarity(10, 0)
    options = {"k": 10, "triplets_per_anchor": 5}
    assert reciprocal_neighbor_triplets(similarity, **options).shape == (3, 0)
    triplets = reciprocal_neighbor_triplets(similarity, anchor_as_negative=True, **options)
    assert triplets.shape == (3, 50)
    assert torch.equal(triplets[0], triplets[2])
    assert (triplets[0] != triplets[1]).all()


def test_triplets_are_deterministic_for_a_generator_seed():
    similarity = random_similarity(20, 0)

    def draw(seed):
        return reciprocal_neighbor_triplets(
            similarity,
            k=6,
            triplets_per_anchor=5,
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(draw(4), draw(4))
    assert not torch.equal(draw(4), draw(5))


@pytest.mark.parametrize(
    ("n", "k", "why"),
    [
        (0, 3, "no points"),
        (1, 3, "one point"),
        (2, 3, "at most one neighbour"),
        (10, 1, "the point itself is its only neighbour"),
        (10, 2, "at most one neighbour"),
        (10, 10, "everything is a neighbour: no negative"),
        (10, 99, "k is capped at N: no negative"),
    ],
)
def test_no_usable_anchor_gives_no_triplets(n, k, why):
    triplets = reciprocal_neighbor_triplets(random_similarity(n, 0), k=k, triplets_per_anchor=5)
    assert triplets.shape == (3, 0), why
    assert triplets.dtype == torch.long


def test_triplets_carry_no_gradient_and_leave_the_similarity_alone():
    similarity = random_similarity(12, 0).requires_grad_()
    before = similarity.detach().clone()
    triplets = reciprocal_neighbor_triplets(similarity, k=5, triplets_per_anchor=5)
    assert not triplets.requires_grad
    assert torch.equal(similarity, before)


@pytest.mark.parametrize(
    ("similarity", "options", "named"),
    [
        (torch.rand(4, 5), {}, r"\(4, 5\)"),
        (torch.rand(4), {}, r"\(4,\)"),
        (torch.rand(4, 4), {"k": 0}, "0"),
        (torch.rand(4, 4), {"triplets_per_anchor": 0}, "0"),
    ],
)
def test_bad_input_to_the_sampler_is_refused(similarity, options, named):
    with pytest.raises(ValueError, match=named):
        reciprocal_neighbor_triplets(similarity, **{"k": 3, "triplets_per_anchor": 5, **options})


def test_no_loop_over_anchors():
    operations = set()
    for n in (20, 60, 180):
        similarity = torch.rand(n, n, generator=torch.Generator().manual_seed(n))
        similarity = similarity + similarity.T
        with Dispatched() as done:
            triplets = reciprocal_neighbor_triplets(similarity, k=8, triplets_per_anchor=5)
        assert triplets.shape[1] >= n
        operations.add(done.operations)
    assert len(operations) == 1


@pytest.mark.parametrize(("n", "k"), [(12, 3), (30, 8), (9, 9), (9, 1), (2, 3), (1, 3), (0, 3)])
def test_padded_triplets_are_those_of_usable_anchors_and_others_that_do_not_exist(n, k):
    similarity = random_similarity(n, 1)
    allowed = hier.allowed_triplets(similarity, k)
    triplets, exists = padded_neighbor_triplets(similarity, k=k, triplets_per_anchor=7)
    assert triplets.shape == (3, 7 * n)
    assert exists.shape == (7 * n,)
    assert set(triplets[0, exists].tolist()) == set(allowed)
    assert int(exists.sum()) == 7 * len(allowed)
    for anchor, positive, negative in triplets[:, exists].T.tolist():
        assert positive in allowed[anchor][0]
        assert negative in allowed[anchor][1]
    if n:
        assert 0 <= int(triplets.min()) <= int(triplets.max()) < n


def test_padded_triplets_are_the_triplets_where_every_anchor_is_usable():
    # Classes of four, with k = 4: reciprocal neighbours are exactly the class.
    similarity = random_similarity(12, 1, torch.arange(12) // 4)
    settings = {"k": 4, "triplets_per_anchor": 7}
    plain, (padded, exists) = (
        draw(similarity, generator=torch.Generator().manual_seed(3), **settings)
        for draw in (reciprocal_neighbor_triplets, padded_neighbor_triplets)
    )
    assert exists.all()
    assert torch.equal(plain, padded)

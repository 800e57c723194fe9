"""HIER's triplets: two reciprocal nearest neighbours and a point that is no neighbour of the first.

Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258; docs/mathematics.md, section 5.

Points i and j are reciprocal neighbours if each is among the other's k most similar points, where
a point counts among its own k. An anchor is usable if it has at least two reciprocal neighbours
and at least one other point is left for a negative.

A uniform draw from a row of a mask takes the cumulative sum of the row, draws a number up to its
total, and looks up where the sum reaches it: nothing is sorted, and no shape depends on the data.
"""

import math

import torch

from .validation import check_count


def reciprocal_neighbor_triplets(
    similarity: torch.Tensor,
    *,
    k: int,
    triplets_per_anchor: int,
    anchor_as_negative: bool = False,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw HIER's triplets: two reciprocal nearest neighbours and a point that is no neighbour.

    Points i and j are reciprocal neighbours if each is among the other's ``k`` most similar
    points. A point counts among its own ``k``, so it has at most k - 1 neighbours. Anchors with
    fewer than two reciprocal neighbours, or with no point left for a negative, are skipped.

    Args:
        similarity: (N, N), larger is closer. The diagonal is taken as the largest of its row.
        k: neighbours per point, itself included, >= 1; capped at N. The paper uses 20.
        triplets_per_anchor: draws for each anchor, uniform with replacement, >= 1. The paper
            uses 50.
        anchor_as_negative: count every anchor among its own negatives, as the authors' code does
            by accident (which also leaves no anchor without a negative). Default False (paper).
        generator: source of the draws. Default: torch's global one.

    Returns:
        (3, T) long: rows of anchors, positives and negatives. T is 0 if no anchor qualifies. On
        an accelerator the number of usable anchors is waited for;
        :func:`padded_neighbor_triplets` does not.

    Raises:
        ValueError: ``similarity`` is not square, or a count is not an integer >= 1.
    """
    neighbors, others, usable = _neighbors_and_others(
        similarity, k, triplets_per_anchor, anchor_as_negative
    )
    anchors = usable.nonzero().squeeze(1)
    return _draw_triplets(
        anchors, neighbors[anchors], others[anchors], triplets_per_anchor, generator
    )


def padded_neighbor_triplets(
    similarity: torch.Tensor,
    *,
    k: int,
    triplets_per_anchor: int,
    anchor_as_negative: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`reciprocal_neighbor_triplets` in shapes that do not depend on the data.

    Args, Raises: as reciprocal_neighbor_triplets.

    Returns:
        (3, N * triplets_per_anchor) long, and (N * triplets_per_anchor,) bool: which of them
        exist. The others belong to unusable anchors and hold arbitrary points.
    """
    neighbors, others, usable = _neighbors_and_others(
        similarity, k, triplets_per_anchor, anchor_as_negative
    )
    anchors = torch.arange(len(similarity), device=similarity.device)
    triplets = _draw_triplets(anchors, neighbors, others, triplets_per_anchor, generator)
    return triplets, usable.repeat_interleave(triplets_per_anchor)


def _neighbors_and_others(similarity, k, triplets_per_anchor, anchor_as_negative):
    """(N, N) reciprocal neighbours and admissible negatives, and (N,) which anchors are usable."""
    check_count("reciprocal_neighbor_triplets", "k", k)
    check_count("reciprocal_neighbor_triplets", "triplets_per_anchor", triplets_per_anchor)
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(
            f"similarity must be a square (N, N) matrix, got {tuple(similarity.shape)}"
        )
    n = len(similarity)
    # Not fill_diagonal_, which torch 2.6 cannot compile for a matrix of symbolic size.
    ranked = similarity.detach().clone()
    ranked.diagonal().fill_(math.inf)
    nearest = ranked.topk(min(k, n), dim=1).indices
    is_near = torch.zeros_like(ranked, dtype=torch.bool).scatter_(1, nearest, True)
    reciprocal = is_near & is_near.T
    # The diagonal is reciprocal to itself: it is no neighbour, and a negative only if asked for.
    others = ~reciprocal
    if anchor_as_negative:
        others.diagonal().fill_(True)
    neighbors = reciprocal
    neighbors.diagonal().fill_(False)
    return neighbors, others, (neighbors.sum(1) >= 2) & others.any(1)


def _draw_triplets(anchors, neighbors, others, draws, generator):
    """(3, anchors * draws): positives from the rows of ``neighbors``, negatives of ``others``."""
    positives = _draw_columns(neighbors, draws, generator)
    negatives = _draw_columns(others, draws, generator)
    anchors = anchors.repeat_interleave(draws)
    return torch.stack([anchors, positives.flatten(), negatives.flatten()])


def _draw_columns(mask, draws, generator):
    """(rows, draws) columns drawn uniformly from the True entries of each row of ``mask``.

    Rows without one get arbitrary columns.
    """
    count_so_far = mask.cumsum(1)
    counts = mask.sum(1, keepdim=True)
    uniform = _uniform(len(mask), draws, generator, mask.device)
    picks = torch.minimum((uniform * counts).long(), counts - 1)
    columns = torch.searchsorted(count_so_far, picks + 1)  # where the count first reaches picks + 1
    return columns.clamp_(max=max(0, mask.shape[1] - 1))


def _uniform(rows, columns, generator, device):
    """(rows, columns) numbers in [0, 1) on ``device``, drawn where the generator lives."""
    if generator is None:
        return torch.rand(rows, columns, device=device)
    return torch.rand(rows, columns, generator=generator, device=generator.device).to(device)

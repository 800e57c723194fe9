"""Evaluation of a run: each space in its own geometry, with the metrics of the protocol."""

from collections.abc import Mapping
from typing import Any

import torch

from ..._pml import AccuracyCalculator
from ...distances import PoincareDistance
from ...testers import EmbeddingSpacesTester
from ...utils import (
    CosineAccuracyCalculator,
    EmbeddingSpace,
    HyperbolicAccuracyCalculator,
)
from ..config import EvaluationConfig
from ..results.metric_names import METRICS, recall_key
from ..results.radius_histogram import RadiusHistogram


def make_tester(
    sizes: Mapping[str, int],
    distance: PoincareDistance | None,
    evaluation: EvaluationConfig,
    *,
    device: torch.device,
    **hooks,
) -> EmbeddingSpacesTester:
    """Make a tester that ranks by cosine similarity in Euclidean space, by geodesics in hyperbolic.

    Args:
        sizes: dimension of each space, in the order of the embedding.
        distance: of the method, whose curvature is used for ranking; None if there is no
            hyperbolic space.
        evaluation: batch size and the values of K of ``recall_at_K``.
        device: for embedding and search.
        hooks: keyword arguments of PML's testers.

    Raises:
        ValueError: there is a hyperbolic space, but no distance.
    """
    chosen: dict[str, Any] = {
        "include": (*METRICS, *map(recall_key, evaluation.recall_at)),
        "recall_at": evaluation.recall_at,
        "device": device,
    }
    spaces, start = {}, 0
    for space, size in sizes.items():
        calculator: AccuracyCalculator
        if space != "hyperbolic":
            calculator = CosineAccuracyCalculator(**chosen)
        elif distance is not None:
            calculator = HyperbolicAccuracyCalculator(distance, **chosen)
        else:
            raise ValueError("a hyperbolic space needs the PoincareDistance to rank with, got None")
        spaces[space] = EmbeddingSpace((start, start + size), calculator)
        start += size
    return EmbeddingSpacesTester(
        spaces,
        primary=select_space(sizes),
        batch_size=evaluation.batch_size,
        data_device=device,
        dataloader_num_workers=0,
        **hooks,
    )


def select_space(sizes: Mapping[str, int]) -> str:
    """Return the space whose validation score selects the checkpoint, hyperbolic if possible."""
    return "hyperbolic" if "hyperbolic" in sizes else next(iter(sizes))


def clip_saturation(tester: EmbeddingSpacesTester, split: str) -> float | None:
    """Return the fraction of hyperbolic embeddings at the clip radius, None without that space.

    Call it from the tester's ``end_of_testing_hook``, because PML discards the embeddings after it.
    """
    space = tester.accuracy_calculator.spaces.get("hyperbolic")
    if space is None:
        return None
    embeddings, _ = tester.embeddings_and_labels[split]
    return float(space.accuracy_calculator.distance.clip_saturation(embeddings[:, space.columns]))


def radius_histogram(tester: EmbeddingSpacesTester, split: str) -> RadiusHistogram:
    """Return the histogram of the radii of the embeddings in the hyperbolic space.

    A radius is the tangent norm after clipping. Call it as :func:`clip_saturation`.
    """
    space = tester.accuracy_calculator.spaces["hyperbolic"]
    embeddings, _ = tester.embeddings_and_labels[split]
    distance = space.accuracy_calculator.distance
    radii = embeddings[:, space.columns].float().norm(dim=1)
    if distance.inputs == "ball":
        # The tangent norm of a point x on the ball is artanh(sqrt(c) |x|) / sqrt(c).
        radii = torch.atanh(distance.c**0.5 * radii) / distance.c**0.5
        return RadiusHistogram.of(radii.cpu().numpy(), None)
    return RadiusHistogram.of(distance.clipped_norm(radii).cpu().numpy(), distance.clip_radius)


def space_metrics(tester: EmbeddingSpacesTester, split: str) -> dict[str, dict[str, float]]:
    """Return the latest scores of a split on the finest labels: space -> metric -> value."""
    scores = tester.all_accuracies[split]
    return {
        name: {
            metric: float(scores[f"{name}_{metric}_level0"])
            for metric in space.accuracy_calculator.get_curr_metrics()
        }
        for name, space in tester.accuracy_calculator.spaces.items()
    }

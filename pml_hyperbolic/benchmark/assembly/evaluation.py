"""How a run is scored: every space in its own geometry, by the metrics of the protocol."""

from collections.abc import Mapping

import torch

from ...distances import PoincareDistance
from ...testers import EmbeddingSpacesTester
from ...utils import (
    CosineAccuracyCalculator,
    EmbeddingSpace,
    HyperbolicAccuracyCalculator,
)
from ..config import EvaluationConfig
from ..results.metric_names import METRICS, recall_key


def make_tester(
    sizes: Mapping[str, int],
    distance: PoincareDistance | None,
    evaluation: EvaluationConfig,
    *,
    device: torch.device,
    **hooks,
) -> EmbeddingSpacesTester:
    """A tester that ranks the Euclidean space by cosine and the hyperbolic one by geodesics.

    Args:
        sizes: dimension of each space, in the order of the embedding.
        distance: the method's own, which says with which curvature to rank; None where there is
            no hyperbolic space.
        evaluation: batch size and the values of K of ``recall_at_K``.
        device: where to embed and search.
        hooks: as PML's testers take them.
    """
    chosen = {
        "include": (*METRICS, *map(recall_key, evaluation.recall_at)),
        "recall_at": evaluation.recall_at,
        "device": device,
    }
    spaces, start = {}, 0
    for space, size in sizes.items():
        calculator = (
            HyperbolicAccuracyCalculator(distance, **chosen)
            if space == "hyperbolic"
            else CosineAccuracyCalculator(**chosen)
        )
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
    """The space whose validation score chooses the checkpoint: the hyperbolic one, if any."""
    return "hyperbolic" if "hyperbolic" in sizes else next(iter(sizes))


def clip_saturation(tester: EmbeddingSpacesTester, split: str) -> float | None:
    """Fraction of a split's hyperbolic embeddings at the clip radius, None without that space.

    To be called from the tester's ``end_of_testing_hook``: PML drops the embeddings after it.
    """
    space = tester.accuracy_calculator.spaces.get("hyperbolic")
    if space is None:
        return None
    embeddings, _ = tester.embeddings_and_labels[split]
    return float(space.accuracy_calculator.distance.clip_saturation(embeddings[:, space.columns]))


def space_metrics(tester: EmbeddingSpacesTester, split: str) -> dict[str, dict[str, float]]:
    """The last scores of a split: space -> metric -> value, on the finest labels."""
    scores = tester.all_accuracies[split]
    return {
        name: {
            metric: float(scores[f"{name}_{metric}_level0"])
            for metric in space.accuracy_calculator.get_curr_metrics()
        }
        for name, space in tester.accuracy_calculator.spaces.items()
    }

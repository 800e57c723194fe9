"""EmbeddingSpacesTester: scores the spaces of one embedding, each in its own geometry."""

from collections.abc import Mapping

import torch
import tqdm
from pytorch_metric_learning.testers import GlobalEmbeddingSpaceTester
from pytorch_metric_learning.utils import common_functions as c_f

from ..utils.embedding_spaces_calculator import EmbeddingSpace, EmbeddingSpacesCalculator


class EmbeddingSpacesTester(GlobalEmbeddingSpaceTester):
    """PML's GlobalEmbeddingSpaceTester that never L2-normalises and scores one or more spaces.

    With ``spaces``, ``all_accuracies[split]`` holds ``<space>_<metric>_level<L>`` for every space
    and, under the plain names PML's hooks look for, the primary space's metrics once more:
    HookContainer then selects models by the primary space. Without, it is an ordinary PML tester.

    Args:
        spaces: name -> :class:`EmbeddingSpace` (columns and accuracy calculator), for example
            ``{"euclidean": EmbeddingSpace((0, 128), CosineAccuracyCalculator()), "hyperbolic":
            EmbeddingSpace((128, None), HyperbolicAccuracyCalculator(distance))}``.
        primary: the space that models are selected by. Default "hyperbolic" if there is one, else
            the first.
        accuracy_calculator: instead of ``spaces``, one calculator for the whole embedding.
        show_progress: whether to draw a progress bar while embedding. Default False.
        kwargs: as PML's BaseTester, except ``normalize_embeddings`` and ``pca``.

    Raises:
        ValueError: neither or both of ``spaces`` and ``accuracy_calculator``, or an argument that
            would change the geometry; otherwise as :class:`EmbeddingSpacesCalculator`.
    """

    def __init__(
        self,
        spaces: Mapping[str, EmbeddingSpace | tuple] | None = None,
        *,
        primary: str | None = None,
        accuracy_calculator=None,
        show_progress: bool = False,
        **kwargs,
    ):
        if "normalize_embeddings" in kwargs:
            raise ValueError(
                "EmbeddingSpacesTester takes no normalize_embeddings=: L2 normalisation would "
                "destroy the hyperbolic radius; CosineAccuracyCalculator normalises its own space"
            )
        if kwargs.get("pca") is not None:
            raise ValueError(
                "EmbeddingSpacesTester takes no pca=: standardising the columns would change the "
                "geometry; leave it out"
            )
        if (spaces is None) == (accuracy_calculator is None):
            raise ValueError(
                "EmbeddingSpacesTester takes either spaces= or accuracy_calculator=, got "
                f"{'neither' if spaces is None else 'both'}"
            )
        if spaces is not None:
            accuracy_calculator = EmbeddingSpacesCalculator(spaces, primary)
        elif primary is not None:
            raise ValueError("primary= names one of spaces=: give spaces, or leave it out")
        self.show_progress = show_progress
        super().__init__(
            normalize_embeddings=False, accuracy_calculator=accuracy_calculator, **kwargs
        )

    def compute_all_embeddings(
        self, dataloader, trunk_model: torch.nn.Module, embedder_model: torch.nn.Module
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, D) embeddings and (N, L) labels of a data loader, silently unless asked otherwise."""
        embeddings, labels = [], []
        with torch.no_grad():
            for batch in tqdm.tqdm(dataloader, disable=not self.show_progress):
                images, label = self.data_and_label_getter(batch)
                label = c_f.process_label(label, "all", self.label_mapper)
                embeddings.append(self.get_embeddings_for_eval(trunk_model, embedder_model, images))
                labels.append(label.unsqueeze(1) if label.ndim == 1 else label)
        return torch.cat(embeddings), torch.cat(labels).to(self.data_device)

"""EmbeddingSpacesTester: scores the spaces of one embedding, each in its own geometry."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import tqdm

from .._pml import AccuracyCalculator, GlobalEmbeddingSpaceTester
from .._pml import common_functions as c_f
from ..utils import EmbeddingSpace, EmbeddingSpacesCalculator


class EmbeddingSpacesTester(GlobalEmbeddingSpaceTester):
    """PML's GlobalEmbeddingSpaceTester, which never L2-normalises and scores one or more spaces.

    With ``spaces``, ``all_accuracies[split]`` holds ``<space>_<metric>_level<L>`` for every space.
    It also holds the metrics of the primary space under the plain names that PML's hooks look for,
    so that HookContainer selects models by the primary space. Without ``spaces``, it is an ordinary
    PML tester.

    Args:
        spaces: name -> :class:`EmbeddingSpace` (columns and accuracy calculator), for example
            ``{"euclidean": EmbeddingSpace((0, 128), CosineAccuracyCalculator()), "hyperbolic":
            EmbeddingSpace((128, None), HyperbolicAccuracyCalculator(distance))}``.
        primary: name of the space that models are selected by. Default "hyperbolic" if there is
            one, else the first.
        accuracy_calculator: one calculator for the whole embedding, in place of ``spaces``.
        show_progress: whether to draw a progress bar while computing embeddings. Default False.
        kwargs: as PML's BaseTester, except ``normalize_embeddings`` and ``pca``.

    Raises:
        ValueError: neither or both of ``spaces`` and ``accuracy_calculator`` are given, or an
            argument that would change the geometry; otherwise as
            :class:`EmbeddingSpacesCalculator`.
    """

    def __init__(
        self,
        spaces: Mapping[str, EmbeddingSpace | tuple] | None = None,
        *,
        primary: str | None = None,
        accuracy_calculator: AccuracyCalculator | None = None,
        show_progress: bool = False,
        **kwargs: Any,
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
        if spaces is None and primary is not None:
            raise ValueError(
                f"primary= names one of spaces=, got primary={primary!r} without spaces: "
                f"pass spaces=, or leave primary out"
            )
        self.show_progress = show_progress
        super().__init__(
            normalize_embeddings=False,
            accuracy_calculator=(
                accuracy_calculator
                if spaces is None
                else EmbeddingSpacesCalculator(spaces, primary)
            ),
            **kwargs,
        )

    def compute_all_embeddings(
        self, dataloader: Iterable, trunk_model: torch.nn.Module, embedder_model: torch.nn.Module
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, D) embeddings and (N, L) labels of a data loader."""
        embeddings, labels = [], []
        with torch.no_grad():
            for batch in tqdm.tqdm(dataloader, disable=not self.show_progress):
                images, label = self.data_and_label_getter(batch)
                label = c_f.process_label(label, "all", self.label_mapper)
                embeddings.append(self.get_embeddings_for_eval(trunk_model, embedder_model, images))
                labels.append(label.unsqueeze(1) if label.ndim == 1 else label)
        return torch.cat(embeddings), torch.cat(labels).to(self.data_device)

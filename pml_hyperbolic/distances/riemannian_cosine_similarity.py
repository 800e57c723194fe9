"""RiemannianCosineSimilarity: cosine similarity through the Riemannian gradient of the ball."""

import torch
from pytorch_metric_learning.distances import CosineSimilarity

from .poincare_distance import PoincareDistance


class RiemannianCosineSimilarity(CosineSimilarity):
    """Cosine similarity of embeddings on the Poincare ball, through its Riemannian gradient.

    ``s(v, p) = <x, p> / (|x| |p|)`` with the ball point x of an embedding v. As x has the direction
    of v, the values are those of ``CosineSimilarity``; what differs is the gradient, which reaches
    v multiplied by ``(1 - c|x|^2)^2 / 4``. In HIER's code the whole network ends in such a map, so
    that the metric loss, which is on cosine, is scaled as HIER's own distances are: at c = 0.1, all
    points at a clip radius of 2.3, by 0.094.

    Args:
        distance: maps embeddings onto the ball and owns the curvature, with
            ``riemannian_gradient=True``. Give the loss's other parts one of the same curvature.
        kwargs: PML's ``power`` and ``collect_stats``.

    Shapes: queries (N, D), references (M, D) -> (N, M). References that are not the queries
    themselves are proxies: they lie on no ball, and their gradient is that of CosineSimilarity.

    Raises:
        ValueError: ``distance`` does not scale the gradient, so that this would be
            CosineSimilarity, or another argument of PML's distances; at call time, as
            ``PoincareDistance.to_ball``.

    Source: the code of Kim, Jeong, Kwak, CVPR 2023 (HIER), arXiv 2212.14258.
    """

    # Arguments of BaseDistance that are settled for a cosine; listings leave them out.
    refused_arguments = ("normalize_embeddings", "p", "is_inverted")

    def __init__(self, distance: PoincareDistance, **kwargs):
        if not (isinstance(distance, PoincareDistance) and distance.riemannian_gradient):
            raise ValueError(
                f"RiemannianCosineSimilarity needs a PoincareDistance with "
                f"riemannian_gradient=True, got {distance!r}: use CosineSimilarity for the plain "
                f"gradient"
            )
        for argument in self.refused_arguments:
            if argument in kwargs:
                raise ValueError(
                    f"RiemannianCosineSimilarity takes no {argument}=: a cosine determines it, "
                    f"leave it out"
                )
        super().__init__(**kwargs)
        self.distance = distance

    def forward(self, query_emb: torch.Tensor, ref_emb: torch.Tensor | None = None) -> torch.Tensor:
        """(N, M) cosines between queries (N, D) and references (M, D), default the queries."""
        on_ball = self.distance.to_ball(query_emb)
        if ref_emb is None or ref_emb is query_emb:
            return super().forward(on_ball)
        return super().forward(on_ball, ref_emb.to(on_ball.dtype))

"""PoincareSimilarity: geodesic distance turned into a similarity with cosine's range."""

import torch

from .poincare_distance import PoincareDistance


class PoincareSimilarity(PoincareDistance):
    """Similarity on the Poincare ball: ``1 - 2 d / d_max`` in [-1, 1], or plain ``-d``.

    ``d_max = 4 * clip_radius`` is the largest distance possible after clipping, so the published
    scales and margins of SoftTriple, ProxyAnchor and other cosine losses apply unchanged.

    Args:
        c, clip_radius, inputs, clip, riemannian_gradient, power, collect_stats: as
            :class:`PoincareDistance`. With ``inputs="ball"`` nothing is clipped and
            ``clip_radius`` only sets ``d_max``.
        bounded: the bounded form (default, our choice), or ``-d`` when False.

    Raises:
        ValueError: as PoincareDistance, and for ``bounded=True`` without a clip radius, or a
            ``power`` that is no whole number.
    """

    def __init__(
        self,
        c: float = 0.1,
        clip_radius: float | None = 2.3,
        inputs: str = "tangent",
        clip: str = "hard",
        riemannian_gradient: bool = False,
        bounded: bool = True,
        **kwargs,
    ):
        if bounded and clip_radius is None:
            raise ValueError(
                "PoincareSimilarity(bounded=True) needs a clip_radius, because its bound is the "
                "largest distance 4 * clip_radius: give one, or use bounded=False for -d"
            )
        super().__init__(
            c=c,
            clip_radius=clip_radius,
            inputs=inputs,
            clip=clip,
            riemannian_gradient=riemannian_gradient,
            **kwargs,
        )
        if self.power != int(self.power):
            raise ValueError(
                f"PoincareSimilarity needs a whole power, because similarities may be negative, "
                f"got {self.power!r}"
            )
        self.is_inverted = True
        self.bounded = bounded

    def from_geodesic(self, distances: torch.Tensor) -> torch.Tensor:
        """Turn geodesic distances into similarities."""
        if not self.bounded:
            return -distances
        assert self.clip_radius is not None, "__init__ refuses the bounded form without it"
        one = distances.new_ones(())
        similarities = torch.sub(one, distances, alpha=1 / (2 * self.clip_radius))
        # Rounding gives -1.0000007 at the far end, which losses that check the range refuse. The
        # clamp takes no part in the gradient.
        with torch.no_grad():
            # clamp_ has no batching rule under torch.vmap.
            return torch.nn.functional.hardtanh_(similarities, -1, 1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bounded={self.bounded}"

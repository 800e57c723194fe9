"""Heads: the last layers of a network, which put features where a hyperbolic loss expects them."""

import math

import torch

from .functional.validation import check_count, check_positive

__all__ = ["HyperbolicEmbedder", "TwoSpaceEmbedder"]


class HyperbolicEmbedder(torch.nn.Sequential):
    """LayerNorm without affine parameters, then an orthogonal Linear with zero bias.

    The head of HIER and, without the LayerNorm, of Hyp, whose trunk ends in a norm of its own. With
    the published initialisation, tangent norms start near sqrt(embedding_size), far above the usual
    clip radius of 2.3: every point is clipped, and hyperbolic ranking equals cosine ranking.
    ``initial_radius`` lets them start at a chosen norm.

    Args:
        in_features: size of the trunk's output, >= 1.
        embedding_size: size of the tangent vectors, >= 1.
        initial_radius: mean tangent norm at the start, > 0, for example a quarter of the clip
            radius, or None (default) for the published initialisation.
        layer_norm: whether the LayerNorm is there. Default True (HIER).

    Shapes: (N, in_features) -> (N, embedding_size).

    Raises:
        ValueError: a size is not an integer >= 1, ``initial_radius`` is not positive and finite, or
            it is given without the LayerNorm, where norms of the input are not known.

    Source: Ermolov et al., CVPR 2022 (Hyp); Kim, Jeong, Kwak, CVPR 2023 (HIER);
    ``initial_radius`` is our choice.
    """

    def __init__(
        self,
        in_features: int,
        embedding_size: int,
        *,
        initial_radius: float | None = None,
        layer_norm: bool = True,
    ):
        name = type(self).__name__
        in_features = check_count(name, "in_features", in_features)
        embedding_size = check_count(name, "embedding_size", embedding_size)
        if initial_radius is not None:
            check_positive(name, initial_radius=initial_radius)
        if initial_radius is not None and not layer_norm:
            raise ValueError(
                f"{name} cannot choose initial_radius={initial_radius!r} without its LayerNorm: "
                f"leave one of initial_radius and layer_norm=False out"
            )
        linear = torch.nn.Linear(in_features, embedding_size)
        # Weights have the same names either way.
        norm = (
            torch.nn.LayerNorm(in_features, elementwise_affine=False)
            if layer_norm
            else torch.nn.Identity()
        )
        super().__init__(norm, linear)
        torch.nn.init.orthogonal_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        if initial_radius is not None:
            # A normalised input has norm sqrt(in_features), and an orthogonal map keeps, on
            # average, min(in, out) / in of its square.
            start = math.sqrt(min(in_features, embedding_size))
            with torch.no_grad():
                linear.weight.mul_(initial_radius / start)


class TwoSpaceEmbedder(torch.nn.Module):
    """Two heads side by side, for the ``[euclidean | hyperbolic]`` embedding of CHESTLoss.

    Args:
        in_features: size of the trunk's output, >= 1.
        euclidean_size: size of the Euclidean part, which comes first, >= 1.
        hyperbolic_size: size of the hyperbolic part (tangent vectors), >= 1.
        initial_radius: of the hyperbolic part, as :class:`HyperbolicEmbedder`.
        layer_norm: of both parts, likewise. Default True.

    Shapes: (N, in_features) -> (N, euclidean_size + hyperbolic_size).

    Raises:
        ValueError: as HyperbolicEmbedder.
    """

    def __init__(
        self,
        in_features: int,
        euclidean_size: int,
        hyperbolic_size: int,
        *,
        initial_radius: float | None = None,
        layer_norm: bool = True,
    ):
        super().__init__()
        self.euclidean = HyperbolicEmbedder(in_features, euclidean_size, layer_norm=layer_norm)
        self.hyperbolic = HyperbolicEmbedder(
            in_features, hyperbolic_size, initial_radius=initial_radius, layer_norm=layer_norm
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, euclidean_size + hyperbolic_size) embeddings of features (N, in_features)."""
        return torch.cat([self.euclidean(features), self.hyperbolic(features)], dim=1)

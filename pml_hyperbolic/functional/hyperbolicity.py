"""How tree-like a set of points is, and the curvature that this suggests.

docs/mathematics.md, section 10.

Source: Khrulkov et al., "Hyperbolic image embeddings", CVPR 2020, arXiv 1904.02239.
"""

import torch

# Relative hyperbolicity of the Poincare disk of curvature -1, as Khrulkov et al. estimate it.
_DELTA_OF_POINCARE_DISK = 0.144


def gromov_delta(distances: torch.Tensor) -> torch.Tensor:
    """Gromov's delta of a metric space at its first point: 0 for a tree, else positive.

    It is the largest entry of ``(A (x) A) - A`` for the Gromov products ``A`` at the first point
    and the max-min product ``(x)``. It takes N^3 operations and N^2 memory.

    Args:
        distances: (N, N) symmetric with a zero diagonal, N >= 1.

    Returns:
        Scalar >= 0 in the unit of ``distances``.

    Raises:
        ValueError: ``distances`` is not square or is empty.
    """
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or len(distances) == 0:
        raise ValueError(
            f"distances must be a square (N, N) matrix, got shape {tuple(distances.shape)}"
        )
    products = (distances[:1] + distances[:, :1] - distances) / 2
    return torch.stack(
        [(torch.minimum(row, products).amax(1) - row).amax() for row in products]
    ).amax()


def relative_delta(distances: torch.Tensor) -> torch.Tensor:
    """Gromov's delta relative to the diameter, ``2 delta / max distance``: 0 for a tree, at most 1.

    Args:
        distances: (N, N) symmetric with a zero diagonal, N >= 1.

    Returns:
        Scalar; NaN if all distances are 0.

    Raises:
        ValueError: ``distances`` is not square or is empty.
    """
    return 2 * gromov_delta(distances) / distances.amax()


def curvature_of_delta(relative_delta: float) -> float:
    """The curvature magnitude that a relative delta suggests, ``c = (0.144 / delta_rel)^2``.

    Args:
        relative_delta: as :func:`relative_delta` returns it, > 0.
    """
    return (_DELTA_OF_POINCARE_DISK / relative_delta) ** 2


def suggested_curvature(
    features: torch.Tensor,
    *,
    sample_size: int = 1000,
    num_samples: int = 5,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """The curvature magnitude that the hyperbolicity of Euclidean features suggests.

    ``c = (0.144 / delta_rel)^2`` with ``delta_rel = 2 delta / diameter``, over several random
    samples. Use training points only.

    Args:
        features: (N, D), N >= 4, for example of a pretrained backbone.
        sample_size: points a sample (at most N), > 3. Default 1000, as in the source.
        num_samples: samples to average over, >= 1. Default 5 (our choice).
        generator: source of the draws, on the CPU. Default: torch's global one.

    Returns:
        Mean and standard deviation of ``c`` over the samples (0.0 for a single sample).

    Raises:
        ValueError: fewer than four points, all points equal, or a count out of range.
    """
    if features.ndim != 2 or len(features) < 4 or sample_size < 4 or num_samples < 1:
        raise ValueError(
            f"suggested_curvature takes features (N >= 4, D), sample_size >= 4 and "
            f"num_samples >= 1, got {tuple(features.shape)}, {sample_size} and {num_samples}"
        )
    curvatures = []
    for _ in range(num_samples):
        chosen = torch.randperm(len(features), generator=generator)[:sample_size]
        sample = features.detach()[chosen.to(features.device)].double()
        distances = torch.cdist(sample, sample)
        delta = float(relative_delta(distances))
        if not delta > 0:
            raise ValueError(
                "the features' hyperbolicity is 0 or undefined (all points equal, a perfect tree, "
                "or values that are not finite), which suggests no finite curvature: set c yourself"
            )
        curvatures.append(curvature_of_delta(delta))
    values = torch.tensor(curvatures, dtype=torch.float64)
    spread = float(values.std()) if num_samples > 1 else 0.0
    return float(values.mean()), spread

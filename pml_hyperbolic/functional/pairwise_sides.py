"""The two sides of all-pairs distances: their rows, and the scalars that stand for their mapping.

Notation is that of ``pairwise.py``.
"""

import math
from typing import Any, NamedTuple

import torch

from .chunks import tiles
from .poincare import ball_scale, has_float64

# Entries of a piece of a matrix, which stays in the cache of a CPU core.
_TILE = 2**19


class Side(NamedTuple):
    """The rows v of one side, and what scales each of them.

    The defaults are those of points of the ball, x = v.
    """

    vectors: torch.Tensor  # (N, D): v
    rank_two: torch.Tensor  # (N, 2): a|x|^2 and a, the factors of the product of rank two
    gram_scale: torch.Tensor  # (N, 1): a s, the scale of v in the Gram matrix
    scale: torch.Tensor | float = 1.0  # (N, 1): s
    radial_scale: torch.Tensor | float = 1.0  # (N, 1): d|x|/d|v|
    slope: torch.Tensor | float = 0.0  # (N, 1): |v| ds/d|v|
    inverse_norm: torch.Tensor | float = 0.0  # (N, 1): 1 / |v|

    def conformal(self) -> torch.Tensor:
        """(N, 1): a."""
        return self.rank_two[:, 1:]

    @property
    def is_mapped(self) -> bool:
        """Whether the rows are tangent vectors, and not points of the ball."""
        return isinstance(self.scale, torch.Tensor)

    def at(self, part: slice) -> "Side":
        """The rows of this side in a slice."""
        fields: list[Any] = [f[part] if isinstance(f, torch.Tensor) else f for f in self]
        return Side(*fields)

    def scaled_rows(self) -> torch.Tensor:
        """(N, D + 2): [a x | a|x|^2 | a], of which one product gives all that it needs."""
        return torch.cat([self.vectors * self.gram_scale, self.rank_two], dim=1)


def row_scalars(
    short: torch.Tensor,
    long: torch.Tensor | None,
    c: float,
    clip_radius: float | None,
    clip: str,
) -> torch.Tensor:
    """Scalars of the rows of ``short``, then of ``long`` unless that is None.

    The columns are those of ``Side`` from ``rank_two`` on: for points only the first two, for
    tangent vectors all seven. They come from float64 norms on devices that have them.
    """
    norm = _norms(short) if long is None else torch.cat([_norms(short), _norms(long)])
    if clip_radius is None:
        square = norm.square()
        a = 1 / (1 - c * square)
        # Beyond the boundary there is no distance; without this it would be 0 or finite.
        a.masked_fill_(a <= 0, math.nan)
        columns = [square * a, a]
    else:
        s, radial, slope, sinh_square = ball_scale(
            norm, c=c, clip_radius=clip_radius, clip=clip, dtype=short.dtype
        )
        a = 1 + sinh_square
        inverse_norm = 1 / norm.clamp(min=math.sqrt(torch.finfo(short.dtype).tiny))
        columns = [sinh_square / c, a, a * s, s, radial, slope, inverse_norm]
    return torch.cat(columns, dim=1).to(short.dtype)


def sides(
    short: torch.Tensor, long: torch.Tensor | None, scalars: torch.Tensor
) -> tuple[Side, Side]:
    """Both sides from the columns of ``row_scalars``."""

    def side(vectors, scalars):
        columns = scalars.split(1, dim=1)
        return Side(vectors, scalars[:, :2], *(columns[2:] or columns[1:]))

    if long is None:
        both = side(short, scalars)
        return both, both
    return side(short, scalars[: len(short)]), side(long, scalars[len(short) :])


def _norms(v):
    """(N, 1) row norms, in float64 if possible, so that they do not depend on the layout."""
    norm_dtype = torch.float64 if has_float64(v.device) else v.dtype
    if v.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.linalg.vector_norm(v, dim=1, keepdim=True, dtype=norm_dtype)
    norm = v.new_empty(len(v), 1, dtype=norm_dtype)
    # In pieces that stay in the cache: torch copies all of its input to the wider type.
    for part in tiles(len(v), 2 * v.shape[1], _TILE, v.device):
        wide = v[part].to(norm_dtype, copy=True)
        torch.sum(wide.square_(), dim=1, keepdim=True, out=norm[part])
    return norm.sqrt_()

"""LiftedPoints: embeddings together with their coordinates on the hyperboloid."""

import math
from typing import Any

import numpy as np
import torch

from .._pml import numpy_to_torch
from ..distances import PoincareDistance
from ..functional.poincare import has_float64

ROW_BLOCK = 2**17  # coordinates handled at a time in float64: small enough for the cache
FLOAT64_CHUNK = 8192  # rows lifted to float64 at a time


class LiftedPoints:
    """Raw embeddings, and the float64 scalars that put each row on the ball and the hyperboloid.

    The map onto the ball only rescales a row. Mapping the norms alone therefore gives the factor
    of each row, and no mapped copy of the embeddings is needed.

    Args:
        raw: (N, D) embeddings as ``distance`` takes them, in any floating dtype.
        distance: holds the geometry.

    Attributes:
        raw, c, sqrt_c: as given; the square root of the curvature.
        device: where coordinates are computed: that of ``raw``, or the CPU if that device has no
            float64.
        norm: (N,) norms of the raw rows, on the CPU.
        scale: (N,) factors that take a raw row to its point on the ball.
        conformal: (N,) half the conformal factor of the ball, ``1 / (1 - c |p|^2)``.
        excess: (N,) the time-like coordinate minus one, ``2 c |p|^2 conformal``.
        spread: (N,) the norm of the space-like coordinates, ``2 sqrt(c) |p| conformal``.

    Raises:
        ValueError: non-finite embeddings, or points outside the ball.
    """

    def __init__(self, raw: torch.Tensor, distance: PoincareDistance):
        self.raw = raw
        self.c = c = distance.c
        self.sqrt_c = math.sqrt(c)
        self.device = raw.device if has_float64(raw.device) else torch.device("cpu")
        norm = torch.empty(len(raw), dtype=torch.float64, device=self.device)
        # One buffer for all blocks, because memory that is freed block by block fragments.
        block = max(1, ROW_BLOCK // max(1, raw.shape[1]))
        buffer = norm.new_empty(min(block, len(raw)), raw.shape[1])
        for rows in slices(len(raw), block):
            wide = buffer[: len(norm[rows])].copy_(raw[rows])
            torch.linalg.vector_norm(wide, dim=1, out=norm[rows])
        # On the CPU, where to_ball checks its values whatever the device of the embeddings is.
        self.norm = norm.cpu()
        radius = distance.to_ball(self.norm.unsqueeze(1)).squeeze(1)
        scale = torch.where(self.norm > 0, radius / self.norm, 1)
        # A valid point may round onto the boundary: keep it one rounding inside.
        reach = (self.sqrt_c * radius).clamp(max=1 - 2.0**-53)
        conformal = 1 / ((1 - reach) * (1 + reach))
        self.scale = scale.to(self.device)
        self.conformal = conformal.to(self.device)
        self.excess = (2 * reach.square() * conformal).to(self.device)
        self.spread = (2 * reach * conformal).to(self.device)
        self._right_sides: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def ntotal(self) -> int:
        """Number of points, under the name that FAISS gives it on its indexes."""
        return len(self.raw)

    @property
    def d(self) -> int:
        """Number of columns of the raw embeddings, under the name that FAISS gives it."""
        return self.raw.shape[1]

    def to(self, device: torch.device) -> None:
        """Move the scalars to a device; raw rows follow as they are needed."""
        self.device = device
        for name in ("scale", "conformal", "excess", "spread"):
            setattr(self, name, getattr(self, name).to(device))
        if self._right_sides is not None:
            self._right_sides = self._right_sides.to(device)

    def raw_rows(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """(n, D) raw rows (long indices or a slice) on ``device``, never as a view of float64."""
        if isinstance(rows, torch.Tensor):
            return self.raw.index_select(0, rows.to(self.raw.device)).to(self.device)
        chunk = self.raw[rows].to(self.device)
        # float64 rows are scaled in place by the callers and must not be the user's own memory.
        return chunk.clone() if chunk.dtype == torch.float64 else chunk

    def ball_points(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """(n, D) float64 points on the ball of these rows (long indices or a slice)."""
        return self.raw_rows(rows).double().mul_(self.scale[rows].unsqueeze(1))

    def space(self, rows: torch.Tensor | slice, out: torch.Tensor | None = None) -> torch.Tensor:
        """(n, D) space-like coordinates on the hyperboloid, float64 unless ``out`` is given."""
        factor = (2 * self.sqrt_c * self.scale[rows] * self.conformal[rows]).unsqueeze(1)
        if out is None:
            return self.raw_rows(rows).double().mul_(factor)
        for part in slices(len(factor), max(1, ROW_BLOCK // max(1, self.raw.shape[1]))):
            picked = (
                slice(rows.start + part.start, rows.start + part.stop)
                if isinstance(rows, slice)
                else rows[part]
            )
            out[part] = self.raw_rows(picked).double().mul_(factor[part])
        return out

    def as_queries(
        self, rows: torch.Tensor | slice, dtype: torch.dtype, eta: float, floor: float
    ) -> torch.Tensor:
        """(n, D + 3) left sides of the product that ``certified_search`` derives."""
        excess = self.excess[rows]
        left = self._empty(len(excess), dtype)
        left[:, 0] = (1 + excess) * (eta - 1)
        left[:, 1] = floor + excess * (eta - 1)
        left[:, -1] = eta * self.spread[rows]
        self.space(rows, out=left[:, 2:-1])
        return left

    def as_references(self, rows: slice, dtype: torch.dtype) -> torch.Tensor:
        """(n, D + 3) right sides of a slice; those of all rows are kept if they are float32."""
        if self._right_sides is not None and dtype == torch.float32:
            return self._right_sides[rows]
        right = self._empty(rows.stop - rows.start, dtype)
        right[:, 0] = self.excess[rows]
        right[:, 1] = 1
        right[:, -1] = self.spread[rows]
        self.space(rows, out=right[:, 2:-1])
        if len(right) == len(self) and dtype == torch.float32:
            self._right_sides = right
        return right

    def _empty(self, count, dtype):
        return torch.empty((count, self.raw.shape[1] + 3), dtype=dtype, device=self.device)


def slices(total: int, size: int) -> list[slice]:
    """Consecutive slices of at most ``size`` that cover ``range(total)``."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def as_rows(name: str, rows: Any) -> torch.Tensor:
    """The rows as a detached tensor.

    Args:
        name: of the argument, for the error message.
        rows: (N, D) tensor or NumPy array.

    Raises:
        ValueError: unless it is floating-point and two-dimensional.
    """
    rows = numpy_to_torch(rows)
    if not isinstance(rows, torch.Tensor) or rows.ndim != 2 or not rows.is_floating_point():
        given = (
            f"{rows.dtype} of shape {tuple(rows.shape)}"
            if isinstance(rows, torch.Tensor | np.ndarray)
            else type(rows).__name__
        )
        raise ValueError(f"{name} must be a floating-point tensor of shape (N, D), got {given}")
    return rows.detach()


def check_hyperbolic(name: str, distance: Any) -> PoincareDistance:
    """The distance; raises TypeError, on behalf of ``name``, unless it is a PoincareDistance."""
    if not isinstance(distance, PoincareDistance):
        raise TypeError(
            f"{name} takes a PoincareDistance or PoincareSimilarity, "
            f"got {type(distance).__name__}: for flat spaces use PML's own functions"
        )
    return distance

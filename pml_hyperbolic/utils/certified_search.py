"""Exact hyperbolic nearest neighbours at the speed of a flat search, with a certificate.

How a search can be both fast and provably exact: on the hyperboloid (``lorentz_lift``) the pair
(q, Y) has ``w = cosh(sqrt(c) d) - 1 = a + b + ab - <q_s, Y_s>`` with a = q_0 - 1, b = Y_0 - 1.
A search for the largest inner product of

    (-(1 - eta) q_0,  floor - (1 - eta) a,  q_s,  eta |q_s|)  and  (b,  1,  Y_s,  |Y_s|)

therefore finds the nearest neighbour, up to rounding. (The 1 is subtracted from the cosh because
it would swamp small distances.) Let u be the unit roundoff and n = D + 3. Rounding the coordinates
(one u on each side) and summing n products in any order, fused or not, changes the result by at
most ``gamma M``, where ``gamma = (n + 2)u / (1 - (n + 2)u)`` (Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 3.1) and M = q_0 b + a + |q_s||Y_s| bounds the sum of the
products' magnitudes. The terms in eta add ``eta M`` to -w. With eta slightly larger than gamma, to
pay for their own rounding, the computed score S brackets the exact one:

    -w <= S    and    S - 2.02 (eta M + floor) <= -w.

A search by S that returns its best K therefore proves that everything it left out has
``w >= -S_K``. The list is re-ranked by the direct difference in float64. If its k-th entry is
nearer than that bound, the list is certified. The other queries get a second look: first with
scores in float64, then with ever more candidates, until all references are candidates.

``floor`` pays for coordinates and products that underflow. Each loses less than the smallest
normal number, times a factor that stays below 2^54 for points that float64 can tell from the
boundary. What float64 itself rounds (norms by (D/2 + 4)u, conformal factors by 2u(1 + b)) changes
w by at most (3D + 30) u M: hence the larger factor of eta in float64. In float32 it vanishes in
the slack. Scores and re-ranking share one float64 conformal factor per point, so "exact" means
exact for those factors.
"""

import math
from typing import NamedTuple

import torch

from .inner_product_search import inner_product_search, merge_largest
from .lifted_points import FLOAT64_CHUNK, ROW_BLOCK, LiftedPoints, slices

_ROUNDING_FACTOR = {torch.float32: 1.01, torch.float64: 4.04}
_QUERY_BLOCK = 2048
_MAX_SHORTLIST = 2**22  # entries of the shortlist of one block of queries
_LIFTED_BYTES = 2**29  # float32 references lifted at a time, unless chunk_size says otherwise


class SearchResult(NamedTuple):
    """What :func:`nearest` found.

    Args:
        squared_sinh: (N, k) float64 values of ``sinh(sqrt(c) d / 2)^2``, smallest first.
        indices: (N, k) long indices of the references.
        second_looks: number of queries that the first search did not certify.
        all_certified: whether every answer was proven exact.
    """

    squared_sinh: torch.Tensor
    indices: torch.Tensor
    second_looks: int
    all_certified: bool

    def geodesic_distances(self, c: float) -> torch.Tensor:
        """(N, k) geodesic distances under curvature c, float64."""
        return self.squared_sinh.sqrt().asinh_().mul_(2 / math.sqrt(c))


def nearest(
    queries: LiftedPoints,
    references: LiftedPoints,
    k: int,
    *,
    leave_out_own: bool = False,
    num_candidates: int = 24,
    chunk_size: int | None = None,
) -> SearchResult:
    """The k nearest references of each query: shortlist, re-rank, certify, and look again.

    Args:
        queries, references: of one geometry; the references are moved to the queries' device.
        k: number of neighbours, 1 <= k <= number of references (less one with ``leave_out_own``).
        leave_out_own: whether reference i is query i itself and must not be found by it.
        num_candidates: smallest length of a shortlist; at least k + 8 + k/8 are taken.
        chunk_size: number of references lifted to float32 at a time; None (default) lifts as many
            as fit into 512 MiB.
    """
    references.to(queries.device)
    count, total = len(queries), len(references)
    squared_sinh = torch.empty((count, k), dtype=torch.float64, device=queries.device)
    indices = torch.empty((count, k), dtype=torch.long, device=queries.device)
    open_queries = torch.arange(count, device=queries.device)
    dtype, second_looks = torch.float32, None
    wanted = max(num_candidates, k + int(leave_out_own) + 8 + k // 8)
    while len(open_queries):
        wanted = min(wanted, total)
        chunk = _chunk_rows(references, dtype, chunk_size)
        still_open = []
        block = max(1, min(_QUERY_BLOCK, _MAX_SHORTLIST // wanted))
        for part in slices(len(open_queries), block):
            rows = open_queries[part]
            shortlist = _shortlist(queries, rows, references, wanted, dtype, chunk)
            found, where, certified = _rerank(
                queries, rows, references, k, *shortlist, dtype=dtype, leave_out_own=leave_out_own
            )
            squared_sinh[rows], indices[rows] = found, where
            if wanted < total:
                still_open.append(rows[~certified])
        open_queries = torch.cat(still_open) if still_open else open_queries[:0]
        if second_looks is None:
            second_looks = len(open_queries)
        # A second look first asks for more digits, which settles all but clouds of near-ties.
        wanted = wanted if dtype == torch.float32 else 4 * wanted
        dtype = torch.float64
    return SearchResult(squared_sinh, indices, second_looks or 0, len(open_queries) == 0)


def error_bound(dimension: int, dtype: torch.dtype) -> tuple[float, float]:
    """``eta`` and ``floor`` of the module's derivation, for D = dimension."""
    info = torch.finfo(dtype)
    terms = dimension + 10
    return _ROUNDING_FACTOR[dtype] * terms * info.eps / 2, terms * info.tiny * 2.0**54


def _shortlist(queries, rows, references, count, dtype, chunk):
    """The best ``count`` scores of each query, best first, and their indices."""
    left = queries.as_queries(rows, dtype, *error_bound(references.d, dtype))

    def search(part):
        right = references.as_references(part, dtype)
        scores, found = inner_product_search(left, right, min(count, len(right)))
        return scores, found + part.start

    return merge_largest(map(search, slices(len(references), chunk)), count)


def _rerank(queries, rows, references, k, scores, candidates, *, dtype, leave_out_own):
    """Order a shortlist by exact distance: (values, indices, whether each row is certified)."""
    worst = scores[:, -1].double()
    scores = scores.double()
    eta, floor = error_bound(references.d, dtype)
    excess, spread = queries.excess[rows].unsqueeze(1), queries.spread[rows].unsqueeze(1)
    magnitude = torch.addcmul(excess, 1 + excess, references.excess[candidates])
    magnitude.addcmul_(spread, references.spread[candidates])
    lower_bound = scores - 2.02 * (eta * magnitude + floor)
    if leave_out_own:
        own = candidates == rows.unsqueeze(1)
        scores = scores.masked_fill(own, -math.inf)
        lower_bound = lower_bound.masked_fill(own, -math.inf)
    # Only candidates that may beat the k-th best of the lower bounds need their exact distance.
    threshold = lower_bound.topk(k, dim=1).values[:, -1:]
    contends = scores >= threshold
    width = int(contends.any(0).nonzero()[-1]) + 1
    row, column = contends[:, :width].nonzero(as_tuple=True)
    values = scores.new_full((len(rows), width), math.inf)
    values[row, column] = _squared_sinh(queries, rows[row], references, candidates[row, column])
    # By index first, then stably by value: equal distances come lowest index first.
    candidates, order = candidates[:, :width].sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, stable=True)
    values, candidates = values[:, :k], candidates.gather(1, order[:, :k])
    return values, candidates, 2 * values[:, -1] < -worst


def _squared_sinh(queries, left, references, right):
    """sinh(sqrt(c) d / 2)^2 of pairs of rows, from the direct difference of the ball points."""
    out = torch.empty(len(left), dtype=torch.float64, device=queries.device)
    block = max(1, ROW_BLOCK // max(1, queries.d))
    buffer = torch.empty((min(block, len(left)), queries.d)).to(out)
    for part in slices(len(left), block):
        # Consecutive pairs share their query, which is then mapped only once.
        mine, pair = left[part].unique_consecutive(return_inverse=True)
        gap = buffer[: len(pair)].copy_(references.raw_rows(right[part]))
        gap.mul_(references.scale[right[part]].unsqueeze(1))
        gap.sub_(queries.ball_points(mine).index_select(0, pair))
        torch.linalg.vecdot(gap, gap, out=out[part])
    return out.mul_(queries.c * queries.conformal[left] * references.conformal[right])


def _chunk_rows(references, dtype, chunk_size):
    if dtype == torch.float64:
        return FLOAT64_CHUNK
    fitting = _LIFTED_BYTES // (4 * (references.d + 3))
    return max(1, fitting) if chunk_size is None else chunk_size

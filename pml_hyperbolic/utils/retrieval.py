"""Exact hyperbolic nearest neighbours and k-means at the speed of flat search.

How a search can be fast and provably exact. On the hyperboloid (``lorentz_lift``) the pair (q, Y)
has ``w = cosh(sqrt(c) d) - 1 = a + b + ab - <q_s, Y_s>`` with a = q_0 - 1, b = Y_0 - 1, so a search
for the largest inner product of

    (-(1 - eta) q_0,  floor - (1 - eta) a,  q_s,  eta |q_s|)  and  (b,  1,  Y_s,  |Y_s|)

finds the nearest neighbour, up to rounding. (The 1 is taken off the cosh because it would swamp
small distances.) Let u be the unit roundoff and n = D + 3. Rounding the coordinates (one u a side)
and summing n products in any order, fused or not, changes the result by at most ``gamma M``, where
``gamma = (n + 2)u / (1 - (n + 2)u)`` (Higham, "Accuracy and Stability of Numerical Algorithms",
2002, section 3.1) and M = q_0 b + a + |q_s||Y_s| bounds the sum of the products' magnitudes. The
terms in eta add ``eta M`` to -w; with eta a little above gamma, to pay for their own rounding, the
computed score S brackets the exact one:

    -w <= S    and    S - 2.02 (eta M + floor) <= -w.

A search by S that returns its best K therefore proves that whatever it left out has ``w >= -S_K``.
Re-ranked by the direct difference in float64, a list whose k-th entry is nearer than that is
certified; the others get a second look with scores in float64, then with ever more candidates,
until all references are candidates.

``floor`` pays for coordinates and products that underflow: each loses less than the smallest
normal number, times a factor that stays below 2^54 for points float64 can tell from the boundary.
What float64 itself rounds (norms by (D/2 + 4)u, conformal factors by 2u(1 + b)) changes w by at
most (3D + 30) u M: hence the larger factor of eta in float64; in float32 it vanishes in the slack.
Scores and re-ranking share one float64 conformal factor a point, so "exact" is exact for those.
"""

import logging
import math
import operator
from typing import NamedTuple

import numpy as np
import torch
from pytorch_metric_learning.utils import common_functions as c_f

from ..distances import PoincareDistance
from ..functional.poincare import full_precision, has_float64

_ROUNDING_FACTOR = {torch.float32: 1.01, torch.float64: 4.04}
_QUERY_BLOCK = 2048
_MAX_SHORTLIST = 2**22  # entries of a block's shortlist
_FLOAT64_CHUNK = 8192  # references lifted to float64 at a time, for the few second looks
_SCORE_BLOCK = 2**23  # scores the torch search holds at a time
_ROW_BLOCK = 2**17  # coordinates handled at a time in float64: small enough for the cache
_GPU_MAX_K = 2048  # what FAISS's GPU search can select
_SEEDING_ROUNDS = 32


class PoincareKNN:
    """Exact k nearest neighbours in hyperbolic space, with the interface of PML's ``FaissKNN``.

    A flat inner-product search on lifted float32 vectors (FAISS if installed, else torch), float64
    re-ranking and a certificate for every query; see the module's derivation. Equal distances are
    ordered by index. A graph or quantised index would lose recall here (the lifted norms spread
    too far), so none can be plugged in.

    Args:
        distance: the PoincareDistance or PoincareSimilarity that holds the geometry. Both give
            geodesic distances here: ``power`` and ``bounded`` do not change a ranking.
        reset_before: forget stored references before a call. Default True, as FaissKNN.
        reset_after: forget them after a call. Default True, as FaissKNN.
        num_candidates: smallest number of candidates to re-rank, >= 1; at least k + 8 + k/8 are
            taken. Default 24 (our choice: at most 1% second looks in our measurements).
        chunk_size: number of references lifted to float32 at a time, >= 1; None (default) keeps
            all of them in one piece if that takes at most 512 MiB.

    Attributes (after a call):
        second_look_fraction: fraction of the queries that needed more than the first search.
        all_certified: whether every answer was proven exact; True by construction.

    Raises:
        ValueError: an argument is out of range. At call time: non-finite embeddings, wrong shapes,
            ``inputs="ball"`` points outside the ball, no references, or ``k`` larger than their
            number (less one with ``ref_includes_query``).
        TypeError: ``distance`` holds no hyperbolic geometry.

    References are ordinary tensors or numpy arrays, memory-mapped ones included, in any floating
    dtype; beside them a call holds their lifted float32 copy (or one chunk of it) and 32 bytes a
    row.
    """

    def __init__(
        self,
        distance: PoincareDistance,
        *,
        reset_before: bool = True,
        reset_after: bool = True,
        num_candidates: int = 24,
        chunk_size: int | None = None,
    ):
        self.distance = _check_distance(type(self).__name__, distance)
        self.num_candidates = _check_count("num_candidates", num_candidates)
        self.chunk_size = None if chunk_size is None else _check_count("chunk_size", chunk_size)
        self.reset_before = reset_before
        self.reset_after = reset_after
        self.second_look_fraction = 0.0
        self.all_certified = True
        self._warned = False
        self.reset()

    def __call__(
        self,
        query: torch.Tensor,
        k: int,
        reference: torch.Tensor | None = None,
        ref_includes_query: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The k nearest references of each query.

        Args:
            query: (N, D) raw embeddings, as ``distance`` takes them.
            k: number of neighbours, >= 1.
            reference: (M, D) raw embeddings, added to those that :meth:`train` and :meth:`add`
                stored (and ``reset_before`` forgets).
            ref_includes_query: row i of the references is query i itself: leave it out. Exact
                twins of it stay in.

        Returns:
            (N, k) geodesic distances, nearest first, in the query's dtype (float32 at least), and
            (N, k) long indices of references, both on the query's device.
        """
        query = _as_rows("query", query)
        added = None if reference is None else _as_rows("reference", reference)
        stored = None if self.reset_before else self._references
        self._check_sizes(query, k, stored, added, ref_includes_query)
        queries = self._points(query)
        references = self._joined(stored, added, keep=not self.reset_after)
        found = _nearest(
            queries,
            references,
            operator.index(k),
            leave_out_own=ref_includes_query,
            num_candidates=self.num_candidates,
            chunk_size=self.chunk_size,
        )
        self._references = None if self.reset_after else references
        self.second_look_fraction = found.second_looks / max(len(query), 1)
        self.all_certified = found.all_certified
        c_f.LOGGER.info(
            "%d nearest neighbours by geodesic distance (c=%g): exact, %.2f%% second looks",
            k,
            self.distance.c,
            100 * self.second_look_fraction,
        )
        dtype = torch.promote_types(query.dtype, torch.float32)
        distances = _geodesic(found.squared_sinh, self.distance.c)
        return distances.to(query.device, dtype), found.indices.to(query.device)

    def train(self, embeddings: torch.Tensor) -> None:
        """Store embeddings (M, D) as the references, in place of any stored before."""
        references = self._joined(None, _as_rows("embeddings", embeddings), keep=True)
        self._references = references

    def add(self, embeddings: torch.Tensor) -> None:
        """Store embeddings (M, D) after those already stored, if any."""
        embeddings = _as_rows("embeddings", embeddings)
        self._check_width(embeddings, "embeddings", self._references)
        self._references = self._joined(self._references, embeddings, keep=True)

    def save(self, filename: str) -> None:
        """Write the stored references and their geometry to a file of torch.save.

        The file holds plain tensors and numbers (``torch.load(..., weights_only=True)`` reads it):
        the raw embeddings and c, clip_radius and inputs. The lifted vectors are rebuilt on load.
        """
        if self._references is None:
            raise ValueError("there are no references to save: train() or add() some first")
        torch.save({"geometry": self._geometry(), "embeddings": self._references.raw}, filename)

    def load(self, filename: str) -> None:
        """Replace the stored references by those of a file that :meth:`save` wrote.

        Raises:
            ValueError: the file was written under another geometry.
        """
        content = torch.load(filename, weights_only=True)
        if not isinstance(content, dict) or set(content) != {"geometry", "embeddings"}:
            raise ValueError(f"{filename} was not written by {type(self).__name__}.save()")
        if content["geometry"] != self._geometry():
            raise ValueError(
                f"{filename} was saved under {content['geometry']}, this {type(self).__name__} "
                f"has {self._geometry()}: build it with the geometry of the file"
            )
        self._references = self._points(content["embeddings"])

    def reset(self) -> None:
        """Forget the stored references."""
        self._references = None

    def _geometry(self):
        distance = self.distance
        clips = distance.inputs == "tangent"
        return {
            "c": distance.c,
            "clip_radius": distance.clip_radius if clips else None,
            "inputs": distance.inputs,
        }

    def _check_sizes(self, query, k, stored, added, ref_includes_query):
        k = _check_count("k", k)
        self._check_width(query, "query", stored)
        if added is not None:
            self._check_width(added, "reference", stored)
            if added.shape[1] != query.shape[1]:
                raise ValueError(
                    f"query and reference must have equally many columns, "
                    f"got {tuple(query.shape)} and {tuple(added.shape)}"
                )
        count = sum(len(rows) for rows in [stored] if rows is not None)
        count += 0 if added is None else len(added)
        if count == 0:
            raise ValueError(
                "there are no references to search: pass reference=, or, to search what train() or "
                "add() has stored, use PoincareKNN(distance, reset_before=False, reset_after=False)"
            )
        if ref_includes_query and len(query) > count:
            raise ValueError(
                f"ref_includes_query=True needs the queries to be the first references, "
                f"got {len(query)} queries and {count} references"
            )
        if k > count - ref_includes_query:
            raise ValueError(
                f"k must be at most {count - ref_includes_query} for {count} references"
                f"{' of which the query itself is left out' if ref_includes_query else ''}, "
                f"got {k}: lower k or add references"
            )

    @staticmethod
    def _check_width(rows, name, stored):
        if stored is not None and rows.shape[1] != stored.raw.shape[1]:
            raise ValueError(
                f"the stored references have {stored.raw.shape[1]} columns, "
                f"got {name} of shape {tuple(rows.shape)}"
            )

    def _points(self, raw):
        points = _Points(raw, self.distance)
        unit = self.distance.inputs == "tangent" and len(raw) > 1 and not self._warned
        # 1e-3: rows normalised in half precision are no closer to 1.
        if unit and bool(((points.norm - 1).abs() < 1e-3).all()):
            self._warned = True
            c_f.LOGGER.warning(
                "All %d embeddings have unit L2 norm: if the model, tester or InferenceModel "
                "normalises them (normalize_embeddings=True), their hyperbolic radius is lost.",
                len(raw),
            )
        return points

    def _joined(self, stored, added, keep):
        """Stored and added references as one; a copy of the caller's tensor where it is kept."""
        if added is None:
            return stored
        if stored is not None:
            added = torch.cat([stored.raw, added.to(stored.raw.device, stored.raw.dtype)])
        elif keep:
            added = added.clone()
        return self._points(added)


class PoincareKMeans:
    """K-means in hyperbolic space, with the interface of PML's ``FaissKMeans``.

    Points go to the nearest centroid by geodesic distance (:class:`PoincareKNN`'s exact search).
    A centroid is the normalised sum of its points on the hyperboloid: the closed-form minimiser of
    their squared Lorentzian distances ``2 (cosh(sqrt(c) d) - 1) / c``, which is a monotone
    function of the geodesic distance. So both steps lower one objective and the iteration
    converges; the Frechet mean would need an inner iteration a cluster for the same guarantee.
    The point is also the Einstein (gyro) midpoint of equal weights.

    Args:
        distance: the PoincareDistance or PoincareSimilarity that holds the geometry.
        niter: largest number of iterations, >= 1. Default 20, as PML uses FAISS with.
        nredo: number of runs from different seeds, of which the best is kept, >= 1. Default 1.
        seed: of the random start. Default 0: equal inputs give equal labels.

    Raises:
        ValueError: an argument is out of range; at call time fewer points than clusters, or
            embeddings that :class:`PoincareKNN` would refuse.
        TypeError: ``distance`` holds no hyperbolic geometry.

    Source: Law et al., "Lorentzian Distance Learning", ICML 2019 (centroid); Arthur and
    Vassilvitskii 2007 (k-means++ start, here in at most 32 rounds of several seeds each, as
    Bahmani et al. 2012, for very many clusters; our choice).
    """

    def __init__(
        self, distance: PoincareDistance, *, niter: int = 20, nredo: int = 1, seed: int = 0
    ):
        self.distance = _check_distance(type(self).__name__, distance)
        self.niter = _check_count("niter", niter)
        self.nredo = _check_count("nredo", nredo)
        self.seed = seed

    def __call__(self, x: torch.Tensor, nmb_clusters: int) -> torch.Tensor:
        """Cluster raw embeddings (N, D); returns (N,) long labels below ``nmb_clusters``."""
        rows = _as_rows("x", x)
        nmb_clusters = _check_count("nmb_clusters", nmb_clusters)
        if nmb_clusters > len(rows):
            raise ValueError(
                f"nmb_clusters must be at most the number of points, {len(rows)}, "
                f"got {nmb_clusters}: ask for fewer clusters"
            )
        points = _Points(rows, self.distance)
        generator = torch.Generator().manual_seed(self.seed)
        best_cost, best_labels = math.inf, None
        for _ in range(self.nredo):
            cost, labels = self._run(points, nmb_clusters, generator)
            if best_labels is None or cost < best_cost:
                best_cost, best_labels = cost, labels
        return best_labels.to(rows.device)

    def _run(self, points, count, generator):
        """One run from one start: the final cost and labels."""
        ball = PoincareDistance(c=points.c, clip_radius=None, inputs="ball")
        centroids = points.ball_points(_plus_plus_seeds(points, count, generator))
        labels = None
        for iteration in range(self.niter + 1):
            found = _nearest(points, _Points(centroids, ball), 1)
            previous, labels, cost = labels, found.indices[:, 0], found.squared_sinh[:, 0]
            settled = previous is not None and torch.equal(previous, labels)
            if settled or iteration == self.niter:
                break
            centroids = _lorentz_centroids(points, labels, cost, count)
        return float(cost.sum()), labels


class _Found(NamedTuple):
    squared_sinh: torch.Tensor  # (N, k) float64: sinh(sqrt(c) d / 2)^2
    indices: torch.Tensor  # (N, k) long
    second_looks: int
    all_certified: bool


class _Points:
    """Raw embeddings, and the float64 scalars that put each row on the ball and hyperboloid.

    The map onto the ball only rescales a row, so mapping the norms gives the factor of each row
    and no mapped copy of the embeddings is needed.
    """

    def __init__(self, raw, distance):
        self.raw = raw
        self.c = c = distance.c
        self.sqrt_c = math.sqrt(c)
        self.device = raw.device if has_float64(raw.device) else torch.device("cpu")
        norm = torch.empty(len(raw), dtype=torch.float64, device=self.device)
        # One buffer for all pieces: memory that is asked for again and again is not all reused.
        block = max(1, _ROW_BLOCK // max(1, raw.shape[1]))
        buffer = norm.new_empty(min(block, len(raw)), raw.shape[1])
        for rows in _slices(len(raw), block):
            wide = buffer[: len(norm[rows])].copy_(raw[rows])
            torch.linalg.vector_norm(wide, dim=1, out=norm[rows])
        # On the CPU, where to_ball checks its values whatever the device of the embeddings.
        self.norm = norm.cpu()
        radius = distance.to_ball(self.norm.unsqueeze(1)).squeeze(1)
        scale = torch.where(self.norm > 0, radius / self.norm, 1)
        # A valid point may round onto the boundary: hold it one rounding inside.
        reach = (self.sqrt_c * radius).clamp(max=1 - 2.0**-53)
        conformal = 1 / ((1 - reach) * (1 + reach))
        self.scale = scale.to(self.device)
        self.conformal = conformal.to(self.device)
        self.excess = (2 * reach.square() * conformal).to(self.device)
        self.spread = (2 * reach * conformal).to(self.device)
        self._lifted = None

    def __len__(self):
        return len(self.raw)

    def to(self, device):
        """Move the scalars; raw rows follow as they are needed."""
        self.device = device
        for name in ("scale", "conformal", "excess", "spread"):
            setattr(self, name, getattr(self, name).to(device))
        if self._lifted is not None:
            self._lifted = self._lifted.to(device)

    def ball_points(self, rows):
        """(n, D) float64 points on the ball of these rows (long indices or a slice)."""
        return self._raw_rows(rows).double().mul_(self.scale[rows].unsqueeze(1))

    def space(self, rows, out=None):
        """(n, D) space-like coordinates on the hyperboloid, float64 unless ``out`` is given."""
        factor = (2 * self.sqrt_c * self.scale[rows] * self.conformal[rows]).unsqueeze(1)
        if out is None:
            return self._raw_rows(rows).double().mul_(factor)
        for part in _slices(len(factor), max(1, _ROW_BLOCK // max(1, self.raw.shape[1]))):
            picked = (
                slice(rows.start + part.start, rows.start + part.stop)
                if isinstance(rows, slice)
                else rows[part]
            )
            out[part] = self._raw_rows(picked).double().mul_(factor[part])
        return out

    def as_queries(self, rows, dtype):
        """(n, D + 3) left sides of the product."""
        eta, floor = _error_bound(self.raw.shape[1], dtype)
        excess = self.excess[rows]
        left = self._empty(len(excess), dtype)
        left[:, 0] = (1 + excess) * (eta - 1)
        left[:, 1] = floor + excess * (eta - 1)
        left[:, -1] = eta * self.spread[rows]
        self.space(rows, out=left[:, 2:-1])
        return left

    def as_references(self, rows, dtype):
        """(n, D + 3) right sides of a slice; those of all rows are kept if in float32."""
        if self._lifted is not None and dtype == torch.float32:
            return self._lifted[rows]
        right = self._empty(rows.stop - rows.start, dtype)
        right[:, 0] = self.excess[rows]
        right[:, 1] = 1
        right[:, -1] = self.spread[rows]
        self.space(rows, out=right[:, 2:-1])
        if len(right) == len(self) and dtype == torch.float32:
            self._lifted = right
        return right

    def _empty(self, count, dtype):
        return torch.empty((count, self.raw.shape[1] + 3), dtype=dtype, device=self.device)

    def _raw_rows(self, rows):
        if isinstance(rows, torch.Tensor):
            return self.raw.index_select(0, rows.to(self.raw.device)).to(self.device)
        chunk = self.raw[rows].to(self.device)
        # Never the caller's own memory, which is scaled in place.
        return chunk.clone() if chunk.dtype == torch.float64 else chunk


def _nearest(
    queries, references, k, *, leave_out_own=False, num_candidates=24, chunk_size=None
) -> _Found:
    """The search itself: shortlists, re-ranking, certificates and second looks."""
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
        for part in _slices(len(open_queries), block):
            rows = open_queries[part]
            shortlist = _shortlist(queries.as_queries(rows, dtype), references, wanted, chunk)
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
    return _Found(squared_sinh, indices, second_looks or 0, len(open_queries) == 0)


def _shortlist(left, references, count, chunk):
    """The best ``count`` scores of each query, best first, and their indices."""
    best, where = None, None
    total = len(references)
    for rows in _slices(total, chunk):
        right = references.as_references(rows, left.dtype)
        scores, found = _inner_product_search(left, right, min(count, len(right)))
        found += rows.start
        if best is not None:
            scores, found = torch.cat([best, scores], dim=1), torch.cat([where, found], dim=1)
        if scores.shape[1] > count or best is not None:
            scores, order = scores.topk(min(count, scores.shape[1]), dim=1)
            found = found.gather(1, order)
        best, where = scores, found
    return best, where


def _rerank(queries, rows, references, k, scores, candidates, *, dtype, leave_out_own):
    """Order a shortlist by exact distance: (values, indices, whether each row is certified)."""
    worst = scores[:, -1].double()
    scores = scores.double()
    eta, floor = _error_bound(references.raw.shape[1], dtype)
    excess, spread = queries.excess[rows].unsqueeze(1), queries.spread[rows].unsqueeze(1)
    magnitude = torch.addcmul(excess, 1 + excess, references.excess[candidates])
    magnitude.addcmul_(spread, references.spread[candidates])
    surely = scores - 2.02 * (eta * magnitude + floor)
    if leave_out_own:
        own = candidates == rows.unsqueeze(1)
        scores = scores.masked_fill(own, -math.inf)
        surely = surely.masked_fill(own, -math.inf)
    # Only what may beat the k-th best of the lower bounds needs its exact distance.
    threshold = surely.topk(k, dim=1).values[:, -1:]
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
    block = max(1, _ROW_BLOCK // max(1, queries.raw.shape[1]))
    buffer = torch.empty((min(block, len(left)), queries.raw.shape[1])).to(out)
    for part in _slices(len(left), block):
        # Consecutive pairs share their query: map each once.
        mine, pair = left[part].unique_consecutive(return_inverse=True)
        gap = buffer[: len(pair)].copy_(references._raw_rows(right[part]))
        gap.mul_(references.scale[right[part]].unsqueeze(1))
        gap.sub_(queries.ball_points(mine).index_select(0, pair))
        torch.linalg.vecdot(gap, gap, out=out[part])
    return out.mul_(queries.c * queries.conformal[left] * references.conformal[right])


def _geodesic(squared_sinh, c):
    return squared_sinh.sqrt().asinh_().mul_(2 / math.sqrt(c))


def _inner_product_search(left, right, k):
    """The k largest inner products of each row of ``left`` with rows of ``right``, largest first.

    FAISS where it can (float32), else torch on the device of the rows: equally exact.
    """
    faiss = faiss_or_none() if left.dtype == torch.float32 else None
    if faiss is None or len(left) == 0:
        return _torch_search(left, right, k)
    if left.device.type == "cpu":
        scores, found = faiss.knn(left.numpy(), right.numpy(), k, metric=faiss.METRIC_INNER_PRODUCT)
        return torch.from_numpy(scores), torch.from_numpy(found)
    if left.is_cuda and hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
        if k <= _GPU_MAX_K:
            # Lets knn_gpu take tensors.
            import faiss.contrib.torch_utils

            with torch.cuda.device(left.device):
                return faiss.knn_gpu(
                    faiss.StandardGpuResources(),
                    left,
                    right,
                    k,
                    metric=faiss.METRIC_INNER_PRODUCT,
                    device=left.device.index,
                )
        c_f.LOGGER.info(
            "searching with torch instead of FAISS: %d candidates are more than the %d that FAISS "
            "selects on a GPU",
            k,
            _GPU_MAX_K,
        )
    return _torch_search(left, right, k)


def _torch_search(left, right, k):
    best = where = None
    # TF32, bfloat16 products or autocast would break the error bound.
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with full_precision(left):
            for part in _slices(len(right), max(k, _SCORE_BLOCK // max(1, len(left)))):
                scores, found = (left @ right[part].T).topk(min(k, part.stop - part.start), dim=1)
                found += part.start
                if best is not None:
                    scores = torch.cat([best, scores], dim=1)
                    scores, order = scores.topk(min(k, scores.shape[1]), dim=1)
                    found = torch.cat([where, found], dim=1).gather(1, order)
                best, where = scores, found
    finally:
        torch.set_float32_matmul_precision(precision)
    return best, where


def _plus_plus_seeds(points, count, generator):
    """Rows to start from: k-means++ sampling by squared Lorentzian distance."""
    total = len(points)
    nearest = torch.ones(total, dtype=torch.float64)
    chosen = torch.zeros(total, dtype=torch.bool)
    rounds = min(count, _SEEDING_ROUNDS)
    for number in range(rounds):
        batch = count * (number + 1) // rounds - count * number // rounds
        weights = nearest.masked_fill(chosen, 0)
        # Where fewer distinct points are left than seeds, any unchosen one does.
        if int((weights > 0).sum()) < batch:
            weights = (~chosen).double()
        fresh = torch.multinomial(weights / weights.max(), batch, generator=generator)
        chosen[fresh] = True
        if number == rounds - 1:
            break
        fresh = fresh.to(points.device)
        seeds, excess = points.space(fresh), points.excess[fresh]
        to_fresh = torch.cat(
            [
                torch.addmm(
                    excess + (1 + excess) * points.excess[rows].unsqueeze(1),
                    points.space(rows),
                    seeds.T,
                    alpha=-1,
                )
                .amin(1)
                .cpu()
                for rows in _slices(total, _FLOAT64_CHUNK)
            ]
        ).clamp_(min=0)
        nearest = to_fresh if number == 0 else torch.minimum(nearest, to_fresh)
    return chosen.nonzero().squeeze(1).to(points.device)


def _lorentz_centroids(points, labels, cost, count):
    """(count, D) ball points: the Lorentzian centroid of each cluster.

    An empty cluster restarts at the point that fits its own cluster worst.
    """
    size = (count, points.raw.shape[1])
    space = torch.zeros(size, dtype=torch.float64, device=points.device)
    for rows in _slices(len(points), _FLOAT64_CHUNK):
        space.index_add_(0, labels[rows], points.space(rows))
    time = torch.zeros_like(space[:, 0]).index_add_(0, labels, 1 + points.excess).unsqueeze(1)
    norm = torch.linalg.vector_norm(space, dim=1, keepdim=True)
    mass = ((time - norm).clamp(min=0) * (time + norm)).sqrt()
    below = time + mass
    # Rounding must not put a far centroid on the boundary.
    inside = 1 - 2.0**-48
    below = torch.maximum(below, norm / inside)
    filled = torch.bincount(labels, minlength=count) > 0
    centroids = space / torch.where(filled.unsqueeze(1), points.sqrt_c * below, 1)
    empty = (~filled).nonzero().squeeze(1)
    if len(empty):
        worst = cost.topk(len(empty)).indices
        centroids[empty] = points.ball_points(worst)
    return centroids


def _as_rows(name, rows):
    rows = c_f.numpy_to_torch(rows)
    if not isinstance(rows, torch.Tensor) or rows.ndim != 2 or not rows.is_floating_point():
        given = (
            f"{rows.dtype} of shape {tuple(rows.shape)}"
            if isinstance(rows, (torch.Tensor, np.ndarray))
            else type(rows).__name__
        )
        raise ValueError(f"{name} must be a floating-point tensor of shape (N, D), got {given}")
    return rows.detach()


def _check_distance(name, distance):
    if not isinstance(distance, PoincareDistance):
        raise TypeError(
            f"{name} takes a PoincareDistance or PoincareSimilarity, "
            f"got {type(distance).__name__}: for flat spaces use PML's own functions"
        )
    return distance


def _check_count(name, value):
    try:
        valid = operator.index(value) >= 1 and not isinstance(value, bool)
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
    return operator.index(value)


def _error_bound(dimension, dtype):
    """eta and floor of the module's derivation."""
    info = torch.finfo(dtype)
    terms = dimension + 10
    return _ROUNDING_FACTOR[dtype] * terms * info.eps / 2, terms * info.tiny * 2.0**54


def _chunk_rows(references, dtype, chunk_size):
    if dtype == torch.float64:
        return _FLOAT64_CHUNK
    fitting = 2**29 // (4 * (references.raw.shape[1] + 3))
    return max(1, fitting) if chunk_size is None else chunk_size


def _slices(total, size):
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def faiss_or_none():
    """FAISS, or None where it is not installed; a broken installation is named once a search."""
    try:
        import faiss
    except ModuleNotFoundError:
        return None
    except ImportError as error:
        logging.getLogger(c_f.LOGGER_NAME).warning(
            "FAISS cannot be imported (%s), searching with torch: "
            "faiss-cpu and faiss-gpu installed together break each other",
            error,
        )
        return None
    return faiss

"""Losses that shape a hierarchy: HIER's triplets over common ancestors, and HypHC.

HIER: Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258.
HypHC: Chami, Gu, Chatziafratis, Re, NeurIPS 2020, arXiv 2010.00402.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from .poincare import (
    at_least_float32,
    ball_scale,
    full_precision,
    has_float64,
)
from .validation import check_broadcast, check_clip_radius, check_curvature

# Triplets are worked on in pieces of this many (triplet, proxy) entries: small enough for the
# cache of a CPU core, large enough to fill a GPU.
_CHUNK_ENTRIES_CPU = 2**18
_CHUNK_ENTRIES_CUDA = 2**24
# Largest argument of atanh that rounding may produce.
_BELOW_ONE = 1 - 2.0**-50


def reciprocal_neighbor_triplets(
    similarity: torch.Tensor,
    *,
    k: int,
    triplets_per_anchor: int,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw HIER's triplets: two reciprocal nearest neighbours and one point that is none.

    Points i and j are reciprocal neighbours when each is among the other's ``k`` most similar
    points, the point itself counted among them (so at most k - 1 neighbours). Anchors with fewer
    than two reciprocal neighbours, or with nothing left for a negative, are skipped.

    Args:
        similarity: (N, N), larger is closer; the diagonal is taken as the largest of its row.
        k: neighbours per point, itself included, >= 1; capped at N. The paper uses 20.
        triplets_per_anchor: draws for each anchor, uniform with replacement, >= 1. Paper: 50.
        generator: source of the draws, default torch's global one.

    Returns:
        (3, T) long: rows anchor, positive, negative. T is 0 where no anchor qualifies.

    Raises:
        ValueError: ``similarity`` is not square, or a count is below 1.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be a square (N, N) matrix, got {_shape(similarity)}")
    if k < 1 or triplets_per_anchor < 1:
        raise ValueError(
            f"k and triplets_per_anchor must be at least 1, got {k} and {triplets_per_anchor}"
        )
    n, device = len(similarity), similarity.device
    ranked = similarity.detach().clone().fill_diagonal_(math.inf)
    nearest = ranked.topk(min(k, n), dim=1).indices
    is_near = torch.zeros(n, n, dtype=torch.bool, device=device).scatter_(1, nearest, True)
    neighbors = is_near & is_near.T
    others = ~neighbors  # the diagonal is a neighbour of itself, so never a negative
    neighbors.fill_diagonal_(False)
    usable = (neighbors.sum(1) >= 2) & others.any(1)
    anchors = usable.nonzero().squeeze(1)
    positives = _draw_columns(neighbors[anchors], triplets_per_anchor, generator)
    negatives = _draw_columns(others[anchors], triplets_per_anchor, generator)
    anchors = anchors.repeat_interleave(triplets_per_anchor)
    return torch.stack([anchors, positives.flatten(), negatives.flatten()])


def hierarchical_triplet_loss(
    distances: torch.Tensor,
    triplets: torch.Tensor,
    *,
    margin: float,
    temperature: float,
    gumbel_noise: tuple[torch.Tensor, torch.Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """HIER's loss: the mean of :func:`hierarchical_triplet_losses` over all triplets.

    Args, Raises: as :func:`hierarchical_triplet_losses`.

    Returns:
        Scalar; 0, still attached to ``distances``, where there are no triplets.
    """
    losses = hierarchical_triplet_losses(
        distances,
        triplets,
        margin=margin,
        temperature=temperature,
        gumbel_noise=gumbel_noise,
        generator=generator,
    )
    return losses.mean() if len(losses) else distances.sum() * 0


def hierarchical_triplet_losses(
    distances: torch.Tensor,
    triplets: torch.Tensor,
    *,
    margin: float,
    temperature: float,
    gumbel_noise: tuple[torch.Tensor, torch.Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """HIER's loss of each triplet, over lowest common ancestors sampled among the proxies.

    For a triplet (i, j, k) a proxy ``a`` is sampled as ancestor of the pair (i, j) with logits
    ``-max(D_ip, D_jp) / temperature`` and a proxy ``b`` as ancestor of all three; the loss is
    ``relu(D_ia - D_ib + m) + relu(D_ja - D_jb + m) + relu(D_kb - D_ka + m)``, and 0 where a = b.
    Gradients flow through the distances and, straight-through, through Gumbel-softmax
    probabilities at temperature 1. The gradient itself cannot be differentiated again.

    The ancestors are sampled without drawing noise for every proxy; the noise that the soft
    probabilities need is drawn, given the sampled ancestor, for triplets that have a gradient
    (identical in distribution to Gumbel noise for everything, and several times faster).

    Args:
        distances: (N, P), of the points (or of the proxies themselves) to the P proxies.
        triplets: (3, T) long, rows of ``distances``. A row may occur twice in a triplet.
        margin: of each hinge. Paper: 0.1.
        temperature: of the ancestors' logits, > 0. Paper: 0.1.
        gumbel_noise: two (T, P) tensors, for the pair's and the triplet's ancestor, in place of
            random draws.
        generator: source of the draws, default torch's global one.

    Returns:
        (T,) losses in the dtype of ``distances``, float32 at least.

    Raises:
        ValueError: shapes do not fit, an index is out of range (checked on the CPU only), or
            ``temperature`` is not positive.
    """
    if distances.ndim != 2 or distances.shape[1] == 0:
        raise ValueError(f"distances must be (N, P) with P >= 1, got {_shape(distances)}")
    if triplets.ndim != 2 or len(triplets) != 3:
        raise ValueError(f"triplets must be (3, T), got {_shape(triplets)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    n, (_, t) = len(distances), triplets.shape
    on_cpu = triplets.device.type == "cpu"
    if on_cpu and t and not 0 <= int(triplets.min()) <= int(triplets.max()) < n:
        raise ValueError(
            f"triplets must index the {n} rows of distances, "
            f"got indices from {int(triplets.min())} to {int(triplets.max())}"
        )
    if gumbel_noise is not None and any(g.shape != (t, distances.shape[1]) for g in gumbel_noise):
        raise ValueError(
            f"gumbel_noise must be two ({t}, {distances.shape[1]}) tensors, "
            f"got {[tuple(g.shape) for g in gumbel_noise]}"
        )
    distances = distances.to(at_least_float32(distances.dtype))
    if t == 0:
        return distances.new_zeros(0)
    noise = (None, None) if gumbel_noise is None else gumbel_noise
    with full_precision(distances):
        losses, _, _ = _HierarchicalTriplets.apply(
            distances, triplets, float(margin), float(temperature), *noise, generator
        )
    return losses


def lca_depth(x: torch.Tensor, y: torch.Tensor, *, c: float) -> torch.Tensor:
    """Depth of two points' lowest common ancestor: distance from the origin to their geodesic.

    The distance is to the geodesic *segment*: where the foot of the perpendicular lies outside,
    it is the nearer endpoint's. Points on opposite sides of the origin give 0. Computed in
    float64 (float32 on devices without it).

    Args:
        x, y: (..., D) points with ``c|x|^2 < 1``, broadcast against each other.
        c: curvature magnitude, > 0.

    Returns:
        (...) depths >= 0 in the inputs' dtype, float32 at least.

    Raises:
        ValueError: the shapes do not broadcast, or ``c`` is not a positive finite number.

    Source: Chami et al. 2020, section 3.2, there for the whole geodesic.
    """
    check_curvature(c)
    check_broadcast("lca_depth", x, y)
    out_dtype = at_least_float32(torch.promote_types(x.dtype, y.dtype))
    work_dtype = torch.float64 if has_float64(x.device) else out_dtype
    sqrt_c = math.sqrt(c)
    x, y = torch.broadcast_tensors(sqrt_c * x.to(work_dtype), sqrt_c * y.to(work_dtype))
    xx, yy, xy = x.square().sum(-1), y.square().sum(-1), (x * y).sum(-1)
    within = (xx * (1 + yy) > xy * (1 + xx)) & (yy * (1 + xx) > xy * (1 + yy))
    # 1 / |a| = |x| |y - proj_x y| / |u y - v x| for the centre a of the circle that carries the
    # geodesic: norms of differences, so nothing cancels for nearly collinear points.
    safe_xx = torch.where(within, xx, 1)
    rejection = y - (xy / safe_xx).unsqueeze(-1) * x
    chord = (1 + xx).unsqueeze(-1) * y - (1 + yy).unsqueeze(-1) * x
    rejection, chord = _norm(rejection), _norm(chord)
    inverse_center = 2 * xx.clamp(min=torch.finfo(work_dtype).tiny).sqrt() * rejection
    inverse_center = inverse_center / torch.where(within, chord, 1)
    foot = torch.atanh(torch.where(within, inverse_center, 0))
    endpoint = 2 * torch.atanh(torch.minimum(_norm(x), _norm(y)))
    return (torch.where(within, foot, endpoint) / sqrt_c).to(out_dtype)


def hyphc_loss(
    points: torch.Tensor,
    similarity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    triplets: torch.Tensor,
    *,
    c: float,
    temperature: float,
) -> torch.Tensor:
    """HypHC's relaxation of Dasgupta's cost: similar pairs should have deep common ancestors.

    Mean over triplets of ``w_ij + w_ik + w_jk - <w, softmax(d_o / temperature)>`` with the
    depths ``d_o`` of the three pairs' lowest common ancestors.

    Args:
        points: (P, D) points with ``c|x|^2 < 1``.
        similarity: ``(i, j) -> (T,)``, similarities of the points with these indices, >= 0.
            Never asked for all pairs at once.
        triplets: (3, T) long, indices of points.
        c: curvature magnitude, > 0.
        temperature: of the softmax over depths, > 0. HypHC's usual value is 0.05.

    Returns:
        Scalar; 0, still attached to ``points``, where there are no triplets.

    Raises:
        ValueError: shapes do not fit, or ``c`` or ``temperature`` is not positive.
    """
    check_curvature(c)
    if points.ndim != 2 or triplets.ndim != 2 or len(triplets) != 3:
        raise ValueError(
            f"hyphc_loss takes points (P, D) and triplets (3, T), "
            f"got {_shape(points)} and {_shape(triplets)}"
        )
    i, j, k = triplets
    weights = torch.stack([similarity(i, j), similarity(i, k), similarity(j, k)])
    corners = points.index_select(0, triplets.T.flatten()).unflatten(0, (-1, 3))
    return hyphc_loss_of_corners(corners, weights, c=c, temperature=temperature)


def hyphc_loss_of_corners(
    corners: torch.Tensor, weights: torch.Tensor | None, *, c: float, temperature: float
) -> torch.Tensor:
    """:func:`hyphc_loss` of triplets whose points and similarities have been looked up already.

    Args:
        corners: (T, 3, D) points i, j and k of each triplet, with ``c|x|^2 < 1``.
        weights: (3, T) similarities w_ij, w_ik and w_jk, or None for (1 + cosine) / 2 of the
            points, without gradient.
        c, temperature: as hyphc_loss.

    Returns:
        Scalar; 0, still attached to ``corners``, where there are no triplets.

    Raises:
        ValueError: ``c`` or ``temperature`` is not positive.
    """
    check_curvature(c)
    return _hyphc_of_products(lambda gram: gram, corners, weights, c, temperature)


def hyphc_loss_of_tangents(
    corners: torch.Tensor,
    weights: torch.Tensor | None,
    *,
    c: float,
    clip_radius: float | None,
    temperature: float,
) -> torch.Tensor:
    """:func:`hyphc_loss_of_corners` of tangent vectors, which are never mapped themselves.

    Clip and exponential map scale the inner products of the vectors.

    Args:
        corners: (T, 3, D) tangent vectors of the points i, j and k of each triplet.
        weights: (3, T) similarities w_ij, w_ik and w_jk, or None for (1 + cosine) / 2 of the
            vectors themselves, without gradient.
        c, clip_radius: as :func:`to_poincare_ball`.
        temperature: as hyphc_loss.

    Returns:
        Scalar; 0, still attached to ``corners``, where there are no triplets.

    Raises:
        ValueError: ``c``, ``clip_radius`` or ``temperature`` is not positive.
    """
    check_curvature(c)
    check_clip_radius(clip_radius)

    def mapped(gram):
        square = gram.diagonal(dim1=1, dim2=2)
        # A zero vector keeps a scale of 1 and a gradient of 0.
        dtype = at_least_float32(corners.dtype)
        norm = square.clamp(min=torch.finfo(dtype).tiny).sqrt()
        scale, *_ = ball_scale(norm, c=c, clip_radius=clip_radius, dtype=dtype)
        return gram * scale.unsqueeze(1) * scale.unsqueeze(2)

    return _hyphc_of_products(mapped, corners, weights, c, temperature)


def _hyphc_of_products(mapping, corners, weights, c, temperature):
    """HypHC from (T, 3, 3) inner products of corners; ``mapping`` makes them those of points."""
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    if len(corners) == 0:
        return corners.sum() * 0
    out_dtype = at_least_float32(corners.dtype)
    with full_precision(corners):
        products = _CornerProducts.apply(corners.to(out_dtype))
        if weights is None:
            weights = _corner_cosines(products.detach()).add(1).div(2).to(out_dtype)
        gram = c * mapping(products)
        squares = gram.diagonal(dim1=1, dim2=2)
        depths = torch.stack(
            [
                _lca_depth_of_products(squares[:, p], squares[:, q], gram[:, p, q])
                for p, q in ((0, 1), (0, 2), (1, 2))
            ]
        )
        depths = (depths / math.sqrt(c)).to(out_dtype)
        chosen = (weights * torch.softmax(depths / temperature, dim=0)).sum(0)
        return (weights.sum(0) - chosen).mean()


def _corner_cosines(products):
    """(3, T) cosines of the pairs (i, j), (i, k) and (j, k); 0 with a zero vector."""
    tiny = torch.finfo(products.dtype).tiny
    norms = products.diagonal(dim1=1, dim2=2).clamp(min=tiny).sqrt()
    cosines = products / norms.unsqueeze(1) / norms.unsqueeze(2)
    return torch.stack([cosines[:, 0, 1], cosines[:, 0, 2], cosines[:, 1, 2]])


def _lca_depth_of_products(xx, yy, xy):
    """lca_depth at c = 1 from inner products: what cancels leaves sqrt(eps) of the norms.

    Enough for a loss, in float64, and a fraction of the cost of working on the vectors.
    """
    within = (xx * (1 + yy) > xy * (1 + xx)) & (yy * (1 + xx) > xy * (1 + yy))
    u, v = 1 + xx, 1 + yy
    chord = u * u * yy - 2 * u * v * xy + v * v * xx
    area = 4 * (xx * yy - xy * xy)
    tiny = torch.finfo(xx.dtype).tiny
    # Square roots have no gradient at 0: what is exactly collinear or at the origin gets none.
    open_foot = within & (area > tiny) & (chord > tiny)
    ratio = torch.where(open_foot, area, 0.25) / torch.where(open_foot, chord, 1)
    foot = torch.where(open_foot, torch.atanh(ratio.clamp(max=_BELOW_ONE).sqrt()), 0)
    nearest = torch.minimum(xx, yy)
    off_origin = nearest > tiny
    endpoint = 2 * torch.atanh(torch.where(off_origin, nearest, 0.25).sqrt())
    return torch.where(within, foot, torch.where(off_origin, endpoint, 0))


class _CornerProducts(torch.autograd.Function):
    """(T, 3, 3) inner products, in float64, of the three points of each triplet.

    In pieces that fit the cache; a batched matrix product of so small matrices is ten times slower.
    """

    @staticmethod
    def forward(corners):
        dtype = torch.float64 if has_float64(corners.device) else corners.dtype
        products = corners.new_empty(len(corners), 3, 3, dtype=dtype)
        for part in _chunks(len(corners), corners[:, 0]):
            points = corners[part].to(dtype)
            for p in range(3):
                for q in range(p, 3):
                    products[part, p, q] = products[part, q, p] = (points[:, p] * points[:, q]).sum(
                        -1
                    )
        return products

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (corners,) = ctx.saved_tensors
        grad = (grad + grad.mT).to(corners.dtype)
        if torch.is_grad_enabled():
            return grad @ corners
        out = torch.empty_like(corners)
        for part in _chunks(len(corners), corners[:, 0]):
            x, y, z = corners[part].unbind(1)
            for p in range(3):
                to_x, to_y, to_z = grad[part, p].unsqueeze(2).unbind(1)
                torch.mul(x, to_x, out=out[part, p]).addcmul_(y, to_y).addcmul_(z, to_z)
        return out


class _HierarchicalTriplets(torch.autograd.Function):
    """Per-triplet losses forward; soft ancestor probabilities only backward, in chunks."""

    @staticmethod
    def forward(distances, triplets, margin, temperature, noise_pair, noise_all, generator):
        seed = torch.randint(2**62, (), generator=generator, device=_device_of(generator))
        draws = _Uniform(distances, int(seed))
        rates = _AncestorRates(distances, temperature)
        ancestors = torch.empty_like(triplets[:2])
        for part in _chunks(triplets.shape[1], distances):
            both = rates.of(triplets[:, part])
            for out, rate, noise in zip(ancestors, both, (noise_pair, noise_all), strict=True):
                if noise is None:
                    out[part] = _sample_ancestor(rate, draws)
                else:
                    out[part] = (noise[part] + rate.log()).argmax(1)
        losses, _ = _hinges(distances, triplets, ancestors, margin)
        return losses.sum(0), ancestors, seed

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        distances, triplets, ctx.margin, ctx.temperature, noise_pair, noise_all, _ = inputs
        _, ancestors, seed = outputs
        ctx.mark_non_differentiable(ancestors, seed)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(distances, triplets, ancestors, seed, noise_pair, noise_all)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, *_):
        if grad is None:
            return (None,) * 7
        distances, triplets, ancestors, seed, *noises = ctx.saved_tensors
        with full_precision(distances):
            gradient = _triplet_gradients(
                grad, distances, triplets, ancestors, int(seed), noises, ctx.margin, ctx.temperature
            )
        return gradient, None, None, None, None, None, None


def _triplet_gradients(grad, distances, triplets, ancestors, seed, noises, margin, temperature):
    """The gradient of per-triplet losses to the distances, in chunks of triplets."""
    _, active = _hinges(distances, triplets, ancestors, margin)
    rows = (active.any(0) & (grad != 0)).nonzero().squeeze(1)
    triplets, ancestors = triplets[:, rows], ancestors[:, rows]
    # Signed weights of D_i., D_j. and D_k. in each triplet's loss.
    weights = active[:, rows] * (grad[rows] * distances.new_tensor([[1], [1], [-1]]))
    noises = [None if noise is None else noise[rows] for noise in noises]
    out = torch.zeros_like(distances)
    # Straight-through: the hard one-hot ancestors pick the distances ...
    for ancestor, sign in zip(ancestors, (1, -1), strict=True):
        at = (triplets, ancestor.expand_as(triplets))
        out.index_put_(at, sign * weights, accumulate=True)
    # ... and the soft probabilities carry the gradient to the logits.
    draws = _Uniform(distances, seed + 1)
    rates = _AncestorRates(distances, temperature)
    for part in _chunks(len(rows), distances):
        to_pair, to_all = (
            _soft_ancestor(rate, ancestor[part], noise if noise is None else noise[part], draws)
            for rate, ancestor, noise in zip(
                rates.of(triplets[:, part]), ancestors, noises, strict=True
            )
        )
        d_i, d_j, d_k = (distances.index_select(0, index[part]) for index in triplets)
        w_i, w_j, w_k = weights[:, part].unsqueeze(2)
        value = (d_i * w_i).addcmul_(d_j, w_j).addcmul_(d_k, w_k)
        _softmax_gradient_(to_pair, value, -1 / temperature)
        _softmax_gradient_(to_all, value, 1 / temperature)
        # Each logit is the largest of two or three distances, and its gradient is that one's.
        # Masks as floats: selecting by booleans costs several passes on a CPU.
        to_third = torch.gt(d_k, torch.maximum(d_i, d_j), out=value).mul_(to_all)
        to_pair.add_(to_all).sub_(to_third)
        to_first = torch.ge(d_i, d_j, out=to_all).mul_(to_pair)
        for index, gradient in zip(
            triplets[:, part], (to_first, to_pair.sub_(to_first), to_third), strict=True
        ):
            out.index_add_(0, index, gradient)
    return out


class _AncestorRates:
    """Unnormalised ancestor probabilities exp(-max(D_i, D_j[, D_k]) / temperature) by row."""

    # exp of -60 to 60, and sums and ratios of thousands of these, are ordinary float32 numbers.
    _WIDEST = 120.0

    def __init__(self, distances, temperature):
        logits = distances / -temperature
        low, high = logits.amin(), logits.amax()
        # The exponential of the minimum is the minimum of exponentials, taken once per distance;
        # only where their range is too wide does each row need a scale, and exponentials, of its
        # own.
        self.fits = bool(high - low <= self._WIDEST)
        self.table = (logits - (low + high) / 2).exp_() if self.fits else logits

    def of(self, triplets):
        """(rows, P) rates of the pairs' and of the triplets' ancestors."""
        i, j, k = (self.table.index_select(0, index) for index in triplets)
        pair = torch.minimum(i, j)
        everything = torch.minimum(pair, k)
        if self.fits:
            return pair, everything
        return tuple((x - x.amax(1, keepdim=True)).exp_() for x in (pair, everything))


class _Uniform:
    """A seeded stream of numbers in [0, 1): NumPy's on the CPU, where torch's takes four times as
    long (and a third of a HIER step)."""

    def __init__(self, like, seed):
        if like.device.type == "cpu":
            self.generator = np.random.Generator(np.random.SFC64(seed))
        else:
            self.generator = torch.Generator(like.device).manual_seed(seed)

    def fill(self, out):
        """Fill a contiguous tensor, and return it."""
        if isinstance(self.generator, torch.Generator):
            return out.uniform_(generator=self.generator)
        array = out.numpy()
        self.generator.random(dtype=array.dtype, out=array)
        return out


def _hinges(distances, triplets, ancestors, margin):
    """(3, T) hinge values of i, j and k, and which of them are active (a != b and positive)."""
    a, b = ancestors
    gap = distances[triplets, a] - distances[triplets, b]
    gap[2].neg_()
    hinges = (gap + margin).relu_() * (a != b)
    return hinges, hinges > 0


def _sample_ancestor(rates, draws):
    """One proxy a row with probability proportional to its rate: inverts the cumulative sum."""
    cumulative = rates.cumsum(1)
    total = cumulative[:, -1:]
    target = draws.fill(torch.empty_like(total, memory_format=torch.contiguous_format))
    index = torch.searchsorted(cumulative, target.mul_(total), right=True)
    return index.squeeze(1).clamp_(max=rates.shape[1] - 1)


def _soft_ancestor(rates, ancestor, noise, draws):
    """(rows, P) Gumbel-softmax probabilities whose argmax is the sampled ancestor.

    exp(-(logit + gumbel)) are exponential arrival times with rates exp(logit), and the softmax
    is proportional to their inverses. Given which proxy arrives first, its time is exponential
    with the summed rate, and by memorylessness the others arrive that much later than a fresh
    exponential of their own.
    """
    if noise is not None:
        return torch.softmax(noise + rates.log(), dim=1)
    # Negative waiting times log(u); the sign cancels below. log(0) is a wait without end.
    waits = draws.fill(torch.empty_like(rates)).log_()
    chosen = ancestor.unsqueeze(1)
    # The chosen proxy's own wait serves as the first arrival.
    first = waits.gather(1, chosen).clamp_(min=-100) / rates.sum(1, keepdim=True)
    waits.scatter_(1, chosen, 0)
    inverse_times = rates.div_(waits.addcmul_(rates, first))
    return inverse_times.div_(inverse_times.sum(1, keepdim=True))


def _softmax_gradient_(probability, value, scale):
    """Turn probabilities, in place, into scale * probability * (value - <probability, value>)."""
    mean = torch.linalg.vecdot(probability, value).unsqueeze(1)
    return probability.mul_((value - mean).mul_(scale))


def _draw_columns(mask, draws, generator):
    """(rows, draws) columns drawn uniformly from the True entries of each row of ``mask``."""
    counts = mask.sum(1, keepdim=True)
    columns = mask.nonzero()[:, 1]
    offsets = counts.cumsum(0) - counts
    uniform = torch.rand(
        (len(mask), draws), generator=generator, device=_device_of(generator, mask.device)
    ).to(mask.device)
    picks = torch.minimum((uniform * counts).long(), counts - 1)
    return columns[offsets + picks]


def _device_of(generator, default=None):
    """Where a generator draws; without one the default, or the CPU (no synchronisation)."""
    if generator is not None:
        return generator.device
    return torch.device("cpu") if default is None else default


def _chunks(rows, distances):
    entries = _CHUNK_ENTRIES_CUDA if distances.is_cuda else _CHUNK_ENTRIES_CPU
    step = max(1, entries // distances.shape[1])
    return [slice(start, start + step) for start in range(0, rows, step)]


def _norm(x):
    return torch.linalg.vector_norm(x, dim=-1)


def _shape(x):
    return tuple(x.shape)

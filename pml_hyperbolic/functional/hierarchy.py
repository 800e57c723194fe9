"""Losses that shape a hierarchy: HIER's triplets over common ancestors, and HypHC.

HIER: Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258.
HypHC: Chami, Gu, Chatziafratis, Re, NeurIPS 2020, arXiv 2010.00402.
"""

import math
from collections.abc import Callable

import torch

from .poincare import (
    at_least_float32,
    check_broadcast,
    check_curvature,
    full_precision,
    has_float64,
)

# Triplets are worked on in pieces of this many (triplet, proxy) entries: small enough for the
# cache of a CPU core, large enough to fill a GPU.
_CHUNK_ENTRIES_CPU = 2**18
_CHUNK_ENTRIES_CUDA = 2**24


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
    noise = (None, None) if gumbel_noise is None else gumbel_noise
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
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    if triplets.shape[1] == 0:
        return points.sum() * 0
    i, j, k = triplets
    with full_precision(points):
        x, y, z = points[i], points[j], points[k]
        depths = torch.stack([lca_depth(x, y, c=c), lca_depth(x, z, c=c), lca_depth(y, z, c=c)])
        weights = torch.stack([similarity(i, j), similarity(i, k), similarity(j, k)])
        chosen = (weights * torch.softmax(depths / temperature, dim=0)).sum(0)
        return (weights.sum(0) - chosen).mean()


class _HierarchicalTriplets(torch.autograd.Function):
    """Per-triplet losses forward; soft ancestor probabilities only backward, in chunks."""

    @staticmethod
    def forward(distances, triplets, margin, temperature, noise_pair, noise_all, generator):
        seed = torch.randint(2**62, (), generator=generator, device=_device_of(generator))
        ancestors = torch.empty_like(triplets[:2])
        draws = _generator_like(distances, seed)
        for rows in _chunks(triplets.shape[1], distances):
            pair, _, everything = _farthest(distances, triplets[:, rows])
            for out, farthest, noise in zip(
                ancestors, (pair, everything), (noise_pair, noise_all), strict=True
            ):
                if noise is None:
                    out[rows] = _sample_ancestor(farthest, temperature, draws)
                else:
                    out[rows] = (noise[rows] - farthest / temperature).argmax(1)
        losses, _ = _hinges(distances, triplets, ancestors, margin)
        return losses.sum(0), ancestors, seed

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        distances, triplets, ctx.margin, ctx.temperature, noise_pair, noise_all, _ = inputs
        _, ancestors, seed = outputs
        ctx.mark_non_differentiable(ancestors, seed)
        ctx.save_for_backward(distances, triplets, ancestors, seed, noise_pair, noise_all)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, *_):
        distances, triplets, ancestors, seed, noise_pair, noise_all = ctx.saved_tensors
        _, active = _hinges(distances, triplets, ancestors, ctx.margin)
        rows = (active.any(0) & (grad != 0)).nonzero().squeeze(1)
        draws = _generator_like(distances, seed + 1)
        out = torch.zeros_like(distances)
        for part in _chunks(len(rows), distances):
            part = rows[part]
            signs = active[:, part] * (grad[part] * distances.new_tensor([[1], [1], [-1]]))
            noises = [None if n is None else n[part] for n in (noise_pair, noise_all)]
            _accumulate_gradient(
                out,
                distances,
                triplets[:, part],
                ancestors[:, part],
                signs,
                ctx.temperature,
                noises,
                draws,
            )
        return out, None, None, None, None, None, None


def _hinges(distances, triplets, ancestors, margin):
    """(3, T) hinge values of i, j and k, and which of them are active (a != b and positive)."""
    a, b = ancestors
    gap = distances[triplets, a] - distances[triplets, b]
    gap[2].neg_()
    hinges = (gap + margin).relu_() * (a != b)
    return hinges, hinges > 0


def _farthest(distances, triplets):
    """max(D_i, D_j), D_k and max(D_i, D_j, D_k): each (rows, P)."""
    i, j, k = triplets
    pair = torch.maximum(distances[i], distances[j])
    third = distances[k]
    return pair, third, torch.maximum(pair, third)


def _sample_ancestor(farthest, temperature, generator):
    """One proxy a row from softmax(-farthest / temperature), by inverting the cumulative sum."""
    cumulative = _weights(farthest, temperature).cumsum(1)
    total = cumulative[:, -1:]
    target = torch.rand(total.shape, generator=generator, dtype=total.dtype, device=total.device)
    index = torch.searchsorted(cumulative, target.mul_(total), right=True)
    return index.squeeze(1).clamp_(max=farthest.shape[1] - 1)


def _weights(farthest, temperature):
    """exp(-farthest / temperature), scaled so that each row's largest is 1."""
    nearest = farthest.amin(1, keepdim=True)
    return ((nearest - farthest) / temperature).exp_()


def _soft_ancestor(farthest, ancestor, temperature, noise, generator):
    """(rows, P) Gumbel-softmax probabilities whose argmax is the sampled ancestor.

    exp(-(logit + gumbel)) are exponential arrival times with rates exp(logit), and the softmax
    is proportional to their inverses. Given which proxy arrives first, its time is exponential
    with the summed rate, and by memorylessness the others arrive that much later than a fresh
    exponential of their own.
    """
    if noise is not None:
        return torch.softmax(noise - farthest / temperature, dim=1)
    rates = _weights(farthest, temperature)
    waits = torch.rand(rates.shape, generator=generator, dtype=rates.dtype, device=rates.device)
    waits.neg_().log1p_().neg_()  # of 1 - u in (0, 1]: never infinite
    chosen = ancestor.unsqueeze(1)
    # The chosen proxy's own wait serves as the first arrival; exactly 0 would divide 0 by 0.
    first = waits.gather(1, chosen).clamp_(min=2.0**-30) / rates.sum(1, keepdim=True)
    waits.scatter_(1, chosen, 0)
    inverse_times = rates / torch.addcmul(waits, rates, first)
    return inverse_times / inverse_times.sum(1, keepdim=True)


def _accumulate_gradient(
    out, distances, triplets, ancestors, signs, temperature, noises, generator
):
    """Add the gradient of these triplets to ``out`` (N, P); ``signs`` (3, rows) weigh i, j, k."""
    a, b = ancestors
    # Straight-through: the hard one-hot ancestors pick the distances ...
    out.index_put_((triplets, a.expand_as(triplets)), signs, accumulate=True)
    out.index_put_((triplets, b.expand_as(triplets)), -signs, accumulate=True)
    # ... and the soft probabilities carry the gradient to the logits.
    i, j, k = triplets
    d_i, d_j, d_k = distances[i], distances[j], distances[k]
    pair = torch.maximum(d_i, d_j)
    everything = torch.maximum(pair, d_k)
    value = signs[0, :, None] * d_i + signs[1, :, None] * d_j + signs[2, :, None] * d_k
    to_pair = _softmax_gradient(
        _soft_ancestor(pair, a, temperature, noises[0], generator), value, -1 / temperature
    )
    to_all = _softmax_gradient(
        _soft_ancestor(everything, b, temperature, noises[1], generator), value, 1 / temperature
    )
    third_farthest = d_k > pair
    out.index_add_(0, k, torch.where(third_farthest, to_all, 0))
    to_pair += torch.where(third_farthest, 0, to_all)
    first_farthest = d_i >= d_j
    out.index_add_(0, i, torch.where(first_farthest, to_pair, 0))
    out.index_add_(0, j, torch.where(first_farthest, 0, to_pair))


def _softmax_gradient(probability, value, scale):
    """scale * probability * (value - <probability, value>), row by row."""
    weighted = probability * value
    mean = weighted.sum(1, keepdim=True)
    return weighted.addcmul_(probability, mean, value=-1).mul_(scale)


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


def _generator_like(tensor, seed):
    return torch.Generator(tensor.device).manual_seed(int(seed))


def _chunks(rows, distances):
    entries = _CHUNK_ENTRIES_CUDA if distances.is_cuda else _CHUNK_ENTRIES_CPU
    step = max(1, entries // distances.shape[1])
    return [slice(start, start + step) for start in range(0, rows, step)]


def _norm(x):
    return torch.linalg.vector_norm(x, dim=-1)


def _shape(x):
    return tuple(x.shape)

"""HIER's loss: points that belong together meet at a lower ancestor than points that do not.

Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258; docs/mathematics.md, section 5.

**Triplets.** Points i and j are reciprocal neighbours if each is among the other's k most relevant
points. A triplet (i, j, k) consists of two reciprocal neighbours and a point that is no neighbour.

**Ancestors.** Let D be the (N, P) distances of the points to P learned proxies. The lowest common
ancestor of the pair (i, j) is a proxy a, and that of the whole triplet is a proxy b, sampled by
Gumbel-max with logits ``-max(D_ip, D_jp) / tau`` and ``-max(D_ip, D_jp, D_kp) / tau``.

**Loss.** ``relu(D_ia - D_ib + m) + relu(D_ja - D_jb + m) + relu(D_kb - D_ka + m)`` for a triplet,
and 0 where a = b. Every ``D_ra`` stands for ``sum_p D_rp A_p`` with the straight-through one-hot
vector A: one-hot in value, Gumbel-softmax in its gradient (and ``D_rb`` likewise for B).

**Gradient.** Let g be the gradient that reaches a triplet's loss, w_i = g, w_j = g and w_k = -g
where the respective hinge is active, and 0 where it is not. The hard ancestors give
``dL/dD_ra = w_r`` and ``dL/dD_rb = -w_r``. The soft ones see ``dL/dA_p = v_p`` and ``dL/dB_p =
-v_p`` with ``v_p = sum_r w_r D_rp``, so the logit of A at p receives ``A_p (v_p - <A, v>)``, and
that of B the same with the opposite sign. Each logit is minus the largest of two or three distances
over tau, and passes its gradient on to that one.

**Sampling.** Gumbel noise for every (triplet, proxy) entry would be most of the work. The forward
pass needs only the arg max, whose distribution is categorical with ``rate_p = exp(logit_p)``: it
takes one uniform number a row and inverts the cumulative sum of the rates. The backward pass needs
the soft probabilities of active triplets *given* that arg max. With Gumbel noise G the numbers
``exp(-logit_p - G_p)`` are independent exponential arrival times of those rates, the soft
probabilities are proportional to their inverses, and the arg max arrives first. Given which proxy
is first, its time is exponential with the summed rate, and as exponentials have no memory, every
other proxy arrives a fresh exponential time of its own later. Both together are distributed as
Gumbel noise for everything, which tests/functional/test_hier.py verifies, and several times faster.

**Pairs.** Triplets are worked on in the order of their pairs, of which each is drawn many times:
what depends on a pair alone is computed once a chunk, and the gradient to the farther of i and j
is summed over the triplets of a pair before it is passed on to one of them.

**Accelerators.** Nothing waits for the device: shapes do not depend on the data. Every point draws
triplets there, and those of unusable anchors are left out of the mean by a mask
(``padded_neighbor_triplets``); inactive triplets go through the backward pass with a weight of
0. The noise comes from the device's own generator, so that a second backward pass through the same
graph draws it anew; on the CPU it would be the same again.
"""

from typing import Any, NamedTuple

import torch

from .chunks import chunks
from .poincare import at_least_float32, full_precision
from .reading_waits import reading_waits
from .reciprocal_neighbors import padded_neighbor_triplets, reciprocal_neighbor_triplets
from .triplet_pairs import by_pair, chunks_by_pair
from .uniform_numbers import Randomness
from .validation import check_positive

# exp of -60 to 60, and sums and ratios of thousands of these, are ordinary float32 numbers.
_WIDEST_LOGIT_RANGE = 120.0
# Proxies whose logit is further below the largest are never sampled in float32; their rates are
# kept from underflowing to 0.
_LOWEST_LOGIT = -80.0


def hier_loss(
    relevance: torch.Tensor,
    distances: torch.Tensor,
    *,
    k: int,
    triplets_per_anchor: int,
    margin: float,
    temperature: float,
    anchor_as_negative: bool = False,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """HIER's loss of N points: its mean over triplets that are drawn anew at every call.

    Args:
        relevance: (N, N), how closely the points belong together; larger is closer. The paper
            takes ``exp(-d)``, plus 1 where labels agree. It receives no gradient.
        distances: (N, P) distances of the points to the proxies.
        k, triplets_per_anchor, anchor_as_negative: as :func:`reciprocal_neighbor_triplets`.
        margin, temperature: as :func:`hierarchical_triplet_losses`.
        generator: source of all draws. Default: torch's global one.

    Returns:
        A scalar. It is 0, and still attached to ``distances``, if no anchor is usable. No device
        is waited for.

    Raises:
        ValueError: as these two functions.
    """
    draws: dict[str, Any] = {
        "k": k,
        "triplets_per_anchor": triplets_per_anchor,
        "anchor_as_negative": anchor_as_negative,
        "generator": generator,
    }
    if not reading_waits(relevance.device):
        triplets = reciprocal_neighbor_triplets(relevance, **draws)
        return hierarchical_triplet_loss(
            distances, triplets, margin=margin, temperature=temperature, generator=generator
        )
    triplets, exists = padded_neighbor_triplets(relevance, **draws)
    losses = hierarchical_triplet_losses(
        distances, triplets, margin=margin, temperature=temperature, generator=generator
    )
    return torch.where(exists, losses, 0).sum() / exists.sum().clamp(min=1)


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
        A scalar. It is 0, and still attached to ``distances``, if there are no triplets.
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

    For a triplet (i, j, k) a proxy ``a`` is sampled as the ancestor of the pair (i, j) with logits
    ``-max(D_ip, D_jp) / temperature`` and a proxy ``b`` as the ancestor of all three; the loss is
    ``relu(D_ia - D_ib + m) + relu(D_ja - D_jb + m) + relu(D_kb - D_ka + m)``, and 0 where a = b.
    Gradients flow through the distances and, straight-through, through Gumbel-softmax
    probabilities at temperature 1. The gradient itself cannot be differentiated again.

    Args:
        distances: (N, P), of the points (or of the proxies themselves) to the P proxies.
        triplets: (3, T) long, rows of ``distances``. A row may occur twice in a triplet.
        margin: of each hinge. The paper uses 0.1.
        temperature: of the ancestors' logits, > 0. The paper uses 0.1.
        gumbel_noise: two (T, P) tensors, for the pair's and the triplet's ancestor, in place of
            random draws.
        generator: source of the draws. Default: torch's global one.

    Returns:
        (T,) losses in the dtype of ``distances``, float32 at least.

    Raises:
        ValueError: shapes do not fit, an index is out of range (checked on the CPU only), or
            ``temperature`` is not positive.
    """
    if distances.ndim != 2 or distances.shape[1] == 0:
        raise ValueError(f"distances must be (N, P) with P >= 1, got {tuple(distances.shape)}")
    if triplets.ndim != 2 or len(triplets) != 3:
        raise ValueError(f"triplets must be (3, T), got {tuple(triplets.shape)}")
    check_positive("hierarchical_triplet_losses", temperature=temperature)
    n, t = len(distances), triplets.shape[1]
    if t and not reading_waits(triplets.device):
        lowest, highest = int(triplets.min()), int(triplets.max())
        if lowest < 0 or highest >= n:
            raise ValueError(
                f"triplets must index the {n} rows of distances, "
                f"got indices from {lowest} to {highest}"
            )
    expected = (t, distances.shape[1])
    if gumbel_noise is not None and any(noise.shape != expected for noise in gumbel_noise):
        raise ValueError(
            f"gumbel_noise must be two {expected} tensors, "
            f"got {[tuple(noise.shape) for noise in gumbel_noise]}"
        )
    distances = distances.to(at_least_float32(distances.dtype))
    if t == 0:
        return distances[:0, 0]  # empty, and attached
    noises = (None, None) if gumbel_noise is None else gumbel_noise
    randomness = Randomness(distances.device, generator)
    with full_precision(distances):
        losses, _ = _TripletLosses.apply(
            distances, triplets, float(margin), float(temperature), *noises, randomness
        )
    return losses


class _TripletLosses(torch.autograd.Function):
    """Per-triplet losses forward; soft ancestor probabilities only backward, in chunks."""

    @staticmethod
    def forward(distances, triplets, margin, temperature, noise_pair, noise_all, randomness):
        rates = _AncestorRates(distances, temperature)
        shares = _uniform_shares(triplets, distances, randomness.stream(0))
        noises = [noise_pair, noise_all]
        key, order = by_pair(triplets, len(distances))
        if order is not None:
            shares = shares[:, order]
            noises = [None if noise is None else noise[order] for noise in noises]
        ordered = triplets if order is None else triplets[:, order]
        ancestors = torch.empty_like(triplets[:2])
        for part, pairs in chunks_by_pair(key, ordered, distances):
            chunk = rates.of(pairs, ordered[2, part])
            farthest = torch.minimum(chunk.pair_rows, chunk.third, out=chunk.third)
            pair, everything = rates.normal(chunk.pair), rates.normal(farthest)
            for rate, noise, share, spread, found in zip(
                (pair, everything), noises, shares, (pairs.spread, None), ancestors, strict=True
            ):
                noise = None if noise is None else noise[part]
                found[part] = _sample_ancestor(rate, noise, share[part], spread)
        if order is not None:
            ancestors = torch.empty_like(ancestors).index_copy_(1, order, ancestors)
        hinges, _ = _hinges(distances, triplets, ancestors, margin)
        return hinges.sum(0), ancestors

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        distances, triplets, ctx.margin, ctx.temperature, *noises, ctx.randomness = inputs
        _, ancestors = outputs
        ctx.mark_non_differentiable(ancestors)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(distances, triplets, ancestors, *noises)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, *_):
        if grad is None:
            return (None,) * 7
        distances, triplets, ancestors, *noises = ctx.saved_tensors
        with full_precision(distances):
            _, active = _hinges(distances, triplets, ancestors, ctx.margin)
            if not reading_waits(distances.device):
                rows = (active.any(0) & (grad != 0)).nonzero().squeeze(1)
                triplets, ancestors = triplets[:, rows], ancestors[:, rows]
                active, grad = active[:, rows], grad[rows]
                noises = [None if noise is None else noise[rows] for noise in noises]
            # The signed weights w of D_i., D_j. and D_k. in each triplet's loss.
            weights = active * grad
            weights[2].neg_()
            out = torch.zeros_like(distances)
            _add_hard_gradient(out, weights, triplets, ancestors)
            _add_soft_gradient(
                out, active, grad / ctx.temperature, triplets, ancestors, distances, noises,
                ctx.temperature, ctx.randomness.stream(1),
            )  # fmt: skip
        return out, None, None, None, None, None, None


def _hinges(distances, triplets, ancestors, margin):
    """(3, T) hinge values of i, j and k, and which of them are active (a != b and positive)."""
    a, b = ancestors
    gap = distances[triplets, a] - distances[triplets, b]
    gap[2].neg_()
    hinges = (gap + margin).relu_() * (a != b)
    return hinges, hinges > 0


def _add_hard_gradient(out, weights, triplets, ancestors):
    """Add w to the distances that the one-hot vector A picks, and -w to those that B picks."""
    for ancestor, sign in zip(ancestors, (1, -1), strict=True):
        picked = (triplets, ancestor.expand_as(triplets))
        out.index_put_(picked, sign * weights, accumulate=True)


def _add_soft_gradient(
    out, active, scale, triplets, ancestors, distances, noises, temperature, uniform
):  # fmt: skip
    """Add the gradient that the soft probabilities A and B carry to the logits.

    With the gradient g = ``scale`` times the temperature and h = 1 for active hinges, v is
    ``g (h_i D_i + h_j D_j - h_k D_k)``. Its first two terms belong to the pair and its hinges,
    which are therefore part of what makes pairs equal here; g is one factor of a triplet.
    """
    rates = _AncestorRates(distances, temperature)
    key, order = by_pair(triplets, len(distances), active)
    if order is not None:
        triplets, ancestors, active = (rows[:, order] for rows in (triplets, ancestors, active))
        scale = scale[order]
        noises = [None if noise is None else noise[order] for noise in noises]
    active, scale = active.to(distances.dtype), scale.unsqueeze(1)
    h_k = active[2].unsqueeze(1)
    for part, pairs in chunks_by_pair(key, triplets, distances, active):
        k = triplets[2, part]
        chunk = rates.of(pairs, k)
        everything = torch.minimum(chunk.pair_rows, chunk.third)
        # 1 where the distance of k is the largest, else 0: selecting by booleans takes more passes.
        k_is_farthest = torch.lt(chunk.third, chunk.pair_rows, out=chunk.third)
        d_i, d_j = (distances.index_select(0, index) for index in (pairs.i, pairs.j))
        v = pairs.spread((d_i * pairs.h_i).addcmul_(d_j, pairs.h_j))
        v.addcmul_(distances.index_select(0, k), h_k[part], value=-1)
        # The gradients to the largest distances, of two and of three.
        to_pair, to_all = (
            _soft_gradient(
                rate, ancestor[part], noise if noise is None else noise[part], uniform, v, factor
            )
            for rate, ancestor, noise, factor in (
                (rates.rows(chunk, pairs), ancestors[0], noises[0], -scale[part]),
                (rates.normal(everything), ancestors[1], noises[1], scale[part]),
            )
        )
        del v
        to_pair.add_(to_all)
        to_k = k_is_farthest.mul_(to_all)
        out.index_add_(0, k, to_k)
        to_i_or_j = pairs.summed(to_pair.sub_(to_k))
        to_j = torch.gt(d_j, d_i, out=torch.empty_like(d_j)).mul_(to_i_or_j)
        out.index_add_(0, pairs.i, to_i_or_j.sub_(to_j)).index_add_(0, pairs.j, to_j)


def _uniform_shares(triplets, distances, uniform):
    """(2, T) numbers in [0, 1), for the ancestors of pairs and of triplets."""
    count, dtype = triplets.shape[1], distances.dtype
    shares = torch.empty(2, count, dtype=dtype, device=distances.device)
    for part in chunks(count, distances.shape[1], distances.device):
        for which in range(2):
            shares[which, part] = uniform.fill(shares.new_empty(len(shares[which, part])))
    return shares


class _ChunkRates(NamedTuple):
    """Table entries, which grow as distances shrink, of the triplets of a chunk."""

    pair: torch.Tensor  # (U, P): of the farther of i and j
    pair_rows: torch.Tensor  # (rows, P): the same for each triplet
    third: torch.Tensor  # (rows, P): of k


class _AncestorRates:
    """Unnormalised ancestor probabilities exp(-max(D_i, D_j[, D_k]) / temperature) by row."""

    def __init__(self, distances, temperature):
        logits = distances / -temperature
        self.table, self.exponentiated = logits, False
        # The exponential of a minimum is the minimum of exponentials, so they are taken once a
        # distance. Only where the logits' range is too wide does each row need a scale, and
        # exponentials, of its own; and where to look at the range would wait for the device.
        if not reading_waits(distances.device):
            low, high = logits.amin(), logits.amax()
            if bool(high - low <= _WIDEST_LOGIT_RANGE):
                self.table, self.exponentiated = (logits - (low + high) / 2).exp_(), True

    def of(self, pairs, k):
        """The ``_ChunkRates`` of triplets with these pairs and third points."""
        i, j, third = (self.table.index_select(0, index) for index in (pairs.i, pairs.j, k))
        pair = torch.minimum(i, j)
        rows = pairs.spread(pair)
        return _ChunkRates(pair, rows, third)

    def normal(self, entries):
        """(rows, P) rates from entries of the table, possibly the same tensor."""
        if self.exponentiated:
            return entries
        largest = entries.amax(1, keepdim=True)
        return (entries - largest).clamp_(min=_LOWEST_LOGIT).exp_()

    def rows(self, chunk, pairs):
        """(rows, P) rates of the pairs of each triplet."""
        return chunk.pair_rows if self.exponentiated else pairs.spread(self.normal(chunk.pair))


def _sample_ancestor(rates, noise, share, spread):
    """One proxy a row with probability proportional to its rate, or the arg max with the noise.

    ``spread`` makes rows of triplets from those of ``rates``, if these are pairs. The rates are
    consumed.
    """
    spread = spread or (lambda values: values)
    if noise is not None:
        return (noise + spread(rates.log())).argmax(1)
    cumulative = spread(rates.cumsum_(1))
    index = torch.searchsorted(cumulative, share.unsqueeze(1) * cumulative[:, -1:], right=True)
    return index.squeeze(1).clamp_(max=rates.shape[1] - 1)


def _soft_gradient(rates, ancestor, noise, uniform, v, scale):
    """(rows, P) ``scale A (v - <A, v>)`` for the Gumbel-softmax probabilities A of an ancestor.

    A is never normalised itself: that is one factor a row. The rates are consumed.
    """
    weights = _soft_weights(rates, ancestor, noise, uniform)
    total = weights.sum(1, keepdim=True)
    product = weights * v
    mean = product.sum(1, keepdim=True).div_(total)
    return product.addcmul_(weights, mean, value=-1).mul_(scale / total)


def _soft_weights(rates, ancestor, noise, uniform):
    """(rows, P) multiples of Gumbel-softmax probabilities whose arg max is the ancestor."""
    if noise is not None:
        return torch.softmax(noise + rates.log(), dim=1)
    # Minus the exponential waiting times at rate 1; all signs cancel in the end. log(0) is a wait
    # without end.
    waits = uniform.fill_logs(torch.empty_like(rates))
    chosen = ancestor.unsqueeze(1)
    # The chosen proxy's own number serves as the first arrival.
    first = waits.gather(1, chosen).clamp_(-100, -(2.0**-25)) / rates.sum(1, keepdim=True)
    waits.scatter_(1, chosen, 0)
    # time = first + wait / rate, so that 1 / time = rate / (wait + rate * first).
    return rates.div_(waits.addcmul_(rates, first))

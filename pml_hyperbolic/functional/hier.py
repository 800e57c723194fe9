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

**Pairs.** The loss does not change if i and j are exchanged. Triplets are worked on in the order of
their pairs, of which each is drawn many times: what depends on a pair alone is computed once a
chunk, and the gradient to the farther of i and j is summed over the triplets of a pair before it is
passed on to one of them. All chunks use the same memory.

**Accelerators.** Nothing waits for the device: shapes do not depend on the data. Every point draws
triplets there, and those of unusable anchors are left out of the mean by a mask
(``padded_neighbor_triplets``); inactive triplets go through the backward pass with a weight of
0. The noise comes from the device's own generator, so that a second backward pass through the same
graph draws it anew; on the CPU it would be the same again.
"""

from typing import Any

import torch

from .poincare import at_least_float32, full_precision
from .reading_waits import reading_waits
from .reciprocal_neighbors import padded_neighbor_triplets, reciprocal_neighbor_triplets
from .triplet_pairs import chunks_by_pair, order_by_pair
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
    i, j, k = triplets
    triplets = torch.stack([torch.minimum(i, j), torch.maximum(i, j), k])
    order = order_by_pair(triplets, n)
    noise = None
    if gumbel_noise is not None:
        noise = torch.stack(gumbel_noise).to(distances.dtype)[:, order]
    randomness = Randomness(distances.device, generator)
    with full_precision(distances):
        losses, _ = _TripletLosses.apply(
            distances, triplets[:, order], float(margin), float(temperature), noise, randomness
        )
    return torch.zeros_like(losses).index_copy(0, order, losses)


class _TripletLosses(torch.autograd.Function):
    """Per-triplet losses forward; soft ancestor probabilities only backward, in chunks."""

    @staticmethod
    def forward(distances, triplets, margin, temperature, noise, randomness):
        rates = _AncestorRates(distances, temperature)
        shares = randomness.stream(0).fill(distances.new_empty(2, triplets.shape[1]))
        ancestors = torch.empty_like(triplets[:2])
        for part, pairs, both in chunks_by_pair(triplets, distances, tensors=2):
            pair = rates.look_up(pairs, triplets[2, part], *both)
            torch.minimum(*both, out=both[1])
            if noise is None:
                pairs.spread(rates.normal_(pair).cumsum_(1), out=both[0])
                rates.normal_(both[1]).cumsum_(1)
                ancestors[:, part] = _drawn(both, shares[:, part])
            else:
                ancestors[:, part] = (noise[:, part] + rates.normal_(both).log_()).argmax(-1)
        hinges, _ = _hinges(distances, triplets, ancestors, margin)
        return hinges.sum(0), ancestors

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        distances, triplets, ctx.margin, ctx.temperature, noise, ctx.randomness = inputs
        _, ancestors = outputs
        ctx.mark_non_differentiable(ancestors)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(distances, triplets, ancestors, noise)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, *_):
        if grad is None:
            return (None,) * 6
        distances, triplets, ancestors, noise = ctx.saved_tensors
        with full_precision(distances):
            _, active = _hinges(distances, triplets, ancestors, ctx.margin)
            if not reading_waits(distances.device):
                rows = (active.any(0) & (grad != 0)).nonzero().squeeze(1)
                triplets, ancestors = triplets[:, rows], ancestors[:, rows]
                active, grad = active[:, rows], grad[rows]
                noise = None if noise is None else noise[:, rows]
            # The signed weights w of D_i., D_j. and D_k. in each triplet's loss.
            weights = active * grad
            weights[2].neg_()
            out = torch.zeros_like(distances)
            _add_hard_gradient(out, weights, triplets, ancestors)
            _add_soft_gradient(
                out, weights / ctx.temperature, triplets, ancestors, distances, noise,
                _AncestorRates(distances, ctx.temperature), ctx.randomness.stream(1),
            )  # fmt: skip
        return out, None, None, None, None, None


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
    out, weights, triplets, ancestors, distances, noise, rates, uniform
):  # fmt: skip
    """Add the gradient that A and B carry to the logits, given the weights over the temperature."""
    weights = weights.unsqueeze(2)
    for part, pairs, memory in chunks_by_pair(triplets, distances, tensors=6):
        both, soft, v, third = memory[:2], memory[2:4], memory[4], memory[5]
        i, j, k = triplets[:, part]
        w_i, w_j, w_k = weights[:, part]
        torch.index_select(distances, 0, k, out=v).mul_(w_k)
        v.addcmul_(torch.index_select(distances, 0, i, out=third), w_i)
        v.addcmul_(torch.index_select(distances, 0, j, out=third), w_j)
        rates.look_up(pairs, k, both[0], third)
        torch.minimum(both[0], third, out=both[1])
        # 1 where the distance of k is the largest, else 0: selecting by booleans takes more passes.
        k_is_farthest = torch.lt(third, both[0], out=third)
        given = None if noise is None else noise[:, part]
        _soft_weights(rates.normal_(both), ancestors[:, part], given, uniform, out=soft)
        # Minus the gradient to the largest distance of two, and the gradient to that of three.
        to_pair, to_all = _softmax_gradient(soft, v, out=both)
        to_k = k_is_farthest.mul_(to_all)
        out.index_add_(0, k, to_k)
        to_i_or_j = pairs.summed(to_all.sub_(to_k).sub_(to_pair))
        d_i, d_j = (distances.index_select(0, index) for index in (pairs.i, pairs.j))
        to_j = torch.gt(d_j, d_i, out=torch.empty_like(d_j)).mul_(to_i_or_j)
        out.index_add_(0, pairs.i, to_i_or_j.sub_(to_j)).index_add_(0, pairs.j, to_j)


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

    def look_up(self, pairs, k, of_pair, of_k):
        """Fill (rows, P) tensors with table entries, which grow as distances shrink.

        The entries of a pair are those of the farther of i and j. Returns them by pair, (U, P).
        """
        torch.index_select(self.table, 0, k, out=of_k)
        i, j = (self.table.index_select(0, index) for index in (pairs.i, pairs.j))
        pair = torch.minimum(i, j, out=i)
        pairs.spread(pair, out=of_pair)
        return pair

    def normal_(self, entries):
        """(..., P) rates from table entries, in place."""
        if self.exponentiated:
            return entries
        return entries.sub_(entries.amax(-1, keepdim=True)).clamp_(min=_LOWEST_LOGIT).exp_()


def _drawn(cumulative, shares):
    """(2, rows) proxies: where the rates' sums (2, rows, P) reach these shares of their totals."""
    values = shares.unsqueeze(-1) * cumulative[..., -1:]
    index = torch.searchsorted(cumulative, values, right=True)
    return index.squeeze(-1).clamp_(max=cumulative.shape[-1] - 1)


def _soft_weights(rates, ancestors, noise, uniform, out):
    """(2, rows, P) multiples of the Gumbel-softmax probabilities whose arg max is the ancestor."""
    if noise is not None:
        return torch.softmax(noise + rates.log(), dim=-1, out=out)
    # Minus the exponential waiting times at rate 1; all signs cancel in the end. log(0) is a wait
    # without end.
    waits = uniform.fill_logs(out)
    chosen = ancestors.unsqueeze(-1)
    # The chosen proxy's own number serves as the first arrival.
    first = waits.gather(-1, chosen).clamp_(-100, -(2.0**-25)) / rates.sum(-1, keepdim=True)
    waits.scatter_(-1, chosen, 0)
    # time = first + wait / rate, so that 1 / time = rate / (wait + rate * first).
    return torch.div(rates, waits.addcmul_(rates, first), out=waits)


def _softmax_gradient(weights, v, out):
    """(2, rows, P) ``A (v - <A, v>)`` for probabilities A that are proportional to the weights."""
    total = weights.sum(-1, keepdim=True)
    product = torch.mul(weights, v, out=out)
    mean = product.sum(-1, keepdim=True).div_(total)
    return product.addcmul_(weights, mean, value=-1).div_(total)

"""All-pairs hyperbolic distance at the cost of a Euclidean one: the kernel behind every loss.

Formula. In the Poincare ball of curvature -c, with a = 1 / (1 - c|x|^2) and b = 1 / (1 - c|y|^2),

    d = arcosh(1 + w) / sqrt(c),    w = 2c a b |x-y|^2.

A row v holds a tangent vector, and clip and exponential map only scale it: x = s v (``ball_scale``;
a row that holds a point of the ball has s = 1). Hence

    w = 2c (a|x|^2 b + a b|y|^2) - 4c <(a s_x) v_x, (b s_y) v_y>

is one Gram matrix of the raw rows, scaled by row and by column, plus a product of rank two. Only
scalars are computed per row (``pairwise_sides.py``); neither mapped points nor an (N, M, D) tensor
is held.

Gradient. As sinh(sqrt(c) d)^2 = w (w + 2), d moves with w at 1 / (sqrt(c) sinh(sqrt(c) d)), and w
with x at 4c a b (x - y) + 2c a w x. With the pair's weight p = grad / (2 sinh(sqrt(c) d)), the
gradient to x is

    g = 8 sqrt(c) a sum_y p (b (x - y) + w x / 2)
      = 8 sqrt(c) a [a (P + c (Q - 2 <x, R>)) x - R]

with P = sum p b, Q = sum p b|y|^2 and R = sum p b y, which are one product of the weights with the
scaled rows of the other side. (The second line uses w / 2 = c a b |x-y|^2 and 1 + c a |x|^2 = a; it
adds a rounding error of c a |x|^2 times that of the other terms.) The gradient to v follows from
``ball_scale``: s times the part of g across v, and d|x|/d|v| times the part along v. For the
backward pass only distances are kept: they give sinh without w. Forward and backward are thus three
matrix products, worked on in tiles along the longer side.

Refinement. The Gram form cancels for close pairs: its error in |x-y|^2 is about 1e-7 of
|x|^2 + |y|^2 in float32. Where |x-y|^2 is below a tenth of that sum, w is computed again from the
difference of the two points, which is exact to rounding. A gradient loses only the square root of
what the distance loses, so it is refined below a thousandth.

Higher derivatives are those of :func:`plain_poincare_cdist`, the formula written down as it stands.
"""

import math

import torch

from .chunks import tiles
from .close_pairs import (
    add_refined_gradients,
    find_close_pairs,
    join_pairs,
    mark_pairs,
    refine_distances,
)
from .pairwise_sides import row_scalars, sides
from .poincare import (
    at_least_float32,
    ball_scale,
    full_precision,
    has_float64,
    with_riemannian_gradient,
)
from .validation import check_clip, check_clip_radius, check_curvature, is_readable

# Entries of the distance matrix worked on at a time: a tile stays in the cache of a CPU core.
_FORWARD_TILE = 2**19
_BACKWARD_TILE = 2**18


def poincare_cdist(
    x: torch.Tensor, y: torch.Tensor, *, c: float, refine: bool | None = None
) -> torch.Tensor:
    """Geodesic distances between all pairs of points of the Poincare ball, from one Gram matrix.

    No (N, M, D) tensor is built. As with torch.cdist, the distances themselves are kept for the
    backward pass: do not change them in place.

    Args:
        x: (N, D) points with ``c|x|^2 < 1``.
        y: (M, D) points; pass the very same tensor for an exactly zero diagonal.
        c: curvature magnitude, > 0.
        refine: compute close pairs (``|x-y|^2`` below a tenth of ``|x|^2 + |y|^2``) from their
            direct difference, at a cost that grows with their number. Default None: on the CPU
            only, because elsewhere finding them makes the host wait for the device; True does so
            on any device. Ignored under ``torch.compile``.

    Returns:
        (N, M) distances in the inputs' dtype, float32 at least. Gradients at distance 0 are 0.
        The distances can be differentiated twice, and work under ``torch.func.grad`` and
        ``torch.vmap``; there is no forward-mode derivative.

        Accuracy in float32: refined, distances are within a few 1e-6 relative at any distance,
        exactly 0 for coincident points, and gradients within 1e-5 norm-wise for
        sqrt(c)|x| <= 0.9. Unrefined, as by default on CUDA, the relative error of a distance d is
        about 1e-6 of ``|x|^2 / d^2``, more in many dimensions: 1e-4 for points a tenth of their
        norm apart, and no digit is left below a thousandth, where coincident points of different
        tensors may be at distance 0 or up to about 1e-3 of their norm apart.
        Squares underflow, and digits are lost, where sqrt(c) d is below 1e-18 (float64: 1e-153).

    Raises:
        ValueError: ``x`` and ``y`` are not 2-D with equal D, or ``c`` is not positive and finite.
    """
    check_curvature(c)
    _check_rows("poincare_cdist", "points", x, y)
    return _distances(x, y, c, None, "hard", refine)


def tangent_cdist(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    c: float,
    clip_radius: float | None = None,
    clip: str = "hard",
    riemannian_gradient: bool = False,
    refine: bool | None = None,
) -> torch.Tensor:
    """:func:`poincare_cdist` of :func:`to_poincare_ball`, of tangent vectors, in one step.

    Clip and exponential map only scale rows, so they enter as row scalars around the matrix
    products: neither mapped points nor their gradients are ever held.

    Args:
        x: (N, D) tangent vectors at the origin.
        y: (M, D) tangent vectors; pass the very same tensor for an exactly zero diagonal.
        c: curvature magnitude, > 0.
        clip_radius, clip, riemannian_gradient: as to_poincare_ball.
        refine: as poincare_cdist.

    Returns:
        (N, M) distances, as poincare_cdist. Gradients of pairs that are not refined are within 2e-6
        as far out as float32 reaches (sqrt(c)|v| = 6.6). Tangent vectors of a norm near or above
        1/sqrt(c) are rounded when they are scaled: in float32, pairs closer than 1e-3 of their norm
        then lose relative accuracy, 2e-5 at 1e-3 and in proportion below.

    Raises:
        ValueError: ``x`` and ``y`` are not 2-D with equal D, or as to_poincare_ball.
    """
    check_curvature(c)
    check_clip_radius(clip_radius)
    check_clip(clip, clip_radius)
    _check_rows("tangent_cdist", "tangent vectors", x, y)
    if riemannian_gradient:

        def rescaled(v):
            v = v.to(at_least_float32(v.dtype))
            return with_riemannian_gradient(v, c=c, clip_radius=clip_radius, clip=clip)

        x, y = (rescaled(x),) * 2 if x is y else (rescaled(x), rescaled(y))
    radius = math.inf if clip_radius is None else float(clip_radius)
    return _distances(x, y, c, radius, clip, refine)


def plain_poincare_cdist(x: torch.Tensor, y: torch.Tensor, *, c: float) -> torch.Tensor:
    """The distances of :func:`poincare_cdist` in plain operations, for autograd of any order.

    Args:
        x: (N, D) points with ``c|x|^2 < 1``; in float64, because nothing is refined here.
        y: (M, D) points; pass the very same tensor for an exactly zero diagonal.
        c: curvature magnitude, > 0.

    Returns:
        (N, M) distances. At distance 0 all derivatives are 0.
    """
    square_x, square_y = x.square().sum(1).unsqueeze(1), y.square().sum(1)
    square_gap = square_x + square_y - 2 * x @ y.T
    w = 2 * c * square_gap / ((1 - c * square_x) * (1 - c * square_y))
    is_apart = w > 0
    if x is y:
        is_apart = is_apart & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    # Chosen twice: a root at 0 has an infinite slope, and infinity times 0 is NaN.
    w = torch.where(is_apart, w, 1)
    # arcosh(1 + w), without the cancellation of 1 + w.
    return torch.where(is_apart, 2 / math.sqrt(c) * torch.asinh((w / 2).sqrt()), 0)


def _distances(x, y, c, clip_radius, clip, refine):
    """All-pairs distances: of points where ``clip_radius`` is None, else of tangent vectors."""
    is_same, is_compiling = x is y, torch.compiler.is_compiling()
    dtype = at_least_float32(torch.promote_types(x.dtype, y.dtype))
    x = x.to(dtype)
    y = x if is_same else y.to(dtype)
    # A compiler chooses its own tiles, for which the order makes no difference.
    is_flipped = len(x) > len(y) and not is_compiling
    short, long = (y, x) if is_flipped else (x, None if is_same else y)
    refine = False if is_compiling else refine
    distance, *_ = _PairwiseDistance.apply(
        short, long, float(c), clip_radius, clip, is_flipped, refine
    )
    return distance.T if is_flipped else distance


class _PairwiseDistance(torch.autograd.Function):
    """All-pairs distances of a short and a long side, and their gradient: see the module.

    ``long`` is None for the distances of ``short`` to itself.
    """

    @staticmethod
    def forward(short, long, c, clip_radius, clip, is_flipped, refine):
        scalars = row_scalars(short, long, c, clip_radius, clip)
        side, long_side = sides(short, long, scalars)
        n, m = len(short), len(long_side.vectors)
        # In the memory order of the caller's x and y.
        distance = short.new_empty_strided((n, m), (1, n) if is_flipped else (m, 1))
        refine, close = is_readable(short) if refine is None else refine, []
        with full_precision(short):
            left = torch.cat(
                [short * (-4 * c * side.gram_scale), 2 * c * side.rank_two.flip(1)], dim=1
            )
            for part in tiles(m, n, _FORWARD_TILE, short.device):
                tile, piece = distance[:, part], long_side.at(part)
                w = _product_to(tile, left, piece)  # in the memory of the tile
                smallest = _smallest(w)
                if not smallest >= 0:  # negative by rounding, or not known
                    w.clamp_(min=0)
                pairs = find_close_pairs(w, smallest, side, piece, c) if refine else None
                tile.add_(torch.addcmul(w, w, w, value=0.5).sqrt_(), alpha=math.sqrt(2))
                _log1p_(tile, smallest).mul_(1 / math.sqrt(c))
                if pairs is not None:
                    close.append(refine_distances(tile, pairs, side, piece, c, part.start))
        if long is None:
            distance.diagonal().zero_()
        return distance, scalars, *join_pairs(close, short.device)

    @staticmethod
    def setup_context(ctx, inputs, output):
        short, long, ctx.c, ctx.clip_radius, ctx.clip, *_ = inputs
        ctx.mark_non_differentiable(*output[1:])
        # Otherwise autograd would allocate a matrix of zeros for each of them.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(short, long, *output)

    @staticmethod
    def backward(ctx, grad, *_):
        no_options = (None,) * 5
        if grad is None:
            return None, None, *no_options
        short, long, distance, scalars, rows, columns = ctx.saved_tensors
        pairs = rows, columns
        c, is_same = ctx.c, long is None
        wants_short, wants_long = ctx.needs_input_grad[:2] if not is_same else (True, True)
        with full_precision(short):
            if torch.is_grad_enabled():
                vectors = (short,) if is_same else (short, long)
                mapping = c, ctx.clip_radius, ctx.clip
                return *_differentiable_gradients(vectors, grad, *mapping), *no_options
            side, long_side = sides(short, long, scalars)
            is_refined = mark_pairs(distance, pairs)
            left = side.scaled_rows() if wants_long else None
            sums = short.new_zeros(len(short), short.shape[1] + 2) if wants_short else None
            grad_long = torch.empty_like(long_side.vectors) if wants_long else None
            for part in tiles(distance.shape[1], len(short), _BACKWARD_TILE, short.device):
                piece, weight = long_side.at(part), _weight(grad[:, part], distance[:, part], c)
                if is_refined is not None:
                    weight.masked_fill_(is_refined[:, part], 0)
                if grad_long is not None:
                    to_long = _product_like(piece.vectors, weight.T, left)
                    _combine(to_long, piece, c, out=grad_long[part])
                if wants_short:
                    _add_product_to(sums, weight, piece)
            grad_short = _combine(sums, side, c, torch.empty_like(short)) if wants_short else None
            if is_refined is not None:
                weight = _weight(grad[pairs], distance[pairs], c)
                among = distance[pairs], weight, side, long_side, pairs, c
                add_refined_gradients(grad_short, grad_long, *among)
        if is_same and grad_short is not None:
            grad_short, grad_long = grad_short.add_(grad_long), None
        return grad_short, grad_long, *no_options

    @staticmethod
    def vmap(info, in_dims, *args):
        # Which pairs are refined depends on the data, so the samples are computed one by one.
        outputs = [
            _PairwiseDistance.apply(
                *(
                    arg if dim is None else arg.select(dim, sample)
                    for arg, dim in zip(args, in_dims, strict=True)
                )
            )
            for sample in range(info.batch_size)
        ]
        distance = torch.stack([output[0] for output in outputs])
        # Under torch.func only the inputs are used by the backward pass, never the other outputs.
        return (distance, *outputs[0][1:]), (0, *[None] * (len(outputs[0]) - 1))


def _product_to(tile, left, side):
    """tile = left @ side.scaled_rows().T; returns the tile.

    Scaled rows are a copy of the rows; scaling the product instead is two passes over the tile.
    """
    if _copy_is_cheaper(side, left):
        return torch.mm(left, side.scaled_rows().T, out=tile)
    torch.mm(left[:, :-2], side.vectors.T, out=tile).mul_(side.gram_scale.squeeze(1))
    return tile.addmm_(left[:, -2:], side.rank_two.T)


def _add_product_to(sums, weight, side):
    """sums += weight @ side.scaled_rows(); ``weight`` is overwritten."""
    if _copy_is_cheaper(side, weight):
        sums.addmm_(weight, side.scaled_rows())
    else:
        sums[:, -2:].addmm_(weight, side.rank_two)
        sums[:, :-2].addmm_(weight.mul_(side.gram_scale.squeeze(1)), side.vectors)


def _copy_is_cheaper(side, left):
    """Whether a copy of the rows moves less than a pass over their products with ``left``."""
    return side.vectors.shape[1] < len(left)


def _product_like(v, left, right):
    """left @ right in the memory order of v: PML keeps proxies as columns of a parameter."""
    # A compiler chooses the order itself, and older ones cannot read strides in a backward pass.
    by_columns = not torch.compiler.is_compiling() and v.stride(0) < v.stride(1)
    return (right.T @ left.T).T if by_columns else left @ right


def _smallest(w):
    """The least entry of a tile, or NaN if it is empty or must not be read."""
    return float(w.amin()) if is_readable(w) and w.numel() else math.nan


def _log1p_(z, smallest):
    """log(1 + z) in place, given the least w; z exceeds sqrt(2w)."""
    # On the CPU log1p costs as much as a matrix product; for z > 0.2 its care is not needed.
    return z.add_(1).log_() if smallest > 0.02 else z.log1p_()


def _weight(grad, distance, c):
    """grad / (2 sinh(sqrt(c) d)), and 0 at distance 0."""
    z = math.sqrt(c) * distance
    smallest = _smallest(z)
    if smallest > 0.2:
        # On the CPU expm1 costs several times as much as exp, and here it is not needed.
        inverse = z.exp_().reciprocal()
        return torch.div(grad, z.sub_(inverse), out=inverse)
    z = z.expm1_()
    double_sinh = z.add_(z / (1 + z))
    weight = grad / double_sinh
    return weight if smallest > 0 else weight.masked_fill_(double_sinh == 0, 0)


def _combine(sums, side, c, out):
    """The gradient to the rows of a side, from their sums (R, Q, P) over the other side."""
    toward, squares, total = sums[:, :-2], sums[:, -2:-1], sums[:, -1:]
    v, s, a = side.vectors, side.scale, side.conformal()
    scaled_a = 8 * math.sqrt(c) * side.gram_scale
    inner = torch.mul(v, toward, out=out).sum(1, keepdim=True)
    own = scaled_a * a * (total + c * (squares - 2 * s * inner))
    # Divided by the norm twice: its square overflows.
    along = 8 * math.sqrt(c) * a * (inner * side.inverse_norm) * side.inverse_norm
    # s (along v) + d|x|/d|v| (own - along): far out s - d|x|/d|v|, that is -slope, is s in float32.
    own = side.radial_scale * own - side.slope * along
    return torch.mul(v, own, out=out).addcmul_(toward, scaled_a, value=-1)


def _differentiable_gradients(vectors, grad, c, clip_radius, clip):
    """The gradients of ``backward``, in operations that can be differentiated again.

    They are computed in float64 on devices that have it, because the plain formula cancels for
    close pairs. ``vectors`` are those of both sides, or of one that is both.
    """
    dtype = torch.float64 if has_float64(grad.device) else grad.dtype

    def to_ball(v):
        wide = v.to(dtype)
        if clip_radius is None:
            return wide
        norm = wide.square().sum(1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny).sqrt()
        return wide * ball_scale(norm, c=c, clip_radius=clip_radius, clip=clip, dtype=v.dtype)[0]

    def distances(*vectors):
        points = [to_ball(v) for v in vectors]
        return plain_poincare_cdist(points[0], points[-1], c=c)

    gradients = torch.func.vjp(distances, *vectors)[1](grad.to(dtype))
    return gradients if len(gradients) == 2 else (*gradients, None)


def _check_rows(name, what, x, y):
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"{name} takes {what} x (N, D) and y (M, D) of one D, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )

"""HypHC: similar points get a deep lowest common ancestor, and the depth of that ancestor.

Chami, Gu, Chatziafratis, Re, NeurIPS 2020, arXiv 2010.00402; docs/mathematics.md, section 6.

**Loss.** For three points with similarities w, ``w_ij + w_ik + w_jk - <w, softmax(d_o / T)>``,
where ``d_o`` are the depths of the three pairs' lowest common ancestors: a relaxation of Dasgupta's
cost, in which the similar pair should merge last.

**Depth.** The lowest common ancestor of x and y is the point of the geodesic between them that is
nearest to the origin. Let X = sqrt(c) x, Y = sqrt(c) y, u = 1 + |X|^2 and v = 1 + |Y|^2. The
geodesic lies on a circle that meets the unit circle at right angles, so its centre a, in the plane
of X and Y, solves ``<a, X> = u / 2`` and ``<a, Y> = v / 2``:

    |a|^2 = |u Y - v X|^2 / (4 (|X|^2 |Y|^2 - <X, Y>^2)).

The circle has radius ``sqrt(|a|^2 - 1)``; its point nearest to the origin has norm ``|a| -
sqrt(|a|^2 - 1)`` and therefore depth ``artanh(1 / |a|) / sqrt(c)``. This foot lies between x and y
if ``|X|^2 v > <X, Y> u`` and ``|Y|^2 u > <X, Y> v``; otherwise the endpoint nearer to the origin is
the ancestor. (The paper's code takes the whole geodesic: its leaves have equal norms.)

**Accuracy.** On the hyperboloid the same depth is, with the gap g = |X - Y|,

    asinh(2 |X| |Y - proj_X Y| / (g sqrt(g^2 + (1 - |X|^2) (1 - |Y|^2)))) / sqrt(c).

In this form, which :func:`lca_depth` takes, nothing cancels: neither for nearly collinear points
nor for close pairs at the boundary, where ``1 / |a|`` rounds to more than 1. The loss works on
inner products in float64, where what cancels leaves sqrt(eps) of the norms; that is enough for a
loss, at a fraction of the cost, and tangent vectors are never mapped: clip and exponential map
scale their inner products.
"""

import math
from collections.abc import Callable

import torch

from .chunks import chunks
from .poincare import at_least_float32, ball_scale, full_precision, has_float64
from .validation import (
    check_broadcast,
    check_clip,
    check_clip_radius,
    check_curvature,
    check_positive,
)


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
    within = _foot_is_within(xx, yy, xy)
    safe_xx = torch.where(within, xx, 1)
    rejection = _norm(y - (xy / safe_xx).unsqueeze(-1) * x)
    gap = torch.where(within, _norm(x - y), 1)
    norm_of_x = xx.clamp(min=torch.finfo(work_dtype).tiny).sqrt()
    sinh = 2 * norm_of_x * rejection / (gap * (gap.square() + (1 - xx) * (1 - yy)).sqrt())
    foot = torch.asinh(torch.where(within, sinh, 0))
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

    The mean over triplets of ``w_ij + w_ik + w_jk - <w, softmax(d_o / temperature)>`` with the
    depths ``d_o`` of the three pairs' lowest common ancestors.

    Args:
        points: (P, D) points with ``c|x|^2 < 1``.
        similarity: ``(i, j) -> (T,)``, similarities of the points with these indices, >= 0.
            Never asked for all pairs at once.
        triplets: (3, T) long, indices of points.
        c: curvature magnitude, > 0.
        temperature: of the softmax over depths, > 0. HypHC's usual value is 0.05.

    Returns:
        A scalar. It is 0, and still attached to ``points``, if there are no triplets.

    Raises:
        ValueError: shapes do not fit, those of the similarities included, or ``c`` or
            ``temperature`` is not positive.
    """
    check_curvature(c)
    if points.ndim != 2 or triplets.ndim != 2 or len(triplets) != 3:
        raise ValueError(
            f"hyphc_loss takes points (P, D) and triplets (3, T), "
            f"got {tuple(points.shape)} and {tuple(triplets.shape)}"
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
        A scalar. It is 0, and still attached to ``corners``, if there are no triplets.

    Raises:
        ValueError: ``weights`` have another shape, or ``c`` or ``temperature`` is not positive.
    """
    check_curvature(c)
    return _loss_of_products(lambda gram: gram, corners, weights, c, temperature)


def hyphc_loss_of_tangents(
    corners: torch.Tensor,
    weights: torch.Tensor | None,
    *,
    c: float,
    clip_radius: float | None,
    clip: str = "hard",
    temperature: float,
) -> torch.Tensor:
    """:func:`hyphc_loss_of_corners` of tangent vectors, which are never mapped themselves.

    Clip and exponential map scale the inner products of the vectors.

    Args:
        corners: (T, 3, D) tangent vectors of the points i, j and k of each triplet.
        weights: (3, T) similarities w_ij, w_ik and w_jk, or None for (1 + cosine) / 2 of the
            vectors themselves, without gradient.
        c, clip_radius, clip: as :func:`to_poincare_ball`.
        temperature: as hyphc_loss.

    Returns:
        A scalar. It is 0, and still attached to ``corners``, if there are no triplets.

    Raises:
        ValueError: ``weights`` have another shape, ``c``, ``clip_radius`` or ``temperature`` is not
            positive, or ``clip`` is unknown, or smooth without a clip radius.
    """
    check_curvature(c)
    check_clip_radius(clip_radius)
    check_clip(clip, clip_radius)

    def mapped(gram):
        square = gram.diagonal(dim1=1, dim2=2)
        # A zero vector keeps a scale of 1 and a gradient of 0.
        dtype = at_least_float32(corners.dtype)
        norm = square.clamp(min=torch.finfo(dtype).tiny).sqrt()
        scale, *_ = ball_scale(norm, c=c, clip_radius=clip_radius, clip=clip, dtype=dtype)
        return gram * scale.unsqueeze(1) * scale.unsqueeze(2)

    return _loss_of_products(mapped, corners, weights, c, temperature)


def _loss_of_products(mapping, corners, weights, c, temperature):
    """HypHC from (T, 3, 3) inner products of corners; ``mapping`` makes them those of points."""
    check_positive("HypHC", temperature=temperature)
    if weights is not None and weights.shape != (3, len(corners)):
        raise ValueError(
            f"HypHC needs one similarity for each pair of its {len(corners)} triplets, (3, T), got "
            f"{tuple(weights.shape)}: return (T,) values from similarity(i, j)"
        )
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
    """:func:`lca_depth` at c = 1 from inner products."""
    within = _foot_is_within(xx, yy, xy)
    u, v = 1 + xx, 1 + yy
    chord = u * u * yy - 2 * u * v * xy + v * v * xx
    area = 4 * (xx * yy - xy * xy)
    tiny = torch.finfo(xx.dtype).tiny
    # A square root has no gradient at 0: points exactly collinear or at the origin get none.
    open_foot = within & (area > tiny) & (chord > tiny)
    ratio = torch.where(open_foot, area, 0.25) / torch.where(open_foot, chord, 1)
    # Rounding must not make it 1, whose atanh is infinite.
    below_one = 1 - 4 * torch.finfo(ratio.dtype).eps
    foot = torch.where(open_foot, torch.atanh(ratio.clamp(max=below_one).sqrt()), 0)
    nearest = torch.minimum(xx, yy)
    off_origin = nearest > tiny
    endpoint = 2 * torch.atanh(torch.where(off_origin, nearest, 0.25).sqrt())
    return torch.where(within, foot, torch.where(off_origin, endpoint, 0))


def _foot_is_within(xx, yy, xy):
    """Whether the geodesic's point nearest to the origin lies between the two points, at c = 1."""
    return (xx * (1 + yy) > xy * (1 + xx)) & (yy * (1 + xx) > xy * (1 + yy))


class _CornerProducts(torch.autograd.Function):
    """(T, 3, 3) inner products, in float64, of the three points of each triplet.

    In chunks, as sums of products of elements: a batched matrix product of matrices this small is
    ten times slower, and TensorFloat-32 would round it.
    """

    @staticmethod
    def forward(corners):
        dtype = torch.float64 if has_float64(corners.device) else corners.dtype
        products = corners.new_empty(len(corners), 3, 3, dtype=dtype)
        for part in chunks(len(corners), corners.shape[2], corners.device):
            points = corners[part].to(dtype)
            for p in range(3):
                for q in range(p, 3):
                    product = (points[:, p] * points[:, q]).sum(-1)
                    products[part, p, q] = products[part, q, p] = product
        return products

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (corners,) = ctx.saved_tensors
        weights = (grad + grad.mT).to(corners.dtype)
        if torch.is_grad_enabled():  # to be differentiated again
            return sum(weights[:, :, q, None] * corners[:, q, None] for q in range(3))
        out = torch.empty_like(corners)
        for part in chunks(len(corners), corners.shape[2], corners.device):
            x, y, z = corners[part].unbind(1)
            for p in range(3):
                to_x, to_y, to_z = weights[part, p].unsqueeze(2).unbind(1)
                torch.mul(x, to_x, out=out[part, p]).addcmul_(y, to_y).addcmul_(z, to_z)
        return out


def _norm(x):
    return torch.linalg.vector_norm(x, dim=-1)

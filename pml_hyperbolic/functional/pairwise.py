"""All-pairs hyperbolic distance at the cost of a Euclidean one: the kernel behind every loss."""

import math

import torch

from .poincare import (
    at_least_float32,
    ball_scale,
    full_precision,
    has_float64,
)
from .validation import check_clip_radius, check_curvature

# Entries of the distance matrix worked on at a time: a tile stays in the cache of a CPU core,
# while a GPU wants few launches.
_FORWARD_TILE = 2**19
_BACKWARD_TILE = 2**18
_TILE_ENTRIES_OTHER = 2**26
_REFINED_ENTRIES = 2**18  # coordinates of refined pairs handled at a time: half a core's cache
# A pair is refined where |x-y|^2 / (|x|^2 + |y|^2) is below the first: the Gram form's error
# there, 1e-7 of |x|^2 + |y|^2, reaches 1e-6 of the distance. The gradient loses only the square
# root of what the distance loses, so it is refined below the second.
_CANCELLATION = 0.1
_GRADIENT_CANCELLATION = 1e-3


def poincare_cdist(
    x: torch.Tensor, y: torch.Tensor, *, c: float, refine: bool = True
) -> torch.Tensor:
    """Geodesic distances between all pairs of points of the Poincare ball, from one Gram matrix.

    No (N, M, D) tensor is built: forward and backward are three matrix products, worked on in
    tiles. As with torch.cdist, the distances themselves are kept for the backward pass: do not
    change them in place.

    Args:
        x: (N, D) points with ``c|x|^2 < 1``.
        y: (M, D) points; pass the very same tensor for an exactly zero diagonal.
        c: curvature magnitude, > 0.
        refine: compute pairs for which the Gram form cancels (``|x-y|^2`` below a tenth of
            ``|x|^2 + |y|^2``) from their direct difference: distances are then within a few 1e-6
            relative in float32 at any distance, exactly 0 for coincident points, and gradients
            within 1e-5 norm-wise for sqrt(c)|x| <= 0.9. Default True; its cost grows with the
            number of such pairs, and on CUDA finding them synchronises. Ignored under
            ``torch.compile``. Without it the error of a distance d is about 1e-6 of
            ``|x|^2 / d^2``, more in many dimensions.

    Returns:
        (N, M) distances in the inputs' dtype, float32 at least. Gradients at distance 0 are 0.
        Can be differentiated twice, and works under ``torch.func.grad`` and ``torch.vmap``; there
        is no forward-mode derivative.

    Raises:
        ValueError: ``x`` and ``y`` are not 2-D with equal D, or ``c`` is not positive and finite.
    """
    check_curvature(c)
    _check_rows("poincare_cdist", "points", x, y)
    return _distances(x, y, c, None, refine)


def tangent_cdist(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    c: float,
    clip_radius: float | None = None,
    refine: bool = True,
) -> torch.Tensor:
    """:func:`poincare_cdist` of :func:`to_poincare_ball`, of tangent vectors, in one step.

    Clip and exponential map only scale rows, so they enter as row scalars around the matrix
    products: neither mapped points nor their gradients are ever held.

    Args:
        x: (N, D) tangent vectors at the origin.
        y: (M, D) tangent vectors; pass the very same tensor for an exactly zero diagonal.
        c: curvature magnitude, > 0.
        clip_radius: norms above this are scaled down to it (> 0), or None to clip nothing.
        refine: as poincare_cdist.

    Returns:
        (N, M) distances, as poincare_cdist. In float32 tangent vectors of a norm near or above
        1/sqrt(c) are rounded when they are scaled: pairs closer than 1e-3 of their norm then lose
        relative accuracy, 2e-5 at 1e-3 and in proportion below.

    Raises:
        ValueError: ``x`` and ``y`` are not 2-D with equal D, or ``c`` or ``clip_radius`` is not
            positive and finite.
    """
    check_curvature(c)
    check_clip_radius(clip_radius)
    _check_rows("tangent_cdist", "tangent vectors", x, y)
    return _distances(x, y, c, math.inf if clip_radius is None else float(clip_radius), refine)


def _distances(x, y, c, clip_radius, refine):
    same = x is y
    dtype = at_least_float32(torch.promote_types(x.dtype, y.dtype))
    x = x.to(dtype)
    y = x if same else y.to(dtype)
    refine = refine and not torch.compiler.is_compiling()
    distance, *_ = _PairwiseDistance.apply(x, y, float(c), clip_radius, same, refine)
    return distance


class _PairwiseDistance(torch.autograd.Function):
    """All-pairs distance of points, or of tangent vectors (clip_radius given), and its gradient.

    The points are rows v of a side, scaled: x = s v. With a, b = 1/(1-c|x|^2), 1/(1-c|y|^2):
    w = cosh(sqrt(c) d) - 1 = 2c a b |x-y|^2, dd/dw = 1 / (sqrt(c) sinh(sqrt(c) d)),
    sinh^2 = w (w + 2), dw/dx = 4c a b (x - y) + 2c a w x, and a gradient g to x becomes
    s g + (|v| ds/d|v|) <g, u> u to v, with u the unit vector along v.

    All scalings are those of rows and columns (``_row_scalars``) around products with the raw
    rows, and both squared norms enter as a product of rank two. Kept for the backward pass are the
    distances, from which it computes sinh, and the pairs whose gradient is refined. Tiles run
    along the longer side.
    """

    @staticmethod
    def forward(x, y, c, clip_radius, same, refine):
        scalars = _row_scalars(x, y, c, clip_radius, same)
        distance = x.new_empty(len(x), len(y))
        flip = _tiles_run_along_x(x, y)
        few, many = _ordered(flip, x, y)
        side, long_side = _ordered(flip, *_split(scalars, x, same))
        out = distance.T if flip else distance
        close = []
        with full_precision(x):
            left = torch.cat([few * (-4 * c * side[:, 2:3]), 2 * c * side[:, :2].flip(1)], dim=1)
            for part in _tiles(len(many), len(few), _FORWARD_TILE, x.device):
                tile = out[:, part]
                _product_to(tile, left, many[part], long_side[part])  # w
                smallest = _smallest(tile)
                sides = (few, many[part], side, long_side[part])
                found = _find_close(tile, smallest, side, long_side[part], c, refine)
                tile.add_(torch.addcmul(tile, tile, tile, value=0.5).sqrt_(), alpha=math.sqrt(2))
                _log1p_(tile, smallest).mul_(1 / math.sqrt(c))
                if found is not None:
                    close.append(_refine(tile, found, *sides, c, part.start))
        if same:
            distance.fill_diagonal_(0)
        return distance, scalars, *_join(close, x.device)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.c, ctx.clip_radius, ctx.same, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        # Or autograd would make a matrix of zeros for each of them.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, y, *output)

    @staticmethod
    def backward(ctx, grad, *_):
        if grad is None:
            return (None,) * 6
        x, y, distance, scalars, *pairs = ctx.saved_tensors
        nothing = [None] * 4
        with full_precision(x):
            if torch.is_grad_enabled():
                return *_differentiable_gradients(x, y, grad, ctx), *nothing
            flip = _tiles_run_along_x(x, y)
            few, many = _ordered(flip, x, y)
            side, long_side = _ordered(flip, *_split(scalars, x, ctx.same))
            wants_few, wants_many = _ordered(flip, *ctx.needs_input_grad[:2])
            grad, distance = (grad.T, distance.T) if flip else (grad, distance)
            refined = _marks(distance, pairs)
            left = _scaled_rows(few, side) if wants_many else None
            sums = few.new_zeros(len(few), few.shape[1] + 2) if wants_few else None
            grad_many = torch.empty_like(many) if wants_many else None
            for part in _tiles(len(many), len(few), _BACKWARD_TILE, x.device):
                near = _per_double_sinh(grad[:, part], distance[:, part], ctx.c)
                if refined is not None:
                    near.masked_fill_(refined[:, part], 0)
                if wants_many:
                    to_many = _product_like(many, near.T, left)
                    _combine(to_many, many[part], long_side[part], ctx.c, out=grad_many[part])
                if wants_few:
                    _add_product_to(sums, near, many[part], long_side[part])
            grad_few = None
            if wants_few:
                grad_few = _combine(sums, few, side, ctx.c, out=torch.empty_like(few))
            sides = (few, many, side, long_side)
            _add_close_pairs(grad_few, grad_many, grad, distance, *sides, pairs, ctx.c)
        return *_ordered(flip, grad_few, grad_many), *nothing

    @staticmethod
    def vmap(info, in_dims, *args):
        # Which pairs are refined depends on the data, so samples go one by one.
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
        # The rest serves a backward pass that runs per sample: it need not be a batch.
        return (distance, *outputs[0][1:]), (0, *[None] * (len(outputs[0]) - 1))


def _product_to(tile, left, rows, side):
    """tile = left @ _scaled_rows(rows, side).T, ``left`` having two columns more than ``rows``.

    Scaled rows are a copy of the rows; scaling the product instead is two passes over the tile.
    """
    if _copy_is_cheaper(rows, left):
        torch.mm(left, _scaled_rows(rows, side).T, out=tile)
    else:
        torch.mm(left[:, :-2], rows.T, out=tile).mul_(side[:, 2])
        tile.addmm_(left[:, -2:], side[:, :2].T)


def _add_product_to(sums, near, rows, side):
    """sums += near @ _scaled_rows(rows, side); ``near`` is overwritten."""
    if _copy_is_cheaper(rows, near):
        sums.addmm_(near, _scaled_rows(rows, side))
    else:
        sums[:, -2:].addmm_(near, side[:, :2])
        sums[:, :-2].addmm_(near.mul_(side[:, 2]), rows)


def _copy_is_cheaper(rows, left):
    """Whether a copy of the rows moves less than a pass over their products with ``left``."""
    return rows.shape[1] < len(left)


def _scaled_rows(rows, side):
    """[a s v | a|x|^2 | a] of the rows v of a side."""
    return torch.cat([rows * side[:, 2:3], side[:, :2]], dim=1)


def _smallest(w):
    """The least entry of a tile; NaN where there is none, or where to look would synchronise."""
    if w.device.type != "cpu" or torch.compiler.is_compiling() or not w.numel():
        return math.nan
    return float(w.amin())


def _log1p_(z, smallest):
    """log(1 + z) in place, given the least w; z exceeds sqrt(2w)."""
    # On the CPU log1p costs as much as a matrix product; for z > 0.2 its care is not needed.
    return z.add_(1).log_() if smallest > 0.02 else z.log1p_()


def _find_close(w, smallest, side, long_side, c, refine):
    """(rows, columns, limits of w) of a tile's pairs to refine, or None; w < 0 is removed.

    A pair is close where |x-y|^2 is small for the squared norms of both.
    """
    if not refine or not w.numel():
        if not smallest >= 0:
            w.clamp_(min=0)
        return None
    # First by the largest norms of both sides: often nothing is close, and nothing negative.
    reach = 2 * c * _CANCELLATION
    far_x, a = side[:, :2].amax(0).tolist()
    far_y, b = long_side[:, :2].amax(0).tolist()
    if (w.amin() if math.isnan(smallest) else smallest) > reach * (far_x * b + a * far_y):
        return None
    w.clamp_(min=0)
    limits = (reach * side[:, :2]) @ long_side[:, :2].flip(1).T
    rows, columns = (w <= limits).nonzero().unbind(1)
    return rows, columns, limits[rows, columns]


def _per_double_sinh(grad, distance, c):
    """grad / (2 sinh(sqrt(c) d)), and 0 at distance 0."""
    z = math.sqrt(c) * distance
    smallest = _smallest(z)
    if smallest > 0.2:
        # On the CPU expm1 costs several times as much as exp, and here it is not needed.
        inverse = z.exp_().reciprocal()
        return torch.div(grad, z.sub_(inverse), out=inverse)
    z = z.expm1_()
    double_sinh = z.add_(z / (1 + z))
    near = grad / double_sinh
    return near if smallest > 0 else near.masked_fill_(double_sinh == 0, 0)


def _marks(distance, pairs):
    """(N, M) which pairs' gradients are refined, or None if there are none."""
    rows, columns = pairs
    if not len(rows):
        return None
    marks = torch.zeros_like(distance, dtype=torch.bool)
    marks[rows, columns] = True
    return marks


def _refine(tile, found, few, many, side, long_side, c, offset):
    """Recompute, in place, pairs of a tile from the difference of their points.

    Returned are the rows and columns (counted from ``offset``) of pairs so close that their
    gradient is to be refined too.
    """
    rows, columns, limits = found
    norm = few.new_empty(len(rows))
    for part, x, y in _gathered(few, many, side, long_side, rows, columns):
        torch.linalg.vector_norm(x.sub_(y), dim=1, out=norm[part])
    conformal = side[:, 1].index_select(0, rows) * long_side[:, 1].index_select(0, columns)
    w = norm.square_().mul_(conformal).mul_(2 * c)
    tile[rows, columns] = torch.log1p(w + torch.sqrt(w * (w + 2))) / math.sqrt(c)
    again = (w <= limits * (_GRADIENT_CANCELLATION / _CANCELLATION)).nonzero().squeeze(1)
    return rows[again], columns[again] + offset


def _add_close_pairs(grad_few, grad_many, grad, distance, few, many, side, long_side, pairs, c):
    """Add the gradients of refined pairs, from their direct differences.

    8 sqrt(c) p a (b (x - y) + x w / 2) to x with p = grad / (2 sinh), and the like to y.
    """
    rows, columns = pairs
    if not len(rows):
        return
    a, b = side[rows, 1], long_side[columns, 1]
    distance = distance[rows, columns]
    half_w = torch.sinh(distance * (math.sqrt(c) / 2)).square_()
    pull = 8 * math.sqrt(c) * _per_double_sinh(grad[rows, columns], distance, c)
    apart = (pull * a * b).unsqueeze(1)
    outward_x, outward_y = (pull * a * half_w).unsqueeze(1), (pull * b * half_w).unsqueeze(1)
    for part, x, y in _gathered(few, many, side, long_side, rows, columns):
        step = (x - y).mul_(apart[part])
        if grad_few is not None:
            to_x = torch.addcmul(step, x, outward_x[part])
            grad_few.index_add_(0, rows[part], _to_raw(to_x, few, side, rows[part]))
        if grad_many is not None:
            to_y = torch.addcmul(-step, y, outward_y[part])
            grad_many.index_add_(0, columns[part], _to_raw(to_y, many, long_side, columns[part]))


def _to_raw(gradient, raw, side, index):
    """The gradient to rows of ``raw`` of gradients to the points that they are mapped to."""
    if side.shape[1] == 3:
        return gradient
    scale, slope, inverse_norm = side[index, 3:].unsqueeze(2).unbind(1)
    directions = raw.index_select(0, index) * inverse_norm
    along = torch.linalg.vecdot(gradient, directions).unsqueeze(1)
    return (gradient * scale).addcmul_(directions, along * slope)


def _gathered(few, many, side, long_side, rows, columns):
    """The points of these pairs, piece by piece: (slice, x, y), to be overwritten at will."""
    # Two buffers for all pieces: index_select into fresh memory is dominated by page faults.
    step = max(1, _REFINED_ENTRIES // max(1, few.shape[1]))
    buffers = few.new_empty(2, min(step, len(rows)), few.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        x, y = buffers[:, : len(rows[part])]
        torch.index_select(few, 0, rows[part], out=x)
        torch.index_select(many, 0, columns[part], out=y)
        if side.shape[1] > 3:
            x.mul_(side[rows[part], 3:4])
            y.mul_(long_side[columns[part], 3:4])
        yield part, x, y


def _join(close, device):
    """One (rows, columns) of those that the tiles returned."""
    if not close:
        return torch.empty(2, 0, dtype=torch.long, device=device).unbind(0)
    return tuple(torch.cat(parts) for parts in zip(*close, strict=True))


def _combine(sums, v, side, c, out):
    """The gradient to rows v of a side, from sums over the other of p b (y, |y|^2, 1).

    To the point x: 8 sqrt(c) a [x (sum p b + c a sum p b |x-y|^2) - sum p b y]. The sum with
    |x-y|^2 comes from the same product instead of a pass over the matrix; its rounding error is
    c a |x|^2 times the other terms'.
    """
    toward, squares, total = sums[:, :-2], sums[:, -2:-1], sums[:, -1:]
    a, scaled_a = side[:, 1:2], 8 * math.sqrt(c) * side[:, 2:3]
    inner = torch.mul(v, toward, out=out).sum(1, keepdim=True)
    if side.shape[1] == 3:
        own = scaled_a * a * (total + c * (squares - 2 * inner))
    else:
        s, slope, inverse_norm = side[:, 3:].unsqueeze(2).unbind(1)
        own = scaled_a * a * (total + c * (squares - 2 * s * inner))
        # Divided by the norm twice: its square overflows.
        along = 8 * math.sqrt(c) * a * (inner * inverse_norm) * inverse_norm
        own = own * s + slope * (own - along)
    return torch.mul(v, own, out=out).addcmul_(toward, scaled_a, value=-1)


def _differentiable_gradients(x, y, grad, ctx):
    """What backward computes, in operations that can be differentiated again.

    In float64 where there is any: the Gram form of close pairs cancels, and nothing refines it.
    """
    dtype = torch.float64 if has_float64(x.device) else x.dtype
    c, clip_radius, grad = ctx.c, ctx.clip_radius, grad.to(dtype)
    if clip_radius is None:
        gradients = _point_gradients(x.to(dtype), y.to(dtype), grad, c, ctx.same)
    else:
        mapped = []
        for v in (x, y):
            square = v.to(dtype).square().sum(1, keepdim=True)
            norm = square.clamp(min=torch.finfo(x.dtype).tiny).sqrt()
            s, slope, _ = ball_scale(norm, c=c, clip_radius=clip_radius, dtype=x.dtype)
            mapped.append((v * s, s, slope, v / norm))
        points = (points for points, *_ in mapped)
        gradients = [
            s * g + slope * (g * unit).sum(1, keepdim=True) * unit
            for g, (_, s, slope, unit) in zip(
                _point_gradients(*points, grad, c, ctx.same), mapped, strict=True
            )
        ]
    return tuple(
        gradient.to(v.dtype) if wanted else None
        for gradient, v, wanted in zip(gradients, (x, y), ctx.needs_input_grad, strict=False)
    )


def _point_gradients(x, y, grad, c, same):
    xx, yy = x.square().sum(1, keepdim=True), y.square().sum(1, keepdim=True)
    a, b = 1 / (1 - c * xx), 1 / (1 - c * yy)
    w = 2 * c * a * (xx + yy.T - 2 * x @ y.T) * b.T
    apart = w > 0
    if same:
        apart = apart & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    w = torch.where(apart, w, 1)
    near = torch.where(apart, grad / (c * w * (w + 2)).sqrt(), 0)
    far = 2 * c * near * w
    near = 4 * c * a * near * b.T
    grad_x = x * (near.sum(1, keepdim=True) + a * far.sum(1, keepdim=True)) - near @ y
    grad_y = y * (near.sum(0).unsqueeze(1) + b * far.sum(0).unsqueeze(1)) - near.T @ x
    return grad_x, grad_y


def _row_scalars(x, y, c, clip_radius, same):
    """Row scalars of raw rows v of x, then of y unless it is the same: a|x|^2, a, a s of the
    points x = s v, and for tangent vectors s, |v| ds/d|v| and 1/|v| too, from float64 norms where
    there are any."""
    norm = _norms(x) if same else torch.cat([_norms(x), _norms(y)])
    if clip_radius is None:
        square = norm.square()
        a = 1 / (1 - c * square)
        # Beyond the boundary there is no distance; without this it would be 0 or finite.
        a.masked_fill_(a <= 0, math.nan)
        columns = [square * a, a, a]
    else:
        s, slope, sinh_square = ball_scale(norm, c=c, clip_radius=clip_radius, dtype=x.dtype)
        a = 1 + sinh_square
        inverse_norm = 1 / norm.clamp(min=math.sqrt(torch.finfo(x.dtype).tiny))
        columns = [sinh_square / c, a, a * s, s, slope, inverse_norm]
    return torch.cat(columns, dim=1).to(x.dtype)


def _split(scalars, x, same):
    """The sides of x and y."""
    return (scalars, scalars) if same else (scalars[: len(x)], scalars[len(x) :])


def _norms(v):
    """(N, 1) row norms, in float64 where there is any, so that they do not depend on the layout."""
    norm_dtype = torch.float64 if has_float64(v.device) else v.dtype
    if v.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.linalg.vector_norm(v, dim=1, keepdim=True, dtype=norm_dtype)
    norm = v.new_empty(len(v), 1, dtype=norm_dtype)
    # In pieces that stay in the cache: torch copies all of its input to the wider type.
    for part in _tiles(len(v), 2 * v.shape[1], _FORWARD_TILE, v.device):
        wide = v[part].to(norm_dtype, copy=True)
        torch.sum(wide.square_(), dim=1, keepdim=True, out=norm[part])
    return norm.sqrt_()


def _product_like(v, left, right):
    """left @ right in the memory order of v: PML keeps proxies as columns of a parameter."""
    return (right.T @ left.T).T if v.stride(0) < v.stride(1) else left @ right


def _tiles_run_along_x(x, y):
    """Whether x is the longer side; without tiles, for a compiler, it makes no difference."""
    return len(x) > len(y) and not torch.compiler.is_compiling()


def _tiles(rows, width, entries, device):
    """Slices of a (rows, width) matrix with so many entries on the CPU, to be worked on in turn.

    A compiler gets the whole, and cuts it up by itself.
    """
    if torch.compiler.is_compiling():
        return [slice(0, rows)]
    entries = entries if device.type == "cpu" else _TILE_ENTRIES_OTHER
    step = max(1, entries // max(1, width))
    return [slice(start, start + step) for start in range(0, rows, step)]


def _ordered(flip, first, second):
    return (second, first) if flip else (first, second)


def _check_rows(name, what, x, y):
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"{name} takes {what} x (N, D) and y (M, D) of one D, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )

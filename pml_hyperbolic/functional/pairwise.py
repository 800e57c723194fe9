"""All-pairs hyperbolic distance at the cost of a Euclidean one: the kernel behind every loss."""

import math

import torch

from .poincare import at_least_float32, check_curvature, full_precision, has_float64

# Entries of the distance matrix worked on at a time: a tile stays in the cache of a CPU core,
# while a GPU wants few launches.
_TILE_ENTRIES_CPU = 2**19
_TILE_ENTRIES_OTHER = 2**26
# Pairs refined at a time, and |x-y|^2 / (|x|^2 + |y|^2) below which a pair is refined: the Gram
# form's error there, 1e-7 of |x|^2 + |y|^2, reaches 1e-6 of the distance.
_REFINED_AT_ONCE = 2048
_CANCELLATION = 0.1


def poincare_cdist(
    x: torch.Tensor, y: torch.Tensor, *, c: float, refine: bool = True
) -> torch.Tensor:
    """Geodesic distances between all pairs of points of the Poincare ball, from one Gram matrix.

    No (N, M, D) tensor is built: forward and backward are three matrix products, worked on in
    tiles, and one (N, M) matrix is kept for the backward pass.

    Args:
        x: (N, D) points with ``c|x|^2 < 1``.
        y: (M, D) points; pass the very same tensor for an exactly zero diagonal.
        c: curvature magnitude, > 0.
        refine: compute pairs for which the Gram form cancels (``|x-y|^2`` below a tenth of
            ``|x|^2 + |y|^2``) from their direct difference: distances are then within 1e-6
            relative in float32 at any scale, and exactly 0 for coincident points. Default True;
            its cost grows with the number of such pairs, and on CUDA finding them synchronises.
            Ignored under ``torch.compile``.

    Returns:
        (N, M) distances in the inputs' dtype, float32 at least. Gradients at distance 0 are 0.
        Can be differentiated twice, and works under ``torch.func.grad`` and ``torch.vmap``; there
        is no forward-mode derivative.

    Raises:
        ValueError: ``x`` and ``y`` are not 2-D with equal D, or ``c`` is not positive and finite.
    """
    check_curvature(c)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"poincare_cdist takes x (N, D) and y (M, D) of one D, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    same = x is y
    dtype = at_least_float32(torch.promote_types(x.dtype, y.dtype))
    x = x.to(dtype)
    y = x if same else y.to(dtype)
    refine = refine and not torch.compiler.is_compiling()
    keep = torch.is_grad_enabled()
    distance, *_ = _PoincareCdist.apply(x, y, float(c), same, refine, keep)
    return distance


class _PoincareCdist(torch.autograd.Function):
    """All-pairs distance with a hand-written backward.

    With a, b = 1/(1-c|x|^2), 1/(1-c|y|^2):  w = cosh(sqrt(c) d) - 1 = 2c a b |x-y|^2,
    dd/dw = 1 / (sqrt(c) sinh(sqrt(c) d)), sinh^2 = w (w + 2), dw/dx = 4c a b (x - y) + 2c a w x.
    ``conformal`` holds the columns (a|x|^2, a) of a side. All scalings sit on the sides of the
    products, where both squared norms ride along as two more coordinates. Kept for the backward
    pass is ``root`` = sinh / sqrt(2), infinite at distance 0 so that the gradient there is 0.
    Tiles run along the longer side.
    """

    @staticmethod
    def forward(x, y, c, same, refine, keep):
        conformal_x = _conformal(x, c)
        conformal_y = conformal_x.clone() if same else _conformal(y, c)
        distance = x.new_empty(len(x), len(y))
        root = torch.empty_like(distance) if keep else x.new_empty(0, 0)
        flip = len(x) > len(y)
        few, many = _ordered(flip, x, y)
        side, long_side = _ordered(flip, conformal_x, conformal_y)
        out, kept = (distance.T, root.T) if flip else (distance, root)
        close = []
        with full_precision(x):
            left = torch.cat([few * (-2 * side[:, 1:]), side], dim=1).mul_(2 * c)
            for part in _tiles(few, many):
                w = left @ _augmented(many[part], long_side[part], long_side[part].flip(1)).T
                w.clamp_(min=0)
                tile_root = torch.addcmul(w, w, w, value=0.5, out=kept[:, part] if keep else None)
                tile_root.sqrt_()
                tile = torch.add(w, tile_root, alpha=math.sqrt(2), out=out[:, part])
                tile.log1p_().mul_(1 / math.sqrt(c))
                if refine:
                    tile_sides = (few, many[part], side, long_side[part])
                    close.append(_refine_tile(tile, tile_root, w, *tile_sides, c, part.start))
                elif keep and _has_zero(tile_root):
                    tile_root.masked_fill_(tile_root == 0, math.inf)
        if same:
            distance.fill_diagonal_(0)
            if keep:
                root.fill_diagonal_(math.inf)
        pairs = _join(close, x.new_empty(0))
        return distance, root, conformal_x, conformal_y, *pairs

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.c, ctx.same, _, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, y, *output[1:])

    @staticmethod
    def backward(ctx, grad, *_):
        x, y, root, conformal_x, conformal_y, *pairs = ctx.saved_tensors
        with full_precision(x):
            if torch.is_grad_enabled():
                return *_differentiable_gradients(x, y, grad, ctx.c, ctx.same), *[None] * 4
            flip = len(x) > len(y)
            few, many = _ordered(flip, x, y)
            side, long_side = _ordered(flip, conformal_x, conformal_y)
            grad, root = (grad.T, root.T) if flip else (grad, root)
            left = _augmented(few, side, side)
            pull = torch.zeros_like(left)
            grad_many = torch.empty_like(many)
            for part in _tiles(few, many):
                near = grad[:, part] / root[:, part]
                pull.addmm_(near, _augmented(many[part], long_side[part], long_side[part]))
                _combine(near.T @ left, many[part], long_side[part], ctx.c, out=grad_many[part])
            grad_few = _combine(pull, few, side, ctx.c, out=torch.empty_like(few))
            _add_close_pairs(grad_few, grad_many, grad, few, many, side, long_side, pairs, ctx.c)
        return *_ordered(flip, grad_few, grad_many), *[None] * 4

    @staticmethod
    def vmap(info, in_dims, *args):
        # Which pairs are refined depends on the data, so samples go one by one.
        outputs = [
            _PoincareCdist.apply(
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


def _refine_tile(tile, root, w, few, many, side, long_side, c, offset):
    """Recompute, in place, the pairs of a tile whose points are close for their norms.

    Their ``root`` becomes infinite, which takes them out of the backward products; returned are
    their rows, columns (counted from ``offset``) and true roots, infinite at distance 0.
    """
    if not w.numel():
        return None
    # w below which a pair is close; first with the columns' largest values, then exactly.
    reach = 2 * c * _CANCELLATION
    farthest, widest = long_side.amax(0)
    limit = reach * (side[:, :1] * widest + side[:, 1:] * farthest)
    if w.amin() > limit.amax():
        return None
    flat = (w <= limit).view(-1).nonzero().squeeze(1)
    rows = flat.div(w.shape[1], rounding_mode="floor")
    columns = flat - rows * w.shape[1]
    (far_x, a), (far_y, b) = side[rows].unbind(1), long_side[columns].unbind(1)
    close = w.view(-1)[flat] <= reach * (far_x * b + a * far_y)
    rows, columns, conformal = rows[close], columns[close], (a * b)[close]
    norm = few.new_empty(len(rows))
    for part, x, y in _gathered(few, many, rows, columns):
        torch.linalg.vector_norm(x.sub_(y), dim=1, out=norm[part])
    w = norm.square_().mul_(conformal).mul_(2 * c)
    exact = torch.addcmul(w, w, w, value=0.5).sqrt_()
    tile[rows, columns] = torch.log1p(w + math.sqrt(2) * exact) / math.sqrt(c)
    root[rows, columns] = math.inf
    return rows, columns + offset, exact.masked_fill_(exact == 0, math.inf)


def _add_close_pairs(grad_few, grad_many, grad, few, many, side, long_side, pairs, c):
    """Add the gradients of refined pairs, from their direct differences.

    sqrt(8c) p a (b (x - y) + x w / 2) to x with p = grad / root, and the like to y.
    """
    rows, columns, root = pairs
    if not len(rows):
        return
    (a, b) = side[rows, 1], long_side[columns, 1]
    pull = math.sqrt(8 * c) * grad[rows, columns] / root
    # w from root^2 = w + w^2 / 2; where root is infinite the pull is 0, and 0 * inf no number.
    square = torch.where(torch.isinf(root), 0, root).square()
    half_w = square / (1 + torch.sqrt(1 + 2 * square))
    apart = (pull * a * b).unsqueeze(1)
    outward_x, outward_y = (pull * a * half_w).unsqueeze(1), (pull * b * half_w).unsqueeze(1)
    for part, x, y in _gathered(few, many, rows, columns):
        step = (x - y).mul_(apart[part])
        grad_few.index_add_(0, rows[part], x.mul_(outward_x[part]).add_(step))
        grad_many.index_add_(0, columns[part], y.mul_(outward_y[part]).sub_(step))


def _gathered(few, many, rows, columns):
    """The points of these pairs, piece by piece: (slice, x, y), to be overwritten at will."""
    # Two buffers for all pieces: index_select into fresh memory is dominated by page faults.
    buffers = few.new_empty(2, min(_REFINED_AT_ONCE, len(rows)), few.shape[1])
    for start in range(0, len(rows), _REFINED_AT_ONCE):
        part = slice(start, start + _REFINED_AT_ONCE)
        x, y = buffers[:, : len(rows[part])]
        torch.index_select(few, 0, rows[part], out=x)
        torch.index_select(many, 0, columns[part], out=y)
        yield part, x, y


def _join(close, empty):
    """One (rows, columns, root) of those that the tiles returned."""
    found = [pairs for pairs in close if pairs is not None]
    if not found:
        return empty.long(), empty.long(), empty
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _combine(pull, x, conformal, c, out):
    """sqrt(8c) a [x (sum p + c a sum p |x-y|^2) - sum p y] with p = grad b / root.

    ``pull`` holds the sums of p (y, |y|^2, 1). The sum of p |x-y|^2 comes from the same product
    instead of a pass over the matrix; its rounding error is c a |x|^2 times the other terms'.
    """
    toward, squares, total = pull[:, :-2], pull[:, -2:-1], pull[:, -1:]
    a = conformal[:, 1:]
    scale = math.sqrt(8 * c) * a
    spread = squares - 2 * torch.linalg.vecdot(x, toward).unsqueeze(1)
    own = scale * torch.addcmul(total + c * conformal[:, :1] * total, a, spread, value=c)
    return torch.mul(x, own, out=out).addcmul_(toward, scale, value=-1)


def _differentiable_gradients(x, y, grad, c, same):
    """What backward computes, in operations that can be differentiated again."""
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


def _conformal(x, c):
    """(N, 2): columns a|x|^2 and a = 1 / (1 - c|x|^2), from float64 norms where there are any."""
    norm_dtype = torch.float64 if has_float64(x.device) else x.dtype
    square = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=norm_dtype).square_()
    a = 1 / (1 - c * square)
    return torch.cat([square * a, a], dim=1).to(x.dtype)


def _augmented(x, conformal, more):
    """(N, D + 2): a x, then the two columns ``more``, without an intermediate copy."""
    out = x.new_empty(len(x), x.shape[1] + 2)
    torch.mul(x, conformal[:, 1:], out=out[:, :-2])
    out[:, -2:] = more
    return out


def _tiles(few, many):
    entries = _TILE_ENTRIES_CPU if few.device.type == "cpu" else _TILE_ENTRIES_OTHER
    step = max(1, entries // max(1, len(few)))
    return [slice(start, start + step) for start in range(0, len(many), step)]


def _ordered(flip, first, second):
    return (second, first) if flip else (first, second)


def _has_zero(root):
    """Whether a tile may hold a zero: looked up on the CPU, assumed where that synchronises."""
    if root.device.type != "cpu" or torch.compiler.is_compiling() or not root.numel():
        return True
    return not bool(root.amin() > 0)

"""Close pairs: distances and gradients from the points' difference, where the Gram form cancels.

Notation and sides are those of ``pairwise.py``, which finds, refines and finally adds the gradients
of close pairs with these functions. Their number depends on the data, so where a device works
asynchronously, finding them makes the host wait for it.
"""

import math

import torch

# Bounds on |x-y|^2 / (|x|^2 + |y|^2) below which a pair's distance and its gradient are refined.
# The Gram form's error, 1e-7 of |x|^2 + |y|^2, reaches 1e-6 of |x-y|^2 at the first. The gradient
# loses only the square root of what the distance loses.
_CLOSE = 0.1
_CLOSE_FOR_GRADIENT = 1e-3
_COORDINATES = 2**18  # coordinates handled at a time: half the cache of a CPU core


def find_close_pairs(w, smallest, side, long_side, c):
    """(rows, columns, limits of w) of the close pairs of a tile, or None.

    ``smallest`` is the least w, or NaN if it is not known.
    """
    if not w.numel():
        return None
    # First by the largest norms of both sides: often nothing is close.
    reach = 2 * c * _CLOSE
    far_x, a = side.rank_two.amax(0).tolist()
    far_y, b = long_side.rank_two.amax(0).tolist()
    if smallest > reach * (far_x * b + a * far_y):
        return None
    limits = (reach * side.rank_two) @ long_side.rank_two.flip(1).T
    rows, columns = (w <= limits).nonzero().unbind(1)
    return rows, columns, limits[rows, columns]


def refine_distances(tile, pairs, side, long_side, c, offset):
    """Compute the distances of close pairs of a tile again, in place.

    Returns the rows and columns (counted from ``offset``) of the pairs so close that their gradient
    is to be refined too.
    """
    rows, columns, limits = pairs
    norm = tile.new_empty(len(rows))
    for part, x, y in _gathered(side, long_side, rows, columns):
        torch.linalg.vector_norm(x.sub_(y), dim=1, out=norm[part])
    a, b = side.rank_two[:, 1], long_side.rank_two[:, 1]
    conformal = a.index_select(0, rows) * b.index_select(0, columns)
    w = norm.square_().mul_(conformal).mul_(2 * c)
    tile[rows, columns] = torch.log1p(w + torch.sqrt(w * (w + 2))) / math.sqrt(c)
    again = (w <= limits * (_CLOSE_FOR_GRADIENT / _CLOSE)).nonzero().squeeze(1)
    return rows[again], columns[again] + offset


def join_pairs(found, device):
    """The (rows, columns) that ``refine_distances`` returned for each tile, as one."""
    if not found:
        return torch.empty(2, 0, dtype=torch.long, device=device).unbind(0)
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def mark_pairs(distance, pairs):
    """(N, M) which entries of ``distance`` belong to these pairs, or None if there are none."""
    if not len(pairs[0]):
        return None
    marks = torch.zeros_like(distance, dtype=torch.bool)
    marks[pairs] = True
    return marks


def add_refined_gradients(grad_short, grad_long, distance, weight, side, long_side, pairs, c):
    """Add the gradients of these pairs: 8 sqrt(c) p a (b (x - y) + w x / 2) to x, the like to y.

    ``distance`` and ``weight`` (p) are those of the pairs. A gradient of None is not wanted.
    """
    rows, columns = pairs
    a, b = side.rank_two[rows, 1], long_side.rank_two[columns, 1]
    half_w = torch.sinh(distance * (math.sqrt(c) / 2)).square_()
    pull = 8 * math.sqrt(c) * weight
    apart = (pull * a * b).unsqueeze(1)
    outward_x, outward_y = (pull * a * half_w).unsqueeze(1), (pull * b * half_w).unsqueeze(1)
    for part, x, y in _gathered(side, long_side, rows, columns):
        step = (x - y).mul_(apart[part])
        if grad_short is not None:
            to_x = torch.addcmul(step, x, outward_x[part])
            grad_short.index_add_(0, rows[part], _to_vectors(to_x, side, rows[part]))
        if grad_long is not None:
            to_y = torch.addcmul(-step, y, outward_y[part])
            grad_long.index_add_(0, columns[part], _to_vectors(to_y, long_side, columns[part]))


def _gathered(side, long_side, rows, columns):
    """The points of these pairs, piece by piece: (slice, x, y), to be overwritten at will."""
    # Two buffers for all pieces: index_select into fresh memory is dominated by page faults.
    width = side.vectors.shape[1]
    step = max(1, _COORDINATES // max(1, width))
    buffers = side.vectors.new_empty(2, min(step, len(rows)), width)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        points = buffers[:, : len(rows[part])]
        for one, index, out in ((side, rows, points[0]), (long_side, columns, points[1])):
            torch.index_select(one.vectors, 0, index[part], out=out)
            if one.is_mapped:
                out.mul_(one.scale[index[part]])
        yield part, *points


def _to_vectors(gradient, side, index):
    """The gradient to rows of a side, given the gradient to the points that they stand for."""
    if not side.is_mapped:
        return gradient
    directions = side.vectors.index_select(0, index) * side.inverse_norm[index]
    along = torch.linalg.vecdot(gradient, directions).unsqueeze(1)
    return (gradient * side.scale[index]).addcmul_(directions, along * side.slope[index])

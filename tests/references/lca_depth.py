"""Depth of a lowest common ancestor, found numerically by its definition, without a closed form.

docs/mathematics.md, section 6.

The distance to the origin is convex along a geodesic, so a golden-section search over the
segment finds its minimum, here with 50 digits.
"""

import mpmath

from tests.references import poincare

_GOLDEN = (mpmath.sqrt(5) - 1) / 2


def lca_depth(x, y, c):
    """min over t in [0, 1] of d(0, gamma(t)) for the geodesic gamma from x to y, as an mpf."""
    x, y = poincare.to_mp(x), poincare.to_mp(y)
    direction = poincare.mobius_add(poincare.scale(-1, x), y, c)
    root = mpmath.sqrt(mpmath.mpf(c))

    def depth(t):
        step = poincare.mobius_scale(t, direction, c)
        reach = poincare.norm(poincare.mobius_add(x, step, c))
        return 2 / root * mpmath.atanh(root * reach)

    low, high = mpmath.mpf(0), mpmath.mpf(1)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = depth(left), depth(right)
    # The depth is quadratic in t about its minimum, or linear at an end: an error of 1e-14 in t is
    # far below 1e-9 of a typical depth. For opposite points it has a kink at the origin, which
    # requires t itself to be accurate.
    while high - low > mpmath.mpf(10) ** -18:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = depth(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = depth(right)
    return min(depth(mpmath.mpf(0)), depth(mpmath.mpf(1)), at_left, at_right)

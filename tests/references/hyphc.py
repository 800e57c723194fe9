"""HypHC by loops in float64, with depths of common ancestors by their closed form.

docs/mathematics.md, section 6.
"""

import math

import torch


def depth_of(x, c):
    """Distance of a point from the origin."""
    return 2 / math.sqrt(c) * torch.atanh(math.sqrt(c) * x.norm())


def lca_depth(x, y, c):
    """Distance from the origin to the geodesic segment between x and y."""
    root = math.sqrt(c)
    big_x, big_y = root * x, root * y
    xx, yy, xy = big_x.dot(big_x), big_y.dot(big_y), big_x.dot(big_y)
    if not (xx * (1 + yy) > xy * (1 + xx) and yy * (1 + xx) > xy * (1 + yy)):
        return depth_of(x, c) if xx < yy else depth_of(y, c)
    u, v = (1 + xx) / 2, (1 + yy) / 2
    a_squared = (u * u * yy - 2 * u * v * xy + v * v * xx) / (xx * yy - xy * xy)
    return torch.atanh(1 / torch.sqrt(a_squared)) / root


def hyphc_loss(points, similarity, triplets, c, temperature, depth=lca_depth):
    """The mean over triplets; ``similarity[i][j]`` is that of the points with these indices."""
    losses = []
    for i, j, k in triplets.T.tolist():
        pairs = [(i, j), (i, k), (j, k)]
        weights = [float(similarity[a][b]) for a, b in pairs]
        depths = torch.stack([depth(points[a], points[b], c) for a, b in pairs])
        shares = torch.softmax(depths / temperature, dim=0)
        kept = sum(w * s for w, s in zip(weights, shares, strict=True))
        losses.append(sum(weights) - kept)
    return torch.stack(losses).mean()

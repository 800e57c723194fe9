"""HIER's loss as its authors compute it: Moebius sums, with a small number in two denominators.

Written anew from the formulas: the norm that a vector is divided by when it is clipped, and the
denominator of the Moebius sum, are ``small`` too large there (1e-5), which no paper mentions. With
``small=0`` these are the formulas of docs/mathematics.md, sections 1 to 3 and 5.
"""

import math

import torch

SMALL = 1e-5


class InverseMetric(torch.autograd.Function):
    """Passes points on, and scales their gradient by (1 - c|x|^2)^2 / 4."""

    @staticmethod
    def forward(ctx, x, c):
        ctx.save_for_backward(x)
        ctx.c = c
        return x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (1 - ctx.c * (x * x).sum(1, keepdim=True)) ** 2 / 4, None


def to_ball(v, c, clip_radius, small):
    length = v.norm(dim=1, keepdim=True) + small
    v = v * torch.minimum(torch.ones_like(length), clip_radius / length)
    z = math.sqrt(c) * v.norm(dim=1, keepdim=True)
    return InverseMetric.apply(torch.tanh(z) * v / z, c)


def distances(x, y, c, small):
    """2 / sqrt(c) artanh(sqrt(c) |(-x) (+) y|) over an (N, M, D) tensor."""
    x, y = -x.unsqueeze(1), y.unsqueeze(0)
    xy, xx, yy = ((p * q).sum(2, keepdim=True) for p, q in ((x, y), (x, x), (y, y)))
    above = (1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y
    below = 1 + 2 * c * xy + c * c * xx * yy + small
    return 2 / math.sqrt(c) * torch.atanh(math.sqrt(c) * (above / below).norm(dim=2))


def hard_ancestor(logits):
    soft = torch.softmax(logits, dim=1)
    hard = torch.nn.functional.one_hot(soft.argmax(1), soft.shape[1])
    return hard - soft.detach() + soft, soft.argmax(1)


def triplet_loss(distances, triplets, noise_pair, noise_all, margin, temperature):
    d_i, d_j, d_k = (distances[index] for index in triplets)
    farther = torch.maximum(d_i, d_j)
    a, a_index = hard_ancestor(noise_pair - farther / temperature)
    b, b_index = hard_ancestor(noise_all - torch.maximum(farther, d_k) / temperature)
    hinges = sum(
        torch.relu(sign * ((d * a).sum(1) - (d * b).sum(1)) + margin)
        for d, sign in ((d_i, 1), (d_j, 1), (d_k, -1))
    )
    return (hinges * (a_index != b_index)).mean()


def losses(case, embeddings, proxies, *, small=SMALL):
    """Data part and proxy part, of one case in the form of the recorded ones."""
    c, r = case["c"], case["clip_radius"]
    x, p = (to_ball(v, c, r, small) for v in (embeddings, proxies))
    return [
        triplet_loss(
            distances(points, p, c, small),
            case[f"triplets_{part}"],
            case[f"noise_{part}_ij"],
            case[f"noise_{part}_ijk"],
            case["margin"],
            case["temperature"],
        )
        for part, points in (("data", x), ("proxy", p))
    ]

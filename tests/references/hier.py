"""HIER by loops in float64, one triplet at a time, with gradients by autograd.

docs/mathematics.md, sections 1, 2 and 5.
"""

import math

import torch


def to_ball(tangent, c, clip_radius, riemannian_gradient=False):
    """Clip and map each row; optionally scale the gradient as the HIER authors' code does."""
    rows = []
    for v in tangent:
        length = v.norm()
        if length > clip_radius:
            v = v * (clip_radius / length)
            length = v.norm()
        z = math.sqrt(c) * length
        rows.append(torch.tanh(z) / z * v)
    points = torch.stack(rows)
    if riemannian_gradient:
        factor = ((1 - c * points.detach().square().sum(1, keepdim=True)) ** 2) / 4
        points.register_hook(lambda grad: grad * factor)
    return points


def distance(x, y, c):
    """Geodesic distance of two points; 0 without a gradient where they coincide."""
    if torch.equal(x, y):
        return x.sum() * 0
    below = (1 - c * x.dot(x)) * (1 - c * y.dot(y))
    ratio = c * (x - y).dot(x - y) / below
    return 2 / math.sqrt(c) * torch.asinh(torch.sqrt(ratio))


def distance_matrix(x, y, c):
    return torch.stack([torch.stack([distance(p, q, c) for q in y]) for p in x])


def relevance(distances, labels=None):
    """exp(-d), plus 1 where labels agree."""
    n = len(distances)
    similarity = [[math.exp(-float(distances[i, j])) for j in range(n)] for i in range(n)]
    if labels is not None:
        for i in range(n):
            for j in range(n):
                similarity[i][j] += float(labels[i] == labels[j])
    return torch.tensor(similarity, dtype=torch.float64)


def reciprocal_neighbors(similarity, k):
    """For each point the set of its reciprocal neighbours; itself counted, then removed."""
    n = len(similarity)
    k = min(k, n)
    nearest = []
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: -float(similarity[i, j]))
        nearest.append({i, *others[: k - 1]})
    return [{j for j in nearest[i] if i in nearest[j] and j != i} for i in range(n)]


def allowed_triplets(similarity, k):
    """anchor -> (positives, negatives), for usable anchors (docs/mathematics.md, section 5)."""
    neighbors = reciprocal_neighbors(similarity, k)
    allowed = {}
    for anchor, positives in enumerate(neighbors):
        negatives = set(range(len(similarity))) - positives - {anchor}
        if len(positives) >= 2 and negatives:
            allowed[anchor] = (positives, negatives)
    return allowed


def straight_through(logits):
    """One-hot of the argmax in value, softmax in gradient."""
    soft = torch.softmax(logits, dim=0)
    hard = torch.zeros_like(soft)
    hard[int(logits.argmax())] = 1
    return hard + soft - soft.detach()


def triplet_losses(distances, triplets, noise_pair, noise_all, margin, temperature):
    """One loss a triplet, with the Gumbel noise given."""
    losses = []
    for t, (i, j, k) in enumerate(triplets.T.tolist()):
        d_i, d_j, d_k = distances[i], distances[j], distances[k]
        pair = torch.maximum(d_i, d_j)
        everything = torch.maximum(pair, d_k)
        a = straight_through(-pair / temperature + noise_pair[t])
        b = straight_through(-everything / temperature + noise_all[t])
        if int(a.argmax()) == int(b.argmax()):
            losses.append(distances.sum() * 0)
            continue
        losses.append(
            torch.relu(d_i.dot(a) - d_i.dot(b) + margin)
            + torch.relu(d_j.dot(a) - d_j.dot(b) + margin)
            + torch.relu(d_k.dot(b) - d_k.dot(a) + margin)
        )
    return torch.stack(losses)


def triplet_loss(distances, triplets, noise_pair, noise_all, margin, temperature):
    return triplet_losses(distances, triplets, noise_pair, noise_all, margin, temperature).mean()


def hier_losses(case, embeddings, proxies, riemannian_gradient=True):
    """Data part and proxy part for the recorded triplets and noise of one golden case."""
    c, r = case["c"], case["clip_radius"]
    x = to_ball(embeddings, c, r, riemannian_gradient)
    p = to_ball(proxies, c, r, riemannian_gradient)
    return [
        triplet_loss(
            distance_matrix(points, p, c),
            case[f"triplets_{part}"],
            case[f"noise_{part}_ij"],
            case[f"noise_{part}_ijk"],
            case["margin"],
            case["temperature"],
        )
        for part, points in (("data", x), ("proxy", p))
    ]

"""Hyp's loss by loops over pairs of views and classes; docs/mathematics.md, section 9."""

import torch

from tests.references import hier


def poincare_score(c, clip_radius):
    """Minus the geodesic distance of two tangent vectors."""

    def score(x, y):
        p, q = hier.to_ball(torch.stack([x, y]), c, clip_radius)
        return -hier.distance(p, q, c)

    return score


def cosine_score(x, y):
    return x.dot(y) / (x.norm() * y.norm())


def views_of(labels):
    """One list a class, of its rows in the order of the batch."""
    rows = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    return list(rows.values())


def cross_entropies(x, labels, score, temperature):
    """(row of view i, row of view j) -> the cross-entropy of that row, for all i != j."""
    classes = views_of(labels)
    losses = {}
    for views in classes:
        for i, anchor in enumerate(views):
            for j, positive in enumerate(views):
                if i == j:
                    continue
                others = [rows for rows in classes if rows is not views]
                compared = [positive, *(r[j] for r in others), *(r[i] for r in others)]
                logits = torch.stack([score(x[anchor], x[r]) for r in compared]) / temperature
                losses[anchor, positive] = torch.logsumexp(logits, 0) - logits[0]
    return losses


def loss(x, labels, score, temperature):
    """The sum over ordered pairs of views of the mean over classes."""
    losses = cross_entropies(x, labels, score, temperature)
    return sum(losses.values()) / len(set(labels))

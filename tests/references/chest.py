"""CHEST by loops in float64: two SoftTriple losses, and HypHC on the proxies.

docs/mathematics.md, section 8.

Proxies are nested lists by class and centre: ``proxies[class][centre]`` is a vector.
"""

import torch

from tests.references import hier, hyphc


def cosine(x, y):
    return x.dot(y) / (x.norm() * y.norm())


def bounded_poincare(x, y, c, clip_radius):
    """1 - 2 d / d_max of two tangent vectors, d_max = 4 clip_radius."""
    p, q = hier.to_ball(torch.stack([x, y]), c, clip_radius)
    return 1 - 2 * hier.distance(p, q, c) / (4 * clip_radius)


def class_similarities(x, proxies, similarity, gamma):
    """S_ic = sum_k softmax_k(s_ik / gamma) s_ik for one embedding, by class."""
    result = []
    for centers in proxies:
        s = torch.stack([similarity(x, center) for center in centers])
        shares = torch.softmax(s / gamma, dim=0)
        result.append((shares * s).sum())
    return torch.stack(result)


def soft_triple_losses(embeddings, labels, proxies, similarity, la, gamma, margin):
    """One loss an embedding: cross-entropy of lambda (S - delta [c = y])."""
    losses = []
    for x, y in zip(embeddings, labels.tolist(), strict=True):
        logits = class_similarities(x, proxies, similarity, gamma)
        logits = la * (logits - margin * torch.eye(len(proxies), dtype=logits.dtype)[y])
        losses.append(torch.logsumexp(logits, dim=0) - logits[y])
    return torch.stack(losses)


def flat_space_similarity(euclidean_proxies):
    """(1 + cosine) / 2 of every two Euclidean proxies, classes and centres flattened in order."""
    flat = [center.detach() for centers in euclidean_proxies for center in centers]
    return [[(1 + float(cosine(p, q))) / 2 for q in flat] for p in flat]


def hierarchy_loss(euclidean_proxies, hyperbolic_proxies, triplets, c, clip_radius, temperature):
    """HypHC on the hyperbolic proxies, similarities taught by the Euclidean ones."""
    flat = torch.stack([center for centers in hyperbolic_proxies for center in centers])
    return hyphc.hyphc_loss(
        hier.to_ball(flat, c, clip_radius),
        flat_space_similarity(euclidean_proxies),
        triplets,
        c,
        temperature,
    )


def chest_losses(
    embeddings, labels, euclidean_proxies, hyperbolic_proxies, triplets, *, euclidean_size,
    c, clip_radius, la, gamma, margin, temperature,
):  # fmt: skip
    """Euclidean, hyperbolic and hierarchy part of one batch ``[euclidean | hyperbolic]``."""
    flat, curved = embeddings[:, :euclidean_size], embeddings[:, euclidean_size:]

    def similarity(x, y):
        return bounded_poincare(x, y, c, clip_radius)

    settings = (la, gamma, margin)
    euclidean = soft_triple_losses(flat, labels, euclidean_proxies, cosine, *settings).mean()
    hyperbolic = soft_triple_losses(curved, labels, hyperbolic_proxies, similarity, *settings)
    hierarchy = hierarchy_loss(
        euclidean_proxies, hyperbolic_proxies, triplets, c, clip_radius, temperature
    )
    return euclidean, hyperbolic.mean(), hierarchy

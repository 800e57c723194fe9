import math
import unittest

import torch

from pytorch_metric_learning.distances import (
    LpDistance,
    PoincareDistance,
    PoincareSimilarity,
)
from pytorch_metric_learning.losses import SoftTripleLoss, TripletMarginLoss
from pytorch_metric_learning.regularizers import HypHCRegularizer

from .. import TEST_DEVICE, TEST_DTYPES


# Independent implementation of the depth: the smallest distance from the origin,
# over many points of the geodesic, by Mobius operations
def mobius_addition(x, y, c):
    xx, yy, xy = [
        torch.sum(a * b, dim=-1)[..., None] for a, b in [(x, x), (y, y), (x, y)]
    ]
    numerator = (1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y
    return numerator / (1 + 2 * c * xy + c**2 * xx * yy)


def mobius_scale(t, x, c):
    norm = x.norm() * math.sqrt(c)
    return torch.tanh(t * torch.atanh(norm)) * x / norm


def correct_depth(x, y, c):
    t = torch.linspace(0, 1, 2001, dtype=torch.float64).unsqueeze(1).to(x.device)
    geodesic = mobius_addition(x, mobius_scale(t, mobius_addition(-x, y, c), c), c)
    norms = geodesic.norm(dim=1) * math.sqrt(c)
    return 2 / math.sqrt(c) * torch.atanh(norms).min()


def correct_losses(x, triplets, depths, similarity, temperature):
    losses = []
    for i, j, k in zip(*[t.tolist() for t in triplets]):
        pairs = [(i, j), (i, k), (j, k)]
        w = torch.stack([similarity[a, b] for a, b in pairs]).double()
        d = torch.stack([depths[a, b] for a, b in pairs])
        losses.append(w.sum() - w.dot(torch.softmax(d / temperature, dim=0)))
    return torch.stack(losses)


class TestHypHCRegularizer(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(8243)

    def test_lca_depth(self):
        for dtype in TEST_DTYPES:
            x = 2 * torch.randn(20, 3, device=TEST_DEVICE).type(dtype)
            y = 2 * torch.randn(20, 3, device=TEST_DEVICE).type(dtype)
            # on one ray, on opposite rays, and nearly the same
            y[0], y[1], y[2] = 0.5 * x[0], -x[1], 0.99 * x[2]
            for c in [0.1, 1]:
                distance = PoincareDistance(c=c)
                regularizer = HypHCRegularizer(distance=distance)
                depths = regularizer.lca_depth(x, y)
                points = [distance.maybe_normalize(v.double()) for v in (x, y)]
                correct = torch.stack([correct_depth(a, b, c) for a, b in zip(*points)])
                self.assertTrue(torch.allclose(depths, correct, rtol=1e-5, atol=1e-3))

    def test_hyphc_regularizer(self):
        n = 7
        given = torch.rand(n, n, device=TEST_DEVICE)
        given = given + given.t()
        for dtype in TEST_DTYPES:
            x = torch.randn(n, 4, device=TEST_DEVICE).type(dtype).requires_grad_()
            cosine = torch.nn.functional.normalize(x.detach().double())
            cosine = (1 + torch.matmul(cosine, cosine.t())) / 2
            for temperature in [0.05, 1]:
                for distance in [None, PoincareDistance(c=1), PoincareSimilarity()]:
                    for similarity, correct_similarity in [
                        (None, cosine),
                        (lambda i, j: given[i, j], given),
                    ]:
                        regularizer = HypHCRegularizer(
                            temperature=temperature,
                            num_triplets=50,
                            similarity=similarity,
                            distance=distance,
                        )
                        torch.manual_seed(1)
                        loss = regularizer(x)
                        self.assertTrue(
                            loss.dtype == torch.promote_types(dtype, torch.float32)
                        )
                        torch.manual_seed(1)
                        triplets = regularizer.get_triplets(n, x.device)
                        c = regularizer.distance.c
                        points = regularizer.distance.maybe_normalize(
                            x.detach().double()
                        )
                        depths = torch.zeros(n, n, dtype=torch.float64)
                        for i in range(n):
                            for j in range(i):
                                depths[i, j] = correct_depth(points[i], points[j], c)
                        depths = depths + depths.t()
                        correct = correct_losses(
                            x, triplets, depths, correct_similarity.cpu(), temperature
                        ).mean()
                        self.assertTrue(
                            torch.isclose(loss.double().cpu(), correct, rtol=1e-4)
                        )

    def test_triplets(self):
        regularizer = HypHCRegularizer(num_triplets=3000)
        i, j, k = regularizer.get_triplets(4, TEST_DEVICE)
        self.assertTrue(torch.all((i != j) & (i != k) & (j != k)))
        # all 24 ordered triplets are equally likely
        counts = torch.unique(16 * i + 4 * j + k, return_counts=True)[1]
        self.assertTrue(len(counts) == 24)
        self.assertTrue(counts.min() > 80 and counts.max() < 180)

    def test_gradients(self):
        for dtype in TEST_DTYPES:
            x = torch.randn(6, 4, device=TEST_DEVICE).type(dtype)
            # 0, elements that coincide, and elements on opposite rays
            x[0], x[2], x[4] = 0, x[1], -x[3]
            x.requires_grad_()
            HypHCRegularizer()(x).backward()
            self.assertTrue(torch.all(torch.isfinite(x.grad)))
            self.assertTrue(torch.any(x.grad != 0))
        similarity = torch.rand(6, 6, device=TEST_DEVICE)
        regularizer = HypHCRegularizer(
            temperature=0.5, num_triplets=20, similarity=lambda i, j: similarity[i, j]
        )
        x = torch.randn(6, 3, dtype=torch.float64, device=TEST_DEVICE)

        def fn(x):
            torch.manual_seed(1)
            return regularizer(x)

        self.assertTrue(torch.autograd.gradcheck(fn, (x.requires_grad_(),)))

    def test_with_losses(self):
        labels = torch.arange(12, device=TEST_DEVICE) // 4
        for dtype in TEST_DTYPES:
            x = torch.randn(12, 4, device=TEST_DEVICE).type(dtype).requires_grad_()
            for loss_func in [
                TripletMarginLoss(embedding_regularizer=HypHCRegularizer()),
                SoftTripleLoss(
                    3,
                    4,
                    la=1,
                    distance=PoincareSimilarity(),
                    weight_regularizer=HypHCRegularizer(),
                ),
            ]:
                loss_func.to(TEST_DEVICE)(x, labels).backward()
                self.assertTrue(torch.all(torch.isfinite(x.grad)))

    def test_less_than_three(self):
        x = torch.randn(2, 4, device=TEST_DEVICE, requires_grad=True)
        loss = HypHCRegularizer()(x)
        loss.backward()
        self.assertTrue(loss == 0)

    def test_unsupported(self):
        with self.assertRaises(AssertionError):
            HypHCRegularizer(distance=LpDistance())

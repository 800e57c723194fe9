import math
import unittest

import torch

from pytorch_metric_learning.distances import (
    BatchedDistance,
    PoincareDistance,
    PoincareSimilarity,
)
from pytorch_metric_learning.losses import (
    ContrastiveLoss,
    CrossBatchMemory,
    MultiSimilarityLoss,
    NTXentLoss,
    ProxyAnchorLoss,
    ProxyNCALoss,
    SoftTripleLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.miners import BatchHardMiner, MultiSimilarityMiner
from pytorch_metric_learning.utils.inference import MatchFinder

from .. import TEST_DEVICE, TEST_DTYPES


# Independent implementation: one vector at a time, in float64,
# and by Mobius addition rather than by the asinh formula.
def to_ball(v, c, clip_radius):
    norm = v.norm()
    if norm == 0:
        return v
    if clip_radius is not None and norm > clip_radius:
        v = v * clip_radius / norm
        norm = v.norm()
    return torch.tanh(math.sqrt(c) * norm) * v / (math.sqrt(c) * norm)


def mobius_addition(x, y, c):
    xx, yy, xy = x.dot(x), y.dot(y), x.dot(y)
    numerator = (1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y
    return numerator / (1 + 2 * c * xy + c**2 * xx * yy)


def correct_distance(u, v, c, clip_radius):
    x, y = to_ball(u.double(), c, clip_radius), to_ball(v.double(), c, clip_radius)
    norm = mobius_addition(-x, y, c).norm()
    return 2 / math.sqrt(c) * torch.atanh(math.sqrt(c) * norm)


def correct_mat(query, ref, c, clip_radius):
    return torch.stack(
        [
            torch.stack([correct_distance(q, r, c, clip_radius) for r in ref])
            for q in query
        ]
    )


def get_embeddings(n, size, dtype, max_norm=4):
    # norms on both sides of the default clip_radius
    x = torch.nn.functional.normalize(torch.randn(n, size))
    return (x * max_norm * torch.rand(n, 1)).to(TEST_DEVICE).type(dtype)


class TestPoincareDistance(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(4729)

    def test_values(self):
        for dtype in TEST_DTYPES:
            query = get_embeddings(7, 5, dtype)
            ref = get_embeddings(6, 5, dtype)
            # 0, points that are close together, and a vector far beyond the clip radius
            query[0] = 0
            query[1] = ref[0] + 1e-2 * query[1]
            query[2] *= 100
            for c in [1e-4, 0.1, 1]:
                for clip_radius in [0.5, 2.3, None]:
                    if clip_radius is None:
                        if c == 1:
                            continue
                        query[2] = query[3]
                    distance = PoincareDistance(c=c, clip_radius=clip_radius)
                    correct = correct_mat(query, ref, c, clip_radius)
                    # float16 is computed in float32
                    rtol = 1e-10 if dtype == torch.float64 else 2e-5
                    for x, y in [
                        (distance(query, ref), correct),
                        (
                            distance.pairwise_distance(query[:6], ref),
                            correct[:6].diagonal(),
                        ),
                    ]:
                        expected = dtype if dtype == torch.float64 else torch.float32
                        self.assertTrue(x.dtype == expected)
                        self.assertTrue(torch.allclose(x.double(), y, rtol=rtol))
                    correct = correct_mat(query, query, c, clip_radius)
                    correct.fill_diagonal_(0)
                    mat = distance(query).double()
                    self.assertTrue(torch.allclose(mat, correct, rtol=rtol, atol=1e-7))

    def test_similarity(self):
        for dtype in TEST_DTYPES:
            x = get_embeddings(32, 8, dtype)
            x[1] = -x[0]
            distance = PoincareDistance(c=0.5, clip_radius=1.2)(x)
            similarity_func = PoincareSimilarity(c=0.5, clip_radius=1.2)
            similarity = similarity_func(x)
            self.assertTrue(similarity_func.is_inverted)
            self.assertTrue(torch.all(similarity.abs() <= 1))
            self.assertTrue(torch.all(similarity.diagonal() > 1 - 1e-7))
            self.assertTrue(torch.allclose(similarity, 1 - distance / 2.4, atol=1e-6))
            self.assertTrue(
                torch.allclose(
                    similarity_func.pairwise_distance(x[:16], x[16:]),
                    similarity[:16, 16:].diagonal(),
                    atol=1e-6,
                )
            )

    def test_bounds(self):
        for dtype in TEST_DTYPES:
            x = 50 * torch.randn(64, 3, dtype=dtype, device=TEST_DEVICE)
            x[1] = -x[0]
            mat = PoincareDistance(clip_radius=1.5)(x)
            self.assertTrue(torch.all(mat <= 6 * (1 + 1e-6)))
            self.assertTrue(mat[0, 1] > 6 * (1 - 1e-6))
            # without clipping, points that rounding would put
            # onto the boundary are held inside of it
            mat = PoincareDistance(clip_radius=None)(x)
            self.assertTrue(torch.all(torch.isfinite(mat)))

    def test_gradients(self):
        for dtype in TEST_DTYPES:
            x = get_embeddings(8, 4, dtype)
            # 0, and elements that coincide
            x[0] = 0
            x[2] = x[1]
            for distance in [PoincareDistance(), PoincareSimilarity()]:
                for fn in [
                    lambda x: distance(x).sum(),
                    lambda x: distance(x, x[:3]).sum(),
                    lambda x: distance.pairwise_distance(x[:3], x[2:5]).sum(),
                ]:
                    x = x.detach().requires_grad_()
                    fn(x).backward()
                    self.assertTrue(torch.all(torch.isfinite(x.grad)))
                    self.assertTrue(torch.any(x.grad != 0))
                    x.grad = None
        x = get_embeddings(4, 3, torch.float64).requires_grad_()
        y = get_embeddings(5, 3, torch.float64).requires_grad_()
        for distance in [PoincareDistance(), PoincareSimilarity(c=1)]:
            self.assertTrue(torch.autograd.gradcheck(distance, (x, y)))
            self.assertTrue(
                torch.autograd.gradcheck(distance.pairwise_distance, (x, y[:4]))
            )

    def test_with_losses_and_miners(self):
        labels = torch.arange(16).to(TEST_DEVICE) // 4
        for dtype in TEST_DTYPES:
            x = get_embeddings(16, 8, dtype).requires_grad_()
            for distance in [PoincareDistance(), PoincareSimilarity()]:
                loss_funcs = [
                    ContrastiveLoss(
                        pos_margin=int(distance.is_inverted),
                        neg_margin=int(not distance.is_inverted),
                        distance=distance,
                    ),
                    CrossBatchMemory(TripletMarginLoss(distance=distance), 8, 32),
                    MultiSimilarityLoss(distance=distance),
                    NTXentLoss(temperature=1, distance=distance),
                    ProxyAnchorLoss(4, 8, distance=distance),
                    ProxyNCALoss(4, 8, distance=distance),
                    TripletMarginLoss(distance=distance),
                ]
                if distance.is_inverted:
                    loss_funcs.append(SoftTripleLoss(4, 8, la=1, distance=distance))
                miners = [
                    None,
                    BatchHardMiner(distance=distance),
                    MultiSimilarityMiner(distance=distance),
                ]
                for loss_func in loss_funcs:
                    loss_func = loss_func.to(TEST_DEVICE)
                    for miner in miners:
                        indices_tuple = None if miner is None else miner(x, labels)
                        loss = loss_func(x, labels, indices_tuple)
                        loss.backward()
                        self.assertTrue(torch.all(torch.isfinite(x.grad)))
                        x.grad = None

    def test_batched_distance_and_match_finder(self):
        for dtype in TEST_DTYPES:
            x = get_embeddings(20, 8, dtype)
            for distance in [PoincareDistance(), PoincareSimilarity()]:
                mats = []
                BatchedDistance(distance, lambda mat, s, e: mats.append(mat), 7)(x)
                self.assertTrue(torch.allclose(torch.cat(mats), distance(x), atol=1e-6))
                threshold = distance(x)[0, 1].item()
                threshold += -0.1 if distance.is_inverted else 0.1
                match_finder = MatchFinder(distance, threshold=threshold)
                self.assertTrue(match_finder.is_match(x[0], x[1]))
                self.assertTrue(match_finder.get_matching_pairs(x)[0, 1])

    def test_arguments(self):
        for cls in [PoincareDistance, PoincareSimilarity]:
            for kwargs in [{"c": 0}, {"c": -1}, {"clip_radius": 0}]:
                with self.assertRaises(ValueError):
                    cls(**kwargs)
            with self.assertRaises(TypeError):
                cls(normalize_embeddings=True)
            with self.assertRaises(AssertionError):
                cls(p=1)
        with self.assertRaises(ValueError):
            PoincareSimilarity(clip_radius=None)

    def test_collect_stats(self):
        distance = PoincareDistance(c=0.1, clip_radius=2.3, collect_stats=True)
        x = 10 * torch.nn.functional.normalize(torch.randn(4, 8))
        distance(x.to(TEST_DEVICE))
        self.assertAlmostEqual(distance.initial_avg_query_norm, 10, places=4)
        radius = math.tanh(math.sqrt(0.1) * 2.3) / math.sqrt(0.1)
        self.assertAlmostEqual(distance.final_avg_query_norm, radius, places=4)

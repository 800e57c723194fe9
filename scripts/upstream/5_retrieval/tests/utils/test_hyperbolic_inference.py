import math
import os
import tempfile
import unittest

import torch

from pytorch_metric_learning.distances import PoincareDistance, PoincareSimilarity
from pytorch_metric_learning.utils.hyperbolic_inference import (
    HyperbolicAccuracyCalculator,
    PoincareKMeans,
    PoincareKNN,
)
from pytorch_metric_learning.utils.inference import InferenceModel

from .. import TEST_DEVICE, TEST_DTYPES


# Independent implementation: cosh(sqrt(c) * d) is the Lorentz product on the hyperboloid
def to_hyperboloid(x, c):
    norm = x.norm(dim=1, keepdim=True)
    x = x * torch.clamp(2.3 / norm, max=1)
    norm = 2 * math.sqrt(c) * x.norm(dim=1, keepdim=True)
    return torch.cat(
        [torch.cosh(norm), 2 * math.sqrt(c) * x * torch.sinh(norm) / norm], 1
    )


def lorentz_product(x, y):
    return x[:, :1] * y[:, 0] - torch.matmul(x[:, 1:], y[:, 1:].t())


def correct_distances(x, y, c):
    product = lorentz_product(
        to_hyperboloid(x.double(), c), to_hyperboloid(y.double(), c)
    )
    return torch.acosh(product.clamp(min=1)) / math.sqrt(c)


def get_clusters(num_clusters, n, dtype):
    centers = 2 * torch.nn.functional.normalize(torch.randn(num_clusters, 16))
    labels = torch.arange(n) % num_clusters
    x = centers[labels] + 0.02 * torch.randn(n, 16)
    return x.to(TEST_DEVICE).type(dtype), labels.to(TEST_DEVICE)


class TestPoincareKNN(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(3371)

    def get_data(self, dtype):
        query = 2 * torch.rand(40, 1) * torch.randn(40, 4)
        reference = 2 * torch.rand(70, 1) * torch.randn(70, 4)
        return [x.to(TEST_DEVICE).type(dtype) for x in [query, reference]]

    def test_knn(self):
        for dtype in TEST_DTYPES:
            query, reference = self.get_data(dtype)
            for c in [0.1, 1]:
                for batch_size in [7, 256]:
                    knn = PoincareKNN(PoincareDistance(c=c), batch_size=batch_size)
                    correct = correct_distances(query, reference, c)
                    distances, indices = knn(query, 5, reference)
                    self.assertTrue(knn.index is None)
                    self.assertTrue(
                        torch.allclose(distances, correct.sort(dim=1)[0][:, :5])
                    )
                    self.assertTrue(
                        torch.allclose(distances, correct.gather(1, indices))
                    )

                    # the query itself is left out
                    correct = correct_distances(query, query, c)
                    correct.fill_diagonal_(math.inf)
                    distances, indices = knn(query, 5, query, ref_includes_query=True)
                    self.assertTrue(
                        torch.allclose(distances, correct.sort(dim=1)[0][:, :5])
                    )

                    # the similarity has the same neighbors
                    knn = PoincareKNN(PoincareSimilarity(c=c))
                    similarities, similar = knn(
                        query, 5, query, ref_includes_query=True
                    )
                    self.assertTrue(torch.equal(indices, similar))
                    self.assertTrue(
                        torch.allclose(similarities, 1 - distances / (2 * 2.3))
                    )

    def test_stored_references(self):
        query, reference = self.get_data(torch.float32)
        correct = PoincareKNN(PoincareDistance())(query, 3, reference)
        knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
        with self.assertRaises(ValueError):
            knn(query, 3)
        knn.train(reference[:30])
        knn.add(reference[30:].cpu().numpy())
        self.assertTrue(torch.equal(knn(query, 3)[1], correct[1]))
        with tempfile.TemporaryDirectory() as folder:
            filename = os.path.join(folder, "index.pth")
            knn.save(filename)
            knn.reset()
            self.assertTrue(knn.index is None)
            knn.load(filename)
        self.assertTrue(torch.equal(knn(query, 3)[1], correct[1]))

    def test_inference_model(self):
        query, reference = self.get_data(torch.float32)
        knn = PoincareKNN(PoincareDistance(), reset_before=False, reset_after=False)
        model = InferenceModel(
            torch.nn.Identity(),
            normalize_embeddings=False,
            knn_func=knn,
            data_device=TEST_DEVICE,
        )
        model.train_knn(reference[:30])
        model.add_to_knn(reference[30:])
        distances, indices = model.get_nearest_neighbors(query, 3)
        correct = correct_distances(query, reference, 0.1).sort(dim=1)[0][:, :3]
        self.assertTrue(torch.allclose(distances, correct))


class TestPoincareKMeans(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(3372)

    def test_kmeans(self):
        for dtype in TEST_DTYPES:
            x, labels = get_clusters(6, 60, dtype)
            same_label = labels.unsqueeze(1) == labels
            for distance in [PoincareDistance(), PoincareSimilarity()]:
                found = PoincareKMeans(distance, batch_size=7)(x, 6)
                self.assertTrue(torch.equal(found.unsqueeze(1) == found, same_label))
                self.assertTrue(torch.equal(found, PoincareKMeans(distance)(x, 6)))

    def test_centroids(self):
        for c in [0.1, 1]:
            kmeans = PoincareKMeans(PoincareDistance(c=c))
            x = 2 * torch.randn(50, 3, dtype=torch.float64, device=TEST_DEVICE)
            points = kmeans.distance.maybe_normalize(x)
            labels = torch.arange(50, device=TEST_DEVICE) % 4
            old_centroids = points[:6]
            centroids = kmeans.get_centroids(points, labels, old_centroids)
            # clusters 4 and 5 have no points
            self.assertTrue(torch.equal(centroids[4:], old_centroids[4:]))
            for i in range(4):
                own = to_hyperboloid(x[labels == i], c)

                def cost(centroid):
                    squares = c * torch.sum(centroid**2)
                    lifted = torch.cat(
                        [1 + squares.view(1), 2 * math.sqrt(c) * centroid]
                    )
                    lifted = (lifted / (1 - squares)).unsqueeze(0)
                    return lorentz_product(own, lifted).sum()

                best = cost(centroids[i])
                for _ in range(20):
                    step = torch.randn(3, dtype=torch.float64, device=TEST_DEVICE)
                    self.assertTrue(cost(centroids[i] + 1e-2 * step) > best)

    def test_one_point_per_cluster(self):
        x = torch.randn(5, 3, device=TEST_DEVICE)
        found = PoincareKMeans(PoincareDistance())(x, 5)
        self.assertTrue(sorted(found.tolist()) == list(range(5)))


class TestHyperbolicAccuracyCalculator(unittest.TestCase):
    def test_accuracy_calculator(self):
        torch.manual_seed(3373)
        for dtype in TEST_DTYPES:
            x, labels = get_clusters(6, 60, dtype)
            for distance in [PoincareDistance(), PoincareSimilarity()]:
                calculator = HyperbolicAccuracyCalculator(distance, device=TEST_DEVICE)
                for name, value in calculator.get_accuracy(x, labels).items():
                    self.assertAlmostEqual(value, 1, msg=name)

    def test_ranking_is_hyperbolic(self):
        # The reference of class 0 is closer in Euclidean, the other in hyperbolic distance
        c = 1
        query = torch.tensor([[1.0, 0.0]], device=TEST_DEVICE)
        reference = torch.tensor([[1.0, 0.3], [0.5, 0.0]], device=TEST_DEVICE)
        self.assertTrue(torch.cdist(query, reference).argmin() == 0)
        correct = correct_distances(query, reference, c)
        self.assertTrue(correct[0].argmin() == 1)
        calculator = HyperbolicAccuracyCalculator(
            PoincareDistance(c=c), include=("precision_at_1",), device=TEST_DEVICE
        )
        labels = [torch.tensor(x) for x in [[1], [0, 1]]]
        accuracies = calculator.get_accuracy(query, labels[0], reference, labels[1])
        self.assertTrue(accuracies["precision_at_1"] == 1)

    def test_custom_functions(self):
        calculator = HyperbolicAccuracyCalculator(
            PoincareDistance(), knn_func="a", kmeans_func="b", k=3
        )
        self.assertTrue(calculator.knn_func == "a")
        self.assertTrue(calculator.kmeans_func == "b")
        self.assertTrue(calculator.k == 3)

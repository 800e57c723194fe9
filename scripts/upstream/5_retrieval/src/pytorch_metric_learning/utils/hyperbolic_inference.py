import math

import torch

from . import common_functions as c_f
from .accuracy_calculator import AccuracyCalculator
from .inference import return_results


def get_nearest(distance, query, reference, k, batch_size):
    """
    Args:
        distance: PoincareDistance or PoincareSimilarity
        query, reference: points on the ball
    Returns: distances and indices of the k nearest references
    """
    distances, indices = [], []
    for s in range(0, len(query), batch_size):
        mat = distance.compute_mat(query[s : s + batch_size], reference)
        D, I = torch.topk(mat, k, largest=distance.is_inverted, dim=1)
        distances.append(D)
        indices.append(I)
    return torch.cat(distances), torch.cat(indices)


class PoincareKNN:
    """
    Exact k-nearest neighbors in hyperbolic space, with the interface of FaissKNN.
    Computed in float64. FAISS is not required
    """

    def __init__(self, distance, batch_size=256, reset_before=True, reset_after=True):
        self.distance = distance
        self.batch_size = batch_size
        self.reset_before = reset_before
        self.reset_after = reset_after
        self.reset()

    def __call__(self, query, k, reference=None, ref_includes_query=False):
        if self.reset_before:
            self.reset()
        if reference is not None:
            self.add(reference)
        if self.index is None:
            raise ValueError(
                "self.index is None. It needs to be initialized before being used."
            )
        if ref_includes_query:
            k = k + 1
        query = self.to_ball(query)
        reference = c_f.to_device(self.index, query)
        D, I = get_nearest(self.distance, query, reference, k, self.batch_size)
        if self.reset_after:
            self.reset()
        return return_results(D, I, ref_includes_query)

    def to_ball(self, embeddings):
        return self.distance.maybe_normalize(c_f.numpy_to_torch(embeddings).double())

    def train(self, embeddings):
        self.index = self.to_ball(embeddings)

    def add(self, embeddings):
        points = self.to_ball(embeddings)
        if self.index is not None:
            points = torch.cat([self.index, c_f.to_device(points, self.index)])
        self.index = points

    def save(self, filename):
        torch.save(self.index, filename)

    def load(self, filename):
        self.index = torch.load(filename)

    def reset(self):
        self.index = None


class PoincareKMeans:
    """
    K-means in hyperbolic space, with the interface of FaissKMeans. A centroid is the
    point of the hyperboloid with the smallest sum of squared Lorentzian distances
    """

    def __init__(self, distance, niter=20, seed=1234, batch_size=256):
        self.distance = distance
        self.niter = niter
        self.seed = seed
        self.batch_size = batch_size

    def __call__(self, x, nmb_clusters):
        points = self.distance.maybe_normalize(x.double())
        centroids = self.get_initial_centroids(points, nmb_clusters)
        for _ in range(self.niter):
            labels = self.assign(points, centroids)
            centroids = self.get_centroids(points, labels, centroids)
        return self.assign(points, centroids)

    def assign(self, points, centroids):
        return get_nearest(self.distance, points, centroids, 1, self.batch_size)[1][
            :, 0
        ]

    def get_initial_centroids(self, points, nmb_clusters):
        # k-means++
        generator = torch.Generator().manual_seed(self.seed)
        weights = torch.ones(len(points), dtype=points.dtype)
        indices = []
        for _ in range(nmb_clusters):
            indices.append(torch.multinomial(weights, 1, generator=generator).item())
            chosen = points[indices[-1]].unsqueeze(0)
            mat = self.distance.compute_mat(points, chosen)[:, 0].cpu()
            gap = 1 - mat if self.distance.is_inverted else mat
            gap = gap**2 if len(indices) == 1 else torch.min(weights, gap**2)
            weights = gap.clamp(min=c_f.small_val(gap.dtype))
        return points[indices]

    def get_centroids(self, points, labels, centroids):
        c = self.distance.c
        squares = c * torch.sum(points**2, dim=1, keepdim=True)
        hyperboloid = torch.cat([1 + squares, 2 * math.sqrt(c) * points], dim=1)
        hyperboloid = hyperboloid / (1 - squares)
        shape = (len(centroids), hyperboloid.shape[1])
        sums = torch.zeros(shape, dtype=points.dtype, device=points.device)
        sums = sums.index_add_(0, labels, hyperboloid)
        time, space = sums[:, :1], sums[:, 1:]
        mass = (time**2 - torch.sum(space**2, dim=1, keepdim=True)).clamp(min=0) ** 0.5
        is_empty = time == 0
        new_centroids = space / (math.sqrt(c) * (time + mass).masked_fill(is_empty, 1))
        # Clusters without points stay where they are
        return torch.where(is_empty, centroids, new_centroids)


class HyperbolicAccuracyCalculator(AccuracyCalculator):
    """
    Finds neighbors and clusters in the geometry of the given distance
    """

    def __init__(self, distance, knn_func=None, kmeans_func=None, **kwargs):
        super().__init__(
            knn_func=PoincareKNN(distance) if knn_func is None else knn_func,
            kmeans_func=(
                PoincareKMeans(distance) if kmeans_func is None else kmeans_func
            ),
            **kwargs,
        )

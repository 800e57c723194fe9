import unittest
from unittest import mock

import torch

from pytorch_metric_learning.distances import (
    CosineSimilarity,
    LpDistance,
    PoincareDistance,
)
from pytorch_metric_learning.losses import HIERLoss, MultipleLosses, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import AvgNonZeroReducer, ClassWeightedReducer
from pytorch_metric_learning.utils.hierarchical_proxies import (
    get_reciprocal_triplets,
    get_triplet_losses,
)

from .. import TEST_DEVICE, TEST_DTYPES


# Independent implementation: one triplet at a time, with the Gumbel noise given
def straight_through(logits):
    soft = torch.softmax(logits, dim=0)
    hard = torch.zeros_like(soft)
    hard[soft.argmax()] = 1
    return hard + soft - soft.detach()


def correct_triplet_losses(distances, triplets, noise, margin, temperature):
    losses = []
    for t, (i, j, k) in enumerate(zip(*[x.tolist() for x in triplets])):
        d_i, d_j, d_k = distances[i], distances[j], distances[k]
        pair = torch.stack([d_i, d_j]).max(dim=0)[0]
        everything = torch.stack([d_i, d_j, d_k]).max(dim=0)[0]
        a = straight_through(-pair / temperature + noise[0][t])
        b = straight_through(-everything / temperature + noise[1][t])
        if a.argmax() == b.argmax():
            losses.append(0 * distances.sum())
            continue
        hinges = [d_i.dot(a) - d_i.dot(b), d_j.dot(a) - d_j.dot(b)]
        hinges.append(d_k.dot(b) - d_k.dot(a))
        losses.append(sum(torch.relu(x + margin) for x in hinges))
    return torch.stack(losses)


# Independent implementation: sets of neighbors
def correct_candidates(relevance, num_neighbors):
    n = len(relevance)
    nearest = []
    for i in range(n):
        others = sorted(set(range(n)) - {i}, key=lambda j: -relevance[i, j].item())
        nearest.append({i, *others[: num_neighbors - 1]})
    candidates = {}
    for i in range(n):
        positives = {j for j in nearest[i] if i in nearest[j]} - {i}
        negatives = set(range(n)) - positives - {i}
        if len(positives) >= 2 and len(negatives) > 0:
            candidates[i] = (positives, negatives)
    return candidates


class TestHIERLoss(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(5290)

    def get_batch(self, dtype, n=24, size=6):
        embeddings = torch.randn(n, size, device=TEST_DEVICE).type(dtype)
        labels = torch.arange(n, device=TEST_DEVICE) // 4
        return embeddings.requires_grad_(), labels

    def test_triplet_losses(self):
        n, num_proxies, num_triplets = 10, 7, 40
        for dtype in [x for x in TEST_DTYPES if x != torch.float16]:
            for temperature in [0.1, 1]:
                distances = torch.rand(n, num_proxies, dtype=dtype, device=TEST_DEVICE)
                distances = (4 * distances).requires_grad_()
                triplets = torch.stack(
                    [torch.randperm(n)[:3] for _ in range(num_triplets)], dim=1
                )
                triplets = tuple(triplets.to(TEST_DEVICE))
                noise = [
                    -torch.empty_like(distances[triplets[0]]).exponential_().log()
                    for _ in range(2)
                ]
                given_noise = iter(noise)

                def gumbel_softmax(logits, hard):
                    return torch.stack(
                        [straight_through(x) for x in logits + next(given_noise)]
                    )

                with mock.patch("torch.nn.functional.gumbel_softmax", gumbel_softmax):
                    losses = get_triplet_losses(distances, triplets, 0.1, temperature)
                correct = correct_triplet_losses(
                    distances, triplets, noise, 0.1, temperature
                )
                self.assertTrue(torch.any(correct == 0))
                self.assertTrue(torch.any(correct > 0))
                self.assertTrue(torch.allclose(losses, correct, rtol=1e-4, atol=1e-6))
                (grad,) = torch.autograd.grad(losses.mean(), distances)
                (correct_grad,) = torch.autograd.grad(correct.mean(), distances)
                self.assertTrue(
                    torch.allclose(grad, correct_grad, rtol=1e-4, atol=1e-6)
                )

    def test_sampled_ancestors(self):
        # without ties, the ancestors at low temperature are not random
        distances = torch.rand(8, 5, device=TEST_DEVICE)
        triplets = torch.stack([torch.randperm(8)[:3] for _ in range(30)], dim=1)
        triplets = tuple(triplets.to(TEST_DEVICE))
        losses = get_triplet_losses(distances, triplets, 0.1, 1e-7)
        noise = torch.zeros(2, 30, 5, device=TEST_DEVICE)
        correct = correct_triplet_losses(distances, triplets, noise, 0.1, 1e-7)
        self.assertTrue(torch.allclose(losses, correct, atol=1e-6))

    def test_reciprocal_triplets(self):
        for dtype in TEST_DTYPES:
            embeddings, labels = self.get_batch(dtype, n=14, size=3)
            relevance = torch.exp(-PoincareDistance()(embeddings.detach()))
            relevance += labels.unsqueeze(1) == labels
            for num_neighbors in [1, 3, 5, 14, 20]:
                a, p, n = get_reciprocal_triplets(relevance, num_neighbors, 200)
                candidates = correct_candidates(relevance, num_neighbors)
                self.assertTrue(set(a.tolist()) == set(candidates))
                self.assertTrue(len(a) == len(p) == len(n) == 200 * len(candidates))
                # 200 draws find all of at most 14 candidates
                for i, (positives, negatives) in candidates.items():
                    self.assertTrue(set(p[a == i].tolist()) == positives)
                    self.assertTrue(set(n[a == i].tolist()) == negatives)

    def test_hier_loss(self):
        for dtype in TEST_DTYPES:
            embeddings, labels = self.get_batch(dtype)
            for distance in [None, LpDistance(power=2)]:
                loss_func = HIERLoss(6, num_proxies=32, distance=distance)
                loss_func = loss_func.to(TEST_DEVICE)
                optimizer = torch.optim.SGD(loss_func.parameters(), lr=0.1)
                loss = loss_func(embeddings, labels)
                loss.backward()
                self.assertTrue(loss > 0)
                for x in [embeddings, loss_func.proxies]:
                    self.assertTrue(torch.all(torch.isfinite(x.grad)))
                    self.assertTrue(torch.any(x.grad != 0))
                # the dtype of the parameters is not changed
                self.assertTrue(loss_func.proxies.dtype == torch.float32)
                before = loss_func.proxies.detach().clone()
                optimizer.step()
                self.assertTrue(torch.any(loss_func.proxies != before))
                embeddings.grad = None

    def test_both_parts(self):
        embeddings, labels = self.get_batch(torch.float32)
        loss_func = HIERLoss(6, num_proxies=32).to(TEST_DEVICE)
        torch.manual_seed(1)
        loss_dict = loss_func.compute_loss(embeddings, labels, None, embeddings, labels)
        torch.manual_seed(1)
        loss = loss_func(embeddings, labels)
        data_loss, proxy_loss = loss_dict["data_loss"], loss_dict["proxy_loss"]
        correct = data_loss["losses"].mean() + proxy_loss["losses"]
        self.assertTrue(torch.isclose(loss, correct))
        self.assertTrue(data_loss["reduction_type"] == "triplet")
        a, p, n = data_loss["indices"]
        # elements of one class are the most relevant to each other
        self.assertTrue(torch.all(labels[a] != labels[n]))

    def test_training_lowers_the_loss(self):
        embeddings, labels = self.get_batch(torch.float32)
        embeddings = embeddings.detach().requires_grad_()
        loss_func = HIERLoss(6, num_proxies=16, triplets_per_anchor=10).to(TEST_DEVICE)
        optimizer = torch.optim.Adam([embeddings, loss_func.proxies], lr=0.05)
        history = []
        for _ in range(60):
            loss = loss_func(embeddings, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        self.assertTrue(sum(history[-10:]) < 0.8 * sum(history[:10]))

    def test_no_triplets(self):
        for dtype in TEST_DTYPES:
            embeddings, labels = self.get_batch(dtype, n=2)
            loss_func = HIERLoss(6, num_proxies=2).to(TEST_DEVICE)
            loss = loss_func(embeddings, labels)
            loss.backward()
            self.assertTrue(loss == 0)
            self.assertTrue(torch.all(embeddings.grad == 0))

    def test_reducers_and_multiple_losses(self):
        embeddings, labels = self.get_batch(torch.float32)
        for reducer in [
            AvgNonZeroReducer(),
            ClassWeightedReducer(weights=torch.rand(6, device=TEST_DEVICE)),
        ]:
            loss_func = HIERLoss(6, num_proxies=16, reducer=reducer).to(TEST_DEVICE)
            self.assertTrue(loss_func(embeddings, labels) > 0)
        loss_func = MultipleLosses(
            [TripletMarginLoss(), HIERLoss(6, num_proxies=16)], weights=[1, 0.5]
        ).to(TEST_DEVICE)
        # a miner's output is for the other loss
        indices_tuple = BatchHardMiner()(embeddings, labels)
        loss_func(embeddings, labels, indices_tuple).backward()
        self.assertTrue(torch.all(torch.isfinite(embeddings.grad)))

    def test_unsupported(self):
        embeddings, labels = self.get_batch(torch.float32)
        loss_func = HIERLoss(6).to(TEST_DEVICE)
        with self.assertRaises(ValueError):
            loss_func(embeddings)
        with self.assertRaises(ValueError):
            loss_func(embeddings, labels, ref_emb=embeddings.clone(), ref_labels=labels)
        with self.assertRaises(AssertionError):
            HIERLoss(6, distance=CosineSimilarity())

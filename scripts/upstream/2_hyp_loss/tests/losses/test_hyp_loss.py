import unittest

import torch

from pytorch_metric_learning.distances import (
    CosineSimilarity,
    LpDistance,
    PoincareDistance,
    PoincareSimilarity,
)
from pytorch_metric_learning.losses import HypLoss, NTXentLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import SumReducer

from .. import TEST_DEVICE, TEST_DTYPES


# Independent implementation: one pair of elements at a time
def correct_losses(embeddings, labels, distance, temperature):
    classes = [
        [i for i, label in enumerate(labels.tolist()) if label == c]
        for c in sorted(set(labels.tolist()))
    ]
    mat = distance(embeddings).double() / temperature
    mat = mat if distance.is_inverted else -mat
    losses = []
    for own in classes:
        for i, anchor in enumerate(own):
            for j, positive in enumerate(own):
                if i == j:
                    continue
                others = [x for x in classes if x is not own]
                negatives = [x[i] for x in others] + [x[j] for x in others]
                logits = mat[anchor, [positive] + negatives]
                losses.append(torch.logsumexp(logits, dim=0) - logits[0])
    return torch.stack(losses)


class TestHypLoss(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(9172)

    def get_batch(self, num_views, num_classes, dtype):
        labels = torch.arange(num_classes).repeat(num_views)
        labels = labels[torch.randperm(len(labels))] * 3 + 1
        embeddings = torch.randn(len(labels), 6, device=TEST_DEVICE).type(dtype)
        return embeddings.requires_grad_(), labels.to(TEST_DEVICE)

    def test_hyp_loss(self):
        for dtype in TEST_DTYPES:
            for num_views, num_classes in [(2, 5), (3, 4), (5, 2), (2, 1)]:
                embeddings, labels = self.get_batch(num_views, num_classes, dtype)
                for distance in [
                    None,
                    PoincareDistance(c=1, clip_radius=1),
                    PoincareSimilarity(),
                    CosineSimilarity(),
                    LpDistance(),
                ]:
                    for temperature in [0.2, 1]:
                        loss_func = HypLoss(temperature=temperature, distance=distance)
                        loss = loss_func(embeddings, labels)
                        (grad,) = torch.autograd.grad(loss, embeddings)

                        correct = correct_losses(
                            embeddings, labels, loss_func.distance, temperature
                        )
                        # sum over pairs of views of the mean over classes
                        correct_loss = correct.sum() / num_classes
                        (correct_grad,) = torch.autograd.grad(correct_loss, embeddings)

                        rtol = 1e-2 if dtype == torch.float16 else 1e-4
                        atol = 1e-2 if dtype == torch.float16 else 1e-5
                        self.assertTrue(
                            torch.isclose(
                                loss.double(), correct_loss, rtol=rtol, atol=atol
                            )
                        )
                        self.assertTrue(
                            torch.allclose(
                                grad, correct_grad, rtol=rtol, atol=10 * atol
                            )
                        )

    def test_two_views_are_ntxent(self):
        for dtype in TEST_DTYPES:
            embeddings, labels = self.get_batch(2, 6, dtype)
            distance = PoincareDistance()
            loss = HypLoss(temperature=0.5, distance=distance)(embeddings, labels)
            correct = NTXentLoss(temperature=0.5, distance=distance)(embeddings, labels)
            rtol = 1e-2 if dtype == torch.float16 else 1e-5
            self.assertTrue(torch.isclose(loss, 2 * correct.to(loss), rtol=rtol))

    def test_reducer_input(self):
        embeddings, labels = self.get_batch(3, 4, torch.float32)
        loss_func = HypLoss()
        loss_info = loss_func.compute_loss(embeddings, labels, None, embeddings, labels)
        loss_info = loss_info["loss"]
        anchors, positives = loss_info["indices"]
        self.assertTrue(loss_info["reduction_type"] == "pos_pair")
        self.assertTrue(torch.equal(labels[anchors], labels[positives]))
        pairs = set(zip(anchors.tolist(), positives.tolist()))
        self.assertTrue(len(pairs) == len(anchors) == 3 * 2 * 4)
        self.assertTrue(all(a != p for a, p in pairs))
        loss = HypLoss(reducer=SumReducer())(embeddings, labels)
        self.assertTrue(torch.isclose(loss, loss_info["losses"].sum()))

    def test_unsupported(self):
        embeddings, labels = self.get_batch(2, 4, torch.float32)
        loss_func = HypLoss()
        with self.assertRaises(ValueError):
            loss_func(embeddings)
        with self.assertRaises(ValueError):
            loss_func(embeddings, labels, BatchHardMiner()(embeddings, labels))
        with self.assertRaises(ValueError):
            loss_func(embeddings, labels, ref_emb=embeddings.clone(), ref_labels=labels)
        # unequal numbers of views, and single views
        with self.assertRaises(ValueError):
            loss_func(embeddings[:-1], labels[:-1])
        with self.assertRaises(ValueError):
            loss_func(embeddings, torch.arange(8, device=TEST_DEVICE))
        with self.assertRaises(ValueError):
            loss_func(embeddings[:0], labels[:0])

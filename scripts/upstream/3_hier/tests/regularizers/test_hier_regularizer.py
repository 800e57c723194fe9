import unittest

import torch

from pytorch_metric_learning.losses import HIERLoss, TripletMarginLoss
from pytorch_metric_learning.regularizers import HIERRegularizer

from .. import TEST_DEVICE, TEST_DTYPES


class TestHIERRegularizer(unittest.TestCase):
    def test_hier_regularizer(self):
        torch.manual_seed(7301)
        for dtype in TEST_DTYPES:
            embeddings = torch.randn(24, 6, device=TEST_DEVICE).type(dtype)
            embeddings.requires_grad_()
            labels = torch.arange(24, device=TEST_DEVICE) // 4
            regularizer = HIERRegularizer(6, num_proxies=16).to(TEST_DEVICE)
            loss_func = TripletMarginLoss(
                embedding_regularizer=regularizer, embedding_reg_weight=0.5
            )
            self.assertTrue(list(loss_func.parameters()) == [regularizer.proxies])

            torch.manual_seed(1)
            loss = loss_func(embeddings, labels)
            loss.backward()
            self.assertTrue(torch.any(regularizer.proxies.grad != 0))
            torch.manual_seed(1)
            correct = TripletMarginLoss()(embeddings, labels)
            correct = correct + 0.5 * regularizer(embeddings)
            rtol = 1e-2 if dtype == torch.float16 else 1e-5
            self.assertTrue(torch.isclose(loss, correct.to(loss), rtol=rtol))

    def test_unique_labels_add_nothing(self):
        # HIERLoss adds 1 to the relevance of an element to itself, which is the largest anyway
        torch.manual_seed(7302)
        embeddings = torch.randn(24, 6, device=TEST_DEVICE)
        regularizer = HIERRegularizer(6, num_proxies=16).to(TEST_DEVICE)
        loss_func = HIERLoss(6, num_proxies=16).to(TEST_DEVICE)
        loss_func.proxies = regularizer.proxies
        torch.manual_seed(1)
        loss = regularizer(embeddings)
        torch.manual_seed(1)
        correct = loss_func(embeddings, torch.arange(24))
        self.assertTrue(loss > 0)
        self.assertTrue(torch.isclose(loss, correct))

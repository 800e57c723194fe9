"""A training loop of plain PyTorch and pytorch-metric-learning, which shares no code with ours.

MultiSimilarity with its miner on cosine similarity trains a LayerNorm + Linear head on features of
a frozen trunk: 32 classes x 4 a batch, AdamW, a rate that rises linearly and falls as a cosine,
and the checkpoint of the best validation MAP@R.
"""

import copy
import math

import numpy as np
import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

MAP = "mean_average_precision_at_r"


def map_at_r(features, labels, head):
    """MAP@R of the embeddings by cosine similarity, each searched among all others."""
    calculator = AccuracyCalculator(include=(MAP,), k="max_bin_count", device=torch.device("cpu"))
    with torch.no_grad():
        embeddings = torch.nn.functional.normalize(head(features))
    return calculator.get_accuracy(embeddings, labels)[MAP]


def train_and_score(
    features, labels, splits, *, seed, head_lr, size=64, epochs=10, steps=30, warmup=90
):
    """Test MAP@R of the epoch that is best on the validation classes.

    Args:
        features: (N, D) float32.
        labels: (N,) classes.
        splits: classes of "train", "validation" and "test".
        seed: of weights and batches.
        head_lr: largest learning rate.
        size: of the embedding.
        epochs, steps: scored epochs, and steps in each.
        warmup: number of steps in which the rate rises.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    parts = {}
    for split, classes in splits.items():
        rows = np.flatnonzero(np.isin(labels, classes))
        parts[split] = torch.from_numpy(features[rows]), torch.from_numpy(labels[rows])
    linear = torch.nn.Linear(features.shape[1], size)
    torch.nn.init.orthogonal_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    norm = torch.nn.LayerNorm(features.shape[1], elementwise_affine=False)
    head = torch.nn.Sequential(norm, linear)
    loss, miner = MultiSimilarityLoss(alpha=2, beta=50, base=0.5), MultiSimilarityMiner(epsilon=0.1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=head_lr, weight_decay=1e-4)
    total = epochs * steps

    def factor(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    x, y = parts["train"]
    sampler = MPerClassSampler(y, m=4, batch_size=128, length_before_new_iter=128 * total)
    best, selected = -1.0, None
    batches = torch.tensor(list(sampler)).split(128)
    for step, rows in enumerate(batches, start=1):
        embeddings = head(x[rows])
        value = loss(embeddings, y[rows], miner(embeddings, y[rows]))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if step % steps == 0:
            score = map_at_r(*parts["validation"], head)
            if score > best:
                best, selected = score, copy.deepcopy(head)
    return map_at_r(*parts["test"], selected)

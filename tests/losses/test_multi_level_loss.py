"""MultiLevelLoss: a weighted sum over the levels of a hierarchy, in any geometry."""

import copy
import math

import pytest
import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.trainers import MetricLossOnly

from pml_hyperbolic import trainers
from pml_hyperbolic.distances import PoincareSimilarity
from pml_hyperbolic.distributed import DistributedLoss
from pml_hyperbolic.functional import class_ancestors
from pml_hyperbolic.losses import HIERLoss, MultiLevelLoss
from tests.references import poincare

# Six classes in three families in two orders.
LABELS = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 1, 0], [4, 2, 1], [5, 2, 1]])
ANCESTORS = class_ancestors(LABELS)
WEIGHTS = [1.0, 0.5, 0.25]
SIZE = 4


def batch(dtype=torch.float64):
    embeddings = torch.randn(12, SIZE, generator=torch.Generator().manual_seed(0))
    return embeddings.to(dtype).requires_grad_(), torch.arange(12) % 6


def similarity_matrix(embeddings, c):
    """Cosines, or the bounded similarity of points on the ball from 50 digits."""
    if c is None:
        lengths = [math.sqrt(sum(v * v for v in row)) for row in embeddings.tolist()]
        products = [
            [sum(a * b for a, b in zip(x, y, strict=True)) for y in embeddings.tolist()]
            for x in embeddings.tolist()
        ]
        return [
            [p / (lengths[i] * lengths[j]) for j, p in enumerate(row)]
            for i, row in enumerate(products)
        ]
    points = [poincare.expmap0(row, c, 2.3) for row in embeddings]
    return (1 - 2 * poincare.distance_matrix(points, points, c) / (4 * 2.3)).tolist()


def multi_similarity(similarities, groups, alpha=2, beta=50, base=0.5):
    """Wang et al., CVPR 2019, equation 14, pair by pair."""
    total = 0.0
    for i, row in enumerate(similarities):
        positive = negative = 1.0
        for j, s in enumerate(row):
            if i != j and groups[i] == groups[j]:
                positive += math.exp(-alpha * (s - base))
            elif i != j:
                negative += math.exp(beta * (s - base))
        total += math.log(positive) / alpha + math.log(negative) / beta
    return total / len(similarities)


@pytest.mark.parametrize("c", [None, 0.1, 1.0])
def test_it_is_the_weighted_sum_of_slow_losses(c):
    embeddings, labels = batch()
    distance = CosineSimilarity() if c is None else PoincareSimilarity(c=c)
    loss = MultiLevelLoss(
        [losses.MultiSimilarityLoss(2, 50, 0.5, distance=distance) for _ in WEIGHTS],
        ANCESTORS,
        weights=WEIGHTS,
    )
    similarities = similarity_matrix(embeddings.detach(), c)
    expected = sum(
        weight * multi_similarity(similarities, [LABELS[k][level].item() for k in labels])
        for level, weight in enumerate(WEIGHTS)
    )
    assert loss(embeddings, labels).item() == pytest.approx(expected, rel=1e-9)


def test_gradients():
    embeddings, labels = batch()
    distance = PoincareSimilarity()
    loss = MultiLevelLoss(
        [losses.MultiSimilarityLoss(2, 5, 0.5, distance=distance) for _ in WEIGHTS],
        ANCESTORS,
        weights=WEIGHTS,
    )
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (embeddings,))


def test_weights_are_one_by_default():
    embeddings, labels = batch()
    parts = [losses.ContrastiveLoss() for _ in WEIGHTS]
    total = MultiLevelLoss(parts, ANCESTORS)(embeddings, labels)
    alone = [part(embeddings, LABELS[labels, level]) for level, part in enumerate(parts)]
    assert total.item() == pytest.approx(sum(part.item() for part in alone), rel=1e-12)


def test_one_level_is_the_loss_itself():
    embeddings, labels = batch()
    alone = losses.MultiSimilarityLoss()
    loss = MultiLevelLoss([alone], ANCESTORS[:, :1])
    mined = miners.MultiSimilarityMiner()(embeddings, labels)
    assert torch.equal(loss(embeddings, labels, mined), alone(embeddings, labels, mined))


def test_proxies_of_a_level_are_those_of_its_groups():
    embeddings, labels = batch()
    torch.manual_seed(0)
    parts = [losses.ProxyAnchorLoss(n, SIZE).double() for n in (6, 3, 2)]
    loss = MultiLevelLoss(parts, ANCESTORS, weights=WEIGHTS)
    assert [tuple(p.shape) for p in loss.parameters()] == [(6, SIZE), (3, SIZE), (2, SIZE)]
    total = loss(embeddings, labels)
    expected = sum(
        w * part(embeddings, LABELS[labels, level])
        for level, (w, part) in enumerate(zip(WEIGHTS, copy.deepcopy(parts), strict=True))
    )
    assert total.item() == pytest.approx(expected.item(), rel=1e-12)
    total.backward()
    assert all(p.grad.abs().sum() > 0 for p in loss.parameters())
    # The hierarchy is a setting, as the curvature is.
    assert set(loss.state_dict()) == {f"losses.{level}.proxies" for level in range(3)}


def test_tuples_of_classes_reach_the_finest_level_only():
    embeddings, labels = batch()
    parts = [losses.ContrastiveLoss() for _ in range(2)]
    loss = MultiLevelLoss(parts, ANCESTORS[:, :2])
    mined = miners.BatchHardMiner()(embeddings, labels)
    expected = parts[0](embeddings, labels, mined) + parts[1](embeddings, LABELS[labels, 1])
    assert loss(embeddings, labels, mined).item() == pytest.approx(expected.item(), rel=1e-12)


def test_each_miner_mines_with_the_labels_of_its_level():
    embeddings, labels = batch()
    parts = [losses.ContrastiveLoss() for _ in range(3)]
    miner = miners.BatchHardMiner()
    loss = MultiLevelLoss(parts, ANCESTORS, miners=[None, miner, miner])
    expected = parts[0](embeddings, labels) + sum(
        parts[level](embeddings, LABELS[labels, level], miner(embeddings, LABELS[labels, level]))
        for level in (1, 2)
    )
    assert loss(embeddings, labels).item() == pytest.approx(expected.item(), rel=1e-12)
    with pytest.raises(ValueError, match="has miners and got an indices_tuple too"):
        loss(embeddings, labels, miner(embeddings, labels))


def test_it_adds_up_with_hier_in_multiple_losses():
    embeddings, labels = batch(torch.float32)
    distance = PoincareSimilarity()
    levels = MultiLevelLoss(
        [losses.MultiSimilarityLoss(distance=distance) for _ in range(3)], ANCESTORS
    )
    both = losses.MultipleLosses([levels, HIERLoss(SIZE, 8, num_neighbors=4)], weights=[1, 0.5])
    both(embeddings, labels).backward()
    assert embeddings.grad.isfinite().all()
    assert DistributedLoss(levels)(embeddings, labels) == levels(embeddings, labels)


# PML's own trainer prints its loss with the gradient attached.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.parametrize("trainer", [MetricLossOnly, trainers.MetricLossOnly], ids=["PML", "ours"])
def test_trainers_take_it(trainer):
    torch.manual_seed(0)
    centres = torch.randn(6, 8)
    labels = torch.arange(120) % 6
    points = torch.utils.data.TensorDataset(centres[labels] + torch.randn(120, 8), labels)
    model = torch.nn.Linear(8, SIZE)
    loss = MultiLevelLoss([losses.ProxyAnchorLoss(n, SIZE) for n in (6, 3, 2)], ANCESTORS)
    before = loss(model(points.tensors[0]), labels).item()
    options = {} if trainer is MetricLossOnly else {"show_progress": False}
    trainer(
        {"trunk": model},
        {
            "trunk_optimizer": torch.optim.Adam(model.parameters(), 0.01),
            "metric_loss_optimizer": torch.optim.Adam(loss.parameters(), 0.01),
        },
        24,
        {"metric_loss": loss},
        points,
        data_device="cpu",
        dataloader_num_workers=0,
        **options,
    ).train(num_epochs=4)
    assert loss(model(points.tensors[0]), labels).item() < 0.9 * before


def losses_of(count):
    return [losses.ContrastiveLoss() for _ in range(count)]


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (2, {}, "as many losses as ancestors has columns, 3, .* got 2"),
        (3, {"weights": [1, 1]}, "as many weights as .* got 2"),
        (3, {"miners": []}, "as many miners as .* got 0"),
        (3, {"weights": [1, 0, 1]}, r"finite weights\[1\] > 0, got 0"),
        (3, {"weights": [1, 1, math.nan]}, r"finite weights\[2\] > 0, got nan"),
        (2, {"ancestors": torch.zeros(2)}, r"integer ancestors \(C, L\), got torch.float32"),
        (2, {"ancestors": ANCESTORS[1:, :2]}, "0 to 4 as the first column"),
        (2, {"ancestors": ANCESTORS[:, [0, 1]] * torch.tensor([1, 2])}, "column 1 .* from 0 to 4"),
    ],
)
def test_wrong_arguments_are_refused(count, options, message):
    with pytest.raises(ValueError, match=message):
        MultiLevelLoss(losses_of(count), **{"ancestors": ANCESTORS, **options})


def test_ancestors_are_a_tensor():
    with pytest.raises(ValueError, match="a Tensor as ancestors, got list"):
        MultiLevelLoss([losses.ContrastiveLoss()], [[0], [1]])


def test_wrong_labels_are_refused():
    embeddings, labels = batch()
    loss = MultiLevelLoss(losses_of(3), ANCESTORS)
    with pytest.raises(ValueError, match="built for labels 0 to 5, got labels from 0 to 6"):
        loss(embeddings, labels.clamp(max=4) + 2 * (labels == 5))
    with pytest.raises(ValueError, match="needs labels, got None"):
        loss(embeddings)

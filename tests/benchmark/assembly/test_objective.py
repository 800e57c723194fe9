"""The objective of a method: parameters, learning rates, spaces and its single curvature."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import MultipleLosses

from pml_hyperbolic.benchmark.assembly import objective
from pml_hyperbolic.benchmark.assembly.objective import (
    PROTOCOL_ARGUMENTS,
    Objective,
    build_objective,
)
from pml_hyperbolic.benchmark.config import MethodConfig
from pml_hyperbolic.errors import InputError

POINCARE = {"PoincareDistance": {"c": 0.1}}
POINCARE_SIMILARITY = {"PoincareSimilarity": {"c": 0.1}}
FLAT, BALL, BOTH = {"euclidean": 8}, {"hyperbolic": 8}, {"euclidean": 4, "hyperbolic": 4}
CLASSES = np.arange(3)[:, None]


def built(sizes, *, labels=CLASSES, **method):
    return build_objective(
        MethodConfig(**method), where="mine", num_classes=3, sizes=sizes, labels=labels
    )


def test_what_the_protocol_determines_is_listed(monkeypatch):
    filled, build = set(), objective.build

    def noted(kind, spec, *, fill, **arguments):
        filled.update(fill)
        return build(kind, spec, fill=fill, **arguments)

    monkeypatch.setattr(objective, "build", noted)
    built(BOTH, loss={"CHESTLoss": {"distance": POINCARE_SIMILARITY}}, loss_lr=0.1)
    built(FLAT, **levels(), labels=LEVELS)
    assert filled == set(PROTOCOL_ARGUMENTS)


def hier(**kwargs):
    use = {"HIERLoss": {"num_proxies": 5, "distance": POINCARE}}
    return {"use": use, "lr": 0.5, **kwargs}


# Three classes in two families.
LEVELS = np.array([[0, 4], [1, 7], [2, 4], [1, 7]])


def levels(**given):
    return {"loss": {"MultiLevelLoss": {"losses": "ProxyAnchorLoss", **given}}, "loss_lr": 0.1}


def test_every_level_has_its_own_number_of_classes():
    config = levels(weights=[1, 0.5], miners={"MultiSimilarityMiner": {"epsilon": 0.2}})
    result = built(FLAT, **config, labels=LEVELS)
    assert [part.num_classes for part in result.loss.losses] == [3, 2]
    assert result.loss.ancestors.tolist() == [[0, 0], [1, 1], [2, 0]]
    assert result.loss.weights == [1, 0.5]
    assert [miner.epsilon for miner in result.loss.miners.values()] == [0.2, 0.2]
    ((group),) = result.parameter_groups
    assert [tuple(p.shape) for p in group["params"]] == [(3, 8), (2, 8)]
    assert result.loss(torch.randn(6, 8), torch.arange(6) % 3).isfinite()


def test_levels_share_one_curvature():
    inner = {"MultiSimilarityLoss": {"distance": {"PoincareSimilarity": {"c": 0.5}}}}
    result = built(BALL, loss={"MultiLevelLoss": {"losses": inner}}, labels=LEVELS)
    assert result.distance.c == 0.5
    second = built(
        BALL,
        loss="MultiSimilarityLoss",
        regularizer={"use": {"MultiLevelLoss": {"losses": inner}}, "weight": 0.5},
        labels=LEVELS,
    )
    assert len(second.loss.losses[1].losses) == 2


def test_classes_may_be_the_only_level():
    assert built(FLAT, **levels()).loss.ancestors.tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("method", "labels", "message"),
    [
        (levels(), np.array([[0, 1], [1, 1], [2, 0], [2, 1]]), "class 2 has samples in several"),
        (levels(weights=[1]), LEVELS, "as many weights as ancestors has columns, 2"),
        (levels(ancestors=[[0]]), LEVELS, "ancestors is known from the protocol"),
        (
            {
                "loss": {
                    "MultiLevelLoss": {"losses": {"MultiLevelLoss": {"losses": "ContrastiveLoss"}}}
                }
            },
            LEVELS,
            "MultiLevelLoss cannot stand inside another loss",
        ),
        (
            {
                **levels(),
                "regularizer": {"use": "LpRegularizer", "on": "embeddings"},
            },
            LEVELS,
            "MultiLevelLoss has no embeddings to regularize",
        ),
    ],
)
def test_levels_that_do_not_fit(method, labels, message):
    with pytest.raises(InputError, match=message):
        built(FLAT, **method, labels=labels)


def test_each_rate_goes_to_its_parameters():
    result = built(
        BALL,
        loss="ProxyAnchorLoss",
        loss_lr=0.1,
        loss_weight_decay=0.2,
        regularizer=hier(weight=0.25),
    )
    shapes = [[tuple(p.shape) for p in group["params"]] for group in result.parameter_groups]
    assert shapes == [[(3, 8)], [(5, 8)]]
    assert [group["lr"] for group in result.parameter_groups] == [0.1, 0.5]
    assert all(group["weight_decay"] == 0.2 for group in result.parameter_groups)
    assert isinstance(result.loss, MultipleLosses)
    assert result.loss.weights == [1, 0.25]
    assert result.distance.c == 0.1


def test_a_regularizer_falls_back_to_the_loss_rate():
    regularizer = {key: value for key, value in hier().items() if key != "lr"}
    groups = built(BALL, loss="ProxyAnchorLoss", loss_lr=0.1, regularizer=regularizer)
    assert [group["lr"] for group in groups.parameter_groups] == [0.1, 0.1]


def test_a_weight_regularizer_sits_inside_the_loss():
    result = built(
        FLAT,
        loss={"SoftTripleLoss": {"centers_per_class": 4}},
        loss_lr=0.1,
        regularizer={"use": "SparseCentersRegularizer", "on": "weights", "weight": 0.2},
    )
    assert type(result.loss.weight_regularizer).__name__ == "SparseCentersRegularizer"
    assert result.loss.weight_reg_weight == 0.2
    assert result.loss(torch.randn(6, 8), torch.arange(6) % 3).isfinite()


def test_an_embedding_regularizer_with_parameters():
    use = {"HIERRegularizer": {"num_proxies": 5}}
    result = built(
        BALL,
        loss="MultiSimilarityLoss",
        regularizer={"use": use, "on": "embeddings", "lr": 0.3},
    )
    (group,) = result.parameter_groups
    assert group["lr"] == 0.3
    assert group["params"][0] is result.loss.embedding_regularizer.proxies


def test_losses_without_parameters_need_no_rate():
    result = built(FLAT, loss="MultiSimilarityLoss", miner="MultiSimilarityMiner")
    assert result.parameter_groups == []
    assert result.distance is None
    assert type(result.miner).__name__ == "MultiSimilarityMiner"


@pytest.mark.parametrize(
    ("sizes", "method", "message"),
    [
        (FLAT, {"loss": "ProxyAnchorLoss"}, "loss_lr is required: its 24 parameters"),
        (FLAT, {"loss": "MultiSimilarityLoss", "loss_lr": 1.0}, "no parameters of its own"),
        (
            FLAT,
            {"loss": "MultiSimilarityLoss", "loss_weight_decay": 1.0},
            "loss_weight_decay: .*no parameters",
        ),
        (
            BALL,
            {"loss": "MultiSimilarityLoss", "regularizer": hier(lr=None)},
            "regularizer.lr is required: its 40 parameters",
        ),
        (
            BALL,
            {"loss": "MultiSimilarityLoss", "loss_lr": 1.0, "regularizer": hier()},
            "loss_lr: .*leave it out",
        ),
        (
            FLAT,
            {
                "loss": "MultiSimilarityLoss",
                "regularizer": {"use": "LpRegularizer", "on": "embeddings", "lr": 1.0},
            },
            "regularizer.lr: .*leave it out",
        ),
        (
            BALL,
            {"loss": "ProxyAnchorLoss", "loss_lr": 1.0},
            "neither loss nor regularizer has a PoincareDistance",
        ),
        (
            FLAT,
            {"loss": {"NTXentLoss": {"distance": POINCARE}}},
            r"PoincareDistance, but head.spaces is \['euclidean'\].*\[hyperbolic\]",
        ),
        (FLAT, {"loss": "MultiSimilarityLoss", "regularizer": hier()}, "ranked by cosine"),
        (
            BALL,
            {
                "loss": {"NTXentLoss": {"distance": {"PoincareDistance": {"c": 1.0}}}},
                "regularizer": hier(),
            },
            r"disagree.*\(0.1, 2.3, 'hard', 'tangent'\) and \(1.0, 2.3, 'hard', 'tangent'\)",
        ),
        (
            BALL,
            {
                "loss": {"NTXentLoss": {"distance": POINCARE}},
                "miner": {"TripletMarginMiner": {"distance": {"PoincareDistance": {"c": 1.0}}}},
            },
            "disagree",
        ),
        (
            BALL,
            {
                "loss": {
                    "NTXentLoss": {"distance": {"PoincareDistance": {"c": 0.1, "clip_radius": 1.0}}}
                },
                "regularizer": hier(),
            },
            "disagree",
        ),
        (FLAT, {"loss": "CHESTLoss", "loss_lr": 1.0}, r"set head.spaces: \[euclidean, hyperb"),
        (
            dict(reversed(BOTH.items())),
            {"loss": "CHESTLoss", "loss_lr": 1.0},
            "in this order",
        ),
        (BOTH, {"loss": "ProxyAnchorLoss", "loss_lr": 1.0}, "trains a single space"),
        (
            BOTH,
            {"loss": "CHESTLoss", "loss_lr": 1.0, "regularizer": hier()},
            "HIERLoss has one geometry",
        ),
        (
            FLAT,
            {"loss": "MultiSimilarityLoss", "regularizer": {"use": "LpRegularizer"}},
            "`on: embeddings`, or `on: weights`",
        ),
        (
            FLAT,
            {
                "loss": "MultiSimilarityLoss",
                "regularizer": {"use": "SparseCentersRegularizer", "on": "weights"},
            },
            "no weights to regularize",
        ),
        (
            BALL,
            {"loss": "MultiSimilarityLoss", "regularizer": hier(on="embeddings")},
            "leave `on` out",
        ),
        (
            FLAT,
            {
                "loss": "MultiSimilarityLoss",
                "regularizer": {"use": "LpRegulariser", "on": "weights"},
            },
            "did you mean 'LpRegularizer'?",
        ),
        (
            FLAT,
            {"loss": "MultiSimilarityLoss", "miner": "MultiSimilarityMinor"},
            "did you mean 'MultiSimilarityMiner'?",
        ),
    ],
)
def test_what_is_refused(sizes, method, message):
    with pytest.raises(InputError, match=message) as caught:
        built(sizes, **method)
    assert str(caught.value).startswith("mine")
    assert "\n" not in str(caught.value)


class Failing(torch.nn.Module):
    def forward(self, embeddings, labels, indices_tuple):
        assert len(labels) == 1, "expected\none label"
        return embeddings.sum()


def test_a_loss_is_tried_with_its_gradient_and_its_miner():
    result = built(FLAT, loss="ProxyAnchorLoss", loss_lr=0.1, miner="MultiSimilarityMiner")
    embeddings, labels = torch.randn(6, 8), torch.arange(6) // 2
    result.check("mine", embeddings, labels)
    assert result.loss.proxies.grad.isfinite().all()
    assert not embeddings.requires_grad
    failing = Objective(Failing(), [], None, None)
    failing.check("mine", embeddings[:1], labels[:1])
    with pytest.raises(InputError, match=r"^mine: its loss fails on .*: expected one label"):
        failing.check("mine", embeddings, labels)

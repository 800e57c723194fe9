"""Proxies are found in every kind of loss, with their space and their classes."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses

from pml_hyperbolic.benchmark.assembly.proxies import Proxies, kept_rows, proxies_of
from pml_hyperbolic.losses import CHESTLoss, HIERLoss, MultiLevelLoss
from pml_hyperbolic.regularizers import HIERRegularizer

FLAT = {"euclidean": 5}
COLUMNS = [
    losses.SoftTripleLoss(3, 5, centers_per_class=2),
    losses.SubCenterArcFaceLoss(num_classes=3, embedding_size=5, sub_centers=2),
    losses.ArcFaceLoss(3, 5),
    losses.NormalizedSoftmaxLoss(3, 5),
]


@pytest.mark.parametrize("loss", COLUMNS, ids=lambda loss: type(loss).__name__)
def test_proxies_in_columns(loss):
    (parameter,) = loss.parameters()
    ((name, found),) = proxies_of(loss, FLAT, 3).items()
    assert name == "proxies"
    assert found.space == "euclidean"
    assert torch.equal(found.vectors, parameter.detach().t())
    assert not found.vectors.requires_grad
    assert found.labels.tolist() == np.repeat(range(3), len(found.vectors) // 3).tolist()


@pytest.mark.parametrize("kind", [losses.ProxyAnchorLoss, losses.ProxyNCALoss])
def test_proxies_in_rows(kind):
    loss = kind(3, 5)
    ((_, found),) = proxies_of(loss, FLAT, 3).items()
    assert torch.equal(found.vectors, loss.proxies)
    assert found.labels.tolist() == [0, 1, 2]


def test_proxies_of_coarser_levels_belong_to_no_class():
    ancestors = torch.tensor([[0, 0], [1, 0], [2, 1]])
    parts = [losses.ProxyAnchorLoss(3, 5), losses.ProxyAnchorLoss(2, 5)]
    found = proxies_of(MultiLevelLoss(parts, ancestors), FLAT, 3)
    assert {name: len(kind.vectors) for name, kind in found.items()} == {
        "proxies": 3,
        "proxies 2": 2,
    }
    assert found["proxies"].labels.tolist() == [0, 1, 2]
    assert found["proxies 2"].labels is None


def test_the_labels_of_several_centres_are_those_that_the_loss_counts():
    loss = losses.SoftTripleLoss(3, 5, centers_per_class=2)
    ((_, found),) = proxies_of(loss, FLAT, 3).items()
    # A point at a proxy is most similar to the class of that proxy.
    logits = loss.get_logits(found.vectors)
    assert logits.argmax(1).tolist() == found.labels.tolist()


def test_hier_beside_proxy_anchor():
    hier, anchor = HIERLoss(5, num_proxies=7), losses.ProxyAnchorLoss(3, 5)
    found = proxies_of(losses.MultipleLosses([anchor, hier]), {"hyperbolic": 5}, 3)
    assert list(found) == ["proxies", "hierarchical"]
    assert torch.equal(found["hierarchical"].vectors, hier.proxies)
    assert found["hierarchical"].labels is None
    assert {kind.space for kind in found.values()} == {"hyperbolic"}


def test_hier_as_a_regularizer():
    loss = losses.ContrastiveLoss(embedding_regularizer=HIERRegularizer(5, num_proxies=7))
    assert list(proxies_of(loss, {"hyperbolic": 5}, 3)) == ["hierarchical"]


def test_chest_has_proxies_in_both_spaces():
    loss = CHESTLoss(3, 4, 4)
    found = proxies_of(loss, {"euclidean": 4, "hyperbolic": 4}, 3)
    assert list(found) == ["chest/euclidean", "chest/hyperbolic"]
    for space in ("euclidean", "hyperbolic"):
        kind = found[f"chest/{space}"]
        assert kind.space == space
        assert torch.equal(kind.vectors, getattr(loss, space).fc.t())
        assert kind.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_proxies_of_no_class():
    ((_, found),) = proxies_of(losses.ManifoldLoss(l=5, K=6), FLAT, 3).items()
    assert found.vectors.shape == (6, 5)
    assert found.labels is None


def test_two_of_a_kind_have_two_names():
    loss = losses.MultipleLosses([losses.ArcFaceLoss(3, 5), losses.ProxyAnchorLoss(3, 5)])
    assert list(proxies_of(loss, FLAT, 3)) == ["proxies", "proxies 2"]


def test_losses_without_proxies_have_none():
    assert proxies_of(losses.MultiSimilarityLoss(), FLAT, 3) == {}
    assert proxies_of(losses.MarginLoss(num_classes=3, learn_beta=True), FLAT, 3) == {}


def kinds():
    labels = np.arange(6) // 2
    return {
        "proxies": Proxies(torch.zeros(6, 5), "hyperbolic", labels),
        "hierarchical": Proxies(torch.zeros(4, 5), "hyperbolic", None),
    }


def test_all_proxies_are_kept_where_they_fit():
    rows = kept_rows(kinds(), 50, np.array([0]))
    assert {name: list(r) for name, r in rows.items()} == {
        "proxies": list(range(6)),
        "hierarchical": list(range(4)),
    }
    assert kept_rows({}, 50, np.array([0])) == {}


def test_where_they_do_not_fit_those_of_sampled_classes_come_first():
    rows = kept_rows(kinds(), 25, np.array([0, 2]))
    assert {name: list(r) for name, r in rows.items()} == {
        "proxies": [0, 1, 4],
        "hierarchical": [0, 1],
    }
    kept = kinds()["proxies"].rows(rows["proxies"])
    assert kept.vectors.shape == (3, 5)
    assert kept.labels.tolist() == [0, 0, 2]

"""Measures of a hierarchy on embeddings and proxies whose tree is known."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.measuring.run_hierarchy import (
    class_mean_tree,
    decoded_proxy_tree,
    learned_ancestor_tree,
    neighbor_measures,
    tree_measures,
)
from pml_hyperbolic.benchmark.measuring.run_hierarchy import (
    test_levels as levels_of,
)
from pml_hyperbolic.benchmark.measuring.run_scores import EmbeddedTestSet
from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.losses import CHESTLoss, HIERLoss

BALL = PoincareDistance(c=0.1, clip_radius=2.3)
# Six classes in three superclasses: directions of a superclass are close to each other.
SUPERCLASSES = np.array([0, 0, 1, 1, 2, 2])
CENTERS = torch.eye(3)[SUPERCLASSES]
CENTERS[1::2] += 0.1 * torch.eye(3).roll(1, 0)
NAMES = ["class", "superclass"]


def embedded(levels=2):
    """Twelve embeddings of each class, nearly at its center."""
    generator = torch.Generator().manual_seed(0)
    classes = np.arange(6).repeat(12)
    noise = 0.001 * torch.randn(72, 3, generator=generator)
    labels = np.stack([classes + 5, SUPERCLASSES[classes]], axis=1)[:, :levels]
    rows = np.arange(72)
    return EmbeddedTestSet(CENTERS[classes] + noise, torch.from_numpy(labels), rows, rows, None)


@pytest.mark.parametrize("distance", [None, BALL])
def test_class_means_of_a_known_tree(distance):
    tests = embedded()
    levels = levels_of(tests, NAMES)
    assert levels["superclass"].tolist() == SUPERCLASSES.tolist()
    found = tree_measures(class_mean_tree(tests, distance), levels)
    assert found["dendrogram_purity/superclass"].value == 1
    assert found["dendrogram_purity/superclass"].random_mean < 0.8
    assert found["tree_correlation"].value > 0.7
    assert abs(found["tree_correlation"].random_mean) < 0.2
    near = neighbor_measures(tests, distance, levels)
    assert near["superclass_share/superclass"].value == 1
    assert near["neighbor_tree_distance"].value == 0
    # Ten neighbors of eleven in the class: there is none of another class.
    assert "superclass_share_of_other_classes/superclass" not in near


@pytest.mark.parametrize("distance", [None, BALL])
def test_neighbors_in_a_gallery(distance):
    rows = np.arange(72)
    # Three queries of each class; the gallery has the other superclasses only from class 1 on.
    query, gallery = rows[rows % 12 < 3], rows[(rows % 12 >= 6) & (rows >= 12)]
    tests = embedded()._replace(query=query, gallery=gallery)
    near = neighbor_measures(tests, distance, levels_of(tests, NAMES))
    # Six images of a class: queries of class 0 find those of class 1 first, and four further away.
    points = torch.nn.functional.normalize(tests.embeddings) if distance is None else None
    table = 1 - points @ points.T if distance is None else distance(tests.embeddings)
    classes = tests.labels[:, 0].numpy() - 5
    shares, others, steps = [], [], []
    for row in query:
        found = sorted(gallery, key=lambda other: float(table[row, other]))[:10]
        for other in found:
            same = SUPERCLASSES[classes[row]] == SUPERCLASSES[classes[other]]
            shares.append(same)
            steps.append(0 if classes[row] == classes[other] else 1 if same else 2)
            if classes[row] != classes[other]:
                others.append(same)
    assert 0 < np.mean(shares) < 1
    assert near["superclass_share/superclass"].value == pytest.approx(np.mean(shares))
    found = near["superclass_share_of_other_classes/superclass"].value
    assert found == pytest.approx(np.mean(others))
    assert near["neighbor_tree_distance"].value == pytest.approx(np.mean(steps))


def test_ancestors_of_a_known_tree():
    loss = HIERLoss(3, num_proxies=3, distance=BALL)
    with torch.no_grad():
        loss.proxies.copy_(torch.eye(3))
    found = tree_measures(
        learned_ancestor_tree(embedded(), BALL, torch.nn.ModuleList([loss])),
        levels_of(embedded(), NAMES),
    )
    assert found["dendrogram_purity/superclass"].value == 1
    assert learned_ancestor_tree(embedded(), BALL, torch.nn.Identity()) is None


def test_decoded_proxies_of_a_known_tree():
    loss = CHESTLoss(6, 2, 3, centers_per_class=2, distance=PoincareSimilarity(c=0.1))
    with torch.no_grad():
        loss.hyperbolic.fc.copy_(CENTERS.repeat_interleave(2, 0).t())
    tree = decoded_proxy_tree(loss)
    assert tree.num_leaves == 6
    found = tree_measures(tree, {"superclass": SUPERCLASSES})
    assert found["dendrogram_purity/superclass"].value == 1
    assert decoded_proxy_tree(torch.nn.Identity()) is None


def test_labels_of_one_level_have_no_hierarchy():
    with pytest.raises(InputError, match="one level"):
        levels_of(embedded(levels=1), ["class"])


def test_two_classes_have_no_hierarchy():
    tests = embedded()
    few = tests._replace(embeddings=tests.embeddings[:24], labels=tests.labels[:24])
    with pytest.raises(InputError, match="at least 3 test classes, got 2"):
        levels_of(few, NAMES)

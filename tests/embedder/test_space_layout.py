"""The spaces of an embedding, and what measures each."""

import pytest
from pytorch_metric_learning.distances import CosineSimilarity

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.embedder.space_layout import SpaceLayout
from pml_hyperbolic.errors import InputError

GEOMETRY = {"PoincareDistance": {"c": 0.5, "clip_radius": None, "inputs": "tangent"}}


def test_columns_in_order():
    layout = SpaceLayout({"euclidean": 3, "hyperbolic": 5}, GEOMETRY)
    assert layout.slices == {"euclidean": slice(0, 3), "hyperbolic": slice(3, 8)}
    assert (layout.dimension, layout.primary) == (8, "hyperbolic")
    assert layout.distance("hyperbolic").c == 0.5
    # One object owns the curvature.
    assert layout.distance("hyperbolic") is layout.distance("hyperbolic")
    assert layout.knn("hyperbolic").distance is layout.distance("hyperbolic")


def test_one_space():
    flat = SpaceLayout({"euclidean": 3}, None)
    assert isinstance(flat.distance(None), CosineSimilarity)
    assert isinstance(SpaceLayout({"hyperbolic": 3}, GEOMETRY).distance(None), PoincareDistance)


@pytest.mark.parametrize(
    ("sizes", "geometry", "message"),
    [
        ({}, None, "spaces of an embedding are"),
        ({"hyperbolic": 3, "euclidean": 3}, GEOMETRY, "in this order"),
        ({"euclidean": 0}, None, "dimension of at least 1"),
        ({"euclidean": True}, None, "dimension of at least 1"),
        ({"euclidean": 3}, GEOMETRY, "come together"),
        ({"hyperbolic": 3}, {"LpDistance": {}}, "a geometry is"),
        ({"hyperbolic": 3}, {"PoincareDistance": {"c": -1}}, "does not work here"),
        ({"hyperbolic": 3}, {"PoincareDistance": {"bend": 1}}, "does not work here"),
    ],
)
def test_what_is_refused(sizes, geometry, message):
    with pytest.raises(InputError, match=message):
        SpaceLayout(sizes, geometry)

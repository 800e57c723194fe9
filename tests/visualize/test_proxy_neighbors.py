"""Which proxies are extreme, and which images are nearest to them."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.proxy_neighbors import nearest_of_extreme_proxies, proxy_neighbors
from tests.visualize.rendering import assert_legible, words_of

BALL = PoincareDistance(c=0.3, clip_radius=2.0)


@pytest.fixture
def points():
    directions = torch.nn.functional.normalize(torch.randn(6, 4))
    radii = torch.tensor([0.9, 0.2, 1.7, 0.5, 1.3, 1.1])
    return directions * radii[:, None], torch.randn(30, 4)


def image(index):
    return np.full((20, 30, 3), (index * 9) % 255, np.uint8)


@pytest.mark.parametrize("distance", [None, BALL])
def test_extreme_proxies_and_their_nearest_images(points, distance):
    proxies, embeddings = points
    chosen, radii, nearest = nearest_of_extreme_proxies(
        proxies, embeddings, distance=distance, rows=2, k=4
    )
    assert chosen.tolist() == [[1, 3], [2, 4]]
    scale = 1 if distance is None else 2
    np.testing.assert_allclose(radii, scale * np.array([0.9, 0.2, 1.7, 0.5, 1.3, 1.1]), rtol=1e-6)
    for side, row in np.ndindex(2, 2):
        own = proxies[chosen[side, row]]
        if distance is None:
            values = -torch.nn.functional.cosine_similarity(own[None], embeddings)
        else:
            values = distance(own[None], embeddings)[0]
        assert nearest[side, row].tolist() == values.argsort()[:4].tolist()


def test_rows_name_the_proxy_and_its_true_radius(points):
    figure = proxy_neighbors(*points, image, distance=BALL, rows=3, captions=["Auk"] * 30)
    assert len(figure.axes[0].images) == 2 * 3 * 4
    words = words_of(figure)
    assert "proxy 1 r = 0.400" in words
    assert "proxy 2 r = 3.400" in words
    assert "run from 0.400 to 3.400" in words
    assert "geodesic distance, c = 0.3" in words
    assert "mean nothing" not in words


def test_equal_radii_are_called_by_their_name(points):
    figure = proxy_neighbors(10 * points[0], points[1], image, distance=BALL)
    assert "near and far mean nothing here" in words_of(figure)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("k", [1, 4, 8])
def test_any_shape_is_legible(points, rows, k):
    captions = ["American_Three_toed_Woodpecker"] * 30
    figure = proxy_neighbors(*points, image, distance=BALL, rows=rows, k=k, captions=captions)
    assert_legible(figure)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxies": torch.ones(1, 4)}, "at least 2 proxies"),
        ({"proxies": torch.ones(5, 3)}, "proxies must have 4 columns"),
        ({"k": 31}, "between 1 and the 30"),
        ({"captions": ["a"]}, "1 captions for 30"),
    ],
)
def test_wrong_input_is_refused(points, changes, message):
    arguments = {"proxies": points[0], "embeddings": points[1], "image": image, "distance": BALL}
    with pytest.raises(InputError, match=message):
        proxy_neighbors(**{**arguments, **changes})

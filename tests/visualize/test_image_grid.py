"""Thumbnails: images of any kind, whole and undistorted."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.image_grid import draw_thumbnail, grid_axes, image_array


def test_images_of_every_kind_become_arrays():
    assert image_array(np.zeros((4, 5, 1)), "a").shape == (4, 5)
    assert image_array(Image.new("RGB", (5, 4), "red"), "a").tolist()[0][0] == [255, 0, 0]
    assert image_array(Image.new("1", (5, 4), 1), "a").max() == 255
    assert image_array(np.full((2, 2), 1.5, np.float16), "a").max() == 1
    with pytest.raises(InputError, match=r"photo 7 must be an image .* got shape \(2, 2, 2\)"):
        image_array(np.zeros((2, 2, 2)), "photo 7")


def test_a_thumbnail_keeps_its_shape_in_the_middle_of_its_cell():
    axes = grid_axes(Figure(), 4, 3)
    draw_thumbnail(axes, np.zeros((10, 20)), 2, 1, size=0.8, frame="black", gid="mine")
    assert axes.images[0].get_extent() == pytest.approx([2.1, 2.9, 1.7, 1.3])
    frame = axes.patches[0]
    assert (frame.get_x(), frame.get_y()) == pytest.approx((2.1, 1.3))
    assert (frame.get_width(), frame.get_height()) == pytest.approx((0.8, 0.4))
    assert axes.get_xlim() == (0, 4)
    assert axes.get_ylim() == (3, 0)

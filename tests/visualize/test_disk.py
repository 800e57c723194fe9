"""What the disk draws of its frames."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from PIL import Image

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.disk import disk, geodesic_arc, write_disk_animation
from pml_hyperbolic.visualize.disk_layout import DiskFrame
from tests.visualize.rendering import assert_legible, words_of

inside = st.tuples(st.floats(-0.7, 0.7), st.floats(-0.7, 0.7))


def frame_of(count=60, proxies=9, seed=0, limit=4.6, title=""):
    generator = np.random.default_rng(seed)
    angles = generator.uniform(0, 2 * np.pi, count)
    samples = 0.9 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = generator.integers(0, count, (12 if proxies else 0, 2))
    few = 3 if proxies else 0
    return DiskFrame(
        samples,
        generator.uniform(-0.5, 0.5, (proxies, 2)),
        pairs,
        generator.integers(0, max(proxies, 1), len(pairs)),
        generator.integers(0, max(proxies, 1), (few, 2)),
        generator.integers(0, max(proxies, 1), few),
        np.where(generator.random(count) < 0.25, 4.6, 3.0),
        generator.uniform(1, 4.6, proxies),
        limit,
        "geodesic distance, c = 0.1",
        128,
        title,
    )


def of(axes, gid):
    return [artist for artist in axes.collections if artist.get_gid() == gid]


@given(inside, inside)
def test_arcs_are_geodesics_of_the_disk(start, end):
    arc = geodesic_arc(np.array(start), np.array(end), points=9)
    np.testing.assert_allclose(arc[[0, -1]], [start, end], atol=1e-9)
    z = arc[:, 0] + 1j * arc[:, 1]

    def length(a, b):
        return 2 * np.arctanh(abs(a - b) / abs(1 - np.conj(a) * b))

    steps = [length(a, b) for a, b in itertools.pairwise(z)]
    # Equal steps that add up to the distance of the ends: no path is shorter.
    np.testing.assert_allclose(steps, length(z[0], z[-1]) / 8, atol=1e-7)


def test_samples_proxies_and_arcs_are_drawn_where_the_frame_says():
    frame, groups = frame_of(), np.arange(60) % 4
    axes = disk([frame], groups, group_names=["auk", "_gull", "$tern", "jay"]).axes[0]
    for number, points in enumerate(of(axes, "samples")):
        np.testing.assert_array_equal(points.get_offsets(), frame.samples[groups == number])
    (proxies,) = of(axes, "proxies")
    np.testing.assert_array_equal(proxies.get_offsets(), frame.proxies)
    (pairs,), (above,) = of(axes, "pair arcs"), of(axes, "proxy arcs")
    assert isinstance(pairs, LineCollection)
    assert len(pairs.get_segments()) == 24
    assert len(above.get_segments()) == 6
    first = pairs.get_segments()[1]
    np.testing.assert_allclose(first[0], frame.samples[frame.pairs[0, 1]])
    np.testing.assert_allclose(first[-1], frame.proxies[frame.ancestors[0]], atol=1e-9)


def test_groups_differ_by_colour_and_marker_and_are_named_in_the_legend():
    figure = disk([frame_of()], np.arange(60) % 14, group_names=[f"_name {n}" for n in range(14)])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*(f"name {n}" for n in range(14)), "hierarchical proxies"]
    looks = {
        (tuple(points.get_facecolor()[0]), len(points.get_paths()[0].vertices))
        for points in of(figure.axes[0], "samples")
    }
    assert len(looks) == 14
    assert_legible(figure)


def test_true_radii_stand_below_against_the_clip_radius():
    figure = disk([frame_of()], np.zeros(60, int))
    strip = figure.axes[1]
    heights, edges, _ = strip.patches[0].get_data()
    frame = frame_of()
    np.testing.assert_allclose(heights, np.histogram(frame.radii, edges)[0] / 60)
    assert [line.get_xdata()[0] for line in strip.lines] == [4.6]
    assert strip.get_xlabel() == "true distance to the origin"


def test_a_smooth_clip_only_approaches_its_radius():
    frame = frame_of()
    at_radius = dataclasses.replace(frame, radii=0.995 * frame.radii)
    for near, share in ((0.999, 0.0), (0.99, float((frame.radii == 4.6).mean()))):
        figure = disk([dataclasses.replace(at_radius, near=near)], np.zeros(60, int))
        assert f"Samples at the clip radius: {share:.0%}." in words_of(figure)


def test_the_sentence_says_which_coordinate_is_whose():
    words = words_of(disk([frame_of()], np.zeros(60, int)))
    clipped = np.mean(frame_of().radii == 4.6)
    for part in (
        "Positions in the disk, radii included, are UMAP's",
        "neighbours by geodesic distance, c = 0.1",
        f"Samples at the clip radius: {clipped:.0%}.",
        "Lines come from the 128-dimensional embedding, not from the picture",
    ):
        assert part in words


def test_without_proxies_and_clip_nothing_is_said_of_them():
    figure = disk([frame_of(proxies=0, limit=None)], np.zeros(60, int))
    words = words_of(figure)
    assert "Lines come" not in words
    assert "clip" not in words
    assert "proxies" not in words
    assert not of(figure.axes[0], "proxies")


@pytest.mark.parametrize("groups", [1, 21, 22, 98, 200, 659])
def test_any_number_of_groups_is_legible(groups):
    frame = frame_of(count=1500)
    labels = np.random.default_rng(1).integers(0, groups, 1500)
    figure = disk(
        [frame],
        labels,
        group_names=[f"Scissor_tailed_Flycatcher 20{n:02}" for n in range(groups)],
        title="HIER on Cars-196",
    )
    assert_legible(figure)
    named = sum(t.get_gid() == "group name" for t in figure.axes[0].texts)
    present = len(np.unique(labels))
    assert named == present if 22 <= groups <= 98 else True
    if groups == 659:
        assert f"Names at the rim: the {named} largest of {present} groups" in words_of(figure)


@pytest.mark.parametrize("epochs", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("groups", [7, 60])
def test_epochs_stand_side_by_side(epochs, groups):
    frames = [frame_of(seed=n, title=f"epoch {2**n}") for n in range(epochs)]
    figure = disk(frames, np.arange(60) % groups, title="HIER")
    disks, strips = figure.axes[::2], figure.axes[1::2]
    assert [axes.get_title() for axes in disks] == [frame.title for frame in frames]
    for axes, frame in zip(disks, frames, strict=True):
        np.testing.assert_array_equal(of(axes, "proxies")[0].get_offsets(), frame.proxies)
    assert len({axes.get_xlim() for axes in strips}) == 1
    assert ("colours and markers repeat" in words_of(figure)) == (groups == 60)
    assert_legible(figure)


def test_an_animation_has_a_picture_for_every_step(tmp_path):
    frames = [frame_of(seed=n, title=f"epoch {n}") for n in range(3)]
    path = tmp_path / "disk.gif"
    write_disk_animation(path, frames, np.arange(60) % 4, steps=3, frames_per_second=2)
    with Image.open(path) as animation:
        pictures = [n for n in range(animation.n_frames) if animation.seek(n) is None]
        # Three epochs, and two steps between each two of them.
        assert len(pictures) == 7
        animation.seek(0)
        assert animation.info["duration"] == 1000


@pytest.mark.parametrize(
    ("frames", "groups", "message"),
    [
        ([], np.zeros(60, int), "at least one frame"),
        ([frame_of()], np.zeros(59, int), "groups must be 60 integers"),
        ([frame_of()], np.zeros(60) + 0.5, "groups must be 60 integers"),
        ([frame_of()], np.full(60, 3), "got 2 group names for groups up to 3"),
    ],
)
def test_wrong_input_is_refused(frames, groups, message):
    with pytest.raises(InputError, match=message):
        disk(frames, groups, group_names=["a", "b"])


def test_animations_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="at least two epochs, got 1"):
        write_disk_animation(Path("a.gif"), [frame_of()], np.zeros(60, int))
    with pytest.raises(InputError, match="must be at least 1, got 0 and 8"):
        write_disk_animation("a.gif", [frame_of()] * 2, np.zeros(60, int), steps=0)
    with pytest.raises(InputError, match=r"as .gif, got a.mp4"):
        write_disk_animation("a.mp4", [frame_of()] * 2, np.zeros(60, int))

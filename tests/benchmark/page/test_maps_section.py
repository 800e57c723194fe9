"""The maps show the figures of the command plot: which lines, and with which words."""

import shutil

import numpy as np
import pytest
import yaml

from pml_hyperbolic.benchmark.page import maps_section as module
from pml_hyperbolic.benchmark.plotting import disk as disk_module
from pml_hyperbolic.benchmark.plotting.run_line import chosen_lines
from pml_hyperbolic.benchmark.reporting.compared_runs import compare_runs
from pml_hyperbolic.visualize import disk_layout
from tests.benchmark.page.conftest import DISK


@pytest.fixture
def maps(monkeypatch):
    """A function that makes the section of a folder, with a disk whose layout is quick."""

    def layout(rows, distance, neighbors, seed, start):
        return rows[:, :2].double().numpy()

    monkeypatch.setattr(disk_layout, "_layout", layout)
    monkeypatch.setattr(module, "_disk", DISK)

    def make(folder):
        compared = compare_runs([folder])
        return module.maps_section(compared.groups, compared.baseline, compared.results.twins)

    return make


def captions(section, start):
    return [figure.caption for figure in section.figures if figure.caption.startswith(start)]


def test_a_disk_shows_the_hierarchical_proxies_of_the_snapshots(maps, tiny, monkeypatch):
    drawn = []
    draw = disk_module.draw_disk

    def keep(sets):
        drawn.append(sets[0])
        return draw(sets)

    monkeypatch.setattr(disk_module, "draw_disk", keep)
    disks = captions(maps(tiny.folder), "Test embeddings")
    (best,) = chosen_lines(tiny.folder, most=1)
    assert f"of {best.title} in the Poincare disk" in disks[0]
    assert "Test embeddings of hier (hyperbolic)" in disks[-1]
    assert "its 8 hierarchical proxies" in disks[-1]
    one = drawn[-1]
    (line,) = chosen_lines(tiny.folder / "hier", most=1)
    kept = np.load(line.run.folder / "snapshots.npz")
    number = list(kept["epochs"]).index(kept["selected"])
    np.testing.assert_array_equal(
        one.proxies["hierarchical"], kept["proxies/hierarchical"][number].astype(np.float32)
    )


def test_without_snapshots_the_disk_says_what_it_lacks(maps, tiny, tmp_path):
    folder = shutil.copytree(tiny.folder, tmp_path / "tiny")
    for file in folder.glob("*/*/snapshots.npz"):
        file.unlink()
    section = maps(folder)
    (caption,) = captions(section, "Test embeddings")
    assert "There are no hierarchical proxies to show: " in caption
    assert "keep_snapshots: false" in caption
    assert captions(section, "Similarities") == []
    assert len(captions(section, "Tangent norms")) == 1
    assert any("the similarity to classes. The reason: " in line for line in section.problems)


def test_lines_that_can_be_read_are_shown_without_the_others(maps, tiny, tmp_path):
    folder = shutil.copytree(tiny.folder, tmp_path / "tiny")
    (folder / "proxy_anchor" / "fold0_seed0" / "snapshots.npz").unlink()
    (folder / "hier" / "fold0_seed0" / "test_embeddings.npy").write_bytes(b"")
    section = maps(folder)
    (caption,) = captions(section, "Similarities")
    assert "proxy_anchor" not in caption
    assert any("the similarity to classes of another line" in line for line in section.problems)
    assert len(captions(section, "Tangent norms")) == 1


def test_a_benchmark_without_hyperbolic_methods(maps, tiny):
    section = maps(tiny.folder / "proxy_anchor")
    assert [figure.caption.split()[0] for figure in section.figures] == ["Test", "Similarities"]
    assert "by proxy_anchor (euclidean), at the selected epoch" in section.figures[1].caption


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ({"CHESTLoss": {"euclidean_weight": 0}}, "by {} and {}, at"),
        ({"SoftTripleLoss": {"distance": {"PoincareSimilarity": {}}}}, "by {} and {}, at"),
        ({"SoftTripleLoss": {}}, "proxy_anchor (euclidean)"),
    ],
)
def test_chest_with_and_without_its_euclidean_loss(maps, tiny, tmp_path, loss, expected):
    folder = shutil.copytree(tiny.folder, tmp_path / "tiny")
    for file in folder.glob("hier/*/config.yaml"):
        content = yaml.safe_load(file.read_text())
        content["method"]["loss"] = loss
        file.write_text(yaml.safe_dump(content))
    (caption,) = captions(maps(folder), "Similarities")
    assert expected.format("chest (hyperbolic)", "hier (hyperbolic)") in caption


def test_the_texts_that_stand_for_figures_name_their_methods(maps, tiny):
    *_, similarities, radii = (figure.alternative for figure in maps(tiny.folder).figures)
    assert "similarities to positive and negative classes of " in similarities
    assert "tangent norms of hier (hyperbolic), chest (hyperbolic);" in radii

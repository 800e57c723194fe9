"""The command ``plot``: every kind from runs and from files, and what it refuses."""

import errno
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.plotting import commands
from pml_hyperbolic.benchmark.results import finished_run
from pml_hyperbolic.checked_files import read_checked_json, write_checked_json
from tests.visualize.rendering import assert_legible, words_of


@pytest.fixture
def plot(tmp_path, monkeypatch, capsys):
    """A function that runs the command in a folder of its own: the figure."""
    drawn = []
    save = commands._save

    def keep(figure, output, title):
        drawn.append(figure)
        save(figure, output, title)

    monkeypatch.setattr(commands, "_save", keep)
    monkeypatch.chdir(tmp_path)

    def run(kind, *arguments):
        assert main(["plot", kind, *map(str, arguments)]) == 0
        assert capsys.readouterr().out == f"figure: {kind}.png\n"
        assert (tmp_path / f"{kind}.png").stat().st_size > 1000
        return drawn[-1]

    return run


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("disk", ["--title", "Digits"], ["Digits", "true distance"]),
        ("disk", ["--epochs", "--seed", "1"], ["epoch 1", "epoch 3"]),
        ("disk", ["--split", "train", "--space", "euclidean"], ["(euclidean)", "cosine"]),
        ("proxy_neighbors", ["--rows", "2"], ["Proxies nearest the origin"]),
        ("dimension", ["--metric", "MAP@R"], ["MAP@R (%)", "chest (euclidean)"]),
        ("retrieval", ["--baseline", "chest/euclidean"], ["chest (euclidean)", "random,"]),
        (
            "retrieval",
            ["-k", "19", "--rows", "2", "--wins", "1", "--title", "A"],
            ["A", "proxy anchor"],
        ),
        ("similarities", ["--batch", "32"], ["AUC", "cosine similarity to the nearest proxy"]),
        ("radii", ["--title", "All"], ["All", "chest (hyperbolic)", "clipped"]),
        ("forest", ["--metric", "R@1"], ["R@1 (points): difference to proxy anchor"]),
        ("curves", ["--space", "hyperbolic"], ["validation MAP@R (%)", "hier (hyperbolic)"]),
        ("hierarchy", ["--images", "2"], ["Leaves that merge further right"]),
        ("hierarchy", ["--split", "test"], ["class means, average linkage"]),
    ],
)
def test_every_kind_from_runs(plot, tiny, quick_layout, kind, options, words):
    figure = plot(kind, tiny.folder, *options)
    text = words_of(figure)
    assert [word for word in words if word not in text] == []
    assert_legible(figure)


def test_a_run_and_a_method_may_be_named_too(plot, tiny, quick_layout):
    assert "hierarchical proxies" in words_of(plot("disk", tiny.folder / "hier"))
    assert "shared ancestor" in words_of(plot("hierarchy", tiny.folder / "hier"))
    assert "epoch" in words_of(plot("radii", tiny.folder / "chest"))
    assert "decoded as HypHC" in words_of(plot("hierarchy", tiny.folder / "chest" / "fold0_seed1"))
    text = words_of(plot("retrieval", tiny.folder / "chest", tiny.folder / "hier" / "fold0_seed0"))
    assert "chest (hyperbolic)" in text
    assert "hier (hyperbolic)" in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("disk", ["photos", "true distance"]),
        ("affinity", ["hyperbolic similarity"]),
        ("proxy_neighbors", ["Proxies nearest the boundary", "6 proxies"]),
        ("retrieval", ["photos", "dog"]),
        ("similarities", ["to the class mean"]),
        ("radii", ["photos"]),
        ("hierarchy", ["class means under their hierarchical proxies", "cat"]),
    ],
)
def test_every_kind_from_a_file(plot, with_images, quick_layout, kind, words):
    figure = plot(kind, with_images)
    assert [word for word in words if word not in words_of(figure)] == []
    assert_legible(figure)


def test_two_files_side_by_side(plot, write_file):
    text = words_of(plot("affinity", write_file(), write_file("other.npz", without=["c"])))
    assert "animals" in text
    assert "mean cosine similarity" in text


@pytest.mark.parametrize("kind", ["disk", "hierarchy", "radii", "similarities"])
def test_the_form_of_published_embeddings(plot, published, quick_layout, kind):
    embeddings, proxies = published
    plot(kind, embeddings, "--proxies", proxies, "--c", 0.1, "--inputs", "ball")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_equal_runs_give_equal_files(tiny, tmp_path, suffix):
    files = [tmp_path / "one" / f"a{suffix}", tmp_path / f"b{suffix}"]
    for file in files:
        assert main(["plot", "forest", str(tiny.folder), "--output", str(file)]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_disk_moves_through_the_epochs(tiny, tmp_path, quick_layout, capsys):
    file = tmp_path / "disk.gif"
    assert main(["plot", "disk", str(tiny.folder), "--output", str(file)]) == 0
    with Image.open(file) as animation:
        assert animation.n_frames > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "dsk", "RUNS"], r"invalid choice: 'dsk'"),
        (["plot", "forest", "nowhere"], "there is no folder or file nowhere"),
        (["plot", "forest", "RUNS", "--output", "a.jpg"], "expected a file .png, .svg or .pdf"),
        (["plot", "forest", "RUNS", "--output", "a.gif"], "expected a file .png, .svg or .pdf"),
        (["plot", "forest", "RUNS", "--level", "x"], "unrecognized arguments: --level x"),
        (["plot", "forest", "RUNS", "--metric", "F1"], "--metric F1: expected MAP@R"),
        (["plot", "forest", "RUNS", "--metric", "R@4"], "forest compares MAP@R or R@1"),
        (["plot", "forest", "RUNS", "--baseline", "hie"], "did you mean 'hier'"),
        (["plot", "dimension", "FILE"], "animals.npz is a file, and this figure needs folders"),
        (["plot", "dimension", "RUNS", "RUNS"], "dimensions in two of the folders"),
        (["plot", "affinity", "RUNS"], "has no superclasses, only the level digit"),
        (["plot", "affinity", "RUNS", "--level", "family"], "has no level 'family': "),
        (["plot", "disk", "RUNS", "RUNS"], "disk shows 1 at most, got 2"),
        (["plot", "disk", "RUNS", "--epochs", "7"], "kept no snapshot of epoch 7: it has epochs 1"),
        (["plot", "disk", "RUNS", "--seed", "9"], "has no run with seed 9, it has seeds 0, 1"),
        (["plot", "disk", "RUNS", "--space", "flat"], "has no runs in the space 'flat'"),
        (["plot", "disk", "RUNS", "--c", "1"], "--c describes a file of embeddings"),
        (["plot", "radii", "RUNS", "--c", "1"], "no file is named: leave it out"),
        (["plot", "similarities", "RUNS", "--clip", "hard"], "--clip describes a file"),
        (["plot", "affinity", "FILE", "--seed", "1"], "--seed chooses among runs, and no folder"),
        (["plot", "disk", "FILE", "--split", "train"], "--split chooses among runs"),
        (["plot", "disk", "FILE", "--epochs"], "over the training shows one run"),
        (["plot", "proxy_neighbors", "FILE"], "needs images, and the file has no array 'paths'"),
        (["plot", "retrieval", "RUNS", "--wins=0", "--losses=0", "--random=0"], "no queries to"),
        (["plot", "radii", "RUNS/proxy_anchor"], "radii shows hyperbolic methods"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(
    refused, tiny, write_file, quick_layout, monkeypatch, tmp_path, arguments, message
):
    monkeypatch.chdir(tmp_path)
    places = {"RUNS": str(tiny.folder), "FILE": str(write_file())}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    assert message in refused(*arguments)


@pytest.mark.parametrize(
    ("kind", "replaced", "message"),
    [
        ("affinity", {"superclasses": None}, "has no superclasses, only the level class"),
        ("hierarchy", {"labels": None, "superclasses": None}, "has no labels"),
        ("affinity", {"labels": np.zeros(24, int)}, "has one class only"),
        ("similarities", {"labels": np.zeros(24, int)}, "one class only: there is no negative"),
        ("hierarchy", {"labels": np.zeros(24, int)}, "one class only: a tree needs"),
        ("radii", {"c": None}, "radii shows hyperbolic embeddings"),
        ("radii", {"embeddings": np.full((24, 5), np.nan)}, "24 of the 24 embeddings contain NaN"),
    ],
)
def test_files_that_lack_something(refused, write_file, kind, replaced, message):
    without = [name for name, value in replaced.items() if value is None]
    kept = {name: value for name, value in replaced.items() if value is not None}
    assert message in refused("plot", kind, write_file(without=without, **kept))


@pytest.mark.parametrize(
    ("missing", "kind", "message"),
    [
        ("result.json", "radii", "has no finished run"),
        ("snapshots.npz", "hierarchy", "has no snapshots.npz: it was made before snapshots"),
        ("snapshots.npz", "proxy_neighbors", "has no snapshots.npz"),
        ("snapshots.npz", "similarities", "has no snapshots.npz"),
        ("radii.npz", "radii", "has no radii.npz: it was made before"),
        ("test_embeddings.npy", "retrieval", "has no test_embeddings.npy"),
    ],
)
def test_runs_that_lack_something(refused, tiny, tmp_path, missing, kind, message):
    run = shutil.copytree(tiny.folder / "hier" / "fold0_seed0", tmp_path / "fold0_seed0")
    (run / missing).unlink()
    assert message in refused("plot", kind, run)


def test_a_disk_of_a_run_without_snapshots_has_no_proxies(plot, tiny, tmp_path, quick_layout):
    run = shutil.copytree(tiny.folder / "hier" / "fold0_seed0", tmp_path / "fold0_seed0")
    (run / "snapshots.npz").unlink()
    text = words_of(plot("disk", run))
    assert "hier (hyperbolic)" in text
    assert "hierarchical proxies" not in text


def test_without_umap_the_extra_is_named(refused, write_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert "pip install 'pml-hyperbolic[plots]'" in refused("plot", "disk", write_file())


def test_data_that_have_changed_are_not_shown(refused, tiny, tmp_path):
    run = shutil.copytree(tiny.folder / "hier" / "fold0_seed0", tmp_path / "fold0_seed0")
    rows = read_checked_json(run / "result.json")
    write_checked_json(run / "result.json", [{**row, "data": "0" * 12} for row in rows])
    assert "the data set has changed since the runs" in refused("plot", "retrieval", run)


def test_three_runs_of_one_method_are_three_panels(plot, tiny, tmp_path):
    runs = [
        shutil.copytree(tiny.folder / "chest" / "fold0_seed0", tmp_path / name / "fold0_seed0")
        for name in ("a", "b", "c")
    ]
    text = words_of(plot("similarities", *runs, "--space", "hyperbolic"))
    for title in ("chest (hyperbolic)", "chest (hyperbolic), 2", "chest (hyperbolic), 3"):
        assert title in text


@pytest.mark.parametrize(("kind", "suffix"), [("forest", "png"), ("disk", "gif")])
def test_a_run_that_cannot_be_read_is_not_called_a_picture(
    tiny, tmp_path, monkeypatch, capsys, kind, suffix
):
    def fail(file):
        raise OSError(errno.EIO, "Input/output error", str(file))

    monkeypatch.setattr(finished_run, "read_rows", fail)
    picture = tmp_path / "new" / f"a.{suffix}"
    assert main(["plot", kind, str(tiny.folder), "--output", str(picture)]) == 1
    said = capsys.readouterr().err
    assert "result.json cannot be used" in said
    assert str(picture) not in said
    assert not picture.parent.exists()


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_picture_that_cannot_be_written_is_named(refused, tiny, tmp_path, quick_layout, suffix):
    (tmp_path / "file").write_text("no folder")
    picture = tmp_path / "file" / f"a.{suffix}"
    message = refused("plot", "disk", tiny.folder, "--output", picture)
    assert f"{picture} cannot be written: " in message
    assert "choose another --output" in message

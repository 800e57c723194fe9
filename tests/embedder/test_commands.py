"""The commands: photos in; embeddings, an index or the nearest photos out."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from pml_hyperbolic.analysis.embedding_file import read_embeddings
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.embedder import Embedder


@pytest.fixture
def model(timm_run):
    return str(timm_run.folder)


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def refused(capsys):
    """Assert that a command is refused as wrong input, in one line; returns that line."""

    def check(*arguments):
        assert run(*arguments) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("pml-hyperbolic: ")
        assert captured.err.count("\n") == 1
        return captured.err

    return check


def test_embed(model, photos, photo_paths, tmp_path, capsys):
    output = tmp_path / "new" / "photos.npz"
    assert run("embed", model, photos, "--output", output) == 0
    assert "48 embeddings of 8 dimensions" in capsys.readouterr().out
    with np.load(output) as content:
        arrays = {name: content[name] for name in content.files}
    assert arrays["embeddings"].dtype == np.float32
    assert arrays["paths"].tolist() == [str(path) for path in photo_paths]
    labels = arrays["class_names"][arrays["labels"]]
    assert labels.tolist() == [path.parent.name for path in photo_paths]
    description = json.loads(str(arrays["description"]))
    assert description["spaces"] == {"hyperbolic": [0, 8]}
    assert description["geometry"]["PoincareDistance"]["c"] == 0.2
    embeddings = Embedder.load(model, device="cpu").embed(photos)
    assert torch.equal(torch.from_numpy(arrays["embeddings"]), embeddings)


def test_embed_a_saved_model_in_bfloat16(model, photo_paths, tmp_path):
    Embedder.load(model).save_pretrained(tmp_path / "saved")
    output = tmp_path / "photos.npz"
    options = ("--precision", "bfloat16", "--batch-size", 1, "--device", "cpu")
    assert run("embed", tmp_path / "saved", photo_paths[0], "--output", output, *options) == 0
    with np.load(output) as content:
        assert "labels" not in content.files
        expected = Embedder.load(model, device="cpu").embed(photo_paths[0], precision="bfloat16")
        assert np.array_equal(content["embeddings"], expected.numpy())


def test_embed_features(features_run, tmp_path):
    features = np.stack([row.numpy() for row in features_run.images])
    np.savez(tmp_path / "in.npz", features=features, labels=np.arange(len(features)))
    output = tmp_path / "out.npz"
    assert run("embed", features_run.folder, tmp_path / "in.npz", "--output", output) == 0
    with np.load(output) as content:
        assert np.array_equal(content["embeddings"], features_run.embeddings.numpy())
        assert content["class_names"][content["labels"][3]] == "3"
        assert "c" not in content.files


@pytest.mark.parametrize("space", ["euclidean", "hyperbolic"])
def test_figures_read_what_embed_writes(features_run, tmp_path, space):
    features = np.stack([row.numpy() for row in features_run.images])
    np.savez(tmp_path / "in.npz", features=features, labels=np.arange(len(features)) // 4)
    output = tmp_path / "out.npz"
    arguments = ("embed", features_run.folder, tmp_path / "in.npz", "--output", output)
    assert run(*arguments, "--space", space) == 0
    file = read_embeddings(output)
    columns = Embedder.load(features_run.folder).spaces[space]
    assert torch.equal(file.embeddings, features_run.embeddings[:, columns])
    assert file.class_names[file.labels[5]] == "1"
    assert len(file.paths) == len(features)
    if space == "euclidean":
        assert file.distance is None
    else:
        found = (file.distance.c, file.distance.clip_radius, file.distance.inputs)
        assert found == (0.2, 2.0, "tangent")


def test_embed_to_parquet(model, photos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "photos.parquet"
    assert run("embed", model, photos, "--output", output) == 0
    table = parquet.read_table(output)
    assert table.column_names == ["path", "label", "embedding"]
    embeddings = Embedder.load(model, device="cpu").embed(photos).numpy()
    assert np.array_equal(np.array(table["embedding"].to_pylist(), np.float32), embeddings)
    assert b"geometry" in table.schema.metadata[b"pml_hyperbolic"]


def test_parquet_without_pyarrow(model, photos, tmp_path, monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    output = tmp_path / "photos.parquet"
    assert "needs pyarrow" in refused("embed", model, photos, "--output", output)


def test_index_and_find(model, photos, photo_paths, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("index", model, photos, "--output", "photos.index") == 0
    assert capsys.readouterr().out == "48 images: photos.index\n"
    query, page = photo_paths[7], tmp_path / "page.html"
    assert run("find", "photos.index", query, photo_paths[9], "-k", 3, "--html", page) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(query)
    assert lines[1].split() == ["1", "0.0000", query.parent.name, str(query)]
    assert len(lines) == 2 * 4 + 1
    assert page.read_text().count("<img") == 2 * 4


def test_find_with_a_moved_model(digits_run, hyp_run, tmp_path, refused, capsys):
    from PIL import Image

    for number, image in enumerate(digits_run.images[:4]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    saved = tmp_path / "saved"
    Embedder.load(digits_run.folder).save_pretrained(saved)
    assert run("index", saved, tmp_path, "--output", tmp_path / "index") == 0
    saved.rename(tmp_path / "moved")
    arguments = ("find", tmp_path / "index", tmp_path / "0.png")
    assert "saved is missing" in refused(*arguments)
    assert "another model" in refused(*arguments, "--model", hyp_run.folder)
    moved = ("--model", tmp_path / "moved", "--space", "euclidean")
    assert run(*arguments, *moved) == 0
    lines = capsys.readouterr().out.splitlines()
    # Four images are all there are, and none is in a folder of a class.
    assert len(lines) == 5
    assert lines[1].split() == ["1", "0.0000", str(tmp_path / "0.png")]


def test_what_is_refused(model, photos, tmp_path, refused, digits_benchmark):
    output = tmp_path / "photos.npz"
    assert "expected a file .npz or .parquet" in refused(
        "embed", model, photos, "--output", tmp_path / "photos.csv"
    )
    assert "absent is missing" in refused("embed", model, "absent", "--output", output)
    assert "several runs" in refused("index", digits_benchmark, photos, "--output", output)
    assert "nowhere is missing" in refused("embed", "nowhere", photos, "--output", output)
    assert "-k: expected a whole number" in refused("find", output, photos, "-k", "0")
    assert "the device gpu cannot be used here" in refused(
        "embed", model, photos, "--output", output, "--device", "gpu"
    )
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(
        "embed", model, photos, "--output", tmp_path / "file" / "photos.npz"
    )
    assert not output.exists()


def test_what_is_passed_over_is_said_by_every_command(model, photo_paths, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photo_paths[0], folder)
    (folder / "b.heic").write_bytes(b"")
    note = f"note: {folder}: passed over 1 file: 1 .heic (such as b.heic)\n"
    for command in (
        ("embed", model, folder, "--output", tmp_path / "a.npz"),
        ("index", model, folder, "--output", tmp_path / "a.index"),
        ("find", tmp_path / "a.index", folder),
    ):
        assert run(*command) == 0
        assert capsys.readouterr().out.startswith(note)

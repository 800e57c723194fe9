"""An index is one checked file, and its search is exact."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pml_hyperbolic.embedder import Embedder, ImageIndex
from pml_hyperbolic.errors import InputError


@pytest.fixture(scope="session")
def embedder(digits_run):
    return Embedder.load(digits_run.folder, device="cpu")


@pytest.fixture
def index(embedder, digits_run):
    return ImageIndex.build(embedder, digits_run.images[:50], model="somewhere")


def test_found_after_saving(index, embedder, digits_run, tmp_path):
    index.save(tmp_path / "new" / "digits.index")
    again = ImageIndex.load(tmp_path / "new" / "digits.index")
    assert torch.equal(again.embeddings, index.embeddings)
    again.save(tmp_path / "again.index")
    assert (tmp_path / "again.index").read_bytes() == (
        tmp_path / "new" / "digits.index"
    ).read_bytes()
    assert (again.names, again.labels, again.places) == (index.names, index.labels, index.places)
    assert (again.layout, again.fingerprint, again.model) == (
        index.layout,
        index.fingerprint,
        "somewhere",
    )
    queries = digits_run.embeddings[40:60]
    for space, columns in embedder.spaces.items():
        expected = embedder.knn(space)(queries[:, columns], 5, index.embeddings[:, columns])
        for _ in range(2):
            found = again.search(queries, 5, space=space)
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])
    assert torch.equal(again.search(queries, 5)[1], again.search(queries, 5, space="hyperbolic")[1])
    again.check_model(embedder)


def test_another_model_is_refused(index, hyp_run):
    with pytest.raises(InputError, match=r"made with another model \(somewhere\)"):
        index.check_model(Embedder.load(hyp_run.folder, device="cpu"))


def test_places_of_files(timm_run, photos, photo_paths, tmp_path):
    index = ImageIndex.build(Embedder.load(timm_run.folder, device="cpu"), photos)
    index.save(tmp_path / "photos.index")
    again = ImageIndex.load(tmp_path / "photos.index")
    assert again.names == [str(path) for path in photo_paths]
    assert again.labels == [path.parent.name for path in photo_paths]
    assert again.places[0] == (str(photos), f"class0/{photo_paths[0].name}")


def test_damage_is_found(index, tmp_path):
    file = tmp_path / "digits.index"
    index.save(file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    (tmp_path / "flipped").write_bytes(bytes(content))
    (tmp_path / "cut").write_bytes(bytes(content[:-10]))
    (tmp_path / "text").write_text("no index")
    for name, message in (
        ("flipped", "does not have the checksum it records"),
        ("cut", "is damaged"),
        ("text", "is not an index of images"),
        ("absent", "absent is missing: make an index"),
    ):
        with pytest.raises(InputError, match=message):
            ImageIndex.load(tmp_path / name)


def test_other_files_of_safetensors_are_refused(index, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(InputError, match="other is not an index of images"):
        ImageIndex.load(tmp_path / "other")
    index.save(tmp_path / "digits.index")
    with safe_open(tmp_path / "digits.index", "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = json.dumps({**json.loads(header["pml_hyperbolic.ImageIndex"]), "version": 9})
    save_file(tensors, tmp_path / "newer", metadata={"pml_hyperbolic.ImageIndex": header})
    with pytest.raises(InputError, match="has version 9"):
        ImageIndex.load(tmp_path / "newer")


def test_where_nothing_can_be_written(index, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        index.save(tmp_path / "file" / "digits.index")


def test_refused_queries(index):
    with pytest.raises(ValueError, match=r"queries must be \(Q, 8\)"):
        index.search(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="k must be at most 50"):
        index.search(torch.zeros(2, 8), 51)


def test_a_moved_model_has_the_same_fingerprint(index, digits_run, tmp_path):
    shutil.copytree(digits_run.folder, tmp_path / "moved" / "fold0_seed0")
    index.check_model(Embedder.load(tmp_path / "moved" / "fold0_seed0"))

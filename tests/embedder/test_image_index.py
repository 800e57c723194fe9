"""An index is one checked file, and its search is exact."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pml_hyperbolic.embedder import Embedder, ImageIndex
from pml_hyperbolic.embedder.image_index import _checksum
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


def stored(index, **changes):
    """The parts of an index, as its file holds them."""
    index.save(file := changes.pop("file"))
    with safe_open(file, "pt") as opened:
        content = json.loads(bytes(opened.get_tensor("content").numpy()))
        embeddings = opened.get_tensor("embeddings")
    return {"embeddings": embeddings, **content, **changes}


def write(file, embeddings, text):
    """An index with the checksum of whatever is in it."""
    tensors = {"embeddings": embeddings, "content": torch.frombuffer(text, dtype=torch.uint8)}
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    header = json.dumps({"version": 1, "sha256": _checksum(tensors)})
    save_file(tensors, file, metadata={"pml_hyperbolic.ImageIndex": header})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings": torch.zeros(50, 3)}, "expected float32 of 8 columns"),
        ({"embeddings": torch.zeros(50, 8).long()}, "embeddings are torch.int64"),
        ({"embeddings": torch.full((50, 8), torch.nan)}, "must be at least one, and finite"),
        ({"embeddings": torch.zeros(49, 8)}, "do not belong together"),
        ({"names": ["a"]}, "do not belong together"),
        ({"names": None}, "NoneType"),
        ({"names": [3] * 50}, "is no text"),
        ({"labels": ["a"] * 49}, "do not belong together"),
        ({"labels": [[]] * 50}, "is no text"),
        ({"places": [["a", "b", "c"]] * 50}, "do not belong together"),
        ({"places": [["a", 3]] * 50}, "is no text"),
        ({"places": [3] * 50}, "not iterable"),
        ({"model": 3}, "is no text"),
        ({"spaces": {"euclidean": 8}}, "a hyperbolic space and its geometry come together"),
        ({"spaces": {"euclidean": -8, "hyperbolic": 16}}, "a dimension of at least 1"),
        ({"spaces": 8}, "TypeError"),
        ({"geometry": {"PoincareDistance": {"c": -1}}}, "curvature c must be"),
        ({"geometry": {"os.system": {}}}, "a geometry is"),
    ],
)
def test_a_foreign_index_with_its_own_checksum_is_refused(index, tmp_path, changes, message):
    content = stored(index, file=tmp_path / "a.index", **changes)
    embeddings = content.pop("embeddings")
    write(tmp_path / "b.index", embeddings, bytearray(json.dumps(content).encode()))
    with pytest.raises(InputError, match=rf"b.index does not hold what an index .*({message})"):
        ImageIndex.load(tmp_path / "b.index")


@pytest.mark.parametrize("text", [b"{}", b"no JSON", b"[" * 100_000, b"\xff\xfe"])
def test_a_foreign_index_of_other_text_is_refused(tmp_path, text):
    write(tmp_path / "b.index", torch.zeros(1, 8), bytearray(text))
    with pytest.raises(InputError, match=r"b.index does not hold what an index holds .*: make the"):
        ImageIndex.load(tmp_path / "b.index")

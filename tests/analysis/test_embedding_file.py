"""Files of embeddings: what is read, and what is refused by name."""

import math
import pickle

import numpy as np
import pytest
import torch

from pml_hyperbolic.analysis.embedding_file import read_embeddings
from pml_hyperbolic.errors import InputError

ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
CONTENT = {
    "embeddings": ROWS,
    "labels": np.array([0, 0, 1, 1, 2, 2]),
    "proxies": ROWS[:2],
    "superclasses": np.array([0, 0, 0, 0, 1, 1]),
    "class_names": np.array(["a", "b", "c"]),
    "paths": np.array([f"{n}.png" for n in range(6)]),
    "c": 0.5,
    "clip_radius": 1.5,
    "inputs": "tangent",
}


@pytest.fixture
def write(tmp_path):
    def write(name="file.npz", **changes):
        content = {k: v for k, v in {**CONTENT, **changes}.items() if v is not None}
        path = tmp_path / name
        if path.suffix == ".npz":
            np.savez(path, **content)
        else:
            plain = (int, float, str, list)
            tensors = {
                k: v
                if isinstance(v, plain)
                else v.tolist()
                if v.dtype.kind == "U"
                else torch.from_numpy(v)
                for k, v in content.items()
            }
            torch.save(tensors, path)
        return path

    return write


@pytest.mark.parametrize("name", ["file.npz", "file.pt"])
def test_everything_in_a_file_is_read(write, name):
    file = read_embeddings(write(name))
    np.testing.assert_array_equal(file.embeddings, ROWS)
    np.testing.assert_array_equal(file.proxies, ROWS[:2])
    assert file.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert file.superclasses.tolist() == [0, 0, 0, 0, 1, 1]
    assert file.class_names == ("a", "b", "c")
    assert file.paths[5] == "5.png"
    assert (file.distance.c, file.distance.clip_radius, file.distance.inputs) == (
        0.5,
        1.5,
        "tangent",
    )


def test_a_file_without_a_geometry_is_euclidean(tmp_path):
    np.savez(tmp_path / "a.npz", embeddings=ROWS)
    file = read_embeddings(tmp_path / "a.npz")
    assert file.distance is None
    assert file.labels is None
    assert file.proxies is None
    assert file.class_names == ()


def test_the_default_clip_may_be_named(write):
    assert read_embeddings(write(clip="hard")).distance.c == 0.5


def test_arguments_complete_the_geometry(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, embeddings=ROWS / 100)
    assert read_embeddings(path, c=0.1).distance.clip_radius == 2.3
    assert read_embeddings(path, c=0.1, clip_radius=math.inf).distance.clip_radius is None
    assert read_embeddings(path, c=0.1, inputs="ball").distance.clip_radius is None
    distance = read_embeddings(path, c=0.1, inputs="ball", clip_radius=2.3).distance
    assert (distance.inputs, distance.clip_radius) == ("ball", 2.3)


def test_a_pair_and_a_second_file_of_proxies(tmp_path):
    torch.save((torch.from_numpy(ROWS), torch.arange(6)), tmp_path / "train.pt")
    torch.save((torch.from_numpy(ROWS[:2]), torch.zeros(2).long()), tmp_path / "proxies.pt")
    file = read_embeddings(tmp_path / "train.pt", proxies=tmp_path / "proxies.pt", c=0.1)
    assert file.labels.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(file.proxies, ROWS[:2])


def test_the_files_of_hiers_authors_are_read(hier_cars):
    file = read_embeddings(
        hier_cars / "cars_examples_train.pt",
        proxies=hier_cars / "cars_examples_lca.pt",
        c=0.1,
        inputs="ball",
    )
    assert file.embeddings.shape == (8054, 128)
    assert file.proxies.shape == (256, 128)
    assert len(np.unique(file.labels)) == 98


@pytest.mark.parametrize("name", ["file.npz", "file.pt"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings": None}, "no array named 'embeddings'"),
        ({"embeddings": ROWS[0]}, r"embeddings must have shape \(N, D\)"),
        ({"embeddings": np.full((6, 3), np.nan)}, "6 of the 6 embeddings contain NaN"),
        ({"labels": np.arange(5)}, r"labels must have shape \(6,\)"),
        ({"labels": np.ones(6)}, "labels must be integers"),
        ({"labels": np.arange(6)}, "labels from 0 to 5 for 3 class names"),
        ({"proxies": ROWS[:, :2]}, "proxies must have 3 columns"),
        ({"superclasses": np.arange(2)}, "superclasses must have shape"),
        ({"paths": np.array(["one"])}, "1 paths for 6 embeddings"),
        ({"class_names": np.arange(3)}, "class_names must be a list of texts"),
        ({"c": -1.0}, "curvature"),
        ({"clip": "nonsense"}, "clip"),
        ({"c": None}, "clip_radius and inputs given without c"),
        ({"c": np.ones(2)}, "c must be one value"),
        ({"inputs": "sphere"}, 'inputs must be "tangent" or "ball"'),
        ({"inputs": "ball", "embeddings": 10 * ROWS}, "embeddings: inputs=.ball. needs points"),
        ({"inputs": "ball", "embeddings": ROWS / 9, "proxies": 9 * ROWS}, "proxies: inputs="),
    ],
)
def test_wrong_content_is_refused_by_name(write, name, changes, message):
    path = write(name, **changes)
    with pytest.raises(InputError, match=message) as refusal:
        read_embeddings(path)
    assert str(path) in str(refusal.value)


def test_arguments_that_contradict_the_file_are_refused(write):
    with pytest.raises(InputError, match=r"says c = 0.5, got c = 0.1"):
        read_embeddings(write(), c=0.1)
    with pytest.raises(InputError, match="proxies of its own"):
        read_embeddings(write(), proxies="other.pt")


def test_texts_in_place_of_numbers_are_refused(write):
    with pytest.raises(InputError, match="embeddings must be an array of numbers, got <U1 array"):
        read_embeddings(write(embeddings=np.array([["a"]])))


class Danger:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"embeddings": Danger()}))
    torch.save({"embeddings": Danger()}, tmp_path / "b.pt")
    np.savez(tmp_path / "c.npz", embeddings=np.array([Danger()], dtype=object))
    for name in ("a.pt", "b.pt", "c.npz"):
        with pytest.raises(InputError, match="cannot be read"):
            read_embeddings(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["file.npz", "file.pt"])
def test_damaged_files_are_refused(write, name):
    path = write(name)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read"):
        read_embeddings(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(InputError, match=r"neither .npz nor .pt"):
        read_embeddings(tmp_path / "a.csv")
    with pytest.raises(InputError, match="there is no file"):
        read_embeddings(tmp_path / "b.npz")
    torch.save(torch.ones(2), tmp_path / "c.pt")
    with pytest.raises(InputError, match="holds a Tensor: expected embeddings"):
        read_embeddings(tmp_path / "c.pt")

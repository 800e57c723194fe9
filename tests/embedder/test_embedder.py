"""A trained model gives the embeddings of its run, whatever form images come in."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_metric_learning.distances import CosineSimilarity

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.embedder import CosineKNN, Embedder
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.functional import poincare_cdist
from pml_hyperbolic.utils.retrieval import PoincareKNN

RUNS = ("digits_run", "hyp_run", "timm_run", "features_run")


@pytest.fixture(params=RUNS)
def run(request):
    return request.getfixturevalue(request.param)


def test_embeddings_are_those_of_the_run(run):
    embedder = Embedder.load(run.folder, device="cpu")
    embeddings = embedder.embed(run.images)
    assert embeddings.dtype == torch.float32
    assert torch.equal(embeddings, run.embeddings)


def test_a_saved_model_gives_the_same_embeddings(run, tmp_path):
    embedder = Embedder.load(run.folder, device="cpu")
    embedder.save_pretrained(tmp_path / "model")
    saved = Embedder.from_pretrained(tmp_path / "model", device="cpu")
    assert torch.equal(saved.embed(run.images), run.embeddings)
    assert saved.fingerprint() == embedder.fingerprint()
    assert saved.description == embedder.description
    # A copy of a copy is as good.
    saved.save_pretrained(tmp_path / "again")
    for name in ("config.json", "README.md", "model.safetensors"):
        first, second = (tmp_path / folder / name for folder in ("model", "again"))
        assert first.read_bytes() == second.read_bytes()


PROGRAM = """
import importlib.abc, sys
import numpy as np, torch

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        first, _, rest = name.partition(".")
        if first in {absent} or name.startswith("pml_hyperbolic.benchmark"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
torch.set_num_threads(1)
from pml_hyperbolic.embedder import Embedder

embedder = Embedder.from_pretrained({model!r}, device="cpu")
np.save({output!r}, embedder.embed({images!r}).numpy())
"""


@pytest.mark.filterwarnings("default")
def test_another_process_without_the_benchmark_or_a_cache(timm_run, tmp_path):
    Embedder.load(timm_run.folder).save_pretrained(tmp_path / "first")
    shutil.move(tmp_path / "first", tmp_path / "elsewhere")
    absent = {"optuna", "pydantic", "record_keeper", "tensorboard", "matplotlib"}
    program = PROGRAM.format(
        absent=absent,
        model=str(tmp_path / "elsewhere"),
        images=[str(path) for path in timm_run.images],
        output=str(tmp_path / "out.npy"),
    )
    # No folder can be made below a file, not even by root.
    nowhere = {"HOME", "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME", "PML_HYPERBOLIC_CACHE"}
    environment = {**os.environ, **dict.fromkeys(nowhere, os.devnull + "/x")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "out.npy"), timm_run.embeddings.numpy())


@pytest.mark.parametrize("name", ["digits_run", "timm_run", "features_run"])
def test_bfloat16_is_close(name, request):
    run = request.getfixturevalue(name)
    embedder = Embedder.load(run.folder, device="cpu")
    half = embedder.embed(run.images, precision="bfloat16")
    assert half.dtype == torch.float32
    assert not torch.equal(half, run.embeddings)
    error = (half - run.embeddings).norm(dim=1) / run.embeddings.norm(dim=1)
    assert error.max() < 0.05


def test_batch_size_and_form_do_not_matter(digits_run):
    embedder = Embedder.load(digits_run.folder, device="cpu")
    arrays = digits_run.images[:7]
    expected = digits_run.embeddings[:7]
    tensors = [torch.from_numpy(array)[None] for array in arrays]
    forms = {
        "arrays": arrays,
        "one channel": [array[..., None] for array in arrays],
        "colours": [np.stack([array] * 3, -1) for array in arrays],
        "one array": np.stack(arrays)[..., None],
        "tensors": tensors,
        "floats": [tensor / 255 for tensor in tensors],
        "one tensor": torch.stack(tensors),
        "PIL": [Image.fromarray(array) for array in arrays],
        "mixed": [arrays[0], [tensors[1], torch.stack(tensors[2:])]],
        "iterator": iter(arrays),
    }
    for name, images in forms.items():
        for size in (1, 3, None):
            images = list(images) if name == "iterator" else images
            embeddings = embedder.embed(images, batch_size=size)
            assert torch.allclose(embeddings, expected, atol=1e-5), name
    assert torch.allclose(embedder.embed(arrays[0]), expected[:1], atol=1e-5)


def test_photos_from_paths_folders_zips_and_memory(timm_run, photos, photo_paths, pack, tmp_path):
    embedder = Embedder.load(timm_run.folder, device="cpu")
    by_path = embedder.embed(photo_paths)
    assert torch.allclose(embedder.embed(photos), by_path, atol=1e-5)
    assert torch.allclose(embedder.embed(str(photos)), by_path, atol=1e-5)
    in_memory = []
    for path in photo_paths:
        with Image.open(path) as image:
            image.load()
            in_memory.append(image)
    assert torch.allclose(embedder.embed(in_memory), by_path, atol=1e-5)
    shutil.copytree(photos, tmp_path / "photos")
    assert torch.allclose(embedder.embed(pack(tmp_path / "photos")), by_path, atol=1e-5)


def test_spaces_are_columns_with_their_own_geometry(digits_run):
    embedder = Embedder.load(digits_run.folder, device="cpu")
    assert embedder.spaces == {"euclidean": slice(0, 4), "hyperbolic": slice(4, 8)}
    for name, columns in embedder.spaces.items():
        part = embedder.embed(digits_run.images, space=name)
        assert torch.equal(part, digits_run.embeddings[:, columns])
    distance = embedder.distance("hyperbolic")
    assert type(distance) is PoincareSimilarity
    assert (distance.c, distance.clip_radius, distance.inputs) == (0.2, 2.0, "tangent")
    assert type(embedder.distance("euclidean")) is CosineSimilarity
    with pytest.raises(InputError, match="spaces euclidean and hyperbolic: name one"):
        embedder.distance()
    with pytest.raises(InputError, match="no space 'hyperbola': did you mean 'hyperbolic'"):
        embedder.embed(digits_run.images, space="hyperbola")


def test_search_is_exact_in_each_space(digits_run):
    embedder = Embedder.load(digits_run.folder, device="cpu")
    euclidean, hyperbolic = (
        digits_run.embeddings[:, columns].double() for columns in embedder.spaces.values()
    )
    unit = torch.nn.functional.normalize(euclidean)
    points = embedder.distance("hyperbolic").to_ball(hyperbolic)
    slow = {
        "euclidean": (CosineKNN, euclidean, 1 - unit @ unit.T),
        "hyperbolic": (PoincareKNN, hyperbolic, poincare_cdist(points, points, c=0.2)),
    }
    for name, (kind, rows, distances) in slow.items():
        knn = embedder.knn(name)
        assert type(knn) is kind
        found, indices = knn(rows, 5, rows, ref_includes_query=True)
        distances.fill_diagonal_(torch.inf)
        assert torch.allclose(found, distances.sort(dim=1).values[:, :5], atol=1e-7)
        assert torch.allclose(distances.gather(1, indices), found, atol=1e-7)


def test_the_only_space_needs_no_name(hyp_run):
    embedder = Embedder.load(hyp_run.folder, device="cpu")
    assert type(embedder.distance()) is PoincareDistance
    assert embedder.geometry == {
        "PoincareDistance": {"c": 0.2, "clip_radius": 2.0, "inputs": "tangent"}
    }
    assert isinstance(embedder.knn(), PoincareKNN)
    assert torch.equal(embedder.embed(hyp_run.images, space="hyperbolic"), hyp_run.embeddings)


def test_nothing_of_the_callers_is_changed(timm_run):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    embedder = Embedder.load(timm_run.folder, device="cpu")
    assert not embedder.training
    embedder.train()
    assert torch.equal(embedder.embed(timm_run.images), timm_run.embeddings)
    assert embedder.training
    assert torch.equal(torch.rand(3), expected)


def test_a_module_like_any_other(timm_run):
    embedder = Embedder.load(timm_run.folder, device="cpu")
    inputs = torch.rand(2, 3, 40, 40)
    embedder(inputs).sum().backward()
    assert all(p.grad is not None for p in embedder.parameters())
    assert embedder.to("cpu").device == torch.device("cpu")


def test_features_in_every_form(features_run, tmp_path):
    embedder = Embedder.load(features_run.folder, device="cpu")
    features = torch.stack(features_run.images)
    file = tmp_path / "features.pt"
    torch.save({"features": features.double()}, file)
    for given in (features, features.numpy(), file, [str(file)], [features[:3], *features[3:]]):
        assert torch.allclose(embedder.embed(given), features_run.embeddings, atol=1e-6)
    with pytest.raises(InputError, match="takes features of 12 dimensions, got 11"):
        embedder.embed(features[:, 1:])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "there are no images"),
        ([np.zeros((8, 8), np.uint8), np.zeros((9, 8), np.uint8)], r"image 1 is 9 x 8, image 0 is"),
        (np.zeros((8, 8)), "image is an array of float64 of shape"),
        (np.zeros((3, 8, 8), np.uint8), "must be torch tensors"),
        (torch.full((1, 8, 8), 2.0), r"outside \[0, 1\]"),
        ("nowhere.png", "nowhere.png is missing"),
    ],
)
def test_what_is_refused(digits_run, images, message):
    embedder = Embedder.load(digits_run.folder, device="cpu")
    with pytest.raises(InputError, match=message):
        embedder.embed(images)


def test_a_damaged_image_is_named(timm_run, photo_paths, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo_paths[2].read_bytes()[:300])
    embedder = Embedder.load(timm_run.folder, device="cpu")
    with pytest.raises(InputError, match=r"broken\.jpg cannot be read as an image"):
        embedder.embed([photo_paths[0], broken])


def test_refused_options(digits_run):
    embedder = Embedder.load(digits_run.folder, device="cpu")
    with pytest.raises(InputError, match="float32 or bfloat16, got 'half'"):
        embedder.embed(digits_run.images, precision="half")
    with pytest.raises(ValueError, match="batch_size >= 1, got 0"):
        embedder.embed(digits_run.images, batch_size=0)


def test_an_embedding_that_is_not_finite_is_named(digits_run):
    embedder = Embedder.load(digits_run.folder, device="cpu")
    with torch.no_grad():
        embedder.head.euclidean[1].bias[0] = torch.nan
    with pytest.raises(InputError, match="the embedding of image 0 is not finite"):
        embedder.embed(digits_run.images)


def test_progress_is_shown_when_asked_for(digits_run, capsys):
    embedder = Embedder.load(digits_run.folder, device="cpu")
    embedder.embed(digits_run.images[:3])
    assert capsys.readouterr().err == ""
    embedder.embed(digits_run.images[:3], progress=True)
    assert "3/3" in capsys.readouterr().err

"""A run on features of a frozen trunk gives a model of images: the trunk and the head."""

import shutil

import pytest
import torch

from pml_hyperbolic.embedder import Embedder
from pml_hyperbolic.errors import InputError


def test_the_model_embeds_images_as_the_run_did(frozen_run, tmp_path):
    embedder = Embedder.load(frozen_run.folder, device="cpu")
    embeddings = embedder.embed(frozen_run.images)
    # The run's features were computed in batches of all images, not of the test images.
    assert torch.allclose(embeddings, frozen_run.embeddings, atol=1e-5)
    assert embeddings.std() > 0.01
    assert sum(p.numel() for p in embedder.trunk.parameters()) > 100_000
    assert not embedder.description.takes_features
    assert embedder.description.origin == (
        "test_resnet.r160_in1k, not trained further, with the file frozen.pth"
    )
    embedder.save_pretrained(tmp_path / "model")
    saved = Embedder.from_pretrained(tmp_path / "model", device="cpu")
    assert torch.equal(saved.embed(frozen_run.images), embeddings)


@pytest.fixture
def copy(frozen_run, tmp_path):
    """A copy of the benchmark's folder to damage; returns the file of the trunk and the run."""
    results = shutil.copytree(frozen_run.folder.parents[1], tmp_path / "runs")
    return results / "frozen_trunk.pt", results / "hyp" / "fold0_seed0"


def test_a_missing_trunk_is_named(copy):
    file, run = copy
    file.unlink()
    with pytest.raises(InputError, match=r"frozen_trunk\.pt is missing: the runs of a frozen"):
        Embedder.load(run)


def test_a_damaged_trunk_is_named(copy):
    file, run = copy
    content = torch.load(file)
    content["weights"]["model.bn1.weight"][0] += 1
    torch.save(content, file)
    with pytest.raises(InputError, match=r"frozen_trunk\.pt .*its checksum is wrong"):
        Embedder.load(run)
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"frozen_trunk\.pt does not hold the weights"):
        Embedder.load(run)

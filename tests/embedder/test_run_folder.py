"""A run's folder is read whole, and what does not belong together is refused by name."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from pml_hyperbolic.checked_files import (
    read_checked_json,
    write_checked_json,
    write_checked_text,
)
from pml_hyperbolic.embedder import Embedder
from pml_hyperbolic.errors import InputError


@pytest.fixture
def copy(digits_run, tmp_path):
    """A copy of a run to damage, beside no other run."""
    return shutil.copytree(digits_run.folder, tmp_path / "chest" / "fold0_seed0")


def edit_yaml(file, change):
    content = yaml.safe_load(file.read_text())
    change(content)
    write_checked_text(file, yaml.safe_dump(content))


def edit_json(file, change):
    content = read_checked_json(file)
    change(content)
    write_checked_json(file, content)


@pytest.mark.parametrize("name", ["config.yaml", "checkpoint.pt", "result.json"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"lacks {name}, so it is not that of a finished run"):
        Embedder.load(copy)


@pytest.mark.parametrize("name", ["config.yaml", "checkpoint.pt", "result.json"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[:50], lambda content: b"nothing here" * 20]
)
def test_a_damaged_file_is_named(copy, name, damage):
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    with pytest.raises(InputError, match=name):
        Embedder.load(copy)


def test_a_pickle_is_not_executed(copy):
    class Harmful:
        def __reduce__(self):
            return print, ("executed",)

    torch.save({"models": {"trunk": Harmful(), "embedder": {}}, "epoch": 1}, copy / "checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint\.pt is not the checkpoint of a run"):
        Embedder.load(copy)


def test_files_of_another_run_are_refused(copy, digits_benchmark, hyp_run):
    other = digits_benchmark / "chest" / "fold0_seed1" / "result.json"
    kept = (copy / "result.json").read_text()
    (copy / "result.json").write_text(other.read_text())
    with pytest.raises(InputError, match="are of different runs, seed is 0 and 1"):
        Embedder.load(copy)
    (copy / "result.json").write_text(kept)
    shutil.copy(hyp_run.folder / "checkpoint.pt", copy)
    with pytest.raises(InputError, match="the weights do not fit the architecture"):
        Embedder.load(copy)


def test_a_checkpoint_of_another_epoch_is_refused(copy):
    checkpoint = torch.load(copy / "checkpoint.pt", weights_only=True)
    torch.save({**checkpoint, "epoch": 7}, copy / "checkpoint.pt")
    with pytest.raises(InputError, match=r"its epoch is 7 and result\.json selected epoch 1"):
        Embedder.load(copy)


def test_a_benchmark_is_not_a_run(digits_benchmark, tmp_path):
    with pytest.raises(InputError, match=r"holds several runs: name one of them, such as .*fold0_"):
        Embedder.load(digits_benchmark)
    with pytest.raises(InputError, match="several runs"):
        Embedder.load(digits_benchmark / "chest")
    with pytest.raises(InputError, match=r"lacks config\.yaml and checkpoint\.pt and result\.json"):
        Embedder.load(tmp_path)
    with pytest.raises(InputError, match="nowhere is missing"):
        Embedder.load(tmp_path / "nowhere")


def test_an_unknown_backbone_is_refused(copy):
    edit_yaml(copy / "config.yaml", lambda c: c["protocol"].update(backbone={"small_con": {}}))
    with pytest.raises(InputError, match="no backbone 'small_con': did you mean 'small_conv'"):
        Embedder.load(copy)


def test_an_unknown_geometry_is_refused(copy):
    def change(rows):
        rows[1]["geometry"]["torsion"] = 1

    edit_json(copy / "result.json", change)
    with pytest.raises(InputError, match="the geometry PoincareSimilarity does not work here"):
        Embedder.load(copy)


def test_data_that_resize_their_images_when_they_read_them(copy):
    edit_yaml(copy / "config.yaml", lambda c: c["protocol"].update(data={"omniglot": {"size": 8}}))
    embedder = Embedder.load(copy, device="cpu")
    assert embedder.preprocessing.stored_size == 8
    large = np.full((20, 30), 77, np.uint8)
    small = np.full((8, 8), 77, np.uint8)
    assert torch.equal(embedder.embed(large), embedder.embed(small))


def test_what_is_known_of_the_model(timm_run):
    description = Embedder.load(timm_run.folder, device="cpu").description
    assert description.origin == ("test_resnet.r160_in1k, fine-tuned from the file weights.pth")
    assert "pretrained" not in description.backbone["timm"]
    preprocessing = description.preprocessing
    # What timm publishes for these weights.
    assert preprocessing.mean == preprocessing.std == [0.5, 0.5, 0.5]
    assert (preprocessing.size, preprocessing.short_side) == (40, 48)
    assert preprocessing.interpolation == "bicubic"
    # Where the data lay is no business of whoever gets the model.
    assert description.run["protocol"]["data"] == {"image_folder": {}}
    assert str(timm_run.folder) not in json.dumps(description.to_json())


def test_a_head_without_layer_norm_gives_the_runs_embeddings(plain_run, tmp_path):
    embedder = Embedder.load(plain_run.folder)
    embedder.save_pretrained(tmp_path / "model")
    for model in (embedder, Embedder.from_pretrained(tmp_path / "model")):
        found = torch.as_tensor(model.embed(plain_run.images))
        torch.testing.assert_close(found, plain_run.embeddings.float(), rtol=0, atol=1e-6)

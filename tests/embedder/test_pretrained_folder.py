"""A saved model is checked part by part, and read from the hub without a network in tests."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from pml_hyperbolic.embedder import Embedder
from pml_hyperbolic.errors import InputError


@pytest.fixture(scope="session")
def saved_once(digits_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    Embedder.load(digits_run.folder, device="cpu").save_pretrained(folder)
    return folder


@pytest.fixture
def saved(saved_once, tmp_path):
    """A saved model to damage."""
    return shutil.copytree(saved_once, tmp_path / "model")


def read(folder):
    return json.loads((folder / "config.json").read_text())


def test_the_folder_holds_three_readable_files(saved, digits_run):
    assert sorted(path.name for path in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    content = read(saved)
    assert content["architecture"]["backbone"]["small_conv"]["width"] == 4
    assert content["geometry"] == {
        "PoincareSimilarity": {"c": 0.2, "clip_radius": 2.0, "inputs": "tangent"}
    }
    result = json.loads((digits_run.folder / "result.json").read_text())
    assert content["run"]["protocol_hash"] == result[0]["protocol_hash"]
    assert content["scores"]["run"]["hyperbolic"]["test"] == result[1]["test"]
    weights = load_file(saved / "model.safetensors")
    assert {name.partition(".")[0] for name in weights} == {"trunk", "head"}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(InputError, match=f"lacks {name}"):
        Embedder.from_pretrained(saved)


def test_the_model_card_may_be_edited_or_missing(saved):
    (saved / "README.md").unlink()
    Embedder.from_pretrained(saved, device="cpu")


def test_damaged_weights_are_named(saved):
    file = saved / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"model\.safetensors does not have the checksum"):
        Embedder.from_pretrained(saved)


def test_weights_of_another_model_are_named(saved, hyp_run, tmp_path):
    Embedder.load(hyp_run.folder).save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", saved)
    with pytest.raises(InputError, match="damaged or of another model"):
        Embedder.from_pretrained(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["geometry"]["PoincareSimilarity"].update(c=0.3), "its own checksum"),
        (lambda c: c["preprocessing"].update(mean=0.4), "its own checksum"),
        (lambda c: c.pop("sha256"), "lacks its checksums"),
        (lambda c: c.update(version=2), "has version 2, this version of pml_hyperbolic reads 1"),
        (lambda c: c.update(format="bert"), "does not describe a model of pml_hyperbolic"),
    ],
)
def test_an_edited_description_is_refused(saved, change, message):
    content = read(saved)
    change(content)
    (saved / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"config.json.* {message}"):
        Embedder.from_pretrained(saved)


def test_white_space_and_order_of_the_description_do_not_count(saved):
    content = dict(reversed(read(saved).items()))
    (saved / "config.json").write_text(json.dumps(content))
    Embedder.from_pretrained(saved, device="cpu")


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_description_that_is_none(saved, text):
    (saved / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        Embedder.from_pretrained(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("preprocessing"), "preprocessing must be an object, got None"),
        (lambda c: c["preprocessing"].update(colour=1), "unexpected keyword argument 'colour'"),
        (lambda c: c["preprocessing"].update(size=8), "needs both size and short_side"),
        (lambda c: c.update(batch_size=True), "batch_size must be a whole number"),
        (lambda c: c.update(geometry=None), "a hyperbolic space and its geometry come together"),
        (lambda c: c["architecture"].update(spaces={"flat": 8}), "the spaces of an embedding are"),
        (
            lambda c: c["architecture"].update(backbone={"timm": {"model": "hf-hub:a/b"}}),
            "the backbone timm cannot be built here",
        ),
        (
            lambda c: c["architecture"].update(
                backbone={"timm": {"model": "test_vit", "weights": "x.pth", "pretrained": True}}
            ),
            "must be arguments without weights",
        ),
        (
            lambda c: c["architecture"]["backbone"]["small_conv"].update(width="wide"),
            "small_conv cannot be built here",
        ),
    ],
)
def test_a_foreign_description_is_refused(saved, change, message, resign):
    content = read(saved)
    change(content)
    resign(saved, content)
    with pytest.raises(InputError, match=message):
        Embedder.from_pretrained(saved)


@pytest.fixture
def resign():
    """A function that writes a description with the right checksum, as a stranger could."""
    from pml_hyperbolic.embedder.pretrained_folder import _content_checksum

    def write(folder, content):
        content["sha256"]["config.json"] = _content_checksum(content)
        (folder / "config.json").write_text(json.dumps(content))

    return write


def test_weights_that_do_not_fit_are_refused(saved, resign):
    weights = load_file(saved / "model.safetensors")
    save_file({**weights, "extra": torch.zeros(1)}, saved / "model.safetensors")
    from pml_hyperbolic.checked_files import file_checksum

    content = read(saved)
    content["sha256"]["model.safetensors"] = file_checksum(saved / "model.safetensors")
    resign(saved, content)
    with pytest.raises(InputError, match="the weights do not fit the architecture"):
        Embedder.from_pretrained(saved)


def test_a_name_on_the_hub(saved, digits_run, monkeypatch):
    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    embedder = Embedder.from_pretrained("someone/birds", revision="v1", device="cpu")
    assert torch.equal(embedder.embed(digits_run.images), digits_run.embeddings)
    assert asked == {
        "name": "someone/birds",
        "revision": "v1",
        "allow_patterns": ["config.json", "model.safetensors"],
    }


def test_a_name_that_is_neither_a_folder_nor_on_the_hub(monkeypatch, tmp_path):
    def download(name, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(InputError, match=r"neither a folder here nor .* \(no network\)"):
        Embedder.from_pretrained("someone/birds")
    with pytest.raises(InputError, match="absent is missing: give the folder of a saved model"):
        Embedder.from_pretrained(tmp_path / "absent")


def test_a_folder_that_cannot_be_made(digits_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        Embedder.load(digits_run.folder).save_pretrained(tmp_path / "file" / "model")

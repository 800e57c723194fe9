"""The card says what a model is, how it was scored and what it cannot do."""

import dataclasses
import re

import pytest
import yaml

from pml_hyperbolic.embedder import Embedder
from pml_hyperbolic.embedder.model_card import model_card


def test_every_part_is_there(digits_run):
    card = model_card(Embedder.load(digits_run.folder).description)
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "pml_hyperbolic"
    parts = ["Use", "Data", "Protocol", "Scores", "Verdict", "Limits"]
    assert re.findall(r"^## (.*)$", card, flags=re.M) == parts
    assert '"c": 0.2' in card
    assert "digits" in card
    assert "| **chest** | hyperbolic | 4 | 2 |" in card
    assert "proxy_anchor" in card
    assert "±" in card
    assert "against" in card
    assert "lie at the clip radius" in card


@pytest.mark.parametrize(
    ("clip", "saturation", "sentence"),
    [
        ("hard", 0.5, "50% of the validation embeddings lie at the clip radius."),
        ("smooth", 0.5, "50% of the validation embeddings lie within 1 % of the clip radius."),
        (
            "hard",
            1.0,
            "at the clip radius: the hyperbolic ranking of such embeddings is the cosine",
        ),
        ("smooth", 1.0, "such embeddings is close to the cosine ranking."),
    ],
)
def test_saturation_means_what_holds_for_the_clip(digits_run, clip, saturation, sentence):
    description = Embedder.load(digits_run.folder).description
    geometry = {"PoincareDistance": {"c": 0.2, "clip_radius": 2.0, "clip": clip}}
    changed = dataclasses.replace(
        description,
        layout=dataclasses.replace(description.layout, geometry=geometry),
        run={**description.run, "saturation": {"validation_saturation": saturation}},
    )
    assert sentence in model_card(changed)


def test_its_code_runs(digits_run, features_run, timm_run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import numpy as np

    np.savez("features.npz", features=np.stack([row.numpy() for row in features_run.images]))
    (tmp_path / "folder" / "of").mkdir(parents=True)
    (tmp_path / "folder" / "of" / "images").symlink_to(photos)
    for run in (features_run, timm_run):
        Embedder.load(run.folder, device="cpu").save_pretrained("FOLDER_OR_HUB_NAME")
        code = (tmp_path / "FOLDER_OR_HUB_NAME" / "README.md").read_text()
        (block,) = re.findall(r"```python\n(.*?)```", code, flags=re.S)
        scope = {}
        exec(block, scope)
        assert scope["indices"].shape == (len(scope["embeddings"]), 2)


def test_one_method_and_one_seed(timm_run):
    card = model_card(Embedder.load(timm_run.folder).description)
    assert "No other method was run" in card
    assert "short side to 48 (bicubic, antialiased), centre crop of 40" in card
    assert "licence of the backbone's published weights" in card
    assert "are not resized" not in card

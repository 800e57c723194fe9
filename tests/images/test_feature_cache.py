"""The cache of features: computed once, and again if its file is not what it should be."""

import numpy as np
import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.images import cached_features

SHAPE = (6, 3)
FEATURES = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def ask(folder):
    """Ask for features; returns them and whether they were computed."""

    def asked(features=FEATURES, **identity):
        computed = []

        def compute():
            computed.append(True)
            return features

        found = cached_features(
            compute, name="photos", identity={"weights": "a", **identity}, shape=features.shape
        )
        assert np.array_equal(found, features)
        assert found.dtype == np.float32
        return bool(computed)

    return asked


def files(folder):
    return sorted(folder.glob("*.npz"))


def test_features_are_computed_once(ask, folder, capsys):
    assert ask()
    assert not ask()
    assert len(files(folder)) == 1
    assert capsys.readouterr().err == ""


def test_other_weights_have_features_of_their_own(ask, folder):
    assert ask()
    assert ask(-FEATURES, weights="b")
    assert not ask()
    assert not ask(-FEATURES, weights="b")
    assert len(files(folder)) == 2


def other_key(file):
    """Features of something else under this name."""
    features = np.zeros(SHAPE, np.float32)
    np.savez(file, features=features, key=np.array("0" * 12))


DAMAGES = {
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:-40]),
    "one bit": lambda file: file.write_bytes(flipped(file.read_bytes())),
    "no archive": lambda file: file.write_bytes(b"nothing"),
    "empty": lambda file: file.write_bytes(b""),
    "of another": other_key,
    "another shape": lambda file: np.savez(file, features=FEATURES[:2], key=np.array("")),
    "another array": lambda file: np.savez(file, labels=FEATURES),
}


def flipped(content):
    place = content.index(FEATURES.tobytes()) + 7
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_or_foreign_file_is_replaced_with_one_line(ask, folder, capsys, damage):
    assert ask()
    (file,) = files(folder)
    damage(file)
    assert ask()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{file} cannot be used (" in said
    assert not ask()
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_made_is_an_error(ask, folder):
    folder.write_text("a file")
    with pytest.raises(InputError, match=r"features of photos cannot be kept in .*PML_HYPERBOLIC"):
        ask()

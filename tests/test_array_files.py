"""Files of arrays: what is in them, and those that would fill the memory."""

import pickle
import zipfile

import numpy as np
import pytest
import torch

from pml_hyperbolic import unpacked_size
from pml_hyperbolic.array_files import read_arrays
from pml_hyperbolic.file_kinds import UNREADABLE, why_unreadable

ARRAY = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def small_limit(monkeypatch):
    """No file is too small to be harmful."""
    monkeypatch.setattr(unpacked_size, "HARMLESS_SIZE", 100_000)


def test_arrays_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", x=ARRAY, y=np.array(["name"]), z=ARRAY)
    assert set(read_arrays(tmp_path / "a.npz")) == {"x", "y", "z"}
    found = read_arrays(tmp_path / "a.npz", ("x", "missing"))
    assert list(found) == ["x"]
    assert (found["x"] == ARRAY).all()


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_and_plain_data(tmp_path, zipped):
    content = {"x": torch.from_numpy(ARRAY), "more": [1, ("a", torch.ones(2))]}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read_arrays(tmp_path / "a.pt")
    assert torch.equal(found["x"], content["x"])
    assert found["more"][1][0] == "a"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_compresses_well_is_refused_only_if_it_is_large(tmp_path, save, monkeypatch):
    save(tmp_path / "a.npz", x=np.zeros(200_000))
    read_arrays(tmp_path / "a.npz")
    monkeypatch.setattr(unpacked_size, "HARMLESS_SIZE", 100_000)
    if save is np.savez:
        read_arrays(tmp_path / "a.npz")
        return
    with pytest.raises(ValueError, match=r"would unpack to 1,600,\d{3} bytes, out of proportion"):
        read_arrays(tmp_path / "a.npz")


def test_a_deflated_file_of_torch_is_refused(tmp_path, small_limit):
    torch.save({"x": torch.zeros(200_000)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as source,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as copy,
    ):
        for name in source.namelist():
            copy.writestr(name, source.read(name))
    assert read_arrays(tmp_path / "a.pt")["x"].shape == (200_000,)
    with pytest.raises(ValueError, match="out of proportion to its own"):
        read_arrays(tmp_path / "b.pt")


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"x": [x]}, lambda x: (1, x)])
def test_a_tensor_that_repeats_one_number_is_refused(tmp_path, small_limit, wrap):
    torch.save(wrap(torch.zeros(1).expand(1000, 1000)), tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 5000
    with pytest.raises(ValueError, match="would unpack to 4,000,000 bytes"):
        read_arrays(tmp_path / "a.pt")


@pytest.mark.parametrize("save", [np.savez_compressed, np.savez, torch.save])
def test_whatever_damage_raises_is_listed_as_unreadable(tmp_path, save):
    path = tmp_path / ("a.pt" if save is torch.save else "a.npz")
    values = np.random.default_rng(0).integers(0, 9, (40, 5)).astype(float)
    if save is torch.save:
        torch.save({"x": torch.from_numpy(values), "more": ["text", 3]}, path)
    else:
        save(path, x=values, names=np.array(["a", "b"]))
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for number in range(300):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[generator.integers(len(whole)) :]
        else:
            damaged[generator.integers(len(whole))] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            read_arrays(path)
        except UNREADABLE as error:
            refused += 1
            reason = why_unreadable(path, error)
            assert reason
            assert "\n" not in reason
            assert "weights_only" not in reason
    assert refused > 100


def test_no_code_is_run(tmp_path, capsys):
    class Danger:
        def __reduce__(self):
            return print, ("run",)

    (tmp_path / "a.pt").write_bytes(pickle.dumps(Danger()))
    np.savez(tmp_path / "a.npz", x=np.array([Danger()], dtype=object))
    for name in ("a.pt", "a.npz"):
        with pytest.raises(UNREADABLE):
            read_arrays(tmp_path / name)
    assert capsys.readouterr().out == ""

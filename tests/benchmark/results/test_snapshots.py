"""Snapshots and histograms of radii are read back, and refused in one line where they cannot be."""

import dataclasses

import numpy as np
import pytest

from pml_hyperbolic.benchmark.results.array_file import read_arrays, write_arrays
from pml_hyperbolic.benchmark.results.radii_by_epoch import RadiiByEpoch
from pml_hyperbolic.benchmark.results.snapshots import (
    Snapshots,
    radii_histograms,
    read_snapshots,
    write_radii,
    write_snapshots,
)
from pml_hyperbolic.errors import InputError


def embeddings(*shape):
    return np.arange(np.prod(shape), dtype=np.float16).reshape(shape)


SNAPSHOTS = Snapshots(
    epochs=(1, 4),
    selected=4,
    indices={"train": np.array([3, 5]), "test": np.array([8, 9, 11])},
    labels={"train": np.array([[0, 7], [1, 7]]), "test": np.array([[0, 1], [0, 1], [1, 1]])},
    embeddings={"train": embeddings(2, 2, 4), "test": embeddings(2, 3, 4)},
    proxies={"chest/hyperbolic": embeddings(2, 2, 2), "hierarchical": embeddings(2, 5, 4)},
    proxy_space={"chest/hyperbolic": "hyperbolic", "hierarchical": "hyperbolic"},
    proxy_labels={"chest/hyperbolic": np.array([0, 1]), "hierarchical": None},
)
RADII = RadiiByEpoch(
    epochs=(2, 4),
    edges={"hyperbolic": np.array([0.0, 1.0, 2.0])},
    counts={"hyperbolic": np.array([[3, 0], [1, 2]])},
    saturation={"hyperbolic": np.array([0.0, 0.5])},
)


def assert_equal(found, expected):
    for field in dataclasses.fields(expected):
        value, other = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_equal(value, other)


def test_snapshots_are_read_back(tmp_path):
    write_snapshots(tmp_path, SNAPSHOTS)
    found = read_snapshots(tmp_path)
    assert_equal(found, SNAPSHOTS)
    assert found.embeddings["train"].dtype == np.float16
    assert type(found.epochs[0]) is int


def test_radii_are_read_back(tmp_path):
    write_radii(tmp_path, RADII)
    assert_equal(radii_histograms(tmp_path), RADII)


def test_a_run_without_a_hyperbolic_space_has_no_radii(tmp_path):
    write_radii(tmp_path, RadiiByEpoch((), {}, {}, {}))
    assert_equal(radii_histograms(tmp_path), RadiiByEpoch((), {}, {}, {}))


def test_a_run_of_before(tmp_path):
    with pytest.raises(InputError, match=r"snapshots.npz: it was made before snapshots were kept "):
        read_snapshots(tmp_path)
    with pytest.raises(InputError, match=r"with keep_snapshots: false: run it again"):
        read_snapshots(tmp_path)
    with pytest.raises(InputError, match=r"radii.npz: it was made before .*: run it again"):
        radii_histograms(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"selected": np.array(2)}, "selected epoch 2 of epochs"),
        ({"epochs": np.array([4, 1])}, "selected epoch 4 of epochs"),
        ({"train/labels": np.zeros((3, 1), int)}, "train/labels has shape"),
        ({"test/embeddings": embeddings(1, 3, 4)}, "test/embeddings has shape"),
        ({"proxies/hierarchical": embeddings(2, 5)}, "proxies/hierarchical has shape"),
        ({"proxy_labels/chest/hyperbolic": np.arange(3)}, "proxy_labels/chest/hyperbolic has"),
        ({"test/indices": None}, "test/indices"),
        ({"proxy_space/hierarchical": None}, "proxy_space/hierarchical"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, change, reason):
    write_snapshots(tmp_path, SNAPSHOTS)
    file = tmp_path / "snapshots.npz"
    arrays = {**read_arrays(file), **change}
    write_arrays(file, {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=f"cannot be read .*{reason}.*remove .* run it again"):
        read_snapshots(tmp_path)


@pytest.mark.parametrize("read", [read_snapshots, radii_histograms])
def test_damaged_files_are_refused_in_one_line(tmp_path, read):
    write_snapshots(tmp_path, SNAPSHOTS)
    write_radii(tmp_path, RADII)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"npz cannot be read \(") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_radii_that_do_not_fit_are_refused(tmp_path):
    write_radii(tmp_path, dataclasses.replace(RADII, epochs=(1, 2, 3)))
    with pytest.raises(InputError, match="counts/hyperbolic has shape"):
        radii_histograms(tmp_path)

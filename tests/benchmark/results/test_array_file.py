"""Files of named arrays: equal bytes for equal arrays, and no pickles."""

import numpy as np
import pytest

from pml_hyperbolic.benchmark.results.array_file import read_arrays, write_arrays


def test_round_trip_in_equal_bytes(tmp_path):
    arrays = {"a/b": np.arange(6).reshape(2, 3), "word": np.array("hyperbolic")}
    for name in ("one", "two"):
        write_arrays(tmp_path / name, arrays)
    found = read_arrays(tmp_path / "one")
    assert list(found) == ["a/b", "word"]
    assert found["a/b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert str(found["word"]) == "hyperbolic"
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_pickled_objects_are_refused(tmp_path):
    write_arrays(tmp_path / "x", {"a": np.array([{}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(tmp_path / "x")

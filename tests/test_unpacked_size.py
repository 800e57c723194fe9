"""Limits of what a file may unpack to."""

import numpy as np
import pytest

from pml_hyperbolic import unpacked_size
from pml_hyperbolic.unpacked_size import check_ratio, check_unpacked_size


def test_a_stream_is_at_its_start_afterwards(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(6.0))
    (tmp_path / "b").write_bytes(b"no zip")
    for name in ("a.npz", "b"):
        with (tmp_path / name).open("rb") as file:
            file.read(3)
            check_unpacked_size(file)
            assert file.tell() == 0


def test_what_is_large_or_much_larger_than_its_file_is_read_but_not_what_is_both():
    check_ratio(unpacked_size.HARMLESS_SIZE, 1)
    check_ratio(10**12, 10**10)
    with pytest.raises(ValueError, match=r"unpack to 1,000,000,000,001 bytes, .* 10,000,000,000;"):
        check_ratio(10**12 + 1, 10**10)

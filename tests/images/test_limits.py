"""Limits of images, files and archives."""

import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.images.limits import (
    MEGAPIXELS_VARIABLE,
    UnpackedSize,
    check_file_size,
    check_image_size,
    largest_image,
)


def test_the_limit_is_set_by_a_variable(monkeypatch):
    assert largest_image() == 50_000_000
    monkeypatch.setenv(MEGAPIXELS_VARIABLE, "0.5")
    assert largest_image() == 500_000
    monkeypatch.setenv(MEGAPIXELS_VARIABLE, "")
    assert largest_image() == 50_000_000


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan", "inf"])
def test_other_values_are_refused(monkeypatch, text):
    monkeypatch.setenv(MEGAPIXELS_VARIABLE, text)
    with pytest.raises(InputError, match=f"MAX_MEGAPIXELS is '{text}': expected a positive number"):
        largest_image()


def test_images_and_files(monkeypatch):
    monkeypatch.setenv(MEGAPIXELS_VARIABLE, "0.5")
    check_image_size("x", 1000, 500)
    with pytest.raises(InputError, match=r"^x has 1,000 x 501 pixels, 1 megapixels, and the limit"):
        check_image_size("x", 1000, 501)
    largest = 8 * 500_000 + 2**20
    check_file_size("x", largest)
    with pytest.raises(InputError, match=r"^x has 5,048,577 bytes, and an image of 0.5 megapixels"):
        check_file_size("x", largest + 1)


def test_what_an_archive_unpacks_to(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"x" * 1000)
    unpacked = UnpackedSize(tmp_path / "a.tar", space=100_000)
    for _ in range(23):
        # Even an empty file takes a block.
        unpacked.add(0)
    with pytest.raises(InputError, match=r"a.tar unpacks to more than the 95,000 bytes that there"):
        unpacked.add(1)
    with pytest.raises(InputError, match=r"more than 1,073,741,824 bytes, which is out of propor"):
        UnpackedSize(tmp_path / "a.tar", space=2**50).add(2**30 + 1)

"""Files are known by their first bytes, whatever they are called."""

import errno
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from pml_hyperbolic.file_kinds import kind_of, why_unreadable


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("jpeg", "a JPEG image"),
        ("png", "a PNG image"),
        ("gif", "a GIF image"),
        ("tiff", "a TIFF image"),
        ("webp", "a WebP image"),
        ("eps", "a PostScript file"),
    ],
)
def test_images(form, kind):
    file = io.BytesIO()
    Image.new("RGB", (3, 3)).save(file, form)
    assert kind_of(file.getvalue()) == kind


def test_arrays_and_archives():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    assert kind_of(file.getvalue()) == "a NumPy array (.npy)"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    assert kind_of(file.getvalue()) == "a zip archive"
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    assert kind_of(file.getvalue()) == "a tar archive"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF image"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "a video"),
        (b"\n <!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"plain words", None),
    ],
)
def test_others(content, kind):
    assert kind_of(content) == kind or kind_of(content).startswith(kind)


def test_a_disk_that_fails_says_nothing_about_a_file(tmp_path):
    file = tmp_path / "features.npz"
    np.savez(file, features=np.zeros(3))
    # zipfile says "File is not a zip file" then.
    error = zipfile.BadZipFile("File is not a zip file")
    error.__context__ = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match=r"Input/output error: .*features.npz"):
        why_unreadable(file, error)

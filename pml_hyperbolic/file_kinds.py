"""What a file is, by its first bytes: for messages about a file that is not what was expected."""

import pickle
import struct
import zipfile
import zlib
from pathlib import Path

from .errors import message_of
from .files import disk_failure

# What the readers of NumPy and torch raise for files that are damaged or something else.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
# The first bytes of a file, where they begin, and what such a file is.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypavis", "an AVIF image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftyphev", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (4, b"ftypmsf1", "a HEIC image"),
    (4, b"ftyp", "a video"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ", "an xz archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
)
# Texts may begin with white space, in capitals or not.
_TEXTS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG image"),
    (b"<?xml", "an XML file"),
)
# Bytes that are needed to tell.
SIGNATURE_LENGTH = 512
_LONGEST_REASON = 200
# Files of NumPy and torch are zips too.
_CONTAINER = "a zip archive"


def kind_of(content: bytes) -> str | None:
    """Say what a file is, as "a JPEG image"; None for a kind that is not known here.

    Args:
        content: of the file, or its first ``SIGNATURE_LENGTH`` bytes.
    """
    if not content:
        return "an empty file"
    for start, signature, kind in _SIGNATURES:
        if content.startswith(signature, start):
            return kind
    text = content[:SIGNATURE_LENGTH].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((kind for signature, kind in _TEXTS if text.startswith(signature)), None)


def why_unreadable(path: Path, error: Exception) -> str:
    """Say in a few words why a file of arrays or tensors could not be read.

    Args:
        path: of the file, .npz, .pt or .safetensors by its name.
        error: that its reader raised. What torch says of pickled objects is replaced, because it
            advises to run their code.

    Raises:
        OSError: the disk failed, which says nothing about the file; it names ``path``.
    """
    failure = disk_failure(error, path)
    if failure is not None:
        raise failure from error
    try:
        with path.open("rb") as file:
            kind = kind_of(file.read(SIGNATURE_LENGTH))
    except OSError:
        kind = None
    if kind not in (None, _CONTAINER):
        return f"it is {kind}"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds Python objects other than tensors, which could run code, or is damaged"
    return message_of(error, _LONGEST_REASON)

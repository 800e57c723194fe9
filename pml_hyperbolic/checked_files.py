"""Files with a checksum of their content: written whole or not at all, and verified when read.

Binary files end with the line ``# pml_hyperbolic sha256 <64 digits>``. The formats of NumPy and
torch end where they say, so that ``numpy.load`` and ``torch.load`` read these files as ever. Text
files begin with that line, a comment in YAML. JSON files have a key ``checksum`` over their other
content. Files without a checksum, which earlier versions wrote, are read as they are.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .files import (
    atomic_file,
    content_checksum,
    named_file,
    read_bytes,
    read_json,
    write_json,
    write_text,
)

_MARK = b"# pml_hyperbolic sha256 "
_LINE = re.compile(_MARK + rb"([0-9a-f]{64})\n")
_DIGITS = 64
_FOOTER = 1 + len(_MARK) + _DIGITS + 1
_KEY = "checksum"
_KIND = "pml_hyperbolic sha256 "
_BLOCK = 2**20
# Fewer equal bytes than this at the place of the mark are a coincidence.
_SIMILAR = len(_MARK) // 2


class DamagedFile(ValueError):
    """A file does not have the content that it was written with; callers name it and a remedy."""

    def __init__(self) -> None:
        super().__init__("its content is not the one that its checksum was made of")


def write_checked(
    path: Path, write: Callable[[BinaryIO], Any], *, survives_power_cut: bool = True
) -> None:
    """Write a binary file atomically, with a checksum at its end.

    Args:
        path: of the file.
        write: receives a stream without a position, and writes the content to it.
        survives_power_cut: as for :func:`~pml_hyperbolic.files.atomic_file`.

    Raises:
        OSError: the file cannot be written; it names ``path``.
    """
    with atomic_file(path, survives_power_cut=survives_power_cut) as file:
        stream = _HashingStream(file)
        try:
            write(stream)  # type: ignore[arg-type]  # a RawIOBase has all that is used of one
        except Exception:
            # torch replaces what the stream has raised by an error of its own.
            if stream.error is not None:
                raise stream.error from None
            raise
        file.write(b"\n" + _line(stream.digest))


@contextmanager
def open_checked(path: Path) -> Iterator[BinaryIO]:
    """Open a file that :func:`write_checked` wrote, after its checksum was verified.

    It is read once, into memory: what was verified is what is used, and a disk that fails does so
    here, and not within NumPy or torch, which would take it for a damaged file.

    Raises:
        DamagedFile: the checksum is not that of the content.
        OSError: the file cannot be read; it names ``path``.
    """
    stream = io.BytesIO(read_bytes(path))
    checked_size(stream)
    stream.seek(0)
    yield stream


def checked_size(file: BinaryIO) -> int:
    """Return the size of the content of a file, without its checksum, which is verified.

    Args:
        file: open for reading.

    Raises:
        DamagedFile: the checksum is not that of the content.
    """
    total = file.seek(0, os.SEEK_END)
    start = max(total - _FOOTER, 0)
    file.seek(start)
    tail = file.read()
    found = _LINE.fullmatch(tail[1:]) if tail[:1] == b"\n" else None
    if found is None:
        if _resembles(tail[1:]) or _cut(tail):
            raise DamagedFile
        return total
    file.seek(0)
    if _checksum(file, start).encode() != found.group(1):
        raise DamagedFile
    return start


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a whole file in hexadecimal digits."""
    with named_file(path), path.open("rb") as file:
        return _checksum(file, path.stat().st_size)


def write_checked_text(path: Path, text: str) -> None:
    """Write a text file atomically, a comment with a checksum in its first line."""
    write_text(path, _line(hashlib.sha256(text.encode())).decode() + text)


def read_checked_text(path: Path) -> str:
    """Return the text that :func:`write_checked_text` wrote, without the checksum.

    Raises:
        DamagedFile: the checksum is not that of the text.
        OSError: the file cannot be read.
        UnicodeDecodeError: it has no checksum and is no text.
    """
    return checked_text(read_bytes(path))


def checked_text(content: bytes) -> str:
    """Return the text in the content of a file, as :func:`read_checked_text` does.

    Raises:
        DamagedFile: the checksum is not that of the text.
        UnicodeDecodeError: it has no checksum and is no text.
    """
    found = _LINE.match(content)
    if found is None:
        if _resembles(content) or (content and _MARK.startswith(content)):
            raise DamagedFile
        return content.decode("utf-8")
    text = content[found.end() :]
    if hashlib.sha256(text).hexdigest().encode() != found.group(1):
        raise DamagedFile
    return text.decode("utf-8")


def write_checked_json(path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Write plain data as JSON atomically, with a checksum.

    Args:
        path: of the file.
        content: an object, or a list of objects, of which the first receives the checksum of all.
    """
    signed = {_KEY: _KIND + content_checksum(content)}
    if isinstance(content, dict):
        write_json(path, {**content, **signed})
    elif content:
        write_json(path, [{**content[0], **signed}, *content[1:]])
    else:
        write_json(path, content)


def read_checked_json(path: Path) -> Any:
    """Return the content that :func:`write_checked_json` wrote, without the checksum.

    Raises:
        DamagedFile: the checksum is not that of the content.
        OSError, ValueError, RecursionError: the file cannot be read, or it is not JSON.
    """
    content = read_json(path)
    first = content[0] if isinstance(content, list) and content else content
    checksum = first.pop(_KEY, None) if isinstance(first, dict) else None
    if checksum is None:
        # The key may be what is damaged.
        if _KIND in json.dumps(content):
            raise DamagedFile
        return content
    if checksum != _KIND + content_checksum(content):
        raise DamagedFile
    return content


class _HashingStream(io.RawIOBase):
    """A stream that hashes what passes through it to a file, and keeps the error of that file."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        return memoryview(data).nbytes


def _checksum(file: BinaryIO, size: int) -> str:
    """Hash the next ``size`` bytes of a file."""
    digest = hashlib.sha256()
    while size and (block := file.read(min(_BLOCK, size))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def _line(digest) -> bytes:
    return _MARK + digest.hexdigest().encode() + b"\n"


def _resembles(content: bytes) -> bool:
    """Whether content begins as a checksum does that was damaged itself."""
    equal = sum(a == b for a, b in zip(content[: len(_MARK)], _MARK, strict=False))
    return equal >= _SIMILAR


def _cut(tail: bytes) -> bool:
    """Whether the end of a file is a part of a checksum."""
    return _MARK in tail or any(tail.endswith(_MARK[:n]) for n in range(4, len(_MARK)))

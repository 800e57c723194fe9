"""ImageArchive: the files of a folder or an archive, read by name."""

import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, message_of
from ..files import disk_failure, named_disk_failures
from .folder_listing import FolderListing
from .limits import UnpackedSize, check_file_size

TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
ARCHIVE_SUFFIXES = (".zip", *TAR_SUFFIXES)
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)
# Headers that tarfile holds in memory as a whole: names and attributes of the member that follows.
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# Our choice: the longest path that systems take has 4 KiB.
_LONGEST_HEADER = 2**20


class ImageArchive:
    """The files of a folder, of a zip (read in place) or of a tar (unpacked once), read-only.

    It is safe in DataLoader workers however they are started: every process opens a zip by itself.

    Args:
        path: a folder or an archive, absolute or relative to the current directory.
        unpacked: the folder that ``NAME.tgz`` is unpacked into, as ``NAME.unpacked``. Default: the
            folder of the tar.

    Attributes:
        path: absolute path of the folder or the zip; for a tar, of the folder it was unpacked to.

    Raises:
        InputError: the path is neither a folder nor an archive, or it is a tar that is damaged or
            would write outside its folder.
        OSError: the disk failed; it names the archive.
    """

    def __init__(self, path: str | Path, unpacked: str | Path | None = None):
        path = Path(path).expanduser().absolute()
        self.path = path
        self._is_zip = False
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._listing: FolderListing | None = None
        if path.is_dir():
            return
        if not path.exists():
            raise InputError(f"{path} does not exist: give the path of a folder, a zip or a tar")
        if self._opens():
            self._is_zip = True
        elif path.name.lower().endswith(TAR_SUFFIXES):
            folder = path.parent if unpacked is None else Path(unpacked).expanduser().absolute()
            self.path = unpack_tar(path, folder / f"{stem(path)}.unpacked")
        else:
            raise InputError(
                f"{path} is neither a folder nor an intact archive "
                f"({', '.join(ARCHIVE_SUFFIXES)}): download it again"
            )

    def names(self) -> list[str]:
        """Return the sorted paths of all files but hidden ones, with slashes as separators."""
        return sorted(name for name in self.listing() if not _is_hidden(name))

    def listing(self) -> list[str]:
        """Return the paths of all files, hidden ones too; they are listed once and kept."""
        return self._contents().files

    def empty_folders(self) -> list[str]:
        """Return the paths of all folders that hold nothing, without hidden ones."""
        return [name for name in self._contents().empty if not _is_hidden(name)]

    def unreadable_folders(self) -> list[str]:
        """Return the paths of all folders that cannot be listed."""
        return self._contents().unreadable

    def _contents(self):
        if self._listing is None:
            self._listing = (
                _listing_of(self._zip()) if self._is_zip else FolderListing.of(self.path)
            )
        return self._listing

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            InputError: the file does not exist, is damaged, or is larger than any image within
                the limit.
            OSError: the disk failed; it names the file.
        """
        try:
            if self._is_zip:
                # A member gives no more bytes than its header says.
                check_file_size(self.where(name), self._zip().getinfo(name).file_size)
                return self._zip().read(name)
            status = (self.path / name).stat()
            if not stat.S_ISREG(status.st_mode):
                raise InputError(
                    f"{self.where(name)} is a pipe, a socket or a device: remove it from the data"
                )
            check_file_size(self.where(name), status.st_size)
            return (self.path / name).read_bytes()
        # zipfile also raises RuntimeError, for passwords and unknown compressions.
        except (OSError, LookupError, EOFError, RuntimeError, *_DAMAGED) as error:
            failure = disk_failure(error, self.where(name))
            if failure is not None:
                raise failure from error
            reason = message_of(error)
            raise InputError(
                f"{self.where(name)} cannot be read ({reason}): download {self.path} again"
            ) from error

    def table(
        self,
        name: str,
        types: Sequence[Callable[[str], Any]],
        *,
        separator: str | None = None,
        header: int = 0,
    ) -> list[list[Any]]:
        """Return the rows of a text file, without blank lines.

        Args:
            name: of the file.
            types: of its columns, such as ``(int, str)``.
            separator: between columns. Default: any white space.
            header: number of lines to skip. Default 0.

        Raises:
            InputError: a line does not have these columns; the message gives its number.
        """
        text = self.read(name).decode("utf-8-sig", errors="replace")
        rows = []
        for number, line in enumerate(text.splitlines()[header:], start=header + 1):
            if not line.strip():
                continue
            cells = [cell.strip() for cell in line.strip().split(separator, len(types) - 1)]
            try:
                rows.append([kind(cell) for kind, cell in zip(types, cells, strict=True)])
            except ValueError:
                raise InputError(
                    f"{self.where(name)}, line {number}: expected {len(types)} columns "
                    f"({', '.join(kind.__name__ for kind in types)}), got {line.strip()!r}: "
                    f"download the file again"
                ) from None
        return rows

    def where(self, name: str) -> str:
        """Return the full path of a file, for messages."""
        return str(self.path / name)

    def _opens(self):
        try:
            # zipfile also says that it is none if the disk fails.
            with named_disk_failures(self.path):
                self._zip()
        except zipfile.BadZipFile:
            return False
        return True

    def _zip(self):
        # A forked process shares the file position with its parent, so it opens its own handle.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self.path))
        return self._opened[1]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": None}


def unpack_tar(path: Path, target: Path) -> Path:
    """Unpack a tar into a folder, once; the folder exists completely or not at all.

    Args:
        path: the tar, compressed or not.
        target: the folder; if it exists, nothing is done.

    Returns:
        The folder.

    Raises:
        InputError: the tar is damaged, a member is a link, a device or outside the folder, there is
            no room for the files, or they are out of proportion to the size of the tar.
        OSError: the disk failed with an input/output error.
    """
    from filelock import FileLock

    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Otherwise every one of several runs that start together would unpack it.
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.is_dir():
                _unpack(path, target)
    except InputError:
        raise
    # Headers that describe headers are read recursively, and their numbers may be anything.
    except (OSError, EOFError, RecursionError, ValueError, OverflowError, *_DAMAGED) as error:
        failure = disk_failure(error, path)
        if failure is not None and failure.errno == errno.EIO:
            raise failure from error
        reason = message_of(error)
        raise InputError(
            f"{path} cannot be unpacked into {target} ({reason}): download it again if it is "
            f"damaged, or name a folder with room for it as unpacked"
        ) from error
    return target


def stem(path: Path) -> str:
    """Return the name of an archive without its suffix; ``.tar.gz`` counts as one suffix."""
    for suffix in ARCHIVE_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _unpack(path, target):
    part = target.with_name(f".{target.name}.part")
    # A killed process may have left this folder behind.
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        size = UnpackedSize(path, shutil.disk_usage(part).free)
        with tarfile.open(path, tarinfo=_Member) as archive:
            for member in archive:
                size.add(member.size)
                _write_member(archive, member, path, part)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _Member(tarfile.TarInfo):
    """A member of a tar whose headers are not so long that they would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        if member.type in _EXTENDED_HEADERS and member.size > _LONGEST_HEADER:
            raise InputError(
                f"the tar has a header of {member.size:,} bytes, expected at most "
                f"{_LONGEST_HEADER:,}: nothing was unpacked; download the official archive"
            )
        return member


def _write_member(archive, member, path, folder):
    file = folder / member.name
    if not file.resolve().is_relative_to(folder.resolve()) or not (
        member.isfile() or member.isdir()
    ):
        raise InputError(
            f"{path} has the member {member.name!r}, which is a link, a device or outside its "
            f"folder: nothing was unpacked; download the official archive"
        )
    if member.isdir():
        file.mkdir(parents=True, exist_ok=True)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        with archive.extractfile(member) as source, file.open("wb") as copy:
            shutil.copyfileobj(source, copy)


def _listing_of(archive):
    names = archive.namelist()
    files = [name for name in names if not name.endswith("/")]
    # A folder is listed before or after what it holds, or not at all.
    filled = {name.rstrip("/").rpartition("/")[0] for name in names}
    empty = [name[:-1] for name in names if name.endswith("/") and name[:-1] not in filled]
    return FolderListing(files, empty, [])


def _is_hidden(name):
    # macOS adds such files to archives and folders, one for every real file.
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))

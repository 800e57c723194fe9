"""ImageArchive: the files of a folder or an archive, by name."""

import os
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from ..errors import InputError

TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
ARCHIVE_SUFFIXES = (".zip", *TAR_SUFFIXES)


class ImageArchive:
    """Read-only files of a folder, a zip (read in place) or a tar (unpacked once).

    Safe in DataLoader workers however they are started: every process opens the zip by itself.

    Args:
        path: a folder or an archive; a relative one starts at the current directory.
        unpacked: the folder that a tar is unpacked into. Default: beside the tar, with its name
            less the suffix and ``.unpacked`` added.

    Raises:
        InputError: neither a folder nor an archive, or a tar that is damaged or would write
            outside its folder.
    """

    def __init__(self, path: str | Path, unpacked: str | Path | None = None):
        path = Path(path).expanduser().absolute()
        self.path = path
        self._is_zip = False
        self._opened = None
        if path.is_dir():
            return
        if not path.exists():
            raise InputError(f"{path} is missing: give a folder, a zip or a tar that is there")
        if zipfile.is_zipfile(path):
            self._is_zip = True
        elif path.name.lower().endswith(TAR_SUFFIXES):
            target = (
                path.with_name(f"{_stem(path)}.unpacked")
                if unpacked is None
                else Path(unpacked).expanduser().absolute()
            )
            self.path = unpack_tar(path, target)
        else:
            raise InputError(
                f"{path} is neither a folder nor a whole archive "
                f"({', '.join(ARCHIVE_SUFFIXES)}): download it again"
            )

    def names(self) -> list[str]:
        """Paths of all files in it, with slashes, sorted; hidden files are left out."""
        if self._is_zip:
            found = [name for name in self._zip().namelist() if not name.endswith("/")]
        else:
            found = []
            for folder, _, files in os.walk(self.path, followlinks=True):
                prefix = Path(folder).relative_to(self.path).as_posix()
                found += [file if prefix == "." else f"{prefix}/{file}" for file in files]
        return sorted(name for name in found if not _is_hidden(name))

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            InputError: it is absent or damaged.
        """
        try:
            if self._is_zip:
                return self._zip().read(name)
            return (self.path / name).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.where(name)} cannot be read ({reason}): download {self.path} again"
            ) from error

    def text(self, name: str) -> str:
        """The content of a UTF-8 text file."""
        return self.read(name).decode("utf-8-sig")

    def where(self, name: str) -> str:
        """What messages call a file."""
        return str(self.path / name)

    def _zip(self):
        # A forked process shares the file position of a handle with its parent: never use that.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self.path))
        return self._opened[1]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": None}


def unpack_tar(path: Path, target: Path) -> Path:
    """Unpack a tar into a folder, once: the folder is there whole or not at all.

    Args:
        path: the tar, compressed or not.
        target: the folder; if it is there already, nothing is done.

    Returns:
        The folder.

    Raises:
        InputError: the tar is damaged, or a member is a link, a device or outside the folder.
    """
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(
            f"{path} cannot be unpacked into {target} ({error.strerror}): name a folder that can "
            f"be written with unpacked"
        ) from error
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                _write_member(archive, member, path, part)
        # mkdtemp's folders are for their owner alone.
        part.chmod(0o755)
        try:
            os.replace(part, target)
        except OSError:
            # Another process has unpacked it meanwhile.
            if not target.is_dir():
                raise
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} cannot be unpacked ({reason}): make room for it, or download it again"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _write_member(archive, member, path, folder):
    name = PurePosixPath(member.name)
    if member.isdir():
        return
    if not member.isfile() or name.is_absolute() or ".." in name.parts:
        raise InputError(
            f"{path} has the member {member.name!r}, which is a link, a device or outside of its "
            f"folder: it is not the official archive, nothing was unpacked"
        )
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with archive.extractfile(member) as source, file.open("wb") as copy:
        shutil.copyfileobj(source, copy)


def _stem(path):
    for suffix in TAR_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _is_hidden(name):
    # macOS puts such files into archives and folders beside every real one.
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))

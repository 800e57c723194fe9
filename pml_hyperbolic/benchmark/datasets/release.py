"""Find the files of an official release below the root that a config names."""

from collections.abc import Sequence
from pathlib import Path

from ...images.image_archive import ARCHIVE_SUFFIXES, ImageArchive, stem
from .image_files import ImageFiles


def open_release(
    data: ImageFiles,
    root: str | Path,
    marker: str,
    *,
    also: Sequence[str] = (),
    tar: str | None = None,
    unpacked: str | Path | None = None,
) -> tuple[ImageArchive, str, set[str]]:
    """Open the folder or archive that contains a marker file at any depth.

    Args:
        data: the data set, for messages.
        root: a folder of the release, an archive of it, or a folder that contains such an archive.
        marker: path that identifies the release; the path before it is the main folder.
        also: further files that must be in the main folder.
        tar: name of the official tar without its suffix. Other tars are not unpacked. Default:
            there is none.
        unpacked: the folder that a tar is unpacked into, as for :class:`ImageArchive`.

    Returns:
        The archive, the prefix of its main folder (empty, or ending with a slash), and the names
        of all its files.

    Raises:
        InputError: the marker or one of the further files is missing.
    """
    root = existing_root(data, root)
    candidates = [root]
    if root.is_dir():
        candidates += sorted(
            file
            for file in root.iterdir()
            if file.name.lower().endswith(ARCHIVE_SUFFIXES)
            and (file.suffix.lower() == ".zip" or stem(file) == tar)
        )
    for path in candidates:
        archive = ImageArchive(path, unpacked)
        names = archive.names()
        base = prefix_of(names, marker)
        if base is not None:
            present = set(names)
            for name in also:
                if base + name not in present:
                    raise data.missing(archive.path, f"{base}{name} does not exist")
            return archive, base, present
    raise data.missing(root, f"{marker} does not exist")


def existing_root(data: ImageFiles, root: str | Path) -> Path:
    """Return the absolute path of a root.

    Raises:
        InputError: it does not exist.
    """
    path = Path(root).expanduser().absolute()
    if not path.exists():
        raise data.missing(path, "there is no such folder or archive")
    return path


def open_images(
    data: ImageFiles,
    archive: ImageArchive,
    names: set[str],
    folder: str,
    unpacked: str | Path | None = None,
) -> tuple[ImageArchive, str, set[str]]:
    """Open the images of a release that publishes them in an archive of their own.

    Args:
        data: the data set, for messages.
        archive: contains the lists of the release.
        names: of all files in it.
        folder: of the images; the archive beside the lists has the same name.
        unpacked: the folder that a tar is unpacked into, as for :class:`ImageArchive`.

    Returns:
        As :func:`open_release`; the prefix is the path before ``folder``.

    Raises:
        InputError: there is neither such a folder nor such an archive.
    """
    base = prefix_of(names, f"{folder}/")
    if base is not None:
        return archive, base, names
    packed = [Path(name) for name in sorted(names) if name.lower().endswith(ARCHIVE_SUFFIXES)]
    packed = [path for path in packed if stem(path) == folder]
    # An archive within an archive cannot be read in place.
    if packed and archive.path.is_dir():
        images = ImageArchive(archive.path / packed[0], unpacked)
        present = images.names()
        base = prefix_of(present, f"{folder}/")
        if base is not None:
            return images, base, set(present)
    raise data.missing(archive.path, f"neither {folder}/ nor an archive {folder} exists")


def prefix_of(names: Sequence[str] | set[str], part: str) -> str | None:
    """Return the path before a file, or before a folder that ends with a slash.

    Returns:
        The shallowest such path, empty or ending with a slash; None if there is no such file or
        folder.
    """
    found = set()
    for name in names:
        before, divider, after = f"/{name}".partition(f"/{part}")
        if divider and (part.endswith("/") or not after):
            found.add(f"{before}/".lstrip("/"))
    return min(found, key=lambda prefix: (prefix.count("/"), prefix), default=None)

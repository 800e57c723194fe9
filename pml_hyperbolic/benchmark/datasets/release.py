"""Find the official files of a data set under the root that a config names."""

from collections.abc import Sequence
from pathlib import Path

from .image_archive import ARCHIVE_SUFFIXES, ImageArchive
from .image_files import ImageFiles


def open_release(
    data: ImageFiles | type[ImageFiles],
    root: str | Path,
    marker: str,
    *,
    also: Sequence[str] = (),
    unpacked: str | Path | None = None,
) -> tuple[ImageArchive, str, set[str]]:
    """Open the folder or archive that holds a file, however deep it lies in there.

    Args:
        data: the data set, for messages.
        root: a folder of the release, an archive of it, or a folder that holds such an archive.
        marker: name of a file of the release's main folder.
        also: further files that must be beside it.
        unpacked: where a tar is unpacked; as :class:`ImageArchive`.

    Returns:
        The archive, the prefix (empty or ending with a slash) of the main folder in it, and the
        names of all its files.

    Raises:
        InputError: something is missing.
    """
    root = Path(root).expanduser().absolute()
    if not root.exists():
        raise data.missing(root, "there is no such folder or archive")
    candidates = [root]
    if root.is_dir():
        candidates += sorted(f for f in root.iterdir() if f.name.lower().endswith(ARCHIVE_SUFFIXES))
    for path in candidates:
        archive = ImageArchive(path, unpacked)
        names = archive.names()
        found = [name for name in names if f"/{name}".endswith(f"/{marker}")]
        if found:
            base = min(found, key=lambda name: name.count("/")).removesuffix(marker)
            present = set(names)
            for name in also:
                if base + name not in present:
                    raise data.missing(archive.path, f"{base}{name} is not there")
            return archive, base, present
    raise data.missing(root, f"{marker} is not there")

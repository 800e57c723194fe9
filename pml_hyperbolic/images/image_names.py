"""ImageNames: the images of a folder or an archive, and what is said of everything else in it."""

from collections import Counter
from typing import NamedTuple

from ..errors import InputError
from .image_archive import ImageArchive
from .image_decoding import IMAGE_SUFFIXES

# So many names are shown as examples.
_EXAMPLES = 3


class ImageNames(NamedTuple):
    """What a folder or an archive holds.

    Attributes:
        images: sorted paths of files whose names end as those of images.
        passed_over: sentences on what is no image: files, folders without images, and folders that
            cannot be listed.
    """

    images: list[str]
    passed_over: list[str]

    @classmethod
    def of(cls, archive: ImageArchive) -> "ImageNames":
        """Look at the names of all files; none is opened.

        Raises:
            InputError: there is no image; the message says which other files there are.
        """
        shown = set(archive.names())
        images = sorted(name for name in shown if name.lower().endswith(IMAGE_SUFFIXES))
        others = sorted(shown.difference(images))
        hidden = len(archive.listing()) - len(shown)
        kinds = Counter(_suffix(name) for name in others)
        counted = [
            f"{number:,} {kind} (such as {next(n for n in others if _suffix(n) == kind)})"
            for kind, number in kinds.most_common()
        ]
        counted += [f"{hidden:,} hidden"] if hidden else []
        total = len(others) + hidden
        what = f"{total:,} {'file' if total == 1 else 'files'}: {', '.join(counted)}"
        if not images:
            held = f"but {what}" if total else "and nothing else"
            raise InputError(
                f"{archive.path} holds no images ({', '.join(IMAGE_SUFFIXES)}), {held}: give "
                f"images of one of these formats, or convert others to one"
            )
        notes = [f"{archive.path}: passed over {what}"] if total else []
        for folders, of_one, of_several in (
            (
                _without(images, others, archive.empty_folders()),
                "folder holds no images and is no class",
                "folders hold no images and are no classes",
            ),
            (
                sorted(archive.unreadable_folders()),
                "folder cannot be listed: its images are missing",
                "folders cannot be listed: their images are missing",
            ),
        ):
            if folders:
                problem = of_one if len(folders) == 1 else of_several
                more = ", ..." if folders[_EXAMPLES:] else ""
                notes.append(
                    f"{archive.path}: {len(folders):,} {problem}: "
                    f"{', '.join(folders[:_EXAMPLES])}{more}"
                )
        return cls(images, notes)


def _suffix(name):
    base = name.rpartition("/")[2]
    before, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and before else "without a suffix"


def _without(images, others, empty):
    """Return the folders that hold something else than images, or nothing, with images nowhere."""
    with_images = {""}
    for name in images:
        folder = name.rpartition("/")[0]
        while folder not in with_images:
            with_images.add(folder)
            folder = folder.rpartition("/")[0]
    folders = {*empty, *(name.rpartition("/")[0] for name in others)}
    return sorted(folders - with_images)

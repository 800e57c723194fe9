"""Omniglot: handwritten characters of fifty alphabets."""

import numpy as np

from ...images.image_archive import ImageArchive
from .image_files import ImageFiles
from .release import existing_root

_PARTS = ("images_background", "images_evaluation")


class Omniglot(ImageFiles):
    """Omniglot: 20 grey drawings of each of 1,623 characters; the superclass is the alphabet.

    The official test classes are the 659 characters of the evaluation part.
    Source: Lake et al., "Human-level concept learning through probabilistic program induction",
    Science 2015.

    Args:
        root: the folder that contains ``images_background.zip`` and ``images_evaluation.zip``, or
            the folders that they unpack to.
        size: height and width in pixels that drawings are resized to, with antialiasing. Default:
            105, as stored.
        verify: accept only the complete release. Default True.

    Raises:
        InputError: a file is missing, or the release is incomplete.
    """

    layout = (
        "a folder with images_background.zip and images_evaluation.zip (or the folders "
        "images_background and images_evaluation of Alphabet/characterNN/*.png)"
    )
    source = "https://github.com/brendenlake/omniglot (its folder python)"
    official_counts = {  # noqa: RUF012
        "background characters": 964,
        "evaluation characters": 659,
        "images": 32460,
    }
    channels = 1
    level_names = ("character", "alphabet")

    def __init__(self, root: str, size: int | None = None, verify: bool = True):
        if size is not None and size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.resize_to = size
        folder = existing_root(self, root)
        self.entries, characters, counts = [], [], []
        for part in _PARTS:
            archive = self._part(folder, part)
            drawings = sorted(
                (tuple(name.split("/")[-3:]), name)
                for name in archive.names()
                if name.endswith(".png") and name.count("/") >= 2
            )
            self.entries += [(archive, name) for _, name in drawings]
            characters += [(alphabet, character) for (alphabet, character, _), _ in drawings]
            counts.append(len({path[:2] for path, _ in drawings}))
        if verify:
            self.check_counts(folder, *counts, len(self.entries))
        # Classes are in order of appearance: the background set is first, and the two sets have
        # no alphabet in common.
        classes = {character: rank for rank, character in enumerate(dict.fromkeys(characters))}
        alphabets = {name: rank for rank, name in enumerate(dict.fromkeys(a for a, _ in classes))}
        self.labels = np.array(
            [(classes[c], alphabets[c[0]]) for c in characters], dtype=np.int64
        ).reshape(-1, 2)
        self.class_names = ["/".join(character) for character in classes]
        self.superclass_names = (list(alphabets),)
        self.test_classes = np.arange(counts[0], len(classes))

    def _part(self, folder, part):
        for path in (folder / part, folder / f"{part}.zip"):
            if path.exists():
                return ImageArchive(path)
        raise self.missing(folder, f"neither {part} nor {part}.zip exists")

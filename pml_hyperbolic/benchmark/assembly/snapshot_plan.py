"""SnapshotPlan: at which epochs a run keeps embeddings for figures, and of how many images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import ProtocolConfig

_LARGEST_SAMPLE = 1024
# Small enough for snapshots to cost a few percent at most of the shortest run.
_SMALL_SAMPLE = 160
# Of a run's file. Its arrays have headers, for which the rest of 20 MB is left.
_LARGEST_BYTES = 19_500_000
_FLOAT16_BYTES = 2
_LAST_FACTOR = 1.5
# The selected epoch comes on top: it is embedded for the scores anyway.
_LARGEST_NUMBER = 7
# Embedding an image costs about a third of a training step's work on it.
_PASSES_PER_STEP = 3
_SHARE_OF_TRAINING = 0.015
# Fewer images of a class make no neighbourhood to look at.
_IMAGES_PER_CLASS = 4
_SEED = 0


@dataclass(frozen=True)
class SnapshotPlan:
    """What the snapshots of all runs of a protocol have in common.

    Attributes:
        epochs: at which the sample is embedded during training, ascending, at most seven: the
            first scored epoch, the last, and some between them at distances that double or, in
            runs of more than 64 scored epochs, grow by a larger factor. The selected epoch, known
            at the end only, is kept in addition.
        images: how many training images, and how many test images, at most: 1,024, fewer where the
            file would exceed 20 MB or, down to 160, where embedding them would cost more than
            about 1.5 percent of the training.
        proxy_numbers: how many numbers of proxies fit beside them, an epoch.
    """

    epochs: tuple[int, ...]
    images: int
    proxy_numbers: int

    @classmethod
    def of(cls, protocol: ProtocolConfig) -> "SnapshotPlan":
        """Return the plan of a protocol, which is the same for all its methods and seeds."""
        epochs = snapshot_epochs(protocol.evaluation.scored_epochs(protocol.epochs))
        # A method's two spaces may have this dimension each.
        dimension = protocol.embedding_size * (1 if protocol.equal_total_dimension else 2)
        numbers = _LARGEST_BYTES // (_FLOAT16_BYTES * (len(epochs) + 1))
        steps = protocol.epochs * protocol.steps_per_epoch * protocol.sampler.batch_size
        affordable = int(_SHARE_OF_TRAINING * _PASSES_PER_STEP * steps / (2 * len(epochs)))
        images = min(
            _LARGEST_SAMPLE,
            # A third each for training images, test images and proxies.
            numbers // (3 * dimension),
            max(_SMALL_SAMPLE, affordable),
        )
        return cls(epochs, images, numbers - 2 * images * dimension)


def snapshot_epochs(scored: Sequence[int]) -> tuple[int, ...]:
    """Return the scored epochs at which a sample is embedded, at most seven.

    The last two are a factor of 1.5 apart at least, so that no two pictures look the same.

    Args:
        scored: the scored epochs, ascending, at least one.
    """
    number = len(scored)
    factor = max(2.0, number ** (1 / (_LARGEST_NUMBER - 1)))
    positions = {round(factor**power) for power in range(_LARGEST_NUMBER - 1)}
    before = {position for position in positions if _LAST_FACTOR * position <= number}
    return tuple(scored[position - 1] for position in sorted({*before, number}))


def balanced_sample(labels: np.ndarray, size: int) -> np.ndarray:
    """Choose images at random, of each class as many or, of small classes, all.

    The choice depends on the arguments alone, so that all runs on the same classes have the same
    sample, also those of other protocols. Where four images of each class would be too many, some
    classes are chosen at random first.

    Args:
        labels: (N,) class of each image.
        size: how many images to choose at most, >= 4.

    Returns:
        (n,) ascending positions among the labels, n <= ``size``.
    """
    generator = np.random.default_rng(_SEED)
    classes = np.unique(labels)
    if len(classes) * _IMAGES_PER_CLASS > size:
        classes = generator.choice(classes, size // _IMAGES_PER_CLASS, replace=False)
    order = generator.permutation(len(labels))
    order = order[np.isin(labels[order], classes)]
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    # The first image of every class is taken before the second of any, classes in random order.
    turns = np.arange(len(by_class)) - np.repeat(starts, counts)
    taken = np.lexsort((generator.permutation(len(by_class)), turns))[:size]
    return np.sort(by_class[taken])

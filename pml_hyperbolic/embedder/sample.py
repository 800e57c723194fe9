"""Sample: one image or one row of features to embed, wherever it comes from."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, message_of
from .preprocessing import Preprocessing


@dataclass(frozen=True)
class Sample:
    """One thing to embed, not read yet.

    Args:
        name: its name in tables and messages: a path, or a place in a list.
        read: reads it, given the model's preprocessing: pixels (channels, H, W) uint8, or features
            (D,) float32.
        label: its class: of a file the folders between root and file; None if there is none.
        place: (root, path below it) of an image file, the root being a folder or a zip; None for
            everything else.
    """

    name: str
    read: Callable[[Preprocessing], np.ndarray]
    label: str | None = None
    place: tuple[str, str] | None = None


def read_samples(
    samples: Iterable[Sample], preprocessing: Preprocessing, *, ahead: int
) -> Iterator[tuple[Sample, np.ndarray]]:
    """Yield every sample with what it holds, in order.

    Args:
        samples: to read.
        preprocessing: of the model.
        ahead: number of samples that are read before they are asked for, >= 1.

    Raises:
        InputError: a sample cannot be read; the message names it.
    """
    pool = ThreadPoolExecutor()
    waiting: deque = deque()
    try:
        for sample in samples:
            waiting.append((sample, pool.submit(_read, sample, preprocessing)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        for sample, future in waiting:
            yield sample, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(sample, preprocessing):
    try:
        return sample.read(preprocessing)
    except InputError:
        raise
    # Images that users give may fail in whatever way, such as a closed file of PIL's.
    except Exception as error:
        reason = message_of(error)
        raise InputError(f"{sample.name} cannot be read: {reason}") from error

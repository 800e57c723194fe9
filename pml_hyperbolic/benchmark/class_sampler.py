"""ClassSampler: PML's MPerClassSampler with random numbers of its own."""

from collections.abc import Iterator, Sequence

import numpy as np
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions as c_f


class ClassSampler(MPerClassSampler):
    """Batches of whole classes that depend on the seed alone.

    PML's sampler draws from numpy's global state, which miners and losses may draw from too:
    methods would then see different batches from the second epoch on.

    Args:
        labels: (N,) classes.
        samples_per_class: of each class in a batch.
        batch_size: a multiple of it.
        steps: batches of one pass.
        seed: of the batches.
    """

    def __init__(
        self,
        labels: Sequence[int],
        samples_per_class: int,
        *,
        batch_size: int,
        steps: int,
        seed: int,
    ):
        super().__init__(labels, samples_per_class, batch_size, batch_size * steps)
        self.generator = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[int]:
        shared = c_f.NUMPY_RANDOM
        c_f.NUMPY_RANDOM = self.generator
        try:
            return super().__iter__()
        finally:
            c_f.NUMPY_RANDOM = shared

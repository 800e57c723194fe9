"""ClassSampler: PML's MPerClassSampler with random numbers of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions as c_f


class ClassSampler(MPerClassSampler):
    """Draw batches that have the same number of samples of each class and depend on the seed only.

    PML's sampler draws from NumPy's global state, which miners and losses may draw from too;
    methods would then see different batches from the second epoch on.

    Args:
        labels: (N,) classes of the samples.
        samples_per_class: samples of each class in a batch, >= 1.
        batch_size: samples in a batch, a multiple of ``samples_per_class``.
        steps: batches in one pass.
        seed: of the random numbers.
    """

    # PML's: the classes, which it shuffles in place.
    labels: list[Any]

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray,
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

    def state(self) -> dict[str, Any]:
        """Return the state of the generator and the order of the classes, which PML shuffles."""
        return {
            "generator": self.generator.bit_generator.state,
            "labels": [int(label) for label in self.labels],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state`.

        Raises:
            ValueError: the state belongs to a sampler of other classes.
        """
        if sorted(state["labels"]) != sorted(self.labels):
            raise ValueError(
                f"the sampler has {len(self.labels)} classes, but the stored state belongs to "
                f"{len(state['labels'])} other classes"
            )
        self.generator.bit_generator.state = state["generator"]
        self.labels = list(state["labels"])

"""ClassSampler: PML's MPerClassSampler with random numbers of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

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

    def state(self) -> dict[str, Any]:
        """Its random numbers and the order its classes are in: PML shuffles them in place."""
        return {
            "generator": self.generator.bit_generator.state,
            "labels": [int(label) for label in self.labels],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`.

        Raises:
            ValueError: it is the state of a sampler of other classes.
        """
        if sorted(state["labels"]) != sorted(self.labels):
            raise ValueError(
                f"the sampler has {len(self.labels)} classes, the stored state is of "
                f"{len(state['labels'])} others"
            )
        self.generator.bit_generator.state = state["generator"]
        self.labels = list(state["labels"])

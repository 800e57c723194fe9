"""ClassSampler: PML's MPerClassSampler with random numbers of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..._pml import MPerClassSampler
from ..._pml import common_functions as c_f


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
        unique_classes: each class comes at most once in a pass, which shuffles the classes once.
            Default False: at most once in a batch.
        replacement: photos of a class are drawn with replacement. Default False: only where a class
            has fewer than ``samples_per_class``.

    Raises:
        ValueError: ``unique_classes``, and a pass has more classes than there are.
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
        unique_classes: bool = False,
        replacement: bool = False,
    ):
        super().__init__(labels, samples_per_class, batch_size, batch_size * steps)
        self.generator = np.random.default_rng(seed)
        self.unique_classes = unique_classes
        self.replacement = replacement
        drawn = self.list_size // self.m_per_class
        if unique_classes and drawn > len(self.labels):
            raise ValueError(
                f"a pass of {steps} batches would draw {drawn} different classes, but there are "
                f"{len(self.labels)}: lower steps"
            )

    def __iter__(self) -> Iterator[int]:
        if self.unique_classes or self.replacement:
            return iter(self._draw())
        shared = c_f.NUMPY_RANDOM
        c_f.NUMPY_RANDOM = self.generator
        try:
            return super().__iter__()
        finally:
            c_f.NUMPY_RANDOM = shared

    def _draw(self):
        """Samples of one pass, for the ways of drawing that PML's sampler does not have."""
        in_batch = self.batch_size // self.m_per_class
        in_pass = self.list_size // self.m_per_class
        classes: list[Any] = []
        while len(classes) < in_pass:
            self.generator.shuffle(self.labels)
            classes += self.labels[: in_pass if self.unique_classes else in_batch]
        samples: list[int] = []
        for label in classes:
            own = self.labels_to_indices[label]
            replace = self.replacement or len(own) < self.m_per_class
            samples += self.generator.choice(own, self.m_per_class, replace=replace).tolist()
        return samples

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

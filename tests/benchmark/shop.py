"""A tiny data set with superclasses, official test classes and a query/gallery protocol."""

import numpy as np

from pml_hyperbolic.benchmark.datasets import Digits


class Shop(Digits):
    """Digits with what In-Shop publishes: odd digits test, and some of their images are queries."""

    level_names = ("digit", "size")

    def __init__(self):
        super().__init__()
        digit = self.labels[:, 0]
        self.labels = np.stack([digit, digit // 4], axis=1)
        self.test_classes = np.array([1, 3, 5, 7, 9])
        place = np.arange(len(digit))
        of_test = np.isin(digit, self.test_classes)
        self.query = of_test & (place % 3 == 0)
        self.gallery = of_test & (place % 3 == 1)

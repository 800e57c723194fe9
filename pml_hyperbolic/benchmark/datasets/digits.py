"""Digits: the scans of handwritten digits that come with scikit-learn."""

import numpy as np

from .image_data import ImageData


class Digits(ImageData):
    """1,797 scans of handwritten digits, 8 x 8 grey pixels, 10 classes; nothing is downloaded.

    Source: the test set of UCI Optical Recognition of Handwritten Digits, as in scikit-learn.
    """

    level_names = ("digit",)

    def __init__(self):
        from sklearn.datasets import load_digits

        bunch = load_digits()
        # The scans have 17 grey levels, from 0 to 16.
        self._images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
        self.labels = bunch.target.astype(np.int64)[:, None]
        self.class_names = [str(digit) for digit in bunch.target_names]

    def image(self, index: int) -> np.ndarray:
        return self._images[index]

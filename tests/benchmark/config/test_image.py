"""Image sections of a protocol: sizes and ranges that cannot be."""

import pytest

from pml_hyperbolic.benchmark.config import ProtocolConfig

from ..conftest import PROTOCOL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": {"size": 224, "resize": 200}}, r"resize \(200\) must not be below size \(224\)"),
        ({"augmentation": {"random_resized_crop": {"scale": [0.5, 0.2]}}}, "smallest, largest"),
        ({"augmentation": {"random_resized_crop": {"scale": [0.2, 1.5]}}}, "at most 1"),
        ({"augmentation": {"random_resized_crop": {"ratio": [0, 1]}}}, "greater than 0"),
        ({"augmentation": {"random_resized_crop": {"ratio": [1]}}}, "at least 2 items"),
    ],
)
def test_what_image_sections_refuse(changes, message):
    with pytest.raises(ValueError, match=message):
        ProtocolConfig(**{**PROTOCOL, **changes})

"""What is worth knowing of a data set before it is trained on: what is missing, and what is odd."""

from collections.abc import Sequence

import numpy as np

from ..datasets import FeatureData, LabelledData

# So many names are shown as examples.
_EXAMPLES = 3


def data_notes(data: LabelledData) -> list[str]:
    """Return sentences on a data set, each about what would otherwise go unnoticed.

    They say which files were passed over and why, which classes have one sample, and whether
    precomputed features are the same for all samples or all 0.

    Args:
        data: the data set.
    """
    return [*data.passed_over, *_single_samples(data), *_empty_features(data)]


def _single_samples(data):
    classes, counts = np.unique(data.labels[:, 0], return_counts=True)
    single = classes[counts == 1]
    if len(single):
        names = [data.class_names[label] for label in single[:_EXAMPLES]]
        yield (
            f"{_number(len(single), 'class has', 'classes have')} a single sample, which has no "
            f"other of its class to find or to learn from: {_listed(names, len(single))}"
        )


def _empty_features(data):
    if not isinstance(data, FeatureData):
        return
    features = data.features
    if (features == features[0]).all():
        yield (
            "all samples have the same features, so that nothing can be learned or found: check "
            "how they were computed"
        )
        return
    zero = np.flatnonzero(~features.any(axis=1))
    if len(zero):
        yield (
            f"{_number(len(zero), 'sample has', 'samples have')} features that are all 0, the "
            f"first is sample {zero[0]}: check how they were computed"
        )


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _listed(names: Sequence[str], total: int) -> str:
    return ", ".join(names) + (", ..." if total > len(names) else "")

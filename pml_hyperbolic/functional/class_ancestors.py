"""The ancestors of every class, from the labels of samples."""

import torch


def class_ancestors(labels: torch.Tensor) -> torch.Tensor:
    """Return the group of every class on each level of a hierarchy.

    ``ancestors[labels[n, 0], l]`` is the group of sample n on level l, with the groups of each
    level that occur numbered from 0 in the order of their labels.

    Args:
        labels: (N, L) integers: the class of each sample, then its groups on coarser levels.
            Classes are numbered from 0 to C - 1, and each occurs.

    Returns:
        (C, L) int64; the first column is 0 to C - 1.

    Raises:
        ValueError: labels of another shape or type, a class without samples, or a class whose
            samples lie in several groups of one level.
    """
    if labels.ndim != 2 or not labels.numel() or labels.is_floating_point():
        raise ValueError(
            f"class_ancestors needs integer labels (N, L), the class and then its coarser levels, "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    rows = torch.unique(labels.long(), dim=0)
    classes = rows[:, 0]
    split = classes[1:][classes[1:] == classes[:-1]]
    if len(split):
        raise ValueError(
            f"class {int(split[0])} has samples in several groups of a coarser level, so that its "
            f"class does not tell a sample's group: give every class one group on each level"
        )
    if int(classes[0]) != 0 or int(classes[-1]) != len(classes) - 1:
        raise ValueError(
            f"class_ancestors needs classes numbered from 0 without gaps, got {len(classes)} "
            f"classes from {int(classes[0])} to {int(classes[-1])}: renumber the first column"
        )
    return torch.stack([torch.unique(c, return_inverse=True)[1] for c in rows.unbind(1)], dim=1)

"""Metrics of a ranking, by loops over queries."""

import numpy as np
import torch

CPU = torch.device("cpu")


def data(count=90, classes=6, size=5):
    labels = torch.arange(count) % classes
    return torch.randn(classes, size)[labels] + torch.randn(count, size), labels


def slow_metrics(distances, labels, ks, own=None):
    """R-Precision, MAP@R and recall by loops over the queries; own: the references' labels."""
    scores = {"r_precision": [], "mean_average_precision_at_r": [], **{K: [] for K in ks}}
    for row, label in enumerate(labels.tolist()):
        order = [i for i in distances[row].argsort().tolist() if own is not None or i != row]
        hits = [(labels if own is None else own)[i].item() == label for i in order]
        r = sum(hits)
        if r == 0:
            continue
        precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]]
        scores["r_precision"].append(sum(hits[:r]) / r)
        scores["mean_average_precision_at_r"].append(sum(precisions) / r)
        for K in ks:
            scores[K].append(float(any(hits[:K])))
    names = {K: f"recall_at_{K}" for K in ks}
    return {names.get(key, key): float(np.mean(values)) for key, values in scores.items()}

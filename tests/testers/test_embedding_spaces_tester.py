"""The tester within PML's own machinery: splits, label levels, hooks and records."""

import pytest
import torch
from pytorch_metric_learning.utils import logging_presets

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.testers import EmbeddingSpacesTester
from pml_hyperbolic.utils import (
    CosineAccuracyCalculator,
    EmbeddingSpace,
    HyperbolicAccuracyCalculator,
)

CPU = torch.device("cpu")
METRICS = ("precision_at_1", "mean_average_precision_at_r")


def calculators():
    return (
        CosineAccuracyCalculator(include=METRICS, recall_at=(), device=CPU),
        HyperbolicAccuracyCalculator(PoincareDistance(), include=METRICS, recall_at=(), device=CPU),
    )


def two_space_tester(**kwargs):
    flat, curved = calculators()
    spaces = {"euclidean": EmbeddingSpace((0, 4), flat), "hyperbolic": ((4, None), curved)}
    return EmbeddingSpacesTester(
        spaces, dataloader_num_workers=0, data_device=CPU, batch_size=16, **kwargs
    )


def dataset(count=50, levels=1):
    labels = torch.arange(count) % 10
    columns = [labels // 2**level for level in range(levels)]
    return torch.utils.data.TensorDataset(
        torch.randn(10, 8)[labels] + torch.randn(count, 8),
        labels if levels == 1 else torch.stack(columns, 1),
    )


def test_scores_both_spaces_without_normalising():
    data = dataset()
    x, labels = data.tensors
    scores = two_space_tester().test({"val": data}, 3, torch.nn.Identity())["val"]
    flat, curved = calculators()
    expected_flat = flat.get_accuracy(x[:, :4], labels)
    expected_curved = curved.get_accuracy(x[:, 4:], labels)
    assert scores["epoch"] == 3
    for metric in METRICS:
        assert scores[f"euclidean_{metric}_level0"] == expected_flat[metric]
        assert scores[f"hyperbolic_{metric}_level0"] == expected_curved[metric]
        assert scores[f"{metric}_level0"] == expected_curved[metric]
    assert all(name.isidentifier() for name in scores)
    assert len(scores) == 1 + 3 * len(METRICS)


def test_embeddings_keep_their_norms_and_order():
    data = dataset()
    embeddings, labels = two_space_tester().get_all_embeddings(data, torch.nn.Identity())
    assert torch.equal(embeddings, data.tensors[0])
    assert torch.equal(labels.squeeze(1), data.tensors[1])


@pytest.mark.parametrize("levels", ["all", [0, 1], 1])
def test_label_hierarchies(levels):
    scores = two_space_tester(label_hierarchy_level=levels).test(
        {"val": dataset(levels=2)}, 1, torch.nn.Identity()
    )["val"]
    name = "hyperbolic_mean_average_precision_at_r"
    assert f"{name}_level1" in scores
    if levels != 1:
        mean = (scores[f"{name}_level0"] + scores[f"{name}_level1"]) / 2
        assert scores[f"AVERAGE_{name}"] == pytest.approx(mean)
        assert "AVERAGE_mean_average_precision_at_r" in scores


def test_reference_splits():
    query, gallery = dataset(30), dataset(60)
    scores = two_space_tester().test(
        {"query": query, "gallery": gallery},
        1,
        torch.nn.Identity(),
        splits_to_eval=[("query", ["gallery"])],
    )
    _, curved = calculators()
    expected = curved.get_accuracy(
        query.tensors[0][:, 4:], query.tensors[1], gallery.tensors[0][:, 4:], gallery.tensors[1]
    )
    assert scores["query"]["precision_at_1_level0"] == expected["precision_at_1"]


def test_one_space_is_an_ordinary_tester():
    data = dataset()
    _, curved = calculators()
    ordinary = EmbeddingSpacesTester(
        accuracy_calculator=curved, dataloader_num_workers=0, data_device=CPU
    )
    scores = ordinary.test({"val": data}, 1, torch.nn.Identity())["val"]
    assert set(scores) == {"epoch", *(f"{metric}_level0" for metric in METRICS)}


@pytest.mark.parametrize("show_progress", [True, False])
def test_progress_only_when_asked_for(show_progress, capsys):
    two_space_tester(show_progress=show_progress).test({"val": dataset()}, 1, torch.nn.Identity())
    captured = capsys.readouterr()
    assert bool(captured.err) == show_progress
    assert captured.out == ""


class Trainer:
    """The attributes of a trainer that HookContainer uses."""

    def __init__(self, model):
        self.models = {"trunk": model, "embedder": torch.nn.Identity()}
        self.epoch = 0

    def step_lr_plateau_schedulers(self, accuracy):
        self.accuracy = accuracy


@pytest.mark.parametrize(
    ("primary_metric", "chosen"),
    [
        ("mean_average_precision_at_r", "hyperbolic_mean_average_precision_at_r"),
        ("euclidean_precision_at_1", "euclidean_precision_at_1"),
    ],
)
def test_hooks_select_by_the_primary_metric(primary_metric, chosen, tmp_path):
    pytest.importorskip("record_keeper")
    pytest.importorskip("tensorboard")
    keeper, _, writer = logging_presets.get_record_keeper(
        str(tmp_path / "csv"), str(tmp_path / "board")
    )
    hooks = logging_presets.get_hook_container(keeper, primary_metric=primary_metric)
    scored = two_space_tester(end_of_testing_hook=hooks.end_of_testing_hook)
    model = torch.nn.Linear(8, 8)
    trainer, data = Trainer(model), {"val": dataset()}
    hook = hooks.end_of_epoch_hook(scored, data, str(tmp_path / "models"), patience=5)
    history = []
    for epoch in (1, 2, 3):
        trainer.epoch = epoch
        torch.nn.init.normal_(model.weight)
        assert hook(trainer)
        history.append(scored.all_accuracies["val"][f"{chosen}_level0"])
        assert trainer.accuracy == history[-1]
    best_epoch, best = hooks.get_best_epoch_and_accuracy(scored, "val")
    assert best == pytest.approx(max(history))
    assert best_epoch == 1 + history.index(max(history))
    stored = hooks.get_accuracy_history(scored, "val", metrics=["euclidean_precision_at_1"])
    assert len(stored["euclidean_precision_at_1_level0"]) == 3
    assert (tmp_path / "models" / f"trunk_best{best_epoch}.pth").exists()
    writer.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalize_embeddings": False}, "no normalize_embeddings"),
        ({"pca": 4}, "no pca"),
        ({"accuracy_calculator": object()}, "got both"),
        ({"primary": "euclid"}, "primary must be one of"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        two_space_tester(**arguments)


def test_neither_spaces_nor_calculator():
    with pytest.raises(ValueError, match="got neither"):
        EmbeddingSpacesTester()
    with pytest.raises(ValueError, match="primary= names one of spaces="):
        EmbeddingSpacesTester(accuracy_calculator=object(), primary="hyperbolic")

"""Hooks record a run, save its best checkpoint and warn of saturation."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pml_hyperbolic.benchmark.assembly.evaluation import make_tester
from pml_hyperbolic.benchmark.config import EvaluationConfig
from pml_hyperbolic.benchmark.running.run_hooks import RunHooks
from pml_hyperbolic.benchmark.running.single_run import execute_run
from pml_hyperbolic.distances import PoincareSimilarity
from pml_hyperbolic.losses import CHESTLoss


class Keeper:
    """The interface of a RecordKeeper, in memory."""

    def __init__(self):
        self.records = []

    def update_records(self, record, iteration, parent_name):
        self.records.append((parent_name, iteration, record))

    def save_records(self):
        pass


def hooks(tmp_path, **kwargs):
    return RunHooks(
        Keeper(),
        folder=tmp_path,
        identity={},
        select_space="hyperbolic",
        primary_metric="precision_at_1",
        log=logging.getLogger("test"),
        **kwargs,
    )


def trainer_at(step, loss, value=1.0):
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    return SimpleNamespace(
        get_global_iteration=lambda: step,
        losses={"total_loss": torch.tensor(value, requires_grad=True)},
        loss_funcs={"metric_loss": loss},
        optimizers={"metric_loss_optimizer": optimizer},
    )


def test_a_folder_that_the_disk_fails_to_look_up_is_not_made_again(tmp_path, monkeypatch):
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: Path(path) != tmp_path and exists(path))
    tester = make_tester({"euclidean": 2}, None, EvaluationConfig(), device=torch.device("cpu"))
    assert callable(hooks(tmp_path).end_of_epoch_hook(tester, {}))


def test_records_are_plain_floats_under_clean_names(tmp_path):
    made = hooks(tmp_path, log_interval=2)
    loss = CHESTLoss(3, 4, 4, hierarchy_weight=1)
    loss(torch.randn(6, 8), torch.arange(6) % 3)
    for step in range(4):
        made.end_of_iteration_hook(trainer_at(step, loss))
    names, steps, records = zip(*made.record_keeper.records, strict=True)
    assert names == ("training", "training")
    assert steps == (0, 2)
    assert set(records[0]) == {
        "total_loss",
        "metric_loss_euclidean_loss",
        "metric_loss_hyperbolic_loss",
        "metric_loss_hierarchy_loss",
        "embedding_saturation",
        "proxy_saturation",
        "metric_loss_lr_0",
    }
    assert all(type(value) is float for record in records for value in record.values())
    assert records[0]["metric_loss_lr_0"] == 0.5


def test_columns_never_change(tmp_path):
    made = hooks(tmp_path)
    made._record("CUB-200 x", 1, {"a-b": 1, "c": 2})
    made._record("CUB-200 x", 2, {"c": 3, "new": 4})
    (first, _, one), (_, _, two) = made.record_keeper.records
    assert first == "CUB_200_x"
    assert one == {"a_b": 1.0, "c": 2.0}
    assert list(two) == ["a_b", "c"]
    assert two["c"] == 3.0
    assert two["a_b"] != two["a_b"]


@pytest.mark.parametrize(
    ("method", "warning"), [("hier", "all embeddings"), ("hyp", "all embeddings")]
)
def test_full_saturation_is_warned_of_once(tmp_path, load, method, warning):
    # Without initial_radius, tangent norms start near sqrt(16) = 4, beyond the clip radius.
    config = load(
        f"methods=[{method}]",
        "protocol.embedding_size=16",
        "protocol.backbone={small_conv: {width: 16, blocks: 1}}",
    )
    rows = execute_run(config, method, 0, 0, tmp_path / "run")
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count("saturation 1.0") == 1
    assert f"WARNING {warning}" in log
    assert "initial_radius" in log
    assert rows[0].saturation["validation_saturation"] == 1.0


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ("hard", ["embeddings are at the clip radius", "one sphere", "equals cosine ranking"]),
        ("smooth", ["embeddings are within 1 % of the clip radius", "nearly", "close to cosine"]),
    ],
)
def test_the_warning_says_what_holds_for_the_clip(tmp_path, caplog, clip, said):
    loss = CHESTLoss(3, 4, 4, distance=PoincareSimilarity(clip_radius=1.0, clip=clip))
    loss(torch.full((6, 8), 9.0), torch.arange(6) % 3)
    hooks(tmp_path, log_interval=1, clip=clip).end_of_iteration_hook(trainer_at(1, loss))
    (line,) = caplog.messages
    assert all(words in line for words in [*said, "saturation 1.0 at step 1"])


def test_no_warning_without_saturation(tiny):
    log = (tiny.folder / "chest" / "fold0_seed0" / "run.log").read_text()
    assert "saturation" not in log


def test_the_best_epoch_is_kept_and_ties_go_to_the_first(tmp_path):
    from pml_hyperbolic.distances import PoincareDistance

    scored = []
    made = hooks(tmp_path, on_epoch=lambda epoch, score: scored.append((epoch, score)))
    tester = make_tester(
        {"hyperbolic": 2},
        PoincareDistance(),
        EvaluationConfig(),
        device=torch.device("cpu"),
        end_of_testing_hook=made.end_of_testing_hook,
    )
    angles = torch.arange(6) * 1.0
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    good = torch.stack([angles.cos(), angles.sin()], 1) * 0.1 + labels[:, None]
    bad = good.roll(1, 0) * torch.tensor([1.0, -1, 1, -1, 1, -1])[:, None]
    trunk = torch.nn.Linear(1, 1)
    trainer = SimpleNamespace(
        models={"trunk": torch.nn.Identity(), "embedder": torch.nn.Identity(), "kept": trunk},
        loss_funcs={},
        optimizers={},
        data_device=torch.device("cpu"),
        step_lr_plateau_schedulers=lambda score: None,
    )
    for epoch, points in enumerate([bad, good, good, bad], start=1):
        trainer.epoch = epoch
        with torch.no_grad():
            trunk.weight.fill_(epoch)
        data = {"validation": torch.utils.data.TensorDataset(points, labels)}
        best = made.save_models_and_eval(trainer, data, "", 1, tester)
    scores = [score for _, score in scored]
    assert scores[1] == scores[2] == 1.0
    assert scores[0] < 1.0
    assert best == made.best_epoch == 2
    made.load_checkpoint(trainer)
    assert trunk.weight.item() == 2
    assert made.best_scores["hyperbolic"]["precision_at_1"] == 1.0


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [("{every: 2}", [2, 4]), ("{every: 2, score_from: 1}", [1, 3]), ("{score_from: 3}", [3, 4])],
)
def test_only_the_epochs_to_score_are_scored(tmp_path, load, evaluation, expected):
    config = load(
        "methods=[proxy_anchor]",
        "protocol.epochs=4",
        "protocol.steps_per_epoch=1",
        f"protocol.evaluation={evaluation}",
    )
    scored = []
    rows = execute_run(
        config, "proxy_anchor", 0, 0, tmp_path, on_epoch=lambda epoch, score: scored.append(epoch)
    )
    assert scored == expected
    assert rows[0].epoch in expected

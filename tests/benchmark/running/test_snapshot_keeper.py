"""Snapshots of a run: what they hold, that they change nothing, and that they are optional."""

import errno
import logging
import os

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.assembly.pipeline import Pipeline
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.results.array_file import read_arrays
from pml_hyperbolic.benchmark.results.row import read_rows
from pml_hyperbolic.benchmark.results.run_files import CHECKPOINT_FILE
from pml_hyperbolic.benchmark.results.snapshots import radii_histograms, read_snapshots
from pml_hyperbolic.benchmark.running import snapshot_keeper
from pml_hyperbolic.benchmark.running.single_run import execute_run
from pml_hyperbolic.benchmark.running.snapshot_keeper import SnapshotKeeper
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.files import read_json

from .rows import numbers

METHODS = pytest.mark.parametrize("method", ["proxy_anchor", "hier", "chest"])


def run_folder(tiny, method, seed=0):
    return tiny.folder / method / f"fold0_seed{seed}"


@METHODS
def test_epochs_and_shapes(tiny, method):
    folder = run_folder(tiny, method)
    found = read_snapshots(folder)
    (first, *_) = read_json(folder / "result.json")
    assert found.selected == first["epoch"]
    assert set(found.epochs) == {1, 2, 3}
    for split in ("train", "test"):
        assert found.embeddings[split].shape == (3, 160, 8)
        assert found.labels[split].shape == (160, 1)
        assert np.isfinite(found.embeddings[split]).all()
        # Training moves every image.
        assert (found.embeddings[split][0] != found.embeddings[split][2]).any(1).all()
    # Three classes each.
    for labels in found.labels.values():
        assert sorted(np.bincount(labels[:, 0])) == [53, 53, 54]
    assert {name: proxies.shape for name, proxies in found.proxies.items()} == {
        "proxy_anchor": {"proxies": (3, 3, 8)},
        "hier": {"hierarchical": (3, 8, 8)},
        "chest": {"chest/euclidean": (3, 6, 4), "chest/hyperbolic": (3, 6, 4)},
    }[method]
    assert (folder / "snapshots.npz").stat().st_size < 20_000_000
    assert not list(folder.glob(".snapshots*"))


@METHODS
def test_the_selected_epoch_is_that_of_the_stored_test_embeddings(tiny, method):
    folder = run_folder(tiny, method)
    found = read_snapshots(folder)
    queries = np.load(folder / "queries.npz")
    rows = np.searchsorted(queries["rows/indices"], found.indices["test"])
    assert (queries["rows/indices"][rows] == found.indices["test"]).all()
    assert (queries["rows/labels"][rows] == found.labels["test"]).all()
    stored = np.load(folder / "test_embeddings.npy")[rows].astype(np.float16)
    assert (found.embeddings["test"][found.epochs.index(found.selected)] == stored).all()


def test_every_epoch_is_that_of_its_weights(tmp_path, load, monkeypatch):
    """Embeddings and proxies equal those that plain modules give with each epoch's weights."""
    config = load("methods=[chest]")
    states = {}
    keep = SnapshotKeeper.keep

    def spy(self, trainer, tester):
        states[trainer.epoch] = [
            {name: value.clone() for name, value in module.state_dict().items()}
            for module in (*trainer.models.values(), trainer.loss_funcs["metric_loss"])
        ]
        keep(self, trainer, tester)

    monkeypatch.setattr(SnapshotKeeper, "keep", spy)
    execute_run(config, "chest", 0, 0, tmp_path / "run")
    found = read_snapshots(tmp_path / "run")
    pipeline = Pipeline(ProtocolData(config.protocol), config.methods["chest"], "chest", 7)
    modules = (*pipeline.models.values(), pipeline.loss)
    for number, epoch in enumerate(found.epochs):
        for module, state in zip(modules, states[epoch], strict=True):
            module.load_state_dict(state)
            module.eval()
        for split, name in (("train", "scored_train"), ("test", "test")):
            subset = pipeline.subsets[name]
            rows = np.flatnonzero(np.isin(subset.indices, found.indices[split]))
            with torch.no_grad():
                trunk, embedder, _ = modules
                expected = embedder(trunk(subset.__getitems__(rows.tolist())[0]))
            np.testing.assert_allclose(
                found.embeddings[split][number], expected.half(), atol=1e-3, rtol=2e-3
            )
        for space in ("euclidean", "hyperbolic"):
            expected = getattr(pipeline.loss, space).fc.detach().t().half()
            assert (found.proxies[f"chest/{space}"][number] == expected.numpy()).all()


def test_all_methods_and_seeds_have_the_same_images(tiny):
    samples = [
        read_snapshots(run_folder(tiny, method, seed)).indices
        for method in ("proxy_anchor", "hier", "chest")
        for seed in (0, 1)
    ]
    for split in ("train", "test"):
        assert all((sample[split] == samples[0][split]).all() for sample in samples)


@METHODS
def test_a_run_is_the_same_without_snapshots(tmp_path, load, tiny, method):
    config = load(f"methods=[{method}]", "keep_snapshots=false")
    rows = execute_run(config, method, 0, 0, tmp_path / "run")
    with_them = run_folder(tiny, method)
    assert numbers(rows) == numbers(read_rows(with_them / "result.json"))
    ours, theirs = (
        torch.load(folder / CHECKPOINT_FILE, weights_only=True)
        for folder in (tmp_path / "run", with_them)
    )
    for kind in ("models", "loss_funcs"):
        for name, state in theirs[kind].items():
            assert all(torch.equal(ours[kind][name][key], state[key]) for key in state)
    with pytest.raises(InputError, match="keep_snapshots: false: run it again"):
        read_snapshots(tmp_path / "run")
    np.testing.assert_equal(
        vars(radii_histograms(tmp_path / "run")), vars(radii_histograms(with_them))
    )


@METHODS
def test_radii_of_every_scored_epoch(tiny, method):
    found = radii_histograms(run_folder(tiny, method))
    if method == "proxy_anchor":
        assert found.epochs == ()
        assert found.counts == {}
        return
    assert found.epochs == (1, 2, 3)
    (counts,) = found.counts.values()
    # All images of the validation classes.
    assert counts.sum(1).tolist() == [364] * 3
    assert found.edges["hyperbolic"][-1] == 2.3
    clipped = np.round(found.saturation["hyperbolic"] * 364)
    assert (counts[:, -1] >= clipped).all()


def test_radii_without_a_clip_radius(tmp_path, load):
    config = load("methods=[hyp]")
    content = config.model_dump()
    content["methods"]["hyp"]["loss"] = {
        "NTXentLoss": {"distance": {"PoincareDistance": {"c": 0.1, "clip_radius": None}}}
    }
    config = type(config).model_validate(content)
    execute_run(config, "hyp", 0, 0, tmp_path / "run")
    found = radii_histograms(tmp_path / "run")
    assert found.counts["hyperbolic"].sum(1).tolist() == [364] * 3
    assert found.saturation["hyperbolic"].tolist() == [0.0] * 3


@pytest.fixture
def kept(tmp_path):
    """The folder of the keeper's run."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


@pytest.fixture
def keeper(kept, load):
    """The keeper of a new run of HIER, its trainer and its tester."""
    config = load("methods=[hier]")
    pipeline = Pipeline(ProtocolData(config.protocol), config.methods["hier"], "hier", 0)
    made = SnapshotKeeper(pipeline, kept, logging.getLogger("test"))
    trainer = pipeline.trainer()
    for module in trainer.models.values():
        module.eval()
    return made, trainer, pipeline.tester()


def everything(keeper, trainer, tester):
    return {
        split: tester.get_all_embeddings(subset, *trainer.models.values(), lambda batch: batch)[0]
        for split, subset in keeper.subsets.items()
    }


def test_no_random_number_is_drawn(keeper):
    made, trainer, tester = keeper
    trainer.epoch = 1
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    made.keep(trainer, tester)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_epochs_outside_the_plan_are_not_embedded(keeper, kept):
    made, trainer, tester = keeper
    trainer.epoch = 17
    made.keep(trainer, tester)
    assert list(kept.iterdir()) == []


def test_large_values_become_the_largest_of_float16(keeper, kept):
    made, trainer, tester = keeper
    with torch.no_grad():
        made._loss.losses[1].proxies.fill_(1e6)
    trainer.epoch = 1
    made.keep(trainer, tester)
    arrays = read_arrays(kept / ".snapshots.npz.epoch1")
    assert (arrays["proxies/hierarchical"] == 65504).all()


def test_a_resumed_run_forgets_what_came_after(keeper, kept):
    made, trainer, tester = keeper
    for trainer.epoch in (1, 2, 3):
        made.keep(trainer, tester)
    made.resume(2)
    names = sorted(path.name for path in kept.iterdir())
    assert names == [".snapshots.npz.epoch1", ".snapshots.npz.epoch2"]


def test_missing_and_unusable_epochs_are_left_out(keeper, kept, caplog):
    """As in a run that an earlier version began, or whose file was damaged."""
    made, trainer, tester = keeper
    for trainer.epoch in (2, 3):
        made.keep(trainer, tester)
    (kept / ".snapshots.npz.epoch2").write_bytes(b"x")
    made.finish(3, everything(made, trainer, tester))
    assert read_snapshots(kept).epochs == (3,)
    assert "snapshots.npz lacks epoch 2" in caplog.text


def test_a_selected_epoch_outside_the_plan_is_added(keeper, kept):
    made, trainer, tester = keeper
    trainer.epoch = 1
    made.keep(trainer, tester)
    made.finish(17, everything(made, trainer, tester))
    found = read_snapshots(kept)
    assert found.epochs == (1, 17)
    assert found.selected == 17
    for split in ("train", "test"):
        first, last = found.embeddings[split].astype(np.float32)
        np.testing.assert_allclose(first, last, atol=1e-3)


def test_a_disk_that_fails_is_no_damaged_file(keeper, kept, monkeypatch):
    """Otherwise the run would end without this epoch, though the next one could read it."""
    made, trainer, tester = keeper
    for trainer.epoch in (2, 3):
        made.keep(trainer, tester)

    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(snapshot_keeper, "read_arrays", fail)
        with pytest.raises(OSError, match="epoch2"):
            made.finish(3, everything(made, trainer, tester))
    made.finish(3, everything(made, trainer, tester))
    assert read_snapshots(kept).epochs == (2, 3)

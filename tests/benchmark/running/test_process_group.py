"""Under torchrun a benchmark gives the results of one process, written once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.results.snapshots import read_snapshots
from pml_hyperbolic.benchmark.running import process_group
from tests.benchmark.running import launched
from tests.processes import draw_from_all

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
# Two methods draw random triplets, noise and shifts of images; one diverges.
METHODS = ["hier", "broken", "chest"]


def arguments(config_file, output, *more):
    return [
        "run",
        str(config_file),
        f"methods=[{', '.join(METHODS)}]",
        "protocol.backbone=norm_free",
        "protocol.sampler={batch_size: 15, samples_per_class: 5}",
        "protocol.seeds=[0]",
        "protocol.epochs=2",
        "--no-page",
        "--output",
        str(output),
        *more,
    ]


def torchrun(*words, count=2, **environment):
    """Run the command line in several processes."""
    return subprocess.run(
        [*TORCHRUN, f"--nproc-per-node={count}", launched.__file__, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd()), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def rows_of(folder):
    rows = json.loads((folder / "tiny" / "results.json").read_text())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, write_config):
    """The tiny benchmark, run by one process and by two: (folder, folder, the second command)."""
    folder = tmp_path_factory.mktemp("runs")
    config = write_config(folder)
    assert main(arguments(config, folder / "one", "--jobs", "1")) == 1
    done = torchrun(*arguments(config, folder / "two"))
    return folder / "one", folder / "two", done


def test_results_are_those_of_one_process(runs):
    one, two, _ = runs
    expected, found = rows_of(one), rows_of(two)
    assert [row["method"] for row in found] == ["hier", "chest", "chest"]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        # The heads are in single precision, so that almost tied neighbours may change places.
        for part in ("train", "validation", "test", "saturation"):
            assert ours.pop(part) == pytest.approx(theirs.pop(part), abs=1e-4)
        assert ours == theirs


@pytest.mark.parametrize("method", ["hier", "chest"])
def test_weights_are_those_of_one_process(runs, method):
    states = [
        torch.load(next((folder / "tiny" / method).glob("*/checkpoint.pt")), weights_only=True)
        for folder in runs[:2]
    ]
    for kind in ("models", "loss_funcs"):
        for name, expected in states[0][kind].items():
            assert list(expected) == list(states[1][kind][name])
            for path, value in expected.items():
                found = states[1][kind][name][path]
                torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["hier", "chest"])
def test_snapshots_are_those_of_one_process(runs, method):
    expected, found = (
        read_snapshots(next((folder / "tiny" / method).glob("fold*"))) for folder in runs[:2]
    )
    assert found.epochs == expected.epochs
    for split in ("train", "test"):
        assert (found.indices[split] == expected.indices[split]).all()
    for ours, theirs in (
        (found.embeddings, expected.embeddings),
        (found.proxies, expected.proxies),
    ):
        for name, values in theirs.items():
            np.testing.assert_allclose(
                ours[name].astype(float), values.astype(float), rtol=2e-3, atol=2e-3
            )


def test_only_rank_0_writes_and_prints(runs):
    one, two, done = runs
    names = [
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (one, two)
    ]
    assert names[0] == names[1]
    assert done.stdout.count("results: ") == 1
    environment = json.loads(next(two.rglob("hier/*/environment.json")).read_text())
    assert environment["processes"] == 2


def test_a_run_that_diverges_stops_no_other_and_fails_the_command(runs):
    done = runs[2]
    assert done.returncode == 1
    assert done.stderr.count("pml-hyperbolic: failed: broken") == 1
    assert "loss became NaN or infinite at step 0" in done.stderr


def test_unique_classes_and_half_the_gradient_are_those_of_one_process(tmp_path, write_config):
    config = write_config(tmp_path)
    words = [
        *arguments(config, tmp_path / "one"),
        "methods=[hier]",
        "protocol.splits={train: [0, 1, 2, 3, 4, 5], validation: [6, 7], test: [8, 9]}",
        "protocol.sampler={batch_size: 8, samples_per_class: 4, unique_classes: true, "
        "replacement: true}",
        "protocol.steps_per_epoch=3",
        "protocol.network_gradient_scale=0.5",
    ]
    assert main(words) == 0
    words[words.index(str(tmp_path / "one"))] = str(tmp_path / "two")
    done = torchrun(*words)
    assert done.returncode == 0, done.stderr
    states = [
        torch.load(next((tmp_path / of).glob("tiny/hier/*/checkpoint.pt")), weights_only=True)[
            "models"
        ]["trunk"]
        for of in ("one", "two")
    ]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-6)


def test_a_failure_of_rank_0_ends_all(tmp_path, config_file):
    done = torchrun(*arguments(config_file, tmp_path / "runs"), FAIL="0 1")
    assert done.returncode == 1
    assert "pml-hyperbolic: failed: hier, fold 0, seed 0: OSError: no such luck" in done.stderr
    assert not list(tmp_path.rglob("result.json"))


def test_a_failure_of_another_rank_ends_all_and_is_resumed(runs, tmp_path, config_file):
    words = arguments(config_file, tmp_path / "runs", "methods=[hier]")
    # An epoch has four steps, so the first epoch is saved.
    done = torchrun(*words, FAIL="1 6")
    assert done.returncode == 1
    assert "pml-hyperbolic: OSError: no such luck" in done.stderr
    assert not list(tmp_path.rglob("result.json"))
    assert torchrun(*words).returncode == 0
    log = next(tmp_path.rglob("run.log")).read_text()
    assert log.count("epoch 1: ") == 1
    assert log.count("resumed after epoch 1") == 1
    assert rows_of(tmp_path / "runs") == rows_of(runs[1])[:1]


def test_dropout_differs_between_ranks_and_epochs(monkeypatch):
    def draws(rank, epoch, seed=0):
        monkeypatch.setattr(process_group, "rank", lambda: rank)
        process_group.seed_follower(seed, epoch)
        return draw_from_all()

    kinds = [(1, 0), (2, 0), (1, 1), (1, 0, 1)]
    found = [draws(*kind) for kind in kinds]
    assert len({tuple(numbers) for numbers in found}) == len(kinds)
    assert draws(1, 0) == found[0]


def test_jobs_are_refused_where_processes_work_together(
    monkeypatch, refused, tmp_path, config_file
):
    monkeypatch.setattr("pml_hyperbolic.benchmark.running.runner.world_size", lambda: 2)
    message = refused(*arguments(config_file, tmp_path / "runs", "--jobs", "2"))
    assert "--jobs 2: the 2 processes of torchrun do one run at a time together" in message
    assert not (tmp_path / "runs").exists()


def test_more_processes_than_devices_are_refused(monkeypatch, refused, tmp_path, config_file):
    for name, value in (("WORLD_SIZE", "3"), ("RANK", "2"), ("LOCAL_RANK", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    words = arguments(config_file, tmp_path / "runs", "protocol.device=cuda")
    assert "this machine has 2: set torchrun's --nproc-per-node to 2 at most" in refused(*words)

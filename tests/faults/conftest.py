"""A tiny benchmark whose commands can be killed, or lose their disk, at any file operation."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
MODES = {"nothing": 0, "kill": 1, "full disk": 2, "broken disk": 3, "read-only disk": 4}
# A method with both spaces, and proxies. Two epochs, so that there is a state to resume from.
METHOD = {
    "loss": {
        "CHESTLoss": {
            "hierarchy_weight": 1,
            "distance": {"PoincareSimilarity": {"c": 0.1, "clip_radius": 2.3}},
        }
    },
    "loss_lr": 0.01,
    "head": {"spaces": ["euclidean", "hyperbolic"]},
    "search": {"loss_lr": {"grid": [0.001, 0.01]}},
}
PROTOCOL = {
    "splits": {"train": [0, 1, 2], "validation": [3, 4], "test": [5, 6, 7]},
    "backbone": "identity",
    "embedding_size": 4,
    "sampler": {"batch_size": 6, "samples_per_class": 2},
    "optimizer": {"trunk_lr": 1e-3, "head_lr": 1e-2},
    "epochs": 2,
    "steps_per_epoch": 2,
    "evaluation": {"recall_at": [1]},
    "seeds": [0],
    "device": "cpu",
}


class Answer(NamedTuple):
    """How a command ended.

    Attributes:
        status: exit status; negative for a signal, "hangs" if it did not end.
        count: number of its file operations.
        out, err: what it printed; carriage returns of progress bars count as line breaks.
    """

    status: object
    count: int
    out: str
    err: str

    @property
    def messages(self):
        """The lines of errors."""
        return [line for line in self.err.splitlines() if line.startswith("pml-hyperbolic: ")]


class Server:
    """Runs commands of ``pml-hyperbolic`` in forked processes, with a fault at an operation."""

    def __init__(self, folder, library, root):
        self.folder = folder
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAULTS_ROOT": str(root),
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "PML_HYPERBOLIC_CACHE": str(folder / "cache"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.faults.server"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def warm_up(self, *words):
        """Run a command in the server itself, so that all is imported."""
        assert self._ask({"here": True, "words": [str(w) for w in words]})["status"] == 0

    def __call__(self, *words, mode="nothing", number=0):
        """Run a command, with a fault of this mode at the operation of this number."""
        files = {name: str(self.folder / name) for name in ("stdout", "stderr")}
        answer = self._ask(
            {"words": [str(w) for w in words], "mode": MODES[mode], "number": number, **files}
        )
        out, err = (Path(file).read_text(errors="replace") for file in files.values())
        return Answer(answer["status"], answer["count"], out, err.replace("\r", "\n"))

    def _ask(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def write_benchmark(folder):
    """Write a benchmark on features: the path of its config."""
    generator = np.random.default_rng(0)
    labels = np.arange(48) % 8
    centres = generator.standard_normal((8, 6))
    features = centres[labels] + generator.standard_normal((48, 6))
    coarse = np.array([f"class {label}" for label in labels])
    coarser = np.array([f"group {label % 2}" for label in labels])
    file = folder / "features.npz"
    np.savez(file, features=features.astype(np.float32), labels=np.stack([coarse, coarser], axis=1))
    (folder / "methods").mkdir()
    (folder / "methods" / "chest.yaml").write_text(yaml.safe_dump(METHOD))
    protocol = {"data": {"features": {"root": str(file)}}, **PROTOCOL}
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump({"name": "tiny", "protocol": protocol, "methods": ["chest"]}))
    return config


class Place(NamedTuple):
    """Where commands work.

    Attributes:
        server: runs them.
        config: of the tiny benchmark.
        root: below which operations can fail.
        finished: folder of the runs that were never disturbed.
    """

    server: Server
    config: Path
    root: Path
    finished: Path


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("faults are injected by a C library on Linux: install gcc")
    folder = tmp_path_factory.mktemp("faults")
    library, root = folder / "faults.so", folder / "root"
    root.mkdir()
    source = HERE / "faults.c"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True
    )
    config = write_benchmark(folder)
    server = Server(folder, library, root)
    finished = folder / "finished"
    try:
        server.warm_up("run", config, "--output", finished, "--no-page", "--jobs", "1")
        yield Place(server, config, root, finished / "tiny")
    finally:
        server.close()

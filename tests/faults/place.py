"""A tiny benchmark whose commands can be killed, or lose their disk, at any file operation."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

from .operation import MODES, Operation, read_operations

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
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
    "optimizer": {"head_lr": 1e-2},
    "epochs": 2,
    "steps_per_epoch": 1,
    "evaluation": {"recall_at": [1]},
    "seeds": [0],
    "device": "cpu",
}
# Of images: decoded once, and features that are computed once.
OF_IMAGES = {"backbone": "small_conv", "trunk": "frozen"}
# The time of the first command, and how much later the next one begins, when the trials of one that
# was killed are surely abandoned.
CLOCK, PAUSE = 1_800_000_000, 3_600


class Answer(NamedTuple):
    """How a command ended.

    Attributes:
        status: exit status; negative for a signal, "hangs" if it did not end.
        count: number of its file operations, or of those that are like the chosen one.
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
    """Runs commands of ``pml-hyperbolic`` in forked processes, with a fault at an operation.

    Args:
        folder: for what the commands print, and the library.
        root: below which operations are counted, and can fail.
        cache: folder of decoded images.

    Raises:
        FileNotFoundError: there is no C compiler.
    """

    def __init__(self, folder, root, cache):
        self.folder = folder
        library = folder / "faults.so"
        compile_library(library)
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAULTS_ROOT": str(root),
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "PML_HYPERBOLIC_CACHE": str(cache),
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

    def __call__(self, *words, mode="nothing", at: Operation | None = None, clock=CLOCK):
        """Run a command, with a fault of this mode at an operation."""
        chosen = {} if at is None else {"name": at.name, "path": at.path}
        number = 0 if at is None else at.occurrence
        return self._run(words, mode=MODES[mode], number=number, clock=clock, **chosen)

    def operations(self, *words, clock=CLOCK) -> list[Operation]:
        """Run a command, which must succeed, and return its operations."""
        file = self.folder / "operations"
        answer = self._run(words, mode=0, number=0, clock=clock, operations=str(file))
        assert (answer.status, answer.messages) == (0, []), answer.err
        return read_operations(file.read_text())

    def _run(self, words, **order):
        files = {name: str(self.folder / name) for name in ("stdout", "stderr")}
        answer = self._ask({"words": [str(w) for w in words], **order, **files})
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


def compile_library(target):
    """Compile faults.c.

    Raises:
        FileNotFoundError: there is no C compiler, or this is not Linux.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        raise FileNotFoundError("faults are injected by a C library on Linux: install gcc")
    words = [compiler, "-O2", "-shared", "-fPIC", str(HERE / "faults.c"), "-o", str(target), "-ldl"]
    subprocess.run(words, check=True)


def write_benchmarks(folder):
    """Write a benchmark on features and one on images: the paths of their configs."""
    generator = np.random.default_rng(0)
    labels = np.arange(48) % 8
    centres = generator.standard_normal((8, 6))
    features = centres[labels] + generator.standard_normal((48, 6))
    coarse = np.array([f"class {label}" for label in labels])
    coarser = np.array([f"group {label % 2}" for label in labels])
    file = folder / "features.npz"
    np.savez(file, features=features.astype(np.float32), labels=np.stack([coarse, coarser], axis=1))
    photos = folder / "classes"
    for number, label in enumerate(labels):
        image = photos / f"group {label % 2}" / f"class {label}" / f"{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(image)
    (folder / "methods").mkdir()
    (folder / "methods" / "chest.yaml").write_text(yaml.safe_dump(METHOD))
    return tuple(
        _write_config(folder / f"{name}.yaml", {**PROTOCOL, "data": data, **changes})
        for name, data, changes in (
            ("features", {"features": {"root": str(file)}}, {}),
            ("photos", {"image_folder": {"root": str(photos)}}, OF_IMAGES),
        )
    )


def _write_config(file, protocol):
    content = {"name": "tiny", "protocol": protocol, "methods": ["chest"]}
    file.write_text(yaml.safe_dump(content))
    return file


class Place(NamedTuple):
    """Where commands work.

    Attributes:
        server: runs them.
        config: of the tiny benchmark on features.
        photos: config of the one on images.
        disk: folder of all that a command reads and writes; operations can fail there. Configs,
            features and images are in it, and the output.
        output: folder of every command, with the cache of images in it.
        finished: folder of runs that were never disturbed.
        prepared: for folders to begin with.
    """

    server: Server
    config: Path
    photos: Path
    disk: Path
    output: Path
    finished: Path
    prepared: Path


@contextmanager
def made_place(folder: Path) -> Iterator[Place]:
    """Make a place in an empty folder.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    disk, finished, prepared = (folder / n for n in ("disk", "finished", "prepared"))
    disk.mkdir()
    prepared.mkdir()
    config, photos = write_benchmarks(disk)
    output = disk / "output"
    server = Server(folder, disk, output / "cache")
    try:
        server.warm_up("run", config, "--output", finished, "--no-page", "--jobs", "1")
        server.warm_up("search", config, "--output", finished, "--trials", "2")
        server.warm_up("report", finished / "tiny", "--write", finished / "report")
        yield Place(server, config, photos, disk, output, finished / "tiny", prepared)
    finally:
        server.close()

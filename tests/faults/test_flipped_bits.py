"""A flipped bit in any file that is read back is said or harmless; it never changes a number."""

import logging
import random
import shutil

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.config.yaml_files import read_mapping
from pml_hyperbolic.benchmark.measuring.run_contents import learning_curve
from pml_hyperbolic.benchmark.measuring.run_scores import load_test
from pml_hyperbolic.benchmark.results.finished_run import FinishedRun
from pml_hyperbolic.benchmark.results.row import read_rows
from pml_hyperbolic.benchmark.results.run_environment import RunEnvironment
from pml_hyperbolic.benchmark.results.run_measures import read_measures
from pml_hyperbolic.benchmark.results.snapshots import radii_histograms, read_snapshots
from pml_hyperbolic.benchmark.results.untrained_scores import read_untrained
from pml_hyperbolic.benchmark.running.resumption import CannotResume, stored_state
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.embedder import Embedder, ImageIndex
from pml_hyperbolic.utils import PoincareKNN
from tests.image_fixtures import Photos, decode

BITS = 24
SPACE = "hyperbolic"


def plain(value):
    """Return content in a form that can be compared."""
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return repr(value)


def queries(run):
    finished = FinishedRun.read(run)
    scores = finished.query_scores(SPACE, "mean_average_precision_at_r")
    return [scores, finished.query_indices(), *load_test(run)]


def weights(folder):
    return dict(Embedder.load(folder).state_dict())


def curve(run):
    return learning_curve(FinishedRun.read(run), SPACE)


# File of a finished run -> what reads it, given the run's folder.
OF_A_RUN = {
    "result.json": lambda run: read_rows(run / "result.json"),
    "queries.npz": queries,
    "test_embeddings.npy": queries,
    "measures.json": lambda run: read_measures(run / "measures.json"),
    "snapshots.npz": read_snapshots,
    "radii.npz": radii_histograms,
    "checkpoint.pt": weights,
    "config.yaml": lambda run: read_mapping(run / "config.yaml"),
    "environment.json": lambda run: RunEnvironment.read(run / "environment.json"),
    "records/logs.db": curve,
    "records/logs.db.sha256": curve,
    "../../untrained.json": lambda run: read_untrained(run / "../../untrained.json"),
    "../../benchmark.yaml": lambda run: read_mapping(run / "../../benchmark.yaml"),
}


def flips(size, name):
    """Return bits at equal distances, and some at random."""
    bits = {8 * size * i // BITS for i in range(BITS)}
    return sorted(bits | set(random.Random(name).sample(range(8 * size), 4)))


def check(file, read, caplog):
    """Flip bits of a file: each is refused in one line, warned of, or changes nothing."""
    whole = file.read_bytes()
    expected = plain(read())
    noticed = harmless = 0
    for bit in flips(len(whole), file.name):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        caplog.clear()
        found, message = None, ""
        try:
            found = plain(read())
        # InputError, or ValueError of the PML classes.
        except (ValueError, CannotResume) as error:
            message = str(error) or "no message"
        if message:
            assert "\n" not in message
            assert message != "no message"
            noticed += 1
            continue
        warned = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert warned or found == expected, f"bit {bit} of {file.name} changes content silently"
        noticed, harmless = noticed + bool(warned), harmless + (not warned)
    file.write_bytes(whole)
    print(f"\n{file.name}: {noticed} of {noticed + harmless} flipped bits noticed")
    assert plain(read()) == expected


@pytest.mark.parametrize("name", OF_A_RUN)
def test_files_of_a_finished_run(place, tmp_path, caplog, name):
    shutil.copytree(place.finished, tmp_path / "tiny")
    run = tmp_path / "tiny" / "chest" / "fold0_seed0"
    check((run / name).resolve(), lambda: OF_A_RUN[name](run), caplog)


@pytest.fixture(scope="module")
def killed(place):
    """The folder of a run that was killed after its first epoch."""
    output = place.root / "killed"
    words = ("run", place.config, "--output", output, "--no-page", "--jobs", "1")
    run = output / "tiny" / "chest" / "fold0_seed0"
    for number in range(250, 900, 50):
        shutil.rmtree(output, ignore_errors=True)
        assert place.server(*words, mode="kill", number=number).status == -9
        if (run / "last.pt").exists() and (run / "checkpoint.pt").exists():
            return run
    raise AssertionError("the run left no state")


@pytest.mark.parametrize("name", ["last.pt", "checkpoint.pt", ".snapshots.npz.epoch1"])
def test_files_of_an_unfinished_run(killed, tmp_path, caplog, name):
    run = tmp_path / "run"

    def read():
        shutil.copytree(killed, run, dirs_exist_ok=True)
        shutil.copy(tmp_path / "damaged", run / name)
        return stored_state(run, {})

    shutil.copy(killed / name, tmp_path / "damaged")
    check(tmp_path / "damaged", read, caplog)


def test_references_of_a_search(tmp_path, caplog):
    knn = PoincareKNN(PoincareDistance(0.1), reset_before=False)
    knn.train(torch.rand(30, 5))
    file = tmp_path / "references.pt"
    knn.save(str(file))

    def read():
        knn.load(str(file))
        return knn.index.raw

    check(file, read, caplog)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_saved_model(place, tmp_path, caplog, name):
    folder = tmp_path / "model"
    Embedder.load(place.finished / "chest" / "fold0_seed0").save_pretrained(folder)

    def read():
        model = Embedder.from_pretrained(folder)
        return [dict(model.state_dict()), model.description.to_json()]

    check(folder / name, read, caplog)


def test_an_index_of_images(place, tmp_path, caplog):
    model = Embedder.load(place.finished / "chest" / "fold0_seed0")
    file = tmp_path / "index.safetensors"
    ImageIndex.build(model, np.random.default_rng(0).random((20, 6), np.float32)).save(file)

    def read():
        index = ImageIndex.load(file)
        return [index.embeddings, index.names, index.labels, index.fingerprint, index.layout]

    check(file, read, caplog)


@pytest.mark.parametrize("name", ["pixels.bin", "sizes.npy"])
def test_decoded_images(cache, tmp_path, caplog, name):
    photos = Photos()
    decode(photos)
    (folder,) = [entry for entry in cache.iterdir() if entry.is_dir()]

    def read():
        images = decode(photos)
        return [np.array(images.image(i)) for i in range(len(images))]

    check(folder / name, read, caplog)

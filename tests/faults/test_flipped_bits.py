"""A flipped bit in any file that is read back is said or harmless; it never changes a number."""

import logging
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.config.yaml_files import read_mapping
from pml_hyperbolic.benchmark.measuring.run_contents import learning_curve
from pml_hyperbolic.benchmark.measuring.run_scores import load_test
from pml_hyperbolic.benchmark.results.finished_run import FinishedRun
from pml_hyperbolic.benchmark.results.row import read_rows
from pml_hyperbolic.benchmark.results.run_environment import RunEnvironment
from pml_hyperbolic.benchmark.results.run_measures import read_measures
from pml_hyperbolic.benchmark.results.snapshots import radii_histograms, read_snapshots
from pml_hyperbolic.benchmark.results.untrained_scores import read_untrained
from pml_hyperbolic.benchmark.running.folder_lock import FolderLock
from pml_hyperbolic.benchmark.running.resumption import CannotResume, stored_state
from pml_hyperbolic.benchmark.tuning.search import search_benchmark
from pml_hyperbolic.benchmark.tuning.storage import StorageLostError
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.embedder import Embedder, ImageIndex
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.utils import PoincareKNN
from tests.image_fixtures import Photos, decode

from .command import COMMANDS

BITS, SEARCH_BITS = 24, 40
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


def flips_of_used(content, count):
    """Return bits at equal distances among the bytes that are not zero, as free pages are."""
    used = np.flatnonzero(np.frombuffer(content, np.uint8))
    places = used[np.linspace(0, len(used) - 1, count).astype(int)]
    return [8 * int(place) + i % 8 for i, place in enumerate(places)]


def check(file, read, caplog, bits=None):
    """Flip bits of a file: each is refused in one line, warned of, or changes nothing."""
    whole = file.read_bytes()
    expected = plain(read())
    noticed = harmless = 0
    for bit in flips(len(whole), file.name) if bits is None else bits:
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
def killed(place, tmp_path_factory):
    """The folder of a run that was killed in its second epoch."""
    COMMANDS["resumed run"].begin(place)
    output = shutil.copytree(place.output, tmp_path_factory.mktemp("killed") / "output")
    return output / "tiny" / "chest" / "fold0_seed0"


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


def test_the_database_of_a_search(place, tmp_path, caplog):
    """A row that is lost is searched again, with the same outcome."""
    finished = place.finished.parent / "tiny-search"
    config = load_benchmark(place.config, [])
    damaged = tmp_path / "damaged" / "search.db"
    damaged.parent.mkdir()
    shutil.copy(finished / "search.db", damaged)

    def read():
        shutil.copytree(finished, tmp_path / "tiny-search", dirs_exist_ok=True)
        shutil.copy(damaged, tmp_path / "tiny-search" / "search.db")
        try:
            found, errors = search_benchmark(
                config, tmp_path, trials=2, show_progress=False, say=lambda line: None
            )
        # The command says these in one line.
        except (StorageLostError, OSError) as error:
            raise ValueError(str(error)) from error
        if errors:
            raise ValueError(*errors.values())
        return found

    check(damaged, read, caplog, flips_of_used(damaged.read_bytes(), SEARCH_BITS))


@pytest.fixture(scope="module")
def images(place, tmp_path_factory):
    """The folder of an undisturbed run of images, with the cache beside it."""
    COMMANDS["run of images"].begin(place)
    assert place.server(*COMMANDS["run of images"].words(place)).status == 0
    return shutil.copytree(place.output, tmp_path_factory.mktemp("images") / "output")


def test_the_weights_of_a_frozen_trunk(images, tmp_path, caplog):
    shutil.copytree(images, tmp_path / "output")
    folder = tmp_path / "output" / "tiny"
    check(folder / "frozen_trunk.pt", lambda: weights(folder / "chest" / "fold0_seed0"), caplog)


def test_features_of_images(place, images, tmp_path, caplog, monkeypatch):
    """Damaged ones are computed again, which gives the same."""
    cache = shutil.copytree(images / "cache", tmp_path / "cache")
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(cache))
    monkeypatch.setattr("pml_hyperbolic.images.image_cache.IN_MEMORY", 0)
    protocol = load_benchmark(place.photos, []).protocol
    (file,) = cache.glob("*-features-*.npz")

    def read():
        return ProtocolData(protocol).frozen_trunk.features

    check(file, read, caplog)


def test_the_owner_of_a_folder(tmp_path, caplog):
    holder = FolderLock(tmp_path, files=["a"])
    with holder:
        written = (tmp_path / ".owner.json").read_bytes()

    def read():
        with FileLock(tmp_path / ".lock"), pytest.raises(InputError) as caught:
            FolderLock(tmp_path).__enter__()
        message = str(caught.value)
        # What is not known is not named.
        if "by another process: " in message:
            raise caught.value
        return message

    (tmp_path / ".owner.json").write_bytes(written)
    check(tmp_path / ".owner.json", read, caplog)


@pytest.mark.parametrize("name", ["pixels.bin", "sizes.npy"])
def test_decoded_images(cache, tmp_path, caplog, name):
    photos = Photos()
    decode(photos)
    (folder,) = [entry for entry in cache.iterdir() if entry.is_dir()]

    def read():
        images = decode(photos)
        return [np.array(images.image(i)) for i in range(len(images))]

    check(folder / name, read, caplog)


# Files that are read, but carry no content: SQLite's journals of unfinished transactions, which
# have checksums of their own, and copies of the records, whose first lines record-keeper reads to
# append others.
NOT_CONTENT = {"logs.db-journal", "search.db-journal"}
# Files whose bits are flipped here.
FLIPPED = {
    *(Path(name).name for name in OF_A_RUN),
    "last.pt",
    ".snapshots.npz.epoch#",
    "frozen_trunk.pt",
    "search.db",
    "pixels.bin",
    "sizes.npy",
    "image_folder-features-#.npz",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_file_that_is_read_back_is_among_these(place, command):
    mine = COMMANDS[command]
    mine.begin(place)
    operations = place.server.operations(*mine.words(place), clock=mine.clock)
    # Configs, features and images are the user's, and not read back.
    written = f"/{place.output.name}/"
    read = {
        re.sub(r"[0-9a-f]{12}|(?<=epoch)\d+$", "#", Path(one.path).name)
        for one in operations
        if one.name == "read" and one.path.startswith(written)
    }
    assert read
    assert {name for name in read - FLIPPED - NOT_CONTENT if not name.endswith(".csv")} == set()

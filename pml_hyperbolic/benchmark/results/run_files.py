"""File names in the folder of a benchmark, and in the folder of each of its runs.

Only files of these names are ever removed or replaced there, and never through a link.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ...errors import InputError

# Of a benchmark.
BENCHMARK_FILE = "benchmark.yaml"  # the config with all its methods
RESULTS_FILE = "results.json"  # the rows of all finished runs
TIDY_FILE = "results.csv"  # the same, one number a line
FROZEN_TRUNK_FILE = "frozen_trunk.pt"  # the weights that all its runs share, if they are frozen
UNTRAINED_FILE = "untrained.json"  # what the networks score before any training

# Of a run.
CONFIG_FILE = "config.yaml"
ENVIRONMENT_FILE = "environment.json"  # machine, packages and their versions
RECORDS_FOLDER = "records"  # written by record-keeper
DATABASE_FILE = "logs.db"  # in the folder of records; beside it, a CSV file for each table
SEAL_FILE = "logs.db.sha256"  # its checksum, once the run is finished
TENSORBOARD_FOLDER = "tensorboard"
LOG_FILE = "run.log"
LAST_FILE = "last.pt"  # the state to resume from, until the run is finished
CHECKPOINT_FILE = "checkpoint.pt"  # models and losses of the selected epoch
QUERIES_FILE = "queries.npz"  # the score of every test query
EMBEDDINGS_FILE = "test_embeddings.npy"
MEASURES_FILE = "measures.json"  # geometry and hierarchy of the test embeddings
SNAPSHOTS_FILE = "snapshots.npz"  # embeddings of a sample and proxies at a few epochs
RADII_FILE = "radii.npz"  # histograms of hyperbolic radii at every scored epoch
RESULT_FILE = "result.json"  # the rows of this run; it exists only if the run is finished

# The files of a benchmark, and those of a run outside the folders of records and of TensorBoard.
BENCHMARK_FILES = (
    BENCHMARK_FILE,
    RESULTS_FILE,
    TIDY_FILE,
    FROZEN_TRUNK_FILE,
    UNTRAINED_FILE,
    "report.html",
)
RUN_FILES = (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    LOG_FILE,
    LAST_FILE,
    CHECKPOINT_FILE,
    QUERIES_FILE,
    EMBEDDINGS_FILE,
    MEASURES_FILE,
    SNAPSHOTS_FILE,
    RADII_FILE,
    RESULT_FILE,
)
LOCK_FILES = (".lock", ".owner.json")
_EPOCH = r"(\.epoch\d+)?"
_RUN_NAME = re.compile(
    rf"\.?({'|'.join(map(re.escape, RUN_FILES))}){_EPOCH}"
    rf"|\.\.?({'|'.join(map(re.escape, (*RUN_FILES, *LOCK_FILES[1:])))}){_EPOCH}\.part"
)
_BENCHMARK_PART = re.compile(
    rf"\.({'|'.join(map(re.escape, (*BENCHMARK_FILES, *LOCK_FILES[1:])))})\.part"
)
_RECORD_NAME = re.compile(
    r"logs\.db(-journal|-wal|-shm|\.sha256)?|\.logs\.db\.sha256\.part"
    r"|(training|saturation|(train|validation|test)_\w+)\.csv|events\.out\.tfevents\..*"
)


def is_lock_or_leftover(name: str) -> bool:
    """Whether a file of the folder of a benchmark is there before the benchmark begins.

    Args:
        name: of the file: one of a lock, or what a killed process left half-written.
    """
    return name in LOCK_FILES or _BENCHMARK_PART.fullmatch(name) is not None


def remove_run_files(folder: Path) -> None:
    """Remove the files that a run made in its folder; all others stay, such as a user's notes."""
    for path in _run_files(folder):
        path.unlink(missing_ok=True)
    for name in (RECORDS_FOLDER, TENSORBOARD_FOLDER):
        # It stays if it holds something else.
        with suppress(OSError):
            (folder / name).rmdir()


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written, or behind a finished run."""
    finished = (folder / RESULT_FILE).exists()
    for path in _run_files(folder):
        waiting = path.name == LAST_FILE or ".epoch" in path.name
        if path.name.endswith(".part") or (finished and waiting):
            path.unlink(missing_ok=True)


def refuse_links(folder: Path) -> None:
    """Refuse a folder of a benchmark or a run whose files would be written through a link.

    Raises:
        InputError: the folder, or one of its files that are appended to, is a symbolic link.
    """
    places = [folder, folder / LOG_FILE, folder / LOCK_FILES[0]]
    for name in (RECORDS_FOLDER, TENSORBOARD_FOLDER):
        places += [folder / name, *(folder / name).glob("*")]
    for path in places:
        if path.is_symlink():
            raise InputError(
                f"{path} is a link, and nothing is written or removed through links: remove it, or "
                f"choose another --output"
            )


def _run_files(folder: Path) -> Iterator[Path]:
    """List the files that a run makes in its folder, as far as they are there."""
    yield from (path for path in folder.glob("*") if _is_file(path, _RUN_NAME))
    for name in (RECORDS_FOLDER, TENSORBOARD_FOLDER):
        if not (folder / name).is_symlink():
            yield from (p for p in (folder / name).glob("*") if _is_file(p, _RECORD_NAME))


def _is_file(path, names):
    return names.fullmatch(path.name) is not None and (path.is_symlink() or path.is_file())


def run_folder(benchmark: Path, method: str, fold: int, seed: int) -> Path:
    """Return the folder of one run in the folder of its benchmark."""
    return benchmark / method / f"fold{fold}_seed{seed}"

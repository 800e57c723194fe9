"""A benchmark: all of its runs done or kept, and their results collected."""

import itertools
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path

import torch

from ...checked_files import open_checked, write_checked, write_checked_text
from ...distributed.collectives import world_size
from ...errors import InputError, message_of
from ...files import make_output_folder, write_json
from ..assembly.models import choose_device
from ..assembly.protocol_data import ProtocolData
from ..checking.check import check_benchmark
from ..config import BenchmarkConfig
from ..config.curvature_control import with_flat_twins
from ..config.yaml_files import dump_yaml
from ..measuring.untrained import untrained_scores
from ..results.row import Row, read_rows
from ..results.run_files import (
    BENCHMARK_FILE,
    BENCHMARK_FILES,
    FROZEN_TRUNK_FILE,
    RESULT_FILE,
    RESULTS_FILE,
    TIDY_FILE,
    UNTRAINED_FILE,
    run_folder,
)
from ..results.tidy_results import write_tidy
from ..results.untrained_scores import UNTRAINED_HEAD, read_untrained, write_untrained
from .concatenation import add_concatenated
from .folder_lock import FolderLock
from .parallel import Outcome, default_jobs, do_runs
from .plan import check_folder, forget_unfinished, plan_runs
from .progress import Progress


def run_benchmark(
    config: BenchmarkConfig,
    output: Path,
    *,
    jobs: int | None = None,
    tensorboard: bool = False,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> tuple[list[Row], list[Outcome]]:
    """Do every run that ``output/<name>`` does not hold yet; a failed run stops no other.

    Unfinished runs are resumed.

    Args:
        config: the benchmark.
        output: folder of all benchmarks.
        jobs: how many runs to do at a time, which does not change their numbers. Default: the
            number of cores divided by the protocol's threads; 1 on CUDA and under torchrun.
        tensorboard: also write TensorBoard events. Default False.
        say: called with each line to show.
        show_progress: show a progress bar on stderr. Default True.

    Returns:
        The rows of results.json, and the outcomes of the runs that failed.

    Raises:
        InputError: a method cannot be built, the folder holds runs of other settings or is a link,
            or another process is working in it.
        OSError: the disk is full, broken, read-only or gone; the same call continues.
    """
    config = with_flat_twins(config)
    if world_size() > 1 and jobs is not None and jobs > 1:
        raise InputError(
            f"--jobs {jobs}: the {world_size()} processes of torchrun do one run at a time "
            f"together: leave --jobs out"
        )
    _check_recorders(tensorboard)
    data = ProtocolData(config.protocol)
    checked = check_benchmark(config, data)
    for note in checked.notes:
        say(f"note: {note}")
    folder = output / config.name
    identity = {"protocol_hash": config.protocol.hash, "data": checked.data}
    problem = check_folder(folder, identity)
    make_output_folder(folder)
    with FolderLock(folder, files=BENCHMARK_FILES):
        if problem is not None:
            say(f"note: {problem}")
            forget_unfinished(folder)
        tasks, finished = plan_runs(config, folder, tensorboard=tensorboard)
        write_checked_text(folder / BENCHMARK_FILE, dump_yaml({**config.model_dump(), **identity}))
        _keep_frozen_trunk(folder / FROZEN_TRUNK_FILE, data)
        if finished:
            say(f"{finished} finished runs in {folder} are kept, {len(tasks)} are left to do")
        if tasks and data.frozen_trunk is not None:
            # Once, before worker processes would wait for each other.
            data.frozen_trunk.features  # noqa: B018
        jobs = min(jobs or default_jobs(config), max(len(tasks), 1))
        with Progress(config, len(tasks), show_progress) as progress:
            outcomes = list(do_runs(tasks, jobs, progress, data))
        _concatenate_folds(config, folder)
        rows = collect_results(folder, config.methods)
        write_json(folder / RESULTS_FILE, [row.plain() for row in rows])
        write_tidy(folder / TIDY_FILE, config.name, rows)
        _score_untrained(config, data, folder, say)
    return rows, [outcome for outcome in outcomes if outcome.error is not None]


def collect_results(folder: Path, methods: Iterable[str]) -> list[Row]:
    """Return the rows of all finished runs in the folder of a benchmark.

    Args:
        folder: of the benchmark.
        methods: in the order of the rows; rows of other methods follow.

    Raises:
        InputError: the result of a run is malformed.
    """
    files = folder.glob(f"*/fold*_seed*/{RESULT_FILE}")
    rank = {name: i for i, name in enumerate(methods)}
    return sorted(
        (row for file in files for row in read_rows(file)),
        key=lambda row: (rank.get(row.method, len(rank)), row.method, row.fold, row.seed),
    )


def _keep_frozen_trunk(file, data):
    """Write the weights that all runs share; refuse to mix runs on features of other weights."""
    frozen = data.frozen_trunk
    if frozen is None:
        return
    if not file.exists():
        content = {"hash": frozen.hash, "weights": frozen.trunk.state_dict()}
        write_checked(file, lambda stream: torch.save(content, stream))
        return
    try:
        with open_checked(file) as stream:
            kept = torch.load(stream, weights_only=True, map_location="cpu")["hash"]
    except OSError:
        raise
    # torch and zipfile raise what they like for damaged files.
    except Exception as error:
        reason = message_of(error, 200)
        raise InputError(f"{file} is damaged ({reason}): remove it and run again") from error
    if kept != frozen.hash:
        raise InputError(
            f"{file.parent} holds runs on features of other weights of the frozen trunk: move it "
            f"away, or keep the new runs elsewhere with name=... or --output"
        )


def _check_recorders(tensorboard):
    """Fail early if a recorder is not installed."""
    import record_keeper  # noqa: F401

    if tensorboard:
        import torch.utils.tensorboard  # noqa: F401


def _score_untrained(config, data, folder, say):
    """Score the untrained networks once a seed; a failure leaves the runs as they are."""
    file = folder / UNTRAINED_FILE
    try:
        stored = read_untrained(file)
    except FileNotFoundError:
        stored = []
    except InputError:
        say(f"note: {file} was damaged: the untrained networks are scored again")
        stored = []
    known = {(line.fold, line.seed) for line in stored if line.name == UNTRAINED_HEAD}
    if known >= set(itertools.product(config.protocol.folds, config.protocol.seeds)):
        return
    with _threads(config.protocol.threads):
        try:
            write_untrained(file, untrained_scores(data, stored))
        except OSError:
            raise
        except Exception as error:
            reason = message_of(error)
            say(f"note: the untrained networks were not scored: {type(error).__name__}: {reason}")


@contextmanager
def _threads(number):
    """Let torch use this many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _concatenate_folds(config, folder):
    """Score the folds of each method and seed together if all of them are finished."""
    protocol = config.protocol
    if protocol.number_of_folds == 1:
        return
    with _threads(protocol.threads):
        for name, seed in itertools.product(config.methods, protocol.seeds):
            folds = range(protocol.number_of_folds)
            folders = [run_folder(folder, name, fold, seed) for fold in folds]
            if all((run / RESULT_FILE).exists() for run in folders):
                add_concatenated(folders, protocol.evaluation, choose_device(protocol.device))

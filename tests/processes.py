"""in_processes: runs a function in several processes that share a gloo process group."""

import random
import warnings

import numpy as np
import torch
import torch.distributed as dist

# As in pyproject.toml: warnings are errors in these processes, too.
DEPRECATED_BY_GEOOPT = r".torch\.jit\.script. is deprecated"


def in_processes(function, count, folder, *arguments):
    """What ``function(*arguments)`` returns on each of ``count`` ranks, in their order.

    Args:
        function: of a module that can be imported; it may use torch.distributed.
        count: number of processes.
        folder: where they meet, and leave their results.
        arguments: anything that can be pickled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(_work, (function, count, folder, arguments), nprocs=count)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _work(rank, function, count, folder, arguments):
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", DEPRECATED_BY_GEOOPT)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=count
    )
    try:
        result = function(*arguments)
        torch.save(result, folder / f"{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def seed_all(seed):
    """Seed every global source of random numbers."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def draw_from_all():
    """One number from every global source of random numbers."""
    return [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002

"""The CPU group of the collectives ends with the process group that it belongs to."""

import sys
from pathlib import Path

import pytest
import torch.distributed as dist

from pml_hyperbolic.distributed.collectives import exchange, from_rank_zero, rank, world_size
from tests.processes import in_processes


def gloo_threads():
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)


def leave_and_join_again(folder):
    """The values that arrive and the gloo threads: before leaving, without a group, after."""
    before = exchange(rank()), gloo_threads()
    me, count = rank(), world_size()
    dist.destroy_process_group()
    between = gloo_threads()
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'again'}", rank=me, world_size=count
    )
    return before, between, (from_rank_zero(f"of rank {me}"), gloo_threads())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's threads")
def test_no_thread_outlives_the_process_group(tmp_path):
    # A thread that lets go of a tensor while the interpreter ends would abort the process.
    for before, between, after in in_processes(leave_and_join_again, 2, tmp_path, tmp_path):
        assert before[0] == [0, 1]
        assert before[1] > 0
        assert between == 0
        assert after == ("of rank 0", before[1])

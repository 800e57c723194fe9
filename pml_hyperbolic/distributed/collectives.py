"""Ranks, and small objects exchanged between processes without involving an accelerator."""

import datetime
import weakref
from typing import Any, cast

import torch.distributed as dist

# Ranks wait here while rank 0 evaluates, however long that takes. If a process dies, its
# connections break and the wait ends at once.
_PATIENCE = datetime.timedelta(days=7)

# A reference would outlive destroy_process_group and keep the group's threads running: one that
# still lets go of a tensor while the interpreter ends aborts the process.
_groups: "weakref.WeakValueDictionary[str, dist.ProcessGroup]" = weakref.WeakValueDictionary()


def world_size() -> int:
    """Number of processes that share the work; 1 where torch.distributed is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Position of this process among them; 0 where torch.distributed is not in use."""
    return dist.get_rank() if world_size() > 1 else 0


def exchange(content: Any) -> list[Any]:
    """The contents of all ranks, in rank order. All ranks must call.

    Args:
        content: of this rank, anything that can be pickled.
    """
    contents: list[Any] = [None] * world_size()
    dist.all_gather_object(contents, content, group=_control_group())
    return contents


def from_rank_zero(content: Any) -> Any:
    """Rank 0's content, on all ranks. All ranks must call; they wait for rank 0 for days if needed.

    Args:
        content: anything that can be pickled; ignored on other ranks than 0.
    """
    contents = [content]
    dist.broadcast_object_list(contents, src=0, group=_control_group())
    return contents[0]


def _control_group():
    """A CPU group for small objects: NCCL would synchronise CUDA, and would time out too early."""
    group = _groups.get("control")
    if group is None:
        # Without ranks, every process is a member.
        group = cast("dist.ProcessGroup", dist.new_group(backend="gloo", timeout=_PATIENCE))
        _groups["control"] = group
    return group
